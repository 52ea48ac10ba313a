"""Lips that close when the voice is interrupted, although the motion that has already been made goes on speaking."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CLOSE_FRAMES = 3
OPEN_FRAMES = 4


class Hush:
    """rest: the latent (dim,) of the face at rest; mouth: the indices that speech moves, empty where they have no names."""

    def __init__(self, rest: np.ndarray, mouth: Sequence[int]) -> None:
        self._rest, self._mouth = np.asarray(rest, np.float32), list(mouth)
        self.reset()

    def reset(self) -> None:
        self._from = self._until = 0

    def begin(self, frame: int, until: int) -> None:
        """From `frame` on the lips close; from `until` on they follow the motion again."""
        self._from, self._until = frame, max(until, frame + CLOSE_FRAMES)

    def apply(self, frame: int, latent: np.ndarray) -> np.ndarray:
        """The latent (dim,) of `frame` as it is to be shown."""
        closed = min((frame - self._from + 1) / CLOSE_FRAMES, 1.0 - (frame - self._until + 1) / (OPEN_FRAMES + 1), 1.0)
        if closed <= 0.0 or not self._mouth or not self._until:
            return latent
        shown = latent.copy()
        shown[self._mouth] += closed * (self._rest[self._mouth] - shown[self._mouth])
        return shown
