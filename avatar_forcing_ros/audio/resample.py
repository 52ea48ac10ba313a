"""Any rate and number of channels -> 16 kHz mono, or another format, as a stream."""

from __future__ import annotations

import numpy as np
import soxr

from avatar_forcing_ros.audio.mixer import Mixer
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.timeline import NANOSECONDS, SAMPLE_RATE

_GAP_NS = NANOSECONDS // 5  # a stamp this far off starts a new stretch of sound


def to_mono(samples: np.ndarray, channel: int | None = None) -> np.ndarray:
    """(n, channels) -> (n,): the mean of all channels, or the one with the given index (0 is the first)."""
    if channel is None:
        return samples.mean(axis=1, dtype=np.float32) if samples.shape[1] > 1 else samples[:, 0]
    if not 0 <= channel < samples.shape[1]:
        raise InputError(f"channel {channel} was asked for, but the sound has {samples.shape[1]} (counted from 0)")
    return samples[:, channel]


def to_stereo(samples: np.ndarray) -> np.ndarray:
    """(n,) or (n, channels) -> (n, 2): two channels as they are, the mean of any other number on both sides."""
    if samples.ndim == 2 and samples.shape[1] == 2:
        return samples
    mono = samples if samples.ndim == 1 else to_mono(samples)
    return np.repeat(mono[:, None], 2, axis=1)


def _filter(rate: int, wanted: int, channels: int) -> soxr.ResampleStream:
    # Upwards the best filter holds back up to 66 ms (8 kHz), the medium one 26 ms; downwards both about 20 ms.
    return soxr.ResampleStream(rate, wanted, channels, "float32", quality="HQ" if rate > wanted else "MQ")


class Resampler:
    """Streams sound of any rate into 16 kHz mono, or stereo of another rate; keeps the stamps true to the samples.

    wanted: Hz; stereo: give (n, 2) instead of (n,), and take no single channel.
    The filter holds back some milliseconds, so the samples that a push gives back may begin before the chunk
    that was pushed: their stamp says so. Sound at the wanted rate passes through untouched and at once.
    """

    def __init__(self, channel: int | None = None, wanted: int = SAMPLE_RATE, stereo: bool = False) -> None:
        self.mixer, self._wanted, self._stereo = Mixer(channel), wanted, stereo
        self._rate: int | None = None
        self._stream: soxr.ResampleStream | None = None
        self._stamp: int | None = None  # time of the stretch's first sample, by the newest stamp
        self._start()

    def push(self, samples: np.ndarray, rate: int, stamp_ns: int | None = None) -> list[tuple[np.ndarray, int | None]]:
        """Stretches of sound as (samples (n,) float32, stamp of their first sample or None).

        samples: (n, channels) or (n,) float32. stamp_ns: time of the first of them. Usually one stretch; two where
        the rate changed or the stamps have a hole of more than 200 ms, so that the end of the sound before the
        hole does not wait for the sound after it; none while the filter fills.
        """
        if rate <= 0:
            raise InputError(f"sound has a sample rate of {rate} Hz")
        if self._stereo:
            taken = to_stereo(samples)
        else:
            taken = self.mixer.mono(samples if samples.ndim == 2 else samples[:, None], rate)
        out = []
        hole = self._stamp is not None and stamp_ns is not None and abs(stamp_ns - self._end_ns()) > _GAP_NS
        if rate != self._rate or hole:
            out += self.flush()
            if rate != self._rate:
                self._rate = rate
                self._stream = None if rate == self._wanted else _filter(rate, self._wanted, 1 + self._stereo)
        if not len(taken):
            return out
        self._stamp = None if stamp_ns is None else stamp_ns - self._taken * NANOSECONDS // rate
        result = taken if self._stream is None else self._stream.resample_chunk(np.ascontiguousarray(taken, np.float32))
        out += self._stretch(result)
        self._taken += len(taken)
        return out

    def flush(self) -> list[tuple[np.ndarray, int | None]]:
        """What the filter still holds, at the end of the sound; the next push starts afresh."""
        out = []
        if self._stream is not None and self._taken:
            out = self._stretch(
                self._stream.resample_chunk(np.zeros((0, 2) if self._stereo else 0, np.float32), last=True)
            )
            self._stream.clear()
        self._start()
        return out

    def _start(self) -> None:
        self._taken = 0  # input samples of this stretch
        self._given = 0  # output samples of this stretch
        self._stamp = None

    def _end_ns(self) -> int:
        assert self._stamp is not None and self._rate is not None
        return self._stamp + self._taken * NANOSECONDS // self._rate

    def _stretch(self, result: np.ndarray) -> list[tuple[np.ndarray, int | None]]:
        if not len(result):
            return []
        stamp = None if self._stamp is None else self._stamp + self._given * NANOSECONDS // self._wanted
        self._given += len(result)
        return [(result, stamp)]
