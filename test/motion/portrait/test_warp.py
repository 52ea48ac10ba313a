"""The warped person: OpenCV and torch draw the same picture; what is not the person stays."""

import numpy as np
import pytest

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.portrait.avatar import PortraitAvatar
from avatar_forcing_ros.motion.portrait.photo import read_picture
from avatar_forcing_ros.motion.portrait.warp import Warp, affine_maps

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
    goal, source = random.uniform(0, 50, (3, 5, 2)), random.uniform(0, 50, (3, 5, 2))
    maps, _ = affine_maps(goal[..., 0], goal[..., 1], source)
    for (a, b, c, d, e, f), g, s in zip(maps.T, goal.swapaxes(0, 1), source.swapaxes(0, 1)):
        assert np.allclose(np.column_stack([g @ (a, b) + c, g @ (d, e) + f]), s, atol=1e-2)


def test_the_nearest_triangle_is_seen_and_no_gap_is_left():
    """A fine mesh that covers a wide picture, one patch of it folded over the rest."""
    background = np.zeros((60, 100, 3), np.uint8)
    person = np.zeros((80, 120, 4), np.uint8)
    person[..., 0] = np.arange(120)
    person[..., 1] = np.arange(80)[:, None]
    person[..., 3] = 255
    x, y = np.meshgrid(np.arange(-5, 110, 5.0), np.arange(-5, 70, 5.0))
    vertices = np.column_stack([x.ravel(), y.ravel()])
    index = np.arange(x.size).reshape(x.shape)
    a, b, c, d = (i.ravel() for i in (index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]))
    triangles = np.concatenate([np.column_stack([a, b, c]), np.column_stack([b, d, c])])
    warp = Warp(person, background, triangles, vertices[triangles] + 10)
    posed = np.column_stack([vertices, np.zeros(len(vertices))])
    still = warp.draw(posed).astype(int)
    assert still.shape == (60, 100, 3)
    expected = np.dstack([np.tile(np.arange(100) + 10, (60, 1)), np.tile(np.arange(60)[:, None] + 10, (1, 100))])
    assert np.abs(still[..., :2] - expected).max() <= 1  # every pixel is the person's own: no gap anywhere
    lifted = posed.copy()
    near = (vertices[:, 0] > 20) & (vertices[:, 0] < 40) & (vertices[:, 1] > 20) & (vertices[:, 1] < 40)
    lifted[near] += (20, 0, -50)  # aside and nearer
    assert abs(int(warp.draw(lifted)[30, 50, 0]) - 40) <= 3  # what was at 30 is seen at 50
    lifted[near, 2] = 50
    assert abs(int(warp.draw(lifted)[30, 55, 0]) - 65) <= 3  # farther away it is hidden
