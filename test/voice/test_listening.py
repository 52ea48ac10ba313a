"""The user's voice beside the avatar's own, with made voices: what interrupts, what does not, and how soon."""

import shutil

import numpy as np
import pytest

from avatar_forcing_ros.bench.talk.barge_in import STOP_NS, Room, avatar_voice
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.timeline import NANOSECONDS, SAMPLE_RATE, SAMPLES_PER_FRAME, time_of
from avatar_forcing_ros.voice.listening.barge_in import Action, BargeIn
from avatar_forcing_ros.voice.listening.ear import BACK_CHANNEL, INTERRUPTION, NONE, VOICE, Ear, Heard, SpokenVoice
from avatar_forcing_ros.voice.listening.echo import EchoGuard
from avatar_forcing_ros.voice.listening.made import HUMS, said
from avatar_forcing_ros.voice.listening.vad import LevelDetector, SileroDetector, make_detector

needs_voices = pytest.mark.skipif(
    not (shutil.which("espeak-ng") and shutil.which("flite")),
    reason="made voices need: apt-get install espeak-ng flite",
)
RNG = np.random.default_rng(5)


def detectors():
    yield LevelDetector
    if make_detector("auto").name == "silero":
        yield SileroDetector


def frames(sound, start=0):
    for i in range(len(sound) // SAMPLES_PER_FRAME):
        yield start + i, sound[i * SAMPLES_PER_FRAME : (i + 1) * SAMPLES_PER_FRAME]


@needs_voices
@pytest.mark.parametrize("detector", list(detectors()))
def test_a_voice_in_a_quiet_room_begins_and_ends_at_its_time(detector):
    speech = said("espeak-ng:en-gb+m3", "Where is the elevator?")
    sound = RNG.normal(size=5 * SAMPLE_RATE).astype(np.float32) * 1e-3
    sound[2 * SAMPLE_RATE : 2 * SAMPLE_RATE + len(speech)] += speech
    ear, told = Ear(detector()), []
    for frame, samples in frames(sound):
        told.append(ear.push(frame, samples, True, np.zeros(SAMPLES_PER_FRAME, np.float32)))
    speaking = [h for h in told if h.state != NONE]
    assert speaking and {h.state for h in speaking} >= {INTERRUPTION}
    assert speaking[0].frame - 50 <= 3  # told within 160 ms
    assert all(h.onset_ns / 1e6 == pytest.approx(2000, abs=30) for h in speaking)
    ended = next(h for h in told if h.frame > speaking[-1].frame)
    assert ended.duration_ns / 1e9 == pytest.approx(len(speech) / SAMPLE_RATE, abs=0.3)


@needs_voices
def test_a_hum_is_a_back_channel():
    heard = []
    for text in HUMS:
        hum = said("espeak-ng:en-us+f3", text)
        if hum is None:
            continue
        sound = RNG.normal(size=3 * SAMPLE_RATE).astype(np.float32) * 1e-3
        sound[2 * SAMPLE_RATE : 2 * SAMPLE_RATE + len(hum)] += hum[:SAMPLE_RATE]
        ear = Ear(make_detector())
        states = [ear.push(f, s, True, np.zeros(SAMPLES_PER_FRAME, np.float32)).state for f, s in frames(sound)]
        heard.append(max(states))
    assert len(heard) >= 4 and heard.count(INTERRUPTION) == 0 and BACK_CHANNEL in heard


def states_of(speech):
    """What an ear makes of speech in a quiet room, and what a policy does: (states, (gain, stop) where there is any)."""
    sound = np.random.default_rng(5).normal(size=5 * SAMPLE_RATE).astype(np.float32) * 1e-3
    sound[2 * SAMPLE_RATE : 2 * SAMPLE_RATE + len(speech)] += speech
    ear, policy = Ear(make_detector()), BargeIn("stop", 0.3)
    told = [ear.push(f, s, True, np.zeros(SAMPLES_PER_FRAME, np.float32)) for f, s in frames(sound)]
    acts = [policy.decide(one, True) for one in told]
    return [one.state for one in told], [(a.gain, a.stop) for a in acts if a.gain is not None or a.stop]


@needs_voices
@pytest.mark.parametrize("word", ["Yeah.", "Right.", "Okay."])
def test_a_word_that_agrees_is_ducked_and_the_voice_comes_back(word):
    states, acts = states_of(said("espeak-ng:en-us+f3", word))
    assert BACK_CHANNEL in states and INTERRUPTION not in states
    assert acts in ([(0.3, False), (1.0, False)], [(0.3, False), (0.0, False), (1.0, False)])


@needs_voices
def test_a_sentence_that_begins_as_a_word_that_agrees_interrupts_when_more_of_it_is_heard():
    states, acts = states_of(said("espeak-ng:en-us+f3", "Okay, but how do I get there?"))
    assert INTERRUPTION in states and (1.0, True) in acts


@needs_voices
def test_the_avatars_own_echo_never_interrupts_it_and_the_user_does():
    voice = avatar_voice(16.0, "flite:slt")
    for delay in (50, 300):
        room = Room(voice, delay, np.random.default_rng(delay))
        assert list(room.stops("auto")) == []
        onsets = [6 * SAMPLE_RATE, 11 * SAMPLE_RATE]
        for onset in onsets:
            room.add(onset, said("espeak-ng:en-us", "Wait, stop please."))
        stops = list(room.stops("auto"))
        late = [(stop - onset * NANOSECONDS // SAMPLE_RATE) / 1e6 for stop, onset in zip(stops, onsets, strict=True)]
        assert all(STOP_NS / 1e6 < ms <= 340 for ms in late)


def test_the_echo_is_taken_out_of_the_microphone():
    voice = RNG.normal(size=8 * SAMPLE_RATE).astype(np.float32) * 0.1
    path = np.zeros(4000)
    path[2000], path[2600] = 0.3, 0.1
    echo = np.convolve(voice, path)[: len(voice)].astype(np.float32)
    guard, left = EchoGuard(), []
    for frame, samples in frames(voice):
        heard = echo[frame * SAMPLES_PER_FRAME : (frame + 1) * SAMPLES_PER_FRAME]
        left.append(np.sum(guard.push(heard, samples).samples ** 2) / np.sum(heard**2 + 1e-12))
    assert np.mean(left[-50:]) < 10 ** (-20 / 10)
    silent = guard.push(heard, np.zeros(SAMPLES_PER_FRAME, np.float32))
    for _ in range(20):  # the voice has ended: nothing is taken out of what the user says
        silent = guard.push(heard, np.zeros(SAMPLES_PER_FRAME, np.float32))
    np.testing.assert_array_equal(silent.samples, heard)


def heard(state, claims=False):
    return Heard(state=state, frame=0, onset_ns=0, duration_ns=0, probability=1.0, own=True, claims=claims)


def test_policies():
    stop = BargeIn("stop", 0.3)
    assert stop.decide(heard(VOICE), False) == Action()  # the avatar is silent: nothing to soften
    assert stop.decide(heard(VOICE), True) == Action(gain=0.3)
    assert stop.decide(heard(BACK_CHANNEL), True) == Action()
    assert stop.decide(heard(NONE), True) == Action(gain=1.0)  # after an "mhm" it comes up again
    assert stop.decide(heard(VOICE), True) == Action(gain=0.3)
    assert stop.decide(heard(INTERRUPTION), True) == Action(gain=1.0, stop=True, listen=True)
    assert stop.decide(heard(INTERRUPTION), True) == Action(listen=True)  # once
    assert stop.decide(heard(NONE), False) == Action()
    assert stop.decide(heard(INTERRUPTION), True).stop
    assert stop.decide(heard(NONE), True) == Action()
    # It may be an interruption: silent at once, and not louder again before the voice has ended.
    asked = [(VOICE, False), (VOICE, True), (BACK_CHANNEL, False), (NONE, False), (VOICE, True), (INTERRUPTION, True)]
    assert [stop.decide(heard(*one), True).gain for one in asked] == [0.3, 0.0, None, 1.0, 0.0, 1.0]
    duck = BargeIn("duck", 0.5)
    asked = [(VOICE, False), (VOICE, True), (INTERRUPTION, True), (NONE, False)]
    assert [duck.decide(heard(*one), True).gain for one in asked] == [0.5, None, None, 1.0]
    off = BargeIn("off")
    assert [off.decide(heard(s), True) for s in (VOICE, NONE)] == [Action(), Action()]
    with pytest.raises(InputError, match="shout"):
        BargeIn("shout")


def test_the_spoken_voice_is_given_by_its_time():
    voice = SpokenVoice(1.0)
    assert not voice.get(5).any()
    sound = np.arange(1, 3 * SAMPLES_PER_FRAME + 1, dtype=np.float32)
    voice.put(time_of(10) + 20_000_000, sound)
    np.testing.assert_array_equal(voice.get(10)[:320], 0)
    np.testing.assert_array_equal(voice.get(10)[320:], sound[:320])
    np.testing.assert_array_equal(voice.get(12), sound[960:1600])
    assert not voice.get(40).any()
    voice.put(time_of(1000), sound)  # a jump
    np.testing.assert_array_equal(voice.get(1001), sound[640:1280])
    assert not voice.get(10).any()


def test_detectors_by_name():
    assert make_detector("level").name == "level"
    with pytest.raises(InputError, match="nonsense"):
        make_detector("nonsense")
