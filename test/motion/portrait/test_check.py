"""What is wrong with a source is told in plain words; a good one has no notes."""

import cv2
import numpy as np
import pytest

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.portrait.avatar import PortraitAvatar
from avatar_forcing_ros.motion.portrait.check import source_notes
from avatar_forcing_ros.motion.portrait.photo import read_picture
from avatar_forcing_ros.motion.tracking.mesh import find_face


@pytest.fixture(scope="module")
def picture():
    return read_picture(DEFAULT_PORTRAIT)


@pytest.fixture(scope="module")
def avatar(picture):
    return PortraitAvatar(picture, 640)


def test_a_good_source_has_no_notes(picture):
    assert source_notes(picture) == []


def test_light_and_size_and_focus_are_told(picture):
    width = picture.shape[1]
    side = np.clip(picture * np.linspace(0.12, 1.1, width)[None, :, None], 0, 255).astype(np.uint8)
    for image, word in (
        ((picture * 0.25).astype(np.uint8), "dark"),
        (cv2.resize(picture, (200, 200), interpolation=cv2.INTER_AREA), "small"),
        (cv2.GaussianBlur(picture, (0, 0), 8), "focus"),
        (side, "one side"),
    ):
        assert word in " ".join(source_notes(image))


def test_a_turned_head_closed_eyes_and_a_wide_mouth_are_told(avatar):
    for pose, word in (
        (rig.pose(headYaw=0.6), "turned"),
        (rig.pose(eyeBlinkLeft=1.0, eyeBlinkRight=1.0), "closed"),
        (rig.pose(jawOpen=0.8), "wide open"),
    ):
        assert word in " ".join(source_notes(avatar.render(pose)))


def test_what_covers_the_face_is_named(picture):
    points = find_face(picture)
    around = points[[205, 425, 152], :2].astype(int)
    (x0, y0), (x1, y1) = around.min(axis=0), around.max(axis=0)
    masked = picture.copy()
    masked[y0 - 60 : y1 + 20, x0 - 60 : x1 + 60] = (120, 170, 210)
    notes = " ".join(source_notes(masked))
    assert "covers" in notes and "mouth" in notes and "chin" in notes


def test_which_of_several_faces_was_taken(picture):
    small = cv2.resize(picture, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    both = np.full((picture.shape[0], picture.shape[1] + small.shape[1], 3), picture[5, 5], np.uint8)
    both[:, small.shape[1] :] = picture
    both[: small.shape[0], : small.shape[1]] = small[:, ::-1]
    assert "2 faces: the largest was taken, at the right" in " ".join(source_notes(both))


def test_no_face_is_an_error():
    with pytest.raises(InputError, match="no face"):
        source_notes(np.full((200, 200, 3), 128, np.uint8))
