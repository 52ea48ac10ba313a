"""A prepared photo is kept by content: the same picture comes back, damaged or stale files are not taken."""

import shutil

import numpy as np

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.motion import portrait_source, rig
from avatar_forcing_ros.motion.photo import read_picture
from avatar_forcing_ros.motion.portrait import PortraitAvatar
from avatar_forcing_ros.motion.portrait_source import cache_file

SIZE = 160
POSE = rig.pose(headYaw=0.3, jawOpen=0.4, eyeBlinkLeft=0.5)


def test_the_second_start_finds_nothing_anew_and_draws_the_same(tmp_path, monkeypatch):
    photo = tmp_path / "face.jpg"
    shutil.copy(DEFAULT_PORTRAIT, photo)
    first = PortraitAvatar.from_file(photo, SIZE, cache=True).render(POSE)
    (kept,) = (tmp_path / ".avatar_forcing").iterdir()
    assert kept == cache_file(photo, read_picture(photo), SIZE)

    def not_again(*_):
        raise AssertionError("prepared again")

    monkeypatch.setattr(portrait_source.Source, "of", not_again)
    assert np.array_equal(PortraitAvatar.from_file(photo, SIZE, cache=True).render(POSE), first)
    renamed = tmp_path / "same.jpg"
    photo.rename(renamed)  # content counts, not the name
    assert np.array_equal(PortraitAvatar.from_file(renamed, SIZE, cache=True).render(POSE), first)


def test_a_damaged_file_is_prepared_again(tmp_path):
    photo = tmp_path / "face.jpg"
    shutil.copy(DEFAULT_PORTRAIT, photo)
    kept = cache_file(photo, read_picture(photo), SIZE)
    kept.parent.mkdir()
    kept.write_bytes(b"PK\x03\x04 not a source")
    PortraitAvatar.from_file(photo, SIZE, cache=True)
    assert portrait_source.load(kept) is not None


def test_the_name_tells_pixels_and_size_apart(tmp_path):
    picture = read_picture(DEFAULT_PORTRAIT)
    other = picture.copy()
    other[0, 0, 0] ^= 1
    photo = tmp_path / "face.jpg"
    assert len({cache_file(photo, *key) for key in ((picture, 256), (picture, 257), (other, 256))}) == 3


def test_a_photo_of_the_package_is_kept_in_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert tmp_path in cache_file(DEFAULT_PORTRAIT, read_picture(DEFAULT_PORTRAIT), SIZE).parents


def test_a_folder_keeps_a_few_sources_only(tmp_path):
    source = portrait_source.Source(*[np.zeros(1, np.float32)] * 5)
    for k in range(15):
        portrait_source.store(tmp_path / f"{k:02}.npz", source)
    assert len(list(tmp_path.iterdir())) == 12 and (tmp_path / "14.npz").exists()
