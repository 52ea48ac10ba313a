"""Packets survive the way, and broken ones are refused with a reason."""

from __future__ import annotations

import numpy as np
import pytest

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.web.wire import (
    OPUS,
    MotionPacket,
    SoundPacket,
    pack_motion,
    pack_sound,
    unpack_motion,
    unpack_sound,
)


def test_motion_survives():
    latents = np.linspace(-1, 1, 3 * 32, dtype=np.float32).reshape(3, 32)
    data = pack_motion(MotionPacket(4_294_967_297, 1_790_000_000.04, latents, 2))
    assert len(data) == 16 + 3 * 64
    back = unpack_motion(data, 32)
    assert (back.frame, back.time_s, back.flags) == (1, 1_790_000_000.04, 2)
    assert np.abs(back.latents - latents).max() < 1e-3


def test_motion_without_a_face_is_empty():
    back = unpack_motion(pack_motion(MotionPacket(7, 1.0, np.zeros((0, 32), np.float32), 4)), 32)
    assert back.latents.shape[0] == 0 and back.flags == 4


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda data: data[:10], "shorter than its head"),
        (lambda data: b"\x09" + data[1:], "version 9"),
        (lambda data: data[:-2], "frames of 32 values"),
        (lambda data: data[:1] + b"\x21" + data[2:], "frames have 32"),
        (lambda data: data[:-2] + b"\x00\x7e", "NaN"),
    ],
)
def test_broken_motion_is_refused(damage, says):
    data = pack_motion(MotionPacket(1, 1.0, np.zeros((2, 32), np.float32)))
    with pytest.raises(InputError, match=says):
        unpack_motion(damage(data), 32)


def test_sound_survives():
    packet = SoundPacket(5, 12.5, 24_000, b"\x01\x02\x03", OPUS, 1)
    assert unpack_sound(pack_sound(packet)) == packet
    with pytest.raises(InputError, match="shorter"):
        unpack_sound(b"\x01\x00")
