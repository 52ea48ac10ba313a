"""Sound that carries times, for a device that asks for samples: it plays each at its time, and drifts back without a click."""

from __future__ import annotations

import numpy as np

from avatar_forcing_ros.timeline import NANOSECONDS

KEPT_S = 4.0
_JUMP_S = 0.06  # further off, the sound goes to its place at once
_BEND = 0.004  # at most so much faster or slower: not heard
_SETTLE_S = 0.5  # within which a small error is to be taken back
_FADE_S = 0.004


class TimedSound:
    """put() by whom the sound comes from, pull() by the device. One rate in Hz. Not thread-safe.

    error_s: by how much what was pulled last was later (+) or earlier (-) than its time, before it was corrected.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.error_s = 0.0
        self.jumps = 0
        self._ring = np.zeros(int(KEPT_S * rate), np.float32)
        self._end: int | None = None  # index of the sample after the newest
        self._at: float | None = None  # index of the sample that is played next

    def put(self, samples: np.ndarray, stamp_ns: int) -> None:
        """samples (n,) float32, the first one to be heard at `stamp_ns`. A stamp that is near the end of what came before follows it."""
        samples = samples[-len(self._ring) :]
        start = stamp_ns * self.rate // NANOSECONDS
        if self._end is None or start + len(samples) < self._end - len(self._ring):
            self._end = start  # the first, or time has jumped back
        if abs(start - self._end) <= self.rate // 500:
            start = self._end  # rounding of stamps must not tear the sound
        if start > self._end:  # silence between
            gap = min(start - self._end, len(self._ring))
            self._ring[(start - gap + np.arange(gap)) % len(self._ring)] = 0.0
        self._ring[(start + np.arange(len(samples))) % len(self._ring)] = samples
        self._end = max(self._end, start + len(samples))

    def pull(self, count: int, at_ns: int) -> np.ndarray:
        """The (count,) float32 samples of which the first one is heard at `at_ns`."""
        wanted = at_ns * self.rate / NANOSECONDS
        jumped = self._at is None
        if self._at is not None:
            self.error_s = (wanted - self._at) / self.rate
            if abs(self.error_s) > _JUMP_S:
                jumped = True
                self.jumps += 1
        if jumped or self._at is None:
            self._at = wanted
            self.error_s = 0.0
        bend = float(np.clip(self.error_s / _SETTLE_S, -_BEND, _BEND))
        positions = self._at + np.arange(count) * (1.0 + bend)
        self._at += count * (1.0 + bend)
        out = self._read(positions)
        if jumped:
            fade = min(count, int(_FADE_S * self.rate))
            out[:fade] *= np.linspace(0.0, 1.0, fade, endpoint=False, dtype=np.float32)
        return out

    def _read(self, positions: np.ndarray) -> np.ndarray:
        end = self._end
        if end is None:
            return np.zeros(len(positions), np.float32)
        whole = np.floor(positions).astype(np.int64)
        share = (positions - whole).astype(np.float32)
        here, after = (
            np.where((i < end) & (i >= end - len(self._ring)), self._ring[i % len(self._ring)], np.float32(0.0))
            for i in (whole, whole + 1)
        )
        return here * (1.0 - share) + after * share
