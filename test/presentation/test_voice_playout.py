"""The voice that leaves, interrupted at random: on a clock of the test's own, with messages that take their time."""

import heapq

import numpy as np
import pytest

from avatar_forcing_ros.audio.speech_queue import Span, SpeechQueue
from avatar_forcing_ros.audio.spoken import SpeechResampler, Utterance
from avatar_forcing_ros.presentation.voice_playout import FINISHED, INTERRUPTED, POSITION, STARTED, VoicePlayout
from avatar_forcing_ros.timeline import FRAME_NS, NANOSECONDS, time_of

MS = 1_000_000
SHAPES = ((8000, 1), (16000, 1), (22050, 1), (24000, 1), (44100, 2), (48000, 2))
DELAY_NS = 230 * MS


class World:
    """A synthesiser, the queue that releases, the renderer's playout, and messages between them that take 0 to 30 ms."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.queue, self.playout, self.resampler = SpeechQueue(), VoicePlayout(), SpeechResampler()
        self.mail: list = []
        self.count = 0
        self.frame = 1000
        self.heard: list[tuple[int, int, np.ndarray]] = []  # (time in ns, rate, samples of the first channel)
        self.events: list = []
        self.cut_by = -1

    def say(self, utterance: Utterance, seconds: float, level: float, shape: tuple[int, int]) -> None:
        rate, channels = shape
        sound = np.full((int(seconds * rate), channels), level, np.float32)
        for speech, _ in self.resampler.push(sound, rate) + self.resampler.flush():
            self.queue.push(speech, None, utterance)
        self.queue.end(utterance)

    def send(self, at_ns: int, action) -> None:
        self.count += 1
        heapq.heappush(self.mail, (at_ns + int(self.random.uniform(0, 30 * MS)), self.count, action))

    def interrupt(self, at_ns: int) -> None:
        self.send(at_ns, lambda: self.queue.cut(at_ns))
        self.send(at_ns, lambda: self.events.extend(self.playout.cut(at_ns)))

    def run(self, frames: int) -> None:
        for _ in range(frames):
            now = time_of(self.frame)
            while self.mail and self.mail[0][0] <= now:
                heapq.heappop(self.mail)[2]()
            released = self.queue.pop_frame(self.frame - 1)
            if released.known or released.spans:
                # Messages of one topic keep their order.
                self.send_in_order(now, self.frame - 1, released)
            shown = self.frame - DELAY_NS // FRAME_NS - 1
            voice, rate, events = self.playout.take(shown, now, now + FRAME_NS)
            self.heard.append((now, rate, voice[:, 0]))
            self.events += events
            self.frame += 1

    _last_sent = 0

    def send_in_order(self, now: int, frame: int, released) -> None:
        at = max(now + int(self.random.uniform(0, 30 * MS)), self._last_sent + 1)
        self._last_sent = at
        self.count += 1
        put = (frame, released.voice if released.known else released.voice[:0], released.rate, released.spans)
        heapq.heappush(self.mail, (at, self.count, lambda: self.playout.put(*put)))


def test_a_thousand_interruptions_at_random_moments():
    world = World(1)
    begun = time_of(world.frame)
    said: dict[str, tuple[float, float, int]] = {}  # level, seconds, when it was interrupted
    for i in range(1000):
        level = 0.1 + 0.8 * (i % 89) / 89
        seconds = float(world.random.uniform(0.2, 0.6))
        utterance = Utterance(f"u{i}", time_of(world.frame))
        world.say(utterance, seconds, level, SHAPES[int(world.random.integers(len(SHAPES)))])
        at = time_of(world.frame) + int(world.random.uniform(1, (seconds + 0.5) * 1e9))
        said[utterance.id] = (level, seconds, at)
        frames = int((at - time_of(world.frame)) // FRAME_NS) + 1
        world.run(frames - 1)
        world.interrupt(at)
        world.run(4 if world.random.random() < 0.7 else 12)  # the next one often begins while all is on its way
    world.run(60)
    ends = [event for event in world.events if event.kind in (FINISHED, INTERRUPTED)]
    assert sorted(event.utterance for event in ends) == sorted(said)  # each exactly once
    assert {event.kind for event in ends} == {FINISHED, INTERRUPTED}
    assert len({event.utterance for event in world.events if event.kind == STARTED}) < 1000  # some were never heard
    stops = []
    for event in ends:
        level, seconds, at = said[event.utterance]
        # Levels come again after 89 utterances, some 50 s later; a fade of another one may pass through this level.
        near = world.heard[max(0, (at - begun) // FRAME_NS - 40) : (at - begun) // FRAME_NS + 40]
        mine = [(t, rate, np.flatnonzero(np.abs(v - level) < 1e-4)) for t, rate, v in near]
        mine = [(t, rate, samples) for t, rate, samples in mine if len(samples) > 3]
        heard = sum(len(samples) / rate for _, rate, samples in mine)
        assert event.position_ns / 1e9 == pytest.approx(heard, abs=0.04)
        if event.kind == INTERRUPTED:
            last = max((t + samples[-1] * NANOSECONDS // rate for t, rate, samples in mine if len(samples)), default=0)
            stops.append(max(0, last - at) / MS)
        else:
            assert heard == pytest.approx(seconds, abs=0.04)
    # 30 ms of the message, 40 ms of the frame that is being spoken.
    assert max(stops) <= 75 and np.percentile(stops, 95) <= 72


@pytest.mark.parametrize("rate, channels", SHAPES)
def test_the_voice_leaves_as_it_came(rate, channels):
    world = World(2)
    random = np.random.default_rng(3)
    sound = random.uniform(-0.5, 0.5, (rate, channels)).astype(np.float32)
    utterance = Utterance("a", 1)
    at = 0
    while at < len(sound):  # in chunks of any length
        step = int(random.integers(1, rate // 5))
        for speech, _ in world.resampler.push(sound[at : at + step], rate):
            world.queue.push(speech, None, utterance)
        at += step
    for speech, _ in world.resampler.flush():
        world.queue.push(speech, None, utterance)
    world.queue.end(utterance)
    out = []
    for frame in range(5000, 5040):
        released = world.queue.pop_frame(frame)
        world.playout.put(frame, released.voice, released.rate, released.spans)
        voice, out_rate, events = world.playout.take(frame, time_of(frame), time_of(frame + 1))
        world.events += events
        if released.known:
            assert (out_rate, voice.shape) == (rate, (rate // 25, channels))
            out.append(voice)
    out = np.concatenate(out)
    start = int(np.argmax(np.abs(out).sum(axis=1) > 0)) - 1  # it fades in from zero
    faded = rate // 200 + 1
    np.testing.assert_array_equal(out[start + faded : start + len(sound) - 1], sound[faded : len(sound) - 1])
    assert [event.kind for event in world.events] == [STARTED, *[POSITION] * 4, FINISHED]
    assert world.events[-1].position_ns == pytest.approx(NANOSECONDS, abs=5 * MS)


def put(playout, frame, utterance, ends=False, level=0.5):
    playout.put(frame, np.full((960, 1), level, np.float32), 24000, (Span(utterance, 0, 960, ends),))


def take(playout, frame):
    return playout.take(frame, time_of(frame), time_of(frame + 1))


def test_an_interruption_at_a_position_stops_there():
    playout, utterance = VoicePlayout(), Utterance("a", 5)
    for frame in range(10):
        put(playout, frame, utterance)
    assert [e.kind for e in take(playout, 0)[2]] == [STARTED]
    assert playout.cut(50, "a", 100 * MS) == []
    events, spoken = [], 0.0
    for frame in range(1, 10):
        voice, rate, told = take(playout, frame)
        events += told
        spoken += np.count_nonzero(voice == 0.5) / rate
    assert [(e.kind, e.position_ns) for e in events] == [(INTERRUPTED, 100 * MS)]
    assert 0.04 + spoken == pytest.approx(0.1, abs=0.001)


def test_an_interruption_of_one_leaves_the_other():
    playout = VoicePlayout()
    put(playout, 0, Utterance("a", 5), ends=True)
    put(playout, 1, Utterance("b", 6), ends=True)
    events = playout.cut(10, "a") + take(playout, 0)[2] + take(playout, 1)[2]
    assert [(e.kind, e.utterance, e.position_ns) for e in events] == [
        (INTERRUPTED, "a", 0), (STARTED, "b", 0), (FINISHED, "b", 40 * MS),
    ]  # fmt: skip


def test_what_began_after_the_interruption_is_spoken_although_it_came_before_the_news():
    playout = VoicePlayout()
    put(playout, 0, Utterance("new", 20), ends=True)
    assert playout.cut(10) == []
    assert np.all(take(playout, 0)[0] == 0.5)


def test_the_end_is_told_although_its_frame_came_late():
    playout, utterance = VoicePlayout(), Utterance("a", 5)
    put(playout, 0, utterance)
    take(playout, 0), take(playout, 1)
    put(playout, 1, utterance, ends=True)
    assert playout.late_frames == 1
    assert [(e.kind, e.position_ns) for e in take(playout, 2)[2]] == [(FINISHED, 80 * MS)]  # the place it has got to


def test_sound_that_came_too_late_moves_the_place_on():
    playout, utterance = VoicePlayout(), Utterance("a", 5)
    put(playout, 0, utterance)
    take(playout, 0), take(playout, 1)
    put(playout, 1, utterance)  # not heard
    put(playout, 2, utterance)
    take(playout, 2)
    assert [(e.kind, e.position_ns) for e in playout.cut(10)] == [(INTERRUPTED, 120 * MS)]


def test_of_an_utterance_that_had_not_begun_nothing_is_heard():
    playout = VoicePlayout()
    put(playout, 0, Utterance("a", 5))
    assert playout.cut(10) == []
    voice, _, events = take(playout, 0)
    assert not voice.any() and [(e.kind, e.position_ns) for e in events] == [(INTERRUPTED, 0)]


def test_ducking_is_reached_within_a_frame_without_a_step():
    playout, utterance = VoicePlayout(), Utterance("a", 5)
    for frame in range(4):
        put(playout, frame, utterance)
    before = take(playout, 0)[0]
    playout.set_gain(0.2)
    down, low = take(playout, 1)[0], take(playout, 2)[0]
    playout.set_gain(1.0)
    up = take(playout, 3)[0]
    heard = np.concatenate([before, down, low, up])[:, 0]
    assert low == pytest.approx(0.1) and up[-1] == pytest.approx(0.5)
    assert np.abs(np.diff(heard)).max() < 0.01


def test_silence_before_speech_already_has_its_format():
    playout = VoicePlayout()
    assert take(playout, 0)[1] == 16000
    put(playout, 5, Utterance("a", 5))
    assert [take(playout, frame)[1] for frame in (1, 2)] == [24000, 24000]
