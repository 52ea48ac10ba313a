"""Chunks of 16 kHz sound -> frames of 640 samples on the frame clock.

Time is told by counting samples; stamps (or times of arrival) only correct the count:

- within the tolerance they are jitter. Their mean over some seconds is the drift between the source's clock and
  ours; it is taken out by making chunks longer or shorter by at most 1 %, which does not click;
- further ahead: sound is missing. The hole becomes zeros, marked as not known, and is counted;
- further behind: sound that was already given (dropped, counted), or time that jumped back, as when a bag loops
  (the framer starts again there, counted).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from avatar_forcing_ros.timeline import NANOSECONDS, SAMPLE_RATE, SAMPLES_PER_FRAME

_DRIFT_SECONDS = 2.0  # the mean of the stamps' error is taken over about this long
_DRIFT_ALLOWED = SAMPLE_RATE // 200  # 5 ms of mean error are left alone
_MAX_STRETCH = 0.01  # of a chunk's length
_UNSTAMPED_TOLERANCE_NS = 200_000_000  # times of arrival are this coarse
_JUMP_BACK_NS = 500_000_000  # further behind than this is a jump of the clock, nearer is an overlap


class AudioFrame(NamedTuple):
    """One frame of sound: frame-clock index, samples (640,) float32, known: at least half of them arrived."""

    index: int
    samples: np.ndarray
    known: bool


class AudioFramer:
    """Puts one stream of sound on the frame clock. State of fixed size.

    tolerance_ns: how far stamps may stray before sound counts as missing or repeated.
    max_fill_frames: a longer hole is skipped rather than filled; its frames never come.
    Counters: gaps, gap_samples, overlaps, overlap_samples, resets (jumps back).
    """

    def __init__(self, tolerance_ns: int = 40_000_000, max_fill_frames: int = 25) -> None:
        self.tolerance_ns = tolerance_ns
        self.max_fill_frames = max_fill_frames
        self.gaps = self.gap_samples = self.overlaps = self.overlap_samples = self.resets = 0
        self._partial = np.zeros(SAMPLES_PER_FRAME, np.float32)  # the frame that is being filled
        self.reset()

    def reset(self) -> None:
        """Forgets the stream; the counters stay."""
        self._position: int | None = None  # on the clock, in samples: where the next sample goes
        self._known = 0  # samples of the partial frame that arrived
        self._overlapping = False  # repeated sound is being dropped
        self._drift = 0.0  # mean error of the stamps, in samples
        self._partial[:] = 0.0

    def push(self, samples: np.ndarray, stamp_ns: int | None, now_ns: int) -> list[AudioFrame]:
        """Takes samples (n,) float32, 16 kHz, and gives the frames that became complete, in order.

        stamp_ns: time of the first sample. None: the source has no stamps; the chunk is taken to end at `now_ns`, and
        only errors beyond 200 ms count. A hole's frames come with the chunk after it. After a jump back the indices
        begin again at the earlier time.
        """
        if not len(samples):
            return []
        if stamp_ns is None:
            stamp_ns, tolerance_ns = now_ns - len(samples) * NANOSECONDS // SAMPLE_RATE, _UNSTAMPED_TOLERANCE_NS
        else:
            tolerance_ns = self.tolerance_ns
        place = (stamp_ns * SAMPLE_RATE + NANOSECONDS // 2) // NANOSECONDS
        frames: list[AudioFrame] = []
        if self._position is None:
            self._begin(place)
        error = place - self._position
        limit = tolerance_ns * SAMPLE_RATE // NANOSECONDS
        if error > limit:
            self.gaps += 1
            self.gap_samples += error
            if error > self.max_fill_frames * SAMPLES_PER_FRAME:
                self._begin(place)
            else:
                self._fill(frames, np.zeros(error, np.float32), known=False)
        elif error < -(_JUMP_BACK_NS * SAMPLE_RATE // NANOSECONDS):
            self.resets += 1
            self._begin(place)
        elif error < -limit or (error < 0 and self._overlapping):
            dropped = min(-error, len(samples))
            self.overlaps += not self._overlapping
            self.overlap_samples += dropped
            self._overlapping = True
            samples = samples[dropped:]
        else:
            self._overlapping = False
            samples = self._follow(samples, error)
        self._fill(frames, samples, known=True)
        return frames

    def _begin(self, place: int) -> None:
        """Starts at `place`; what was before it in its frame is unknown."""
        self.reset()
        self._position = place

    def _follow(self, samples: np.ndarray, error: int) -> np.ndarray:
        """The chunk, stretched a little where the stamps' mean error asks for it."""
        count = len(samples)
        self._drift += (error - self._drift) * -math.expm1(-count / (_DRIFT_SECONDS * SAMPLE_RATE))
        if abs(self._drift) < _DRIFT_ALLOWED or count < 2:
            return samples
        change = min(max(1, int(_MAX_STRETCH * count)), int(abs(self._drift))) * (1 if self._drift > 0 else -1)
        self._drift -= change
        return np.interp(np.linspace(0, count - 1, count + change), np.arange(count), samples).astype(np.float32)

    def _fill(self, frames: list[AudioFrame], samples: np.ndarray, known: bool) -> None:
        while len(samples):
            at = self._position % SAMPLES_PER_FRAME
            piece = samples[: SAMPLES_PER_FRAME - at]
            samples = samples[len(piece) :]
            self._partial[at : at + len(piece)] = piece
            self._known += len(piece) if known else 0
            self._position += len(piece)
            if at + len(piece) == SAMPLES_PER_FRAME:
                index = self._position // SAMPLES_PER_FRAME - 1
                frames.append(AudioFrame(index, self._partial.copy(), self._known * 2 >= SAMPLES_PER_FRAME))
                self._known = 0
                self._partial[:] = 0.0
