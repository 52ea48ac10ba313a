"""The One Euro filter (Casiez et al., CHI 2012): steady when slow, quick when fast."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from avatar_forcing_ros.motion import rig


class OneEuro:
    """The 1-euro filter (Casiez, Roussel, Vogel 2012) on a latent, with a limit to its speed.

    The cut-off rises with the speed, so that a still face is still and a blink is not smeared. The speed limit is
    above what a face does and stops what only a mesh does that has lost its face.
    """

    LOWEST = np.full(rig.DIM, 3.0)  # Hz
    RISE = np.full(rig.DIM, 2.0)  # Hz per unit per second
    FASTEST = np.full(rig.DIM, 12.0)  # units per second
    SPEED_CUTOFF = 5.0  # Hz, of the speed's own filter

    def __init__(self, calm: float = 1.0) -> None:
        self.value = rig.neutral()
        self._lowest = self.LOWEST.copy()
        self._lowest[rig.MOUTH] /= max(calm, 0.5)
        self._speed = rig.neutral()
        self._empty = True

    def __call__(self, measured: np.ndarray, step: float) -> np.ndarray:
        """The filtered latent, `step` seconds after the one before."""
        if self._empty:
            self._empty = False
            self.value = measured
            return measured
        reach = self.FASTEST * step
        measured = np.clip(measured, self.value - reach, self.value + reach)
        speed = (measured - self.value) / step
        self._speed = self._speed + share_of(self.SPEED_CUTOFF, step) * (speed - self._speed)
        self.value = self.value + share_of(self._lowest + self.RISE * np.abs(self._speed), step) * (
            measured - self.value
        )
        return self.value


for _name in ("headYaw", "headPitch", "headRoll", "headX", "headY", "headScale"):
    OneEuro.LOWEST[rig.INDEX[_name]] = 2.0
    OneEuro.RISE[rig.INDEX[_name]] = 12.0
    OneEuro.FASTEST[rig.INDEX[_name]] = 8.0
for _name in rig.NAMES:
    if _name.startswith(("mouth", "brow", "eyeSquint", "jawX")):  # jawOpen is faster: speech
        OneEuro.FASTEST[rig.INDEX[_name]] = 6.0
for _name in ("eyeBlinkLeft", "eyeBlinkRight"):
    OneEuro.LOWEST[rig.INDEX[_name]] = 8.0
    OneEuro.FASTEST[rig.INDEX[_name]] = 25.0


def share_of(cutoff: Any, step: float) -> Any:
    """How much of a new value a first-order low pass takes in one step. cutoff in Hz."""
    return 1.0 - np.exp(-2.0 * math.pi * cutoff * step)
