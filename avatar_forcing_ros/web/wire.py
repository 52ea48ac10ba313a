"""The packets between the page and the kiosk's server. Little-endian. The page's side is page/wire.ts; both say version 1.

motion:  u8 version, u8 dim, u8 count, u8 flags, u32 newest frame, f64 time of the newest frame (s), count x dim f16, newest first
sound:   u8 version, u8 codec, u16 flags, u32 sequence, f64 time of the first sample (s), u32 sample rate, payload
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from avatar_forcing_ros.errors import InputError

VERSION = 1
NEW_MOTION, OPERATOR_LIVE, NO_FACE = 1, 2, 4  # flags of motion
UTTERANCE, FLUSH = 1, 2  # flags of sound
PCM16, OPUS = 0, 1  # codecs of sound
MAX_FRAMES = 16  # in one packet of motion

_MOTION = struct.Struct("<BBBBId")
_SOUND = struct.Struct("<BBHIdI")


@dataclass(frozen=True)
class MotionPacket:
    """latents (count, dim) float32, newest first; frames are 40 ms apart. time_s: of the newest."""

    frame: int
    time_s: float
    latents: np.ndarray
    flags: int = 0


@dataclass(frozen=True)
class SoundPacket:
    """payload: of PCM16 little-endian mono samples, of OPUS one packet of 20 ms. time_s: of the first sample."""

    sequence: int
    time_s: float
    rate: int
    payload: bytes
    codec: int = PCM16
    flags: int = 0


def pack_motion(packet: MotionPacket) -> bytes:
    count, dim = packet.latents.shape
    head = _MOTION.pack(VERSION, dim, count, packet.flags, packet.frame & 0xFFFFFFFF, packet.time_s)
    return head + np.ascontiguousarray(packet.latents, "<f2").tobytes()


def unpack_motion(data: bytes, dim: int) -> MotionPacket:
    """Raises InputError on a packet of another version or size, or with values that are not finite."""
    if len(data) < _MOTION.size:
        raise InputError(f"motion packet of {len(data)} bytes: shorter than its head of {_MOTION.size}")
    version, got_dim, count, flags, frame, time_s = _MOTION.unpack_from(data)
    if version != VERSION:
        raise InputError(f"motion packet of version {version}, this server speaks {VERSION}: load the page again")
    if count > MAX_FRAMES or (count and got_dim != dim) or len(data) != _MOTION.size + 2 * count * got_dim:
        raise InputError(
            f"motion packet of {count} frames of {got_dim} values in {len(data)} bytes; frames have {dim} values"
        )
    latents = np.frombuffer(data, "<f2", offset=_MOTION.size).astype(np.float32).reshape(count, -1 if count else dim)
    if not (np.isfinite(latents).all() and np.isfinite(time_s)):
        raise InputError("motion packet has NaN or infinite values")
    return MotionPacket(frame, time_s, latents, flags)


def pack_sound(packet: SoundPacket) -> bytes:
    return (
        _SOUND.pack(VERSION, packet.codec, packet.flags, packet.sequence & 0xFFFFFFFF, packet.time_s, packet.rate)
        + packet.payload
    )


def unpack_sound(data: bytes) -> SoundPacket:
    """Raises InputError on a packet of another version, or shorter than its head."""
    if len(data) < _SOUND.size:
        raise InputError(f"sound packet of {len(data)} bytes: shorter than its head of {_SOUND.size}")
    version, codec, flags, sequence, time_s, rate = _SOUND.unpack_from(data)
    if version != VERSION:
        raise InputError(f"sound packet of version {version}, this side speaks {VERSION}")
    return SoundPacket(sequence, time_s, rate, bytes(data[_SOUND.size :]), codec, flags)
