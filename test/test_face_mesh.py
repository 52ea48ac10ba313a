"""The geometry under the animated photo: depth, triangles, openings and their curves."""

import numpy as np
import pytest

from avatar_forcing_ros.motion.face_mesh import triangles
from avatar_forcing_ros.motion.face_openings import curve_matrix, opening_mask
from avatar_forcing_ros.motion.portrait_mesh import without_cliffs


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
