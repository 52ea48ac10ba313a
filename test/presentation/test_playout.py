import numpy as np

from avatar_forcing_ros.presentation.playout import EASE_FRAMES, HOLD_FRAMES, MotionPlayout


def block(value: float, n: int = 10) -> tuple[np.ndarray, np.ndarray]:
    return np.full((n, 2), value, np.float32), np.tile(np.arange(1, n + 1), (2, 1)).T


def test_frames_come_out_as_they_were_put_in():
    playout = MotionPlayout(np.zeros(2))
    latents = np.random.default_rng(0).normal(size=(10, 2)).astype(np.float32)
    playout.put(100, latents, 7, np.stack([np.arange(10), np.arange(10) + 50], 1))
    played = [playout.frame_at(100 + i) for i in range(10)]
    assert np.allclose([p.latent for p in played], latents)
    assert all(p.block == 7 and not p.held for p in played)
    assert [p.camera_stamp_ns for p in played] == list(range(10))
    assert [p.user_audio_stamp_ns for p in played] == list(range(50, 60))


def test_before_the_first_block_the_face_is_at_rest():
    played = MotionPlayout(np.full(2, 0.3)).frame_at(5)
    assert played.held and np.allclose(played.latent, 0.3) and played.block == -1


def test_a_missing_block_holds_then_eases_to_rest_without_a_jump():
    playout = MotionPlayout(np.zeros(2))
    playout.put(0, *((block(1.0)[0], 0, block(1.0)[1])))
    shown = [playout.frame_at(f) for f in range(10 + HOLD_FRAMES + EASE_FRAMES + 5)]
    values = np.array([p.latent[0] for p in shown])
    assert (values[10 : 10 + HOLD_FRAMES] == 1.0).all() and all(p.held for p in shown[10:])
    assert abs(values[-1]) < 1e-6
    assert np.abs(np.diff(values)).max() < 0.1


def test_motion_that_returns_after_a_gap_is_joined_smoothly():
    playout = MotionPlayout(np.zeros(2))
    playout.put(0, block(0.0)[0], 0, block(0.0)[1])
    for f in range(12):
        playout.frame_at(f)
    playout.put(12, block(1.0)[0], 2, block(1.0)[1])
    values = np.array([playout.frame_at(f).latent[0] for f in range(12, 22)])
    assert values[0] < 0.3 and values[-1] == 1.0
    assert np.diff(np.concatenate([[0.0], values])).max() < 0.3


def test_old_motion_does_not_return_after_many_frames():
    playout = MotionPlayout(np.zeros(2))
    playout.put(0, block(1.0)[0], 0, block(1.0)[1])
    assert not playout.has(1000) and playout.frame_at(100_000).held
