"""The baseline without weights. Signatures are settled, the body follows."""

from __future__ import annotations

import numpy as np

from ..motion import rig
from .base import BlockSignals


class ReflexStream:
    def __init__(self, seed: int) -> None:
        self.seed = seed

    def step(self, signals: BlockSignals) -> np.ndarray:
        return np.zeros((signals.frame_count, rig.DIM), np.float32)

    def reset(self) -> None:
        pass


class ReflexGenerator:
    name = "reflex"
    space = rig.SPACE
    dim = rig.DIM

    def open(self, portrait: np.ndarray | None, seed: int) -> ReflexStream:
        return ReflexStream(seed)
