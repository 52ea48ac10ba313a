"""Chunks of 16 kHz sound -> frames of 640 samples on the frame clock.

Time is told by counting samples; stamps (or times of arrival) only correct the count, slowly, so that jitter and single late
chunks lose nothing:

- the middle of the newest stamps' errors, averaged over some seconds, is the drift between the source's clock and ours; it is
  taken out by making chunks longer or shorter by at most 1 % (3 % where it has grown large), which does not click;
- where all stamps of the newest third of a second are ahead by more than the tolerance, sound is missing. The hole becomes zeros,
  marked as not known, and is counted. A pause of more than half a second, in which nothing came, is one at once;
- where several stamps in a row are more than half a second behind, time has jumped back, as when a bag loops: the framer starts
  again there, counted.
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median
from typing import NamedTuple

import numpy as np

from avatar_forcing_ros.timeline import NANOSECONDS, SAMPLE_RATE, SAMPLES_PER_FRAME

_DRIFT_SECONDS = 2.0  # the mean of the stamps' error is taken over about this long
_DRIFT_ALLOWED = SAMPLE_RATE // 200  # 5 ms of mean error are left alone
_DRIFT_LARGE = SAMPLE_RATE // 20  # 50 ms
_MAX_STRETCH, _MAX_STRETCH_LARGE = 0.01, 0.03  # of a chunk's length
_UNSTAMPED_TOLERANCE_NS = 200_000_000  # times of arrival are this coarse
_JUMP = SAMPLE_RATE // 2  # further off than this is a pause or a jump of the clock
_WINDOW = SAMPLE_RATE // 3  # of sound, over which all stamps have to agree ...
_WINDOW_CHUNKS = 3  # ... and at least so many


class AudioFrame(NamedTuple):
    """One frame of sound: frame-clock index, samples (640,) float32, known: at least half of them arrived."""

    index: int  # type: ignore[assignment]  # hides tuple.index
    samples: np.ndarray
    known: bool


class AudioFramer:
    """Puts one stream of sound on the frame clock. State of fixed size.

    tolerance_ns: how far stamps may stray, all together, before sound counts as missing.
    max_fill_frames: a longer hole is skipped rather than filled; its frames never come.
    Counters: gaps, gap_samples, resets (jumps back).
    """

    def __init__(self, tolerance_ns: int = 100_000_000, max_fill_frames: int = 25) -> None:
        self.tolerance_ns = tolerance_ns
        self.max_fill_frames = max_fill_frames
        self.gaps = self.gap_samples = self.resets = 0
        self._partial = np.zeros(SAMPLES_PER_FRAME, np.float32)  # the frame that is being filled
        self.reset()

    def reset(self) -> None:
        """Forgets the stream; the counters stay."""
        self._position: int | None = None  # on the clock, in samples: where the next sample goes
        self._known = 0  # samples of the partial frame that arrived
        self._errors: deque[tuple[int, int]] = deque(
            maxlen=64
        )  # of the newest stamps, in samples, and their chunks' lengths
        self._drift = 0.0  # mean error of the stamps, in samples
        self._arrival: int | None = None  # of the chunk before, in ns
        self._partial[:] = 0.0

    def push(self, samples: np.ndarray, stamp_ns: int | None, now_ns: int) -> list[AudioFrame]:
        """Takes samples (n,) float32, 16 kHz, and gives the frames that became complete, in order.

        stamp_ns: time of the first sample. None: the source has no stamps; the chunk is taken to end at `now_ns`, and
        only errors beyond 200 ms count. A hole's frames come with a chunk after it. After a jump back the indices
        begin again at the earlier time.
        """
        if not len(samples):
            return []
        if stamp_ns is None:
            stamp_ns, tolerance_ns = now_ns - len(samples) * NANOSECONDS // SAMPLE_RATE, _UNSTAMPED_TOLERANCE_NS
        else:
            tolerance_ns = self.tolerance_ns
        place = max(0, (stamp_ns * SAMPLE_RATE + NANOSECONDS // 2) // NANOSECONDS)  # simulated time may have just begun
        limit = tolerance_ns * SAMPLE_RATE // NANOSECONDS
        silent_ns = now_ns - self._arrival if self._arrival is not None else None
        self._arrival = now_ns
        frames: list[AudioFrame] = []
        if self._position is None:
            self._begin(place)
        assert self._position is not None
        error = place - self._position
        self._remember(error, len(samples))
        if error > _JUMP and (silent_ns is None or 2 * silent_ns * SAMPLE_RATE > error * NANOSECONDS):
            self._hole(frames, error)
        elif error < -_JUMP and ((silent_ns or 0) < 0 or self._agree() and max(e for e, _ in self._errors) < -_JUMP):
            self.resets += 1
            self._begin(place)
        elif self._agree() and min(e for e, _ in self._errors) > limit:
            self._hole(frames, min(e for e, _ in self._errors))
        else:
            samples = self._follow(samples)
        self._fill(frames, samples, known=True)
        return frames

    def _remember(self, error: int, count: int) -> None:
        self._errors.append((error, count))
        while len(self._errors) > _WINDOW_CHUNKS and sum(n for _, n in self._errors) - self._errors[0][1] >= _WINDOW:
            self._errors.popleft()

    def _agree(self) -> bool:
        """The newest errors are enough to be believed where they say the same."""
        return len(self._errors) >= _WINDOW_CHUNKS and sum(n for _, n in self._errors) >= _WINDOW

    def _begin(self, place: int) -> None:
        """Starts at `place`; what was before it in its frame is unknown."""
        arrival = self._arrival
        self.reset()
        self._position, self._arrival = place, arrival

    def _hole(self, frames: list[AudioFrame], length: int) -> None:
        assert self._position is not None
        self.gaps += 1
        self.gap_samples += length
        if length > self.max_fill_frames * SAMPLES_PER_FRAME:
            self._begin(self._position + length)
        else:
            self._fill(frames, np.zeros(length, np.float32), known=False)
        self._errors.clear()
        self._drift = 0.0

    def _follow(self, samples: np.ndarray) -> np.ndarray:
        """The chunk, stretched a little where the stamps' mean error asks for it."""
        count = len(samples)
        error = median(e for e, _ in self._errors)
        self._drift += (error - self._drift) * -math.expm1(-count / (_DRIFT_SECONDS * SAMPLE_RATE))
        if abs(self._drift) < _DRIFT_ALLOWED or count < 2:
            return samples
        most = _MAX_STRETCH_LARGE if abs(self._drift) > _DRIFT_LARGE else _MAX_STRETCH
        change = min(max(1, int(most * count)), int(abs(self._drift))) * (1 if self._drift > 0 else -1)
        self._drift -= change
        self._errors = deque(((e - change, n) for e, n in self._errors), maxlen=self._errors.maxlen)
        return np.interp(np.linspace(0, count - 1, count + change), np.arange(count), samples).astype(np.float32)

    def _fill(self, frames: list[AudioFrame], samples: np.ndarray, known: bool) -> None:
        assert self._position is not None
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
