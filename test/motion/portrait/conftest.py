"""The default portrait, as a picture and animated."""

import pytest

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.motion.portrait.avatar import PortraitAvatar
from avatar_forcing_ros.motion.portrait.photo import read_picture


@pytest.fixture(scope="module")
def picture():
    return read_picture(DEFAULT_PORTRAIT)


@pytest.fixture(scope="module")
def avatar(picture):
    return PortraitAvatar(picture, 384)
