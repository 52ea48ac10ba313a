"""A prepared photo is kept by content: the same picture comes back, damaged or stale files are not taken."""

import shutil
from dataclasses import fields

import numpy as np
import pytest

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.portrait import source as portrait_source
from avatar_forcing_ros.motion.portrait.avatar import PortraitAvatar
from avatar_forcing_ros.motion.portrait.photo import read_picture
from avatar_forcing_ros.motion.portrait.source import cache_file

SIZE = 160
POSE = rig.pose(headYaw=0.3, jawOpen=0.4, eyeBlinkLeft=0.5)


@pytest.fixture
def photo(tmp_path, monkeypatch):
    """A user's photo in a folder of its own, and a cache folder of the test's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(DEFAULT_PORTRAIT, folder / "face.jpg")
    return folder / "face.jpg"


def test_the_second_start_finds_nothing_anew_and_draws_the_same(photo, tmp_path, monkeypatch):
    first = PortraitAvatar.from_file(photo, SIZE, cache=True).render(POSE)
    (kept,) = (tmp_path / "cache" / "avatar_forcing_ros").glob("*.npz")
    assert kept == cache_file(read_picture(photo), SIZE)
    assert [p.name for p in photo.parent.iterdir()] == ["face.jpg"]  # nothing is written beside the photo

    def not_again(*_):
        raise AssertionError("prepared again")

    monkeypatch.setattr(portrait_source.Source, "of", not_again)
    assert np.array_equal(PortraitAvatar.from_file(photo, SIZE, cache=True).render(POSE), first)
    renamed = photo.with_name("same.jpg")
    photo.rename(renamed)  # content counts, not the name
    assert np.array_equal(PortraitAvatar.from_file(renamed, (SIZE, SIZE), cache=True).render(POSE), first)


def test_a_damaged_file_is_prepared_again(photo):
    kept = cache_file(read_picture(photo), SIZE)
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"PK\x03\x04 not a source")
    PortraitAvatar.from_file(photo, SIZE, cache=True)
    assert portrait_source.load(kept) is not None


def test_the_name_tells_pixels_and_size_apart():
    picture = read_picture(DEFAULT_PORTRAIT)
    other = picture.copy()
    other[0, 0, 0] ^= 1
    keys = ((picture, 256), (picture, 257), (picture, (256, 300)), (other, 256))
    assert len({cache_file(*key) for key in keys}) == 4


def test_a_folder_keeps_a_few_sources_only(tmp_path):
    source = portrait_source.Source(*[np.zeros(1, np.float32)] * len(fields(portrait_source.Source)))
    for k in range(15):
        portrait_source.store(tmp_path / f"{k:02}.npz", source)
    assert len(list(tmp_path.iterdir())) == 12 and (tmp_path / "14.npz").exists()
