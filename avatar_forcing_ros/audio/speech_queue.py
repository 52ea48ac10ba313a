"""The avatar's speech, released on the frame clock. Signatures are settled, bodies follow."""

from __future__ import annotations

import numpy as np


class SpeechQueue:
    """Counters: dropped_samples (queue full), resyncs. queued_seconds says how much waits."""

    def __init__(self, max_seconds: float = 120.0) -> None:
        raise NotImplementedError

    def push(self, samples: np.ndarray, stamp_ns: int | None = None) -> int:
        """Takes samples (n,) float32, 16 kHz. Gives the number of samples dropped because the queue is full."""
        raise NotImplementedError

    def pop_frame(self, frame: int) -> tuple[np.ndarray, bool]:
        """The (640,) float32 samples of `frame`, and whether speech is among them. Call once per frame, in order."""
        raise NotImplementedError

    def clear(self) -> float:
        """Barge-in: drops what was not yet released, with a fade of 5 ms; gives the seconds dropped."""
        raise NotImplementedError
