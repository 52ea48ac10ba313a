import numpy as np
import pytest

from avatar_forcing_ros.audio.framer import AudioFramer
from avatar_forcing_ros.audio.speech_queue import FADE_SAMPLES, SpeechQueue
from avatar_forcing_ros.timeline import FRAME_NS, SAMPLE_RATE, SAMPLES_PER_FRAME, time_of

S = 1_000_000_000
CHUNK = 320  # 20 ms
CHUNK_NS = S * CHUNK // SAMPLE_RATE
RNG = np.random.default_rng(1)


def tone(seconds, hertz=200.0, level=0.3):
    return (level * np.sin(2 * np.pi * hertz * np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE)).astype(np.float32)


def push_all(framer, sound, first_ns, jitter=None, rate=1.0, stamped=True):
    """Pushes `sound` in chunks of 20 ms; the source's clock runs `rate` times as fast as ours."""
    frames = []
    for i in range(0, len(sound), CHUNK):
        chunk = sound[i : i + CHUNK]
        stamp = first_ns + round(i * S / SAMPLE_RATE / rate) + (int(jitter[i // CHUNK]) if jitter is not None else 0)
        frames += framer.push(chunk, stamp if stamped else None, stamp + len(chunk) * S // SAMPLE_RATE)
    return frames


# AudioFramer


def test_aligned_sound_becomes_the_same_frames():
    sound = tone(1.0)
    frames = push_all(AudioFramer(), sound, time_of(1000))
    assert [f.index for f in frames] == list(range(1000, 1025))
    assert all(f.known for f in frames)
    np.testing.assert_array_equal(np.concatenate([f.samples for f in frames]), sound)


def test_a_late_start_leaves_the_head_of_its_frame_silent():
    frames = push_all(AudioFramer(), tone(0.2), time_of(10) + FRAME_NS * 3 // 4)
    assert frames[0].index == 10 and not frames[0].known
    assert not frames[0].samples[:480].any() and frames[0].samples[481:].any()
    assert frames[1].known


def test_jitter_makes_no_gap_and_no_click():
    sound = tone(6.0)
    framer = AudioFramer()
    out = push_all(framer, sound, time_of(50), jitter=RNG.uniform(-15e6, 15e6, 300))
    joined = np.concatenate([f.samples for f in out])
    assert framer.gaps == framer.resets == 0
    # No step greater than the tone's own: nothing was cut out or put in.
    body = joined[SAMPLES_PER_FRAME:]
    assert np.abs(np.diff(body)).max() < 1.1 * np.abs(np.diff(sound)).max()


@pytest.mark.parametrize("rate", [1.0005, 0.9995])
def test_clock_drift_is_followed_without_clicks(rate):
    sound = tone(120.0)
    framer = AudioFramer()
    out = push_all(framer, sound, 0, rate=rate)
    joined = np.concatenate([f.samples for f in out])
    assert framer.gaps == 0
    assert abs(len(joined) - len(sound) / rate) < 0.03 * SAMPLE_RATE  # 60 ms would have been lost or gained
    assert np.abs(np.diff(joined)).max() < 1.1 * np.abs(np.diff(sound)).max()


def test_a_gap_is_filled_counted_and_marked():
    framer = AudioFramer()
    first = push_all(framer, tone(0.4), 0)
    second = push_all(framer, tone(0.4), S)
    assert framer.gaps == 1 and framer.gap_samples == int(0.6 * SAMPLE_RATE)
    assert [f.index for f in first + second] == list(range(35))
    assert [f.index for f in second if not f.known] == list(range(10, 25))
    assert not np.concatenate([f.samples for f in second[:15]]).any()


def test_a_long_gap_is_skipped_not_filled():
    framer = AudioFramer()
    push_all(framer, tone(0.4), 0)
    frames = push_all(framer, tone(0.4), 3600 * S)
    assert framer.gaps == 1 and len(frames) == 10 and frames[0].index == 90_000


def test_sound_stamped_a_little_early_is_kept_and_the_count_returns_slowly():
    framer = AudioFramer()
    push_all(framer, tone(0.4), 0)
    frames = push_all(framer, tone(10.0), int(0.2 * S))
    assert framer.resets == framer.gaps == 0
    assert [f.index for f in frames[:5]] == list(range(10, 15)) and all(f.known for f in frames)
    assert abs(frames[-1].index - 255) <= 1  # 10.2 s: the 0.2 s too much have been squeezed out


def test_stamps_that_jump_back_start_again():
    framer = AudioFramer()
    push_all(framer, tone(1.0), 100 * S)
    frames = push_all(framer, tone(1.0), 2 * S)
    assert framer.resets == 1 and [f.index for f in frames] == list(range(50, 75))


def test_unstamped_sound_counts_samples_from_its_arrival():
    framer = AudioFramer()
    sound = tone(2.0)
    frames = push_all(framer, sound, time_of(100), jitter=RNG.uniform(0, 100e6, 100), stamped=False)
    assert framer.gaps == framer.resets == 0
    assert frames[0].index in (100, 101, 102) and np.diff([f.index for f in frames]).tolist() == [1] * (len(frames) - 1)
    later = push_all(framer, sound, time_of(100) + 5 * S, stamped=False)
    assert framer.gaps == 1 and abs(later[-1].index - (100 + 125 + 49)) <= 3


def test_empty_and_tiny_chunks():
    framer = AudioFramer()
    assert framer.push(np.zeros(0, np.float32), 0, 0) == []
    frames = []
    for i in range(1280):
        frames += framer.push(np.full(1, 0.1, np.float32), i * S // SAMPLE_RATE, 0)
    assert [f.index for f in frames] == [0, 1] and all(f.known for f in frames)


# SpeechQueue


def pop(queue, first, count):
    popped = [queue.pop_frame(first + i) for i in range(count)]
    return np.concatenate([frame.samples for frame in popped]), [frame.known for frame in popped]


def test_a_burst_is_released_at_natural_speed():
    queue = SpeechQueue()
    queue.pop_frame(99)
    sound = tone(3.0)
    for i in range(0, len(sound), 4000):  # all at once, no stamps
        assert queue.push(sound[i : i + 4000]) == 0
    assert queue.queued_seconds == pytest.approx(3.04)
    out, known = pop(queue, 100, 80)
    start = SAMPLES_PER_FRAME  # one frame of lead
    np.testing.assert_array_equal(out[start + FADE_SAMPLES : start + len(sound)], sound[FADE_SAMPLES:])
    assert known == [False] + [True] * 75 + [False] * 4
    assert queue.queued_seconds == 0.0


def test_a_frame_is_decided_when_nothing_to_come_belongs_into_it():
    queue = SpeechQueue()
    queue.pop_frame(99)
    assert not queue.is_decided(100)  # what comes first may be stamped
    queue.push(tone(0.06), time_of(100))  # a frame and a half
    assert queue.is_decided(100)
    queue.pop_frame(100)
    assert not queue.is_decided(101)
    queue.pop_frame(101)
    assert not queue.is_decided(102)  # nothing waits, but a stamped chunk may be on its way
    queue.push(tone(0.02))  # unstamped: begins a frame later
    assert queue.is_decided(102)
    for frame in (102, 103):
        queue.pop_frame(frame)
    assert queue.is_decided(104)  # nothing waits, and what comes without stamp begins in the next frame


def test_what_is_made_faster_than_it_is_spoken_begins_in_the_frame_that_runs():
    for ahead, first in ((True, 100), (False, 101)):
        queue = SpeechQueue()
        queue.pop_frame(99)
        queue.push(tone(0.4), ahead=ahead)
        assert [queue.pop_frame(f).known for f in (100, 101)] == [first == 100, True]


def test_a_burst_stamped_with_its_publishing_is_not_torn():
    queue = SpeechQueue()
    queue.pop_frame(0)
    sound = tone(4.0)
    for n, i in enumerate(range(0, len(sound), 4000)):  # 250 ms of speech every 10 ms
        queue.push(sound[i : i + 4000], S + n * 10_000_000)
    out, _ = pop(queue, 1, 130)
    np.testing.assert_array_equal(out[24 * 640 + FADE_SAMPLES : 24 * 640 + len(sound)], sound[FADE_SAMPLES:])
    assert queue.lag_samples == 0 and not queue.live


def test_a_call_keeps_its_time():
    queue = SpeechQueue()
    queue.pop_frame(0)
    sound = np.concatenate([tone(0.6), np.zeros(SAMPLE_RATE, np.float32), tone(0.5)])
    out = []
    pushed = 0
    for frame in range(1, 70):  # frame f is released when its sound has arrived
        while pushed < len(sound) and S + (pushed + CHUNK) * S // SAMPLE_RATE <= time_of(frame + 1):
            jitter = int(RNG.uniform(-8e6, 8e6))
            queue.push(sound[pushed : pushed + CHUNK], S + pushed * S // SAMPLE_RATE + jitter)
            pushed += CHUNK
        out.append(queue.pop_frame(frame).samples)
    out = np.concatenate(out)
    start = (25 - 1) * SAMPLES_PER_FRAME
    onsets = np.flatnonzero(np.abs(out) > 0.05)
    assert abs(onsets[0] - start) < 200
    after = onsets[onsets > start + SAMPLE_RATE]
    assert abs(after[0] - (start + int(1.6 * SAMPLE_RATE))) < 640 + 200


def test_a_live_stream_that_stalled_catches_up_in_its_pause():
    queue = SpeechQueue()
    queue.pop_frame(24)
    talk = np.concatenate([tone(2.0), np.zeros(SAMPLE_RATE, np.float32), tone(1.0)])
    out, pushed = [], 0
    for frame in range(25, 140):
        stalled = 60 <= frame < 68  # 320 ms in which nothing arrives, then all of it at once
        while not stalled and pushed < len(talk) and S + (pushed + CHUNK) * S // SAMPLE_RATE <= time_of(frame + 1):
            queue.push(talk[pushed : pushed + CHUNK], S + pushed * S // SAMPLE_RATE)
            pushed += CHUNK
        out.append(queue.pop_frame(frame).samples)
    out = np.concatenate(out)
    loud = np.flatnonzero(np.abs(out) > 0.05) / SAMPLE_RATE
    assert queue.live and 0.2 * SAMPLE_RATE < queue.lag_samples < 0.4 * SAMPLE_RATE
    assert loud[0] == pytest.approx(0.0, abs=0.01)
    assert loud[loud < 2.7].max() == pytest.approx(2.32, abs=0.02)  # no word of it was lost
    assert loud[loud > 2.7].min() == pytest.approx(3.0, abs=0.06)  # and time was regained in the pause


def test_a_call_with_a_constant_delay_drops_nothing():
    queue = SpeechQueue()
    queue.pop_frame(24)
    talk = np.concatenate([tone(1.5), np.zeros(SAMPLE_RATE // 2, np.float32), tone(1.0)])
    pushed, known = 0, 0
    for frame in range(25, 140):
        while pushed < len(talk) and 1.68 * S + (pushed + CHUNK) * S // SAMPLE_RATE <= time_of(frame + 1):
            queue.push(talk[pushed : pushed + CHUNK], S + pushed * S // SAMPLE_RATE)
            pushed += CHUNK
        known += queue.pop_frame(frame).known
    assert queue.lag_samples == 0 and known == 75


def test_clear_fades_and_drops():
    queue = SpeechQueue()
    queue.pop_frame(0)
    queue.push(tone(10.0))
    before, _ = pop(queue, 1, 20)
    dropped = queue.clear()
    after, known = pop(queue, 21, 3)
    assert dropped == pytest.approx(10.0 - 19 * 0.04 - 0.005, abs=1e-6)
    assert known == [True, False, False] and queue.queued_seconds == 0.0
    assert np.abs(after[2 * FADE_SAMPLES :]).max() < 1e-4
    steps = np.abs(np.diff(np.concatenate([before, after])))
    assert steps[20 * 640 - 2 :].max() <= steps[: 20 * 640 - 2].max() * 1.1  # no click
    assert queue.clear() == 0.0
    queue.push(tone(0.2))
    again, known = pop(queue, 24, 8)
    assert any(known) and np.abs(np.diff(again)).max() <= steps.max() * 1.1


def test_speech_that_ends_and_starts_again_does_not_click():
    queue = SpeechQueue()
    queue.pop_frame(0)
    piece = np.full(1000, 0.5, np.float32)
    queue.push(piece)
    one, _ = pop(queue, 1, 6)
    queue.push(piece)
    two, _ = pop(queue, 7, 6)
    assert np.abs(np.diff(np.concatenate([one, two]))).max() < 0.05


def test_overflow_is_dropped_and_counted():
    queue = SpeechQueue(max_seconds=2.0)
    queue.pop_frame(0)
    assert queue.push(tone(1.5)) == 0
    assert queue.push(tone(1.5)) == pytest.approx(1.04 * SAMPLE_RATE)
    assert queue.push(tone(1.0)) == SAMPLE_RATE
    assert queue.dropped_samples == pytest.approx(2.04 * SAMPLE_RATE)
    assert queue.queued_seconds == pytest.approx(2.0)


def test_a_stamp_of_another_clock_does_not_block_the_queue():
    queue = SpeechQueue(max_seconds=10.0)
    queue.pop_frame(0)
    queue.push(tone(0.2), 1_700_000_000 * S)
    _, known = pop(queue, 1, 3)
    assert any(known)


def test_left_out_frames_and_a_clock_that_jumps_back_lose_no_speech():
    queue = SpeechQueue()
    queue.pop_frame(1000)
    queue.push(tone(1.0))
    out = [pop(queue, 1001, 5)[0], pop(queue, 1050, 10)[0], pop(queue, 3, 20)[0]]
    assert np.count_nonzero(np.abs(np.concatenate(out)) > 1e-3) > 0.97 * SAMPLE_RATE


def test_tiny_pushes_do_not_pile_up():
    queue = SpeechQueue()
    for _ in range(20_000):
        queue.push(np.full(1, 0.1, np.float32))
    assert len(queue._chunks) < 40
    assert queue.queued_seconds == pytest.approx(1.25)
