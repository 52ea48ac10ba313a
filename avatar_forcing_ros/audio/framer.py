"""Chunks of 16 kHz sound -> frames of 640 samples on the frame clock. Signatures are settled, bodies follow."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class AudioFrame(NamedTuple):
    """One frame of sound: frame-clock index, samples (640,) float32, known: False where no sound arrived."""

    index: int
    samples: np.ndarray
    known: bool


class AudioFramer:
    """Puts sound on the frame clock. Counters: gaps, gap_samples, overlaps, overlap_samples, resets."""

    def __init__(self, tolerance_ns: int = 40_000_000, max_fill_frames: int = 25) -> None:
        raise NotImplementedError

    def push(self, samples: np.ndarray, stamp_ns: int | None, now_ns: int) -> list[AudioFrame]:
        """Takes samples (n,) float32, 16 kHz, and gives the frames that became complete, in order.

        stamp_ns: time of the first sample; None: the sound is taken to end at `now_ns`.
        """
        raise NotImplementedError

    def reset(self) -> None:
        """Forgets the stream; the counters stay."""
        raise NotImplementedError
