import numpy as np

from avatar_forcing_ros.generators.signals import FADE_FRAMES, HOLD_FRAMES, KEPT_FRAMES, SignalBuffer
from avatar_forcing_ros.timeline import SAMPLES_PER_FRAME, time_of

START = 44_750_000_000  # a frame index as it is on a robot's clock


def sound(value: float, frames: int = 1) -> np.ndarray:
    return np.full(frames * SAMPLES_PER_FRAME, value, np.float32)


def yes(n: int = 1) -> np.ndarray:
    return np.ones(n, bool)


def test_signals_land_on_their_frames():
    buffer = SignalBuffer(3)
    for i in range(10):
        buffer.put_user_audio(START + i, sound(i / 10), yes())
        buffer.put_user_motion(START + i, time_of(START + i) + 5, np.full(3, i), 1.0)
    buffer.put_avatar_audio(START, sound(0.5, 10), yes(10))
    assert buffer.missing(START + 9) == []
    signals, used = buffer.block(START, 10)
    assert signals.frame_count == 10 and signals.user_audio_known.all() and signals.avatar_audio_known.all()
    assert np.allclose(signals.user_audio.reshape(10, -1)[:, 0], np.arange(10) / 10)
    assert np.allclose(signals.user_motion[:, 0], np.arange(10))
    assert list(used.camera_stamps) == [time_of(START + i) + 5 for i in range(10)]


def test_nothing_at_all_still_gives_a_block():
    signals, used = SignalBuffer(3).block(START, 10)
    assert not signals.user_audio.any() and not signals.user_audio_known.any()
    assert not signals.user_confidence.any() and not used.camera_stamps.any() and not used.user_audio_stamps.any()
    assert SignalBuffer(3).missing(START + 9) == []  # an input that never came is not waited for


def test_a_slow_camera_repeats_its_newest_frame_and_an_absent_one_fades():
    buffer = SignalBuffer(1)
    buffer.put_user_motion(START, 1, np.ones(1), 0.8)
    signals, _ = buffer.block(START, HOLD_FRAMES + FADE_FRAMES + 10)
    confidence = signals.user_confidence
    assert np.allclose(confidence[: HOLD_FRAMES + 1], 0.8)
    assert (np.diff(confidence[HOLD_FRAMES:]) <= 0).all() and confidence[-1] == 0
    assert np.abs(np.diff(confidence)).max() < 0.1  # it fades, it does not drop


def test_a_late_input_is_named_and_a_dead_one_is_not_waited_for():
    buffer = SignalBuffer(1)
    buffer.put_user_audio(START + 5, sound(0.1), yes())
    assert buffer.missing(START + 9) == ["user audio"]
    assert buffer.missing(START + 109) == []


def test_memory_is_fixed_and_old_frames_do_not_come_back():
    buffer = SignalBuffer(1)
    buffer.put_user_audio(START, sound(0.7), yes())
    for i in range(1, 3 * KEPT_FRAMES):
        buffer.put_user_audio(START + i, sound(0.1), yes())
    signals, _ = buffer.block(START, 1)
    assert not signals.user_audio_known.any() and not signals.user_audio.any()


def test_reset_forgets():
    buffer = SignalBuffer(1)
    buffer.put_user_motion(START, 1, np.ones(1), 1.0)
    buffer.reset()
    assert not buffer.block(START, 10)[0].user_confidence.any()


def test_a_block_says_what_of_the_user_each_frame_and_the_whole_step_have_used():
    buffer = SignalBuffer(1)
    for i in range(-1, 5):  # camera and sound have come up to frame 4 and 3 of a block of 10
        buffer.put_user_motion(START + i, time_of(START + i) + 7, np.ones(1), 1.0)
    buffer.put_user_audio(START, sound(0.1, 4), yes(4))
    signals, used = buffer.block(START, 10)
    assert list(signals.user_motion_known) == [True] * 5 + [False] * 5
    assert list(used.camera_stamps) == [time_of(START + min(i, 4)) + 7 for i in range(10)]
    assert list(used.user_audio_stamps) == [time_of(START + min(i, 3)) for i in range(10)]
    causal, network = used.of_step(2, True), used.of_step(2, False)
    assert list(causal.camera_stamps) == [time_of(START) + 7, time_of(START + 1) + 7]
    assert list(network.camera_stamps) == [time_of(START + 4) + 7] * 2  # the later frames of the block count
    assert list(network.user_audio_stamps) == [time_of(START + 3)] * 2
    assert buffer.alive(START + 20) == {"user audio", "user motion"} and not buffer.alive(START + 100)
