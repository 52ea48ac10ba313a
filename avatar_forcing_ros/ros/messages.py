"""This package's messages -> arrays. What is inconsistent raises InputError that names the topic's fault."""

from __future__ import annotations

import array
from typing import Any

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.timeline import NANOSECONDS, SAMPLE_RATE, SAMPLES_PER_FRAME


def nanoseconds(stamp: Any) -> int:
    """Of a Time or a Duration."""
    return stamp.sec * NANOSECONDS + stamp.nanosec


def sound_of(message: Any) -> tuple[np.ndarray, np.ndarray]:
    """AudioFrames -> samples (n * 640,) float32 and known (n,) bool."""
    samples = np.asarray(message.samples, dtype=np.float32)
    if message.sample_rate != SAMPLE_RATE or message.samples_per_frame != SAMPLES_PER_FRAME:
        raise InputError(
            f"sound frames of {message.samples_per_frame} samples at {message.sample_rate} Hz; "
            f"they must be {SAMPLES_PER_FRAME} at {SAMPLE_RATE}: let audio_ingest make them"
        )
    if len(samples) != len(message.known) * SAMPLES_PER_FRAME:
        raise InputError(
            f"sound of {len(samples)} samples claims to be {len(message.known)} frames of {SAMPLES_PER_FRAME}"
        )
    return _finite(samples, "sound"), np.asarray(message.known, dtype=bool)


def motion_of(message: Any, space: str, dim: int) -> np.ndarray:
    """MotionLatent -> (dim,) float32, of the space that the reader works in."""
    if message.space != space or len(message.data) != dim:
        raise InputError(
            f"user motion is of space '{message.space}' ({len(message.data)} values), '{space}' ({dim}) is needed: "
            "give face_ingest and motion_generator the same space"
        )
    return _finite(np.asarray(message.data, dtype=np.float32), "user motion")


def block_of(message: Any, space: str, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """MotionLatentBlock -> latents (n, dim) float32, and (n, 2) int64: stamps in ns of the camera and the user's sound."""
    if message.space != space or message.latent_dim != dim:
        raise InputError(
            f"motion is of space '{message.space}' ({message.latent_dim} values), the face needs '{space}' ({dim}): "
            "choose a generator and an avatar of one space"
        )
    count = message.frame_count
    stamps = (message.camera_stamps, message.user_audio_stamps)
    if not count or len(message.data) != count * dim or any(len(s) != count for s in stamps):
        raise InputError(
            f"motion block claims {count} frames of {dim} values, but has {len(message.data)} values and "
            f"{len(stamps[0])} and {len(stamps[1])} stamps"
        )
    latents = _finite(np.asarray(message.data, dtype=np.float32), "motion block").reshape(count, dim)
    return latents, np.array([[nanoseconds(s) for s in of_input] for of_input in stamps], dtype=np.int64).T


def space_message(space: str) -> Any:
    """MotionSpace: what the coefficients of a motion space are called, where they have names."""
    from avatar_forcing_ros.msg import MotionSpace

    if space != rig.SPACE:
        return MotionSpace(space=space)
    rows = rig.COEFFICIENTS
    return MotionSpace(
        space=space, names=list(rig.NAMES), low=[c.low for c in rows], high=[c.high for c in rows],
        meanings=[c.meaning for c in rows],
    )  # fmt: skip


def motion_message(frame: int, stamp_ns: int, latent: np.ndarray, confidence: float, frame_id: str) -> Any:
    """A MotionLatent of the space rig. latent (32,); stamp_ns: of the header."""
    from avatar_forcing_ros.msg import MotionLatent

    message = MotionLatent(frame=frame, space="rig", confidence=confidence, faces=int(confidence > 0))
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, NANOSECONDS)
    message.header.frame_id = frame_id
    message.data = array.array("f", latent.astype(np.float32).tobytes())
    return message


def _finite(values: np.ndarray, what: str) -> np.ndarray:
    if not np.isfinite(values).all():
        raise InputError(f"{what} has NaN or infinite values: dropped")
    return values
