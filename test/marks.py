"""What some tests need of a machine, and say where it is missing."""

import shutil

import pytest

from avatar_forcing_ros.learning.world.voices import synthesizers

HAS_VOICES = all(map(shutil.which, synthesizers.PROGRAMS))
needs_voices = pytest.mark.skipif(not HAS_VOICES, reason=f"needs {synthesizers.INSTALL}")
