"""What a face does when nothing moves it: it breathes, and is never quite still. Deterministic in the frame's index."""

from __future__ import annotations

import math

import numpy as np

from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.base import Avatar
from avatar_forcing_ros.timeline import FRAME_RATE

_BREATHS = 0.23  # per second, a person who sits and listens
_BREATHS_DRIFT = 0.031  # per second; breaths are not alike
# (coefficient, hertz, amplitude, phase): frequencies without a common period, so that no loop is seen.
_MICRO = (
    ("headYaw", 0.091, 0.006, 0.3), ("headYaw", 0.223, 0.003, 1.9), ("headPitch", 0.127, 0.005, 4.1),
    ("headPitch", 0.311, 0.002, 0.8), ("headRoll", 0.073, 0.005, 2.7), ("headX", 0.057, 0.006, 5.2),
)  # fmt: skip
_NOD_OF_BREATH = 0.004  # radians; the head rises with the chest
_LIFT_OF_BREATH = 0.004  # D


def breath(frame: int) -> float:
    """How full the chest is at a frame, 0 to 1: in is quicker than out."""
    t = frame / FRAME_RATE
    phase = 2 * math.pi * _BREATHS * t + 0.8 * math.sin(2 * math.pi * _BREATHS_DRIFT * t)
    return 0.5 - 0.5 * math.cos(phase + 0.4 * math.sin(phase))


def micro_motion(frame: int) -> np.ndarray:
    """What is added to a latent (32,) float32 at a frame: a slow sway of the head, and its part in the breath."""
    t = frame / FRAME_RATE
    latent = rig.neutral()
    for name, hertz, amplitude, phase in _MICRO:
        latent[rig.INDEX[name]] += amplitude * math.sin(2 * math.pi * hertz * t + phase)
    full = breath(frame)
    latent[rig.INDEX["headPitch"]] += _NOD_OF_BREATH * full
    latent[rig.INDEX["headY"]] += _LIFT_OF_BREATH * full
    return latent


def shown(avatar: Avatar, latent: np.ndarray, frame: int) -> np.ndarray:
    """The picture of a latent at a frame of the clock: a face of the rig breathes and is never quite still."""
    still = latent if avatar.space != rig.SPACE else latent + micro_motion(frame)
    return avatar.render(still, frame)
