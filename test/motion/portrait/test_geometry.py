"""The geometry under the animated photo: depth, triangles, openings and their curves, and the eyes behind them."""

import cv2
import numpy as np
import pytest

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.motion.portrait.mesh import with_large_eyes, without_cliffs
from avatar_forcing_ros.motion.portrait.openings import Eye, curve_matrix, opening_mask, unseen
from avatar_forcing_ros.motion.portrait.photo import read_picture
from avatar_forcing_ros.motion.tracking.mesh import (
    EYE_OUTER_LEFT,
    EYE_OUTER_RIGHT,
    IRIS,
    LOWER_LID,
    UPPER_LID,
    find_face,
    triangles,
)


def test_steep_depth_is_levelled_and_gentle_depth_is_kept():
    points = np.array([[0.0, 0, 0], [1, 0, 0.5], [2, 0, 9], [3, 0, 9]])
    assert np.allclose(without_cliffs(points, 1.0), [0, 0.5, 1.5, 2.5])


def test_triangles_cover_the_face_without_its_holes():
    found = triangles()
    assert found.shape == (852, 3)
    assert set(found.ravel()) == set(range(468))


def test_opening_mask_fades_in_and_measures_area():
    x = np.linspace(10, 50, 21)
    arch = np.sin(np.linspace(0, np.pi, 21))
    upper = np.column_stack([x, np.full(21, 30.0)])
    areas = []
    for height in (0.0, 0.2, 0.5, 1.0, 3.0, 10.0):
        found = opening_mask(upper, np.column_stack([x, 30 + height * arch]), (64, 64))
        areas.append(0.0 if found is None else found[2].sum())
    assert areas[0] == 0.0
    assert all(a <= b for a, b in zip(areas, areas[1:]))
    assert areas[-1] == pytest.approx(10 * 40 * 2 / np.pi, rel=0.06)
    assert opening_mask(upper - 200, upper - 200 + (0, 10), (64, 64)) is None


def test_curve_goes_through_its_points():
    points = np.random.default_rng(1).normal(size=(9, 2))
    curve = curve_matrix(9) @ points
    assert np.allclose(curve[::4], points)


def test_lids_of_large_eyes_are_found_beyond_the_mesh():
    """Eyes drawn larger than the mesh has them: its lids move to their borders. A person's stay."""
    picture = read_picture(DEFAULT_PORTRAIT)
    points = find_face(picture)
    assert with_large_eyes(picture, points) is points
    unit = np.linalg.norm(points[EYE_OUTER_LEFT] - points[EYE_OUTER_RIGHT])
    cartoon = np.full_like(picture, (90, 160, 200))
    pupils = {}
    for side in ("Left", "Right"):
        ends = points[UPPER_LID[side]][[0, -1], :2]
        eye = points[UPPER_LID[side] + LOWER_LID[side][::-1], :2]
        large = eye.mean(axis=0) + (eye - eye.mean(axis=0)) * (1.0, 1.0 + 0.07 * unit / np.ptp(eye[:, 1]) * 2)
        cv2.fillPoly(cartoon, [np.concatenate([ends, large]).astype(np.int32)[2:]], (250, 250, 250))
        pupils[side] = points[IRIS[side][0], :2] + (0.03 * unit, 0.01 * unit)
        cv2.circle(cartoon, pupils[side].astype(int).tolist(), int(0.03 * unit), (20, 20, 20), -1)
    found = with_large_eyes(cartoon, points)
    moved = found - points
    for side in ("Left", "Right"):
        assert 0.03 * unit < moved[LOWER_LID[side][4], 1] < 0.1 * unit
        assert -0.1 * unit < moved[UPPER_LID[side][4], 1] < -0.02 * unit
        assert not moved[[UPPER_LID[side][0], UPPER_LID[side][-1]]].any()
        assert np.linalg.norm(found[IRIS[side][0], :2] - pupils[side]) < 0.015 * unit


def test_a_narrow_eye_has_the_white_that_its_photo_does_not_show():
    x = np.arange(20.0, 81.0)
    arch = 4.0 * np.sin(np.pi * (x - 20) / 60)
    upper, lower = np.column_stack([x, 40 - arch]), np.column_stack([x, 40 + arch])
    iris = np.array([(50, 40), (61, 40), (50, 29), (39, 40), (50, 51)], float)
    photo = np.full((80, 100, 3), (180, 150, 135), np.uint8)
    cv2.fillPoly(photo, [np.concatenate([upper, lower[::-1]]).astype(np.int32)], (50, 40, 35))  # shadow and lashes
    assert unseen(photo, [(upper, lower)] * 2) == 1.0
    drawn = []
    for gaze in ((0.0, 0.0), (12.0, 0.0)):
        drawn.append(photo.copy())
        Eye(photo, upper, lower, iris, guessed=1.0).draw(
            drawn[-1], upper, lower, np.eye(2), np.zeros(2), gaze=np.array(gaze), lids_moved=0.0
        )
    rest, aside = (d[40].mean(axis=1) for d in drawn)
    assert np.abs(rest - photo[40].mean(axis=1)).max() <= 3  # at rest it is the photo
    assert aside[30:42].mean() > 110  # white where it does not look
    assert aside[57:67].mean() < 60  # and the iris where it does
