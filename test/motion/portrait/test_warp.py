"""The warped person: OpenCV and torch draw the same picture; what is not the person stays."""

import numpy as np
import pytest

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.photo import read_picture
from avatar_forcing_ros.motion.portrait import PortraitAvatar
from avatar_forcing_ros.motion.warp import Warp, affine_maps

POSES = (rig.neutral(), rig.pose(headYaw=0.4, jawOpen=0.4), rig.pose(headPitch=-0.25, headRoll=0.3, mouthSmileLeft=0.9))


@pytest.mark.parametrize("device", ["torch", "cuda"])
@pytest.mark.parametrize("size", [255, 320])
def test_torch_gives_the_same_picture_within_rounding(device, size):
    torch = pytest.importorskip("torch")
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU here; torch on the CPU draws the same")
    picture = read_picture(DEFAULT_PORTRAIT)
    plain = PortraitAvatar(picture, size)
    other = PortraitAvatar(picture, size, device="torch:cpu" if device == "torch" else "cuda")
    for pose in POSES:
        apart = np.abs(plain.render(pose).astype(int) - other.render(pose).astype(int))
        assert apart.mean() < 0.3
        assert np.percentile(apart, 99.9) <= 8  # OpenCV rounds places to 1/32 pixel


def test_a_person_off_the_picture_leaves_the_background():
    background = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    person = np.full((96, 96, 4), 255, np.uint8)
    corners = np.array([[20.0, 20.0], [60.0, 20.0], [40.0, 60.0]])
    warp = Warp(person, background, np.array([[0, 1, 2]]), corners[None])
    away = np.column_stack([corners + 500, np.zeros(3)])
    assert np.array_equal(warp.draw(away), background)
    here = warp.draw(np.column_stack([corners - 10, np.zeros(3)]))
    assert (here[20, 30] == 255).all() and np.array_equal(here[:5], background[:5])


def test_affine_maps_carry_corners_to_corners():
    random = np.random.default_rng(1)
    goal, source = random.uniform(0, 50, (5, 3, 2)), random.uniform(0, 50, (5, 3, 2))
    maps, _ = affine_maps(goal, source)
    for (a, b, c, d, e, f), g, s in zip(maps[1:], goal, source):
        assert np.allclose(np.column_stack([g @ (a, b) + c, g @ (d, e) + f]), s, atol=1e-2)
