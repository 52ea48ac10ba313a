import numpy as np
import pytest

from avatar_forcing_ros.motion import make_avatar, rig
from avatar_forcing_ros.errors import InputError


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
