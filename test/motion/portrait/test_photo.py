"""Photos of every kind are read, turned upright, and seen in any shape of screen."""

import cv2
import numpy as np
import pytest
from PIL import Image

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.portrait.avatar import PortraitAvatar
from avatar_forcing_ros.motion.portrait.check import source_notes
from avatar_forcing_ros.motion.portrait.photo import read_picture, upright
from avatar_forcing_ros.motion.tracking.mesh import EYE_OUTER_LEFT, EYE_OUTER_RIGHT, find_face


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return read_picture(DEFAULT_PORTRAIT)


@pytest.mark.parametrize(
    "mode, name",
    [
        ("RGB", "a.jpg"), ("CMYK", "a.jpg"), ("L", "a.jpg"), ("P", "a.png"), ("L", "a.png"), ("1", "a.png"), ("RGBA", "a.png"),
        ("RGB", "a.webp"), ("CMYK", "a.tif"), ("RGB", "a.tif"), ("P", "a.gif"), ("RGB", "a.bmp"), ("RGB", "a.ppm"),
    ],
)  # fmt: skip
def test_every_usual_kind_of_file_is_read(tmp_path, picture, mode, name):
    small = Image.fromarray(picture).resize((96, 96))
    small.convert(mode).save(tmp_path / name)
    read = read_picture(tmp_path / name)
    assert read.shape == (96, 96, 3) and read.dtype == np.uint8
    grey = np.asarray(small.convert("L"), float)
    assert np.corrcoef(read.mean(axis=2).ravel(), grey.ravel())[0, 1] > (
        0.3 if mode == "1" else 0.97
    )  # one bit is dithered


def test_avif_is_read_where_pillow_can(tmp_path, picture):
    try:
        Image.fromarray(picture).resize((96, 96)).save(tmp_path / "a.avif")
    except (KeyError, ValueError, OSError):
        pytest.skip("this Pillow is built without AVIF (from 11.3 on it has it)")
    assert read_picture(tmp_path / "a.avif").shape == (96, 96, 3)


def test_heic_names_its_extra_where_it_is_missing(tmp_path):
    try:
        import pillow_heif  # noqa: F401

        words = "not a picture"
    except ImportError:
        words = "heic"
    (tmp_path / "a.heic").write_bytes(b"\x00\x00\x00\x18ftypheic" + bytes(64))
    with pytest.raises(InputError, match=words):
        read_picture(tmp_path / "a.heic")


@pytest.mark.parametrize(
    "head", [b"", b"II*\x00", b"GIF89a", b"BM", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x00\x00\x00\x00WEBP"]
)
def test_damaged_files_are_one_line(tmp_path, head):
    (tmp_path / "a").write_bytes(head + np.random.default_rng(0).bytes(200))
    with pytest.raises(InputError, match="picture"):
        read_picture(tmp_path / "a")


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_photo_on_its_side_or_head_is_turned_and_told(picture, turns):
    lying = np.ascontiguousarray(np.rot90(picture, turns))
    found, degrees = upright(lying)
    assert degrees == 90 * turns and np.array_equal(found, picture)
    told = [n for n in source_notes(lying) if "turned by" in n]
    assert bool(told) == bool(turns)


@pytest.mark.parametrize("size", [(160, 284), (284, 160)])
def test_a_screen_that_is_not_square_has_the_same_face(picture, size):
    square, wide = PortraitAvatar(picture, 160), PortraitAvatar(picture, size)
    frames = [wide.render(rig.pose(**p)) for p in ({}, {"headYaw": 0.3, "jawOpen": 0.4})]
    assert frames[0].shape == (size[1], size[0], 3)
    eyes = [
        np.linalg.norm((p[EYE_OUTER_LEFT] - p[EYE_OUTER_RIGHT])[:2])
        for p in (find_face(square.render(rig.neutral())), find_face(frames[0]))
    ]
    assert eyes[1] == pytest.approx(eyes[0], rel=0.08)
    border = np.abs(frames[1].astype(int) - frames[0])[:8]  # far above the head, and at its sides
    assert border.max() <= 4
    edge = frames[0][: size[1] // 8] if size[1] > size[0] else frames[0][: size[1] // 3, : size[0] // 8]
    assert max(np.abs(np.diff(edge.astype(int), axis=axis)).max() for axis in (0, 1)) < 60  # no seam in what was added


def test_an_avatar_of_a_lying_photo_stands_and_says_so(picture):
    avatar = PortraitAvatar(np.ascontiguousarray(np.rot90(picture, 2)), 128)
    assert "turned by 180" in avatar.notes[0]
    points = find_face(avatar.render(rig.neutral()))
    assert points[EYE_OUTER_LEFT, 0] > points[EYE_OUTER_RIGHT, 0]  # the person's left is at image right: it stands


def test_of_a_group_the_largest_is_taken_and_told(picture):
    small = cv2.resize(picture, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    group = np.full((picture.shape[0], picture.shape[1] + small.shape[1], 3), 200, np.uint8)
    group[: small.shape[0], : small.shape[1]] = small
    group[:, small.shape[1] :] = picture
    (note,) = [n for n in PortraitAvatar(group, 128).notes if "faces" in n]
    assert note.startswith("2 faces: the largest was taken, at the") and "right" in note
