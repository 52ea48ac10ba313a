"""What a photo bears: soft limits, combinations resolved."""

import numpy as np

from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.portrait.limits import resolved


def value(latent, name):
    return latent[rig.INDEX[name]]


def test_what_a_photo_bears_is_not_changed():
    latent = rig.pose(headYaw=0.4, headPitch=-0.25, jawOpen=0.8, mouthSmileLeft=0.9, eyeBlinkLeft=0.5, gazeX=-0.8)
    assert np.allclose(resolved(latent), latent)
    assert np.array_equal(resolved(rig.neutral()), rig.neutral())


def test_limits_are_soft_and_monotonous():
    """A value far beyond its range approaches the limit, without a kink and never backwards."""
    for name, end in (("headYaw", 0.56), ("headPitch", 0.42), ("jawOpen", 1.02), ("gazeX", 1.02)):
        for sign in (1, -1) if rig.LOW[rig.INDEX[name]] < 0 else (1,):
            values = np.array(
                [value(resolved(rig.pose(**{name: sign * v})), name) * sign for v in np.linspace(0, 4, 401)]
            )
            steps = np.diff(values)
            assert (steps >= 0).all() and values[-1] <= end + 1e-6
            assert np.abs(np.diff(steps)).max() < 0.004
    assert value(resolved(rig.pose(jawOpen=-2.0)), "jawOpen") == 0.0


def test_combinations_that_would_break_are_resolved():
    shut = resolved(rig.pose(eyeBlinkLeft=1.0, eyeWideLeft=1.0))
    assert value(shut, "eyeWideLeft") < 0.05 and value(shut, "eyeBlinkLeft") > 0.9
    torn = resolved(rig.pose(mouthSmileLeft=0.7, mouthFrownLeft=0.4))
    assert np.isclose(value(torn, "mouthSmileLeft"), 0.3) and value(torn, "mouthFrownLeft") == 0
    assert value(resolved(rig.pose(mouthPress=0.8, jawOpen=0.5)), "mouthPress") == 0
    far = resolved(rig.pose(headYaw=1.0, headPitch=0.8))
    assert np.hypot(value(far, "headYaw") / 0.56, value(far, "headPitch") / 0.42) <= 1.0 + 1e-6
