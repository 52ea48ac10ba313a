"""The generator's seam: what every back end (reflex, embedded, published) takes and gives.

A generator is opened for an identity and gives a stream. A stream is stepped with one block of signals
and returns one block of motion latents. It keeps its own state of fixed size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class BlockSignals:
    """The signals of one block of n frames, on the frame clock. Missing signals are zeros with a False mask.

    first_frame: frame-clock index of the block's first frame.
    avatar_audio, user_audio: (n * 640,) float32 in [-1, 1], 16 kHz.
    user_motion: (n, dim) latents of the generator's motion space; a frame without a face repeats the last one.
    user_confidence: (n,) float32 in [0, 1]; 0 where no face was seen.
    avatar_audio_known, user_audio_known: (n,) bool; False where no sound arrived for that frame.
    """

    first_frame: int
    avatar_audio: np.ndarray
    user_audio: np.ndarray
    user_motion: np.ndarray
    user_confidence: np.ndarray
    avatar_audio_known: np.ndarray
    user_audio_known: np.ndarray

    @property
    def frame_count(self) -> int:
        return len(self.user_motion)


class GeneratorStream(Protocol):
    def step(self, signals: BlockSignals) -> np.ndarray:
        """The block's motion latents (n, dim), float32."""

    def reset(self) -> None:
        """Forget the session: the next step is as the first after opening."""


class Generator(Protocol):
    name: str  # the back end's name, as in messages and parameters
    space: str  # the motion space of its latents
    dim: int

    def open(self, portrait: np.ndarray | None, seed: int) -> GeneratorStream:
        """A fresh stream for an identity. portrait: (H, W, 3) uint8 RGB, where the back end needs one."""
