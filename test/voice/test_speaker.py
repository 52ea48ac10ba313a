"""A speaker before the queue and the playout of the real graph, on a clock of the test's own."""

import numpy as np
import pytest

from avatar_forcing_ros.audio.speech_queue import SpeechQueue
from avatar_forcing_ros.audio.spoken import SpeechResampler, Utterance
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.presentation.voice_playout import INTERRUPTED, POSITION, STARTED, SpeechEvent, VoicePlayout
from avatar_forcing_ros.timeline import FRAME_NS, NANOSECONDS, time_of
from avatar_forcing_ros.voice.speaker import DONE, FAILED, MAX_WAITING, STOPPED, Speaker
from avatar_forcing_ros.voice.tts import Part, TimedMark, Word

DELAY = 6  # frames


class Graph:
    """What stands behind a speaker: the ingest's queue and the renderer's playout."""

    def __init__(self):
        self.frame = 1000
        self.queue, self.playout, self.resampler = SpeechQueue(), VoicePlayout(), SpeechResampler()
        self.speaker = Speaker(self, lambda: time_of(self.frame))
        self.marks, self.captions, self.events, self.cuts = [], [], [], []
        self.connected = True

    def ready(self):
        return self.connected

    def sound(self, utterance: Utterance, samples, rate, last):
        stretches = self.resampler.push(samples, rate) if len(samples) else []
        for speech, _ in stretches + (self.resampler.flush() if last else []):
            self.queue.push(speech, None, utterance)
        if last:
            self.queue.end(utterance)

    def cut(self, stamp_ns, utterance, position_ns):
        self.cuts.append((stamp_ns, utterance, position_ns))
        self.queue.cut(stamp_ns, utterance, None if position_ns is None else position_ns / NANOSECONDS)
        self.tell(self.playout.cut(stamp_ns, utterance, position_ns))

    def mark(self, name):
        self.marks.append((name, self.frame))

    def caption(self, text):
        self.captions.append((text, self.frame))

    def tell(self, events):
        self.events += events
        for event in events:
            self.speaker.on_event(event)

    def run(self, frames):
        heard = []
        for _ in range(frames):
            for _ in range(4):
                self.speaker.step()
            self.frame += 1
            released = self.queue.pop_frame(self.frame - 1)
            self.playout.put(self.frame - 1, released.voice, released.rate, released.spans)
            voice, _, events = self.playout.take(self.frame - DELAY, time_of(self.frame), time_of(self.frame + 1))
            heard.append(float(np.abs(voice).max()))
            self.tell(events)
            self.speaker.tick()
        return heard


def words(count, each=0.3):
    """Parts of a second of three words each."""
    for i in range(count // 3):
        yield Part(
            np.full((22050, 1), 0.3, np.float32), 22050,
            tuple(Word(f"w{3 * i + k}", i + k * each, i + (k + 1) * each) for k in range(3)),
            (TimedMark(f"m{i}", i + 0.5),), TimedMark(f"sentence {i}", i),
        )  # fmt: skip


def test_an_utterance_is_followed_from_its_first_sound_to_its_last():
    graph = Graph()
    job = graph.speaker.say(words(9))
    graph.run(20)
    index, word = job.word_at(job.position_at(time_of(graph.frame)))
    assert job.began and word == f"w{index}" and not job.done.is_set() and graph.speaker.speaking
    graph.run(80)
    assert job.outcome == DONE and job.position_ns == pytest.approx(3 * NANOSECONDS, abs=2_000_000)
    assert job.said(job.position_ns) == " ".join(f"w{i}" for i in range(9)) and not graph.speaker.speaking
    begin = next(e.stamp_ns for e in graph.events if e.kind == STARTED)
    for i, (name, frame) in enumerate(graph.marks):  # each within two frames of its place
        assert name == f"m{i}" and (time_of(frame) - begin) / 1e9 == pytest.approx(i + 0.5, abs=0.08)
    assert [text for text, _ in graph.captions] == ["sentence 0", "sentence 1", "sentence 2"]
    for i, (_, frame) in enumerate(graph.captions):
        assert (time_of(frame) - begin) / 1e9 == pytest.approx(i, abs=0.08)


def test_an_interruption_drops_what_waits_and_tells_what():
    graph = Graph()
    first, second = graph.speaker.say(words(9)), graph.speaker.say(words(3))
    graph.run(30)
    dropped = graph.speaker.interrupt()
    assert dropped.utterances == (first.id, second.id) and dropped.text.endswith("w8 w0 w1 w2")
    heard = graph.run(DELAY + 2)
    assert max(heard[1:]) == 0 and first.outcome == STOPPED and second.outcome == STOPPED
    assert abs(first.position_ns - dropped.position_ns) <= 40_000_000 and second.position_ns == 0
    assert first.sent_ns + second.sent_ns - dropped.position_ns == dropped.dropped_ns
    assert [text for text, _ in graph.captions] == ["sentence 0", "sentence 1"]  # what is not heard is not shown
    assert first.said(first.position_ns) + " " + dropped.text == " ".join(
        [f"w{i}" for i in range(9)] + ["w0", "w1", "w2"]
    )
    third = graph.speaker.say(words(3))
    graph.run(50)
    assert third.outcome == DONE


def test_what_is_said_in_the_moment_of_an_interruption_is_heard():
    """The clock does not move between the two, as where time is simulated."""
    graph = Graph()
    graph.speaker.say(words(9))
    graph.run(30)
    graph.speaker.interrupt()
    job = graph.speaker.say(words(3))
    graph.run(60)
    assert job.outcome == DONE and job.position_ns == pytest.approx(NANOSECONDS, abs=2_000_000)


@pytest.mark.parametrize("after", range(20, 60, 7))
def test_an_interruption_at_the_end_of_a_word_ends_there(after):
    graph = Graph()
    job = graph.speaker.say(words(9))
    graph.run(after)
    dropped = graph.speaker.interrupt(at_word=True)
    graph.run(30)
    ends = [w.end for w in job.words]
    assert job.outcome == STOPPED
    assert min(abs(job.position_ns / 1e9 - end) for end in ends) < 0.002
    assert job.position_ns == pytest.approx(dropped.position_ns, abs=2_000_000)


def test_the_last_word_may_be_said_to_its_end():
    graph = Graph()
    job = graph.speaker.say(words(3, each=1 / 3))
    while job.position_at(time_of(graph.frame)) < 0.8 * NANOSECONDS:
        graph.run(1)
    graph.speaker.interrupt(at_word=True)
    graph.run(30)
    assert job.outcome == STOPPED and job.position_ns == pytest.approx(NANOSECONDS, abs=2_000_000)


def test_what_others_say_is_interrupted_too():
    graph = Graph()
    graph.speaker.on_event(SpeechEvent(STARTED, "call-1", 0, 5))
    graph.speaker.on_event(SpeechEvent(POSITION, "call-1", 700, 5))
    assert graph.speaker.speaking and graph.speaker.interrupt().utterances == ("call-1",)
    graph.speaker.on_event(SpeechEvent(INTERRUPTED, "call-1", 700, 5))
    assert not graph.speaker.speaking and graph.speaker.interrupt().utterances == ()


def failing():
    yield from words(3)
    raise InputError("the server is gone")


def test_a_synthesizer_that_fails_ends_its_utterance_and_the_next_one_is_spoken():
    graph = Graph()
    at_once = graph.speaker.say(iter([]))
    late, after = graph.speaker.say(failing()), graph.speaker.say(words(3))
    graph.run(80)
    assert at_once.outcome == DONE and at_once.position_ns == 0
    assert (late.outcome, late.message) == (FAILED, "the server is gone") and late.position_ns == NANOSECONDS
    assert after.outcome == DONE


def test_sound_that_never_ends_is_not_made_further_than_it_can_wait():
    graph, made = Graph(), []

    def endless():
        while True:
            made.append(1)
            yield Part(np.zeros((48000, 2), np.float32), 48000, (), ())

    graph.speaker.say(endless())
    graph.run(50)
    assert 20 <= len(made) <= 24
    graph.speaker.interrupt()
    graph.run(10)
    assert not graph.speaker.speaking


def test_nothing_hangs_where_nobody_plays_the_sound():
    graph = Graph()
    graph.connected = False
    job = graph.speaker.say(words(3))
    for _ in range(30):
        graph.frame += 10
        graph.speaker.step()
        graph.speaker.tick()
    assert job.outcome == FAILED and "graph" in job.message
    for _ in range(MAX_WAITING):
        graph.speaker.say(words(3))
    with pytest.raises(InputError, match="wait"):
        graph.speaker.say(words(3))


def test_two_hundred_interruptions_at_random_moments_end_each_utterance_once():
    graph, random = Graph(), np.random.default_rng(4)
    jobs = []
    for _ in range(200):
        jobs += [graph.speaker.say(words(3 * int(random.integers(1, 4)))) for _ in range(int(random.integers(1, 3)))]
        graph.run(int(random.integers(1, 40)))
        graph.speaker.interrupt(at_word=bool(random.random() < 0.5))
        graph.run(int(random.integers(0, 3)))
    graph.run(60)
    assert {job.outcome for job in jobs} <= {DONE, STOPPED} and not graph.speaker.speaking
    ends = [e.utterance for e in graph.events if e.kind not in (STARTED, POSITION)]
    assert len(ends) == len(set(ends))
    for event in graph.events:
        if event.kind == INTERRUPTED:
            job = next(j for j in jobs if j.id == event.utterance)
            assert abs(job.position_ns - event.position_ns) < FRAME_NS
