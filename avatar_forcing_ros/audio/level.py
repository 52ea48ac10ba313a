"""Speech level and activity as a stream. Signatures are settled, bodies follow."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Level(NamedTuple):
    """db: RMS in dB full scale; floor_db: the noise floor's estimate; strength: 0 (noise floor) .. 1 (loud speech);
    active: somebody speaks."""

    db: float
    floor_db: float
    strength: float
    active: bool


class SpeechLevel:
    """Frame-causal level meter."""

    def push(self, samples: np.ndarray, known: bool = True) -> Level:
        """The level after one frame (640,) of sound."""
        raise NotImplementedError

    def reset(self) -> None:
        raise NotImplementedError
