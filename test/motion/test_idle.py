"""Breath and micro-motion: deterministic, small, smooth, without a loop that is seen."""

import numpy as np

from avatar_forcing_ros.motion.idle import breath, micro_motion


def test_breath_is_smooth_and_of_a_resting_persons_rate():
    full = np.array([breath(f) for f in range(25 * 60)])
    assert full.min() >= 0 and full.max() <= 1 and np.ptp(full) > 0.95
    assert np.abs(np.diff(full)).max() < 0.06
    breaths = np.sum((full[1:-1] > full[:-2]) & (full[1:-1] >= full[2:]))
    assert 11 <= breaths <= 17


def test_micro_motion_never_stops_and_stays_small():
    motion = np.array([micro_motion(f) for f in range(25 * 120)])
    assert np.abs(motion).max() < 0.02
    assert np.abs(np.diff(motion, axis=0)).max() < 0.001
    second = np.ptp(motion[: 25 * 119].reshape(119, 25, -1), axis=1).max(axis=1)
    assert second.min() > 1e-4
    assert np.array_equal(micro_motion(10**9), micro_motion(10**9))
