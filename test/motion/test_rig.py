import numpy as np
import pytest

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.space import make_avatar


def test_names_are_unique_and_neutral_is_in_range():
    assert len(set(rig.NAMES)) == rig.DIM == 32
    assert (rig.LOW <= rig.neutral()).all() and (rig.neutral() <= rig.HIGH).all()


def test_mirror_swaps_sides_and_turns_sideways_motion_around():
    latent = rig.pose(headYaw=0.3, headPitch=0.2, mouthSmileLeft=0.8, gazeX=-0.4)
    seen = rig.mirror(latent)
    assert np.allclose(seen, rig.pose(headYaw=-0.3, headPitch=0.2, mouthSmileRight=0.8, gazeX=0.4))
    block = np.random.default_rng(0).normal(size=(10, rig.DIM)).astype(np.float32)
    assert np.allclose(rig.mirror(rig.mirror(block)), block)


def test_clamp_keeps_every_coefficient_in_its_range():
    wild = np.full((3, rig.DIM), 9, np.float32)
    assert (rig.clamp(wild) == rig.HIGH).all() and (rig.clamp(-wild) == rig.LOW).all()


def test_a_wrong_name_is_an_error():
    with pytest.raises(KeyError):
        rig.pose(jawOpened=1)


def test_an_unknown_avatar_is_one_clear_error():
    with pytest.raises(InputError, match="hologram.*portrait"):
        make_avatar("hologram")


def test_groups_name_places_and_hang_together():
    assert [rig.NAMES[i] for i in rig.TURN] == ["headYaw", "headPitch", "headRoll"] and rig.TURN == rig.HEAD[:3]
    assert set(rig.OPENING) < set(rig.SPOKEN) < set(rig.LIPS) < set(rig.MOUTH)
    assert not set(rig.SMILE) & set(rig.LIPS) and set(rig.STRETCH) < set(rig.SPOKEN)
    for group in (
        rig.HEAD,
        rig.GAZE,
        rig.LIDS,
        rig.SQUINT,
        rig.SMILE,
        rig.STRETCH,
        rig.BROW_OUTER,
        rig.LIPS,
        rig.SPOKEN,
    ):
        assert len(set(group)) == len(group) and all(0 <= i < rig.DIM for i in group)
    left, right = rig.pose(mouthSmileLeft=1.0), rig.pose(mouthSmileRight=1.0)
    assert (rig.mirror(left) == right).all() and left[rig.SMILE].tolist() == [1.0, 0.0]
