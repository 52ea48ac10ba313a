"""The avatar's speech in two forms that keep step: the voice as it came, which is heard, and 16 kHz mono, which the network hears.

Rates that are a multiple of 25 Hz up to 48 kHz, in one or two channels, are heard untouched: every frame then has a whole number of
samples. Sound of any other rate becomes 48 kHz, of more channels mono.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import soxr

from avatar_forcing_ros.audio.resample import Resampler, to_mono
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.timeline import FRAME_RATE, NANOSECONDS, SAMPLE_RATE

MAX_RATE = 48_000  # Hz that are heard untouched
MAX_CHANNELS = 2
_GAP_NS = NANOSECONDS // 5  # a stamp this far off starts a new run of sound


@dataclass(frozen=True)
class Utterance:
    """One thing that is said. began_ns: ROS time at which its first sound was accepted; an interruption later than that drops it."""

    id: str
    began_ns: int = 0


class Speech(NamedTuple):
    """A stretch of speech. mono: (n,) float32, 16 kHz; voice: (m, channels) float32 at `rate` Hz, over the same time.

    at: place of the first sample of `mono` in its run; sample x of a run is sample `voice_index(x, rate)` of its voice.
    """

    mono: np.ndarray
    voice: np.ndarray
    rate: int
    at: int = 0

    def cut(self, first: int, last: int | None = None) -> Speech:
        """Samples `first` to `last` of `mono`, with the voice of that time."""
        last = len(self.mono) if last is None else min(last, len(self.mono))
        base = voice_index(self.at, self.rate)
        ends = (voice_index(self.at + x, self.rate) - base for x in (first, last))
        return Speech(self.mono[first:last], self.voice[slice(*ends)], self.rate, self.at + first)


def voice_index(x: int, rate: int) -> int:
    """The sample at `rate` Hz that begins with sample x at 16 kHz, both counted from the start of a run."""
    return x * rate // SAMPLE_RATE


def speech_of(mono: np.ndarray, at: int = 0) -> Speech:
    """16 kHz mono sound (n,), which is heard as it is."""
    return Speech(mono, mono[:, None], SAMPLE_RATE, at)


class SpeechResampler:
    """Streams sound of any rate into `Speech`; keeps the stamps true to the samples.

    channel: one of the channels alone (0 is the first), mono; None: the mean is for the network, and one or two channels are heard.
    """

    def __init__(self, channel: int | None = None) -> None:
        self._channel = channel
        self._mono = Resampler()
        self._shape: tuple[int, int] | None = None  # rate and channels of what comes
        self._to_heard: soxr.ResampleStream | None = None  # where it cannot be heard as it is
        self._next_ns: int | None = None  # stamp of what continues this run
        self._restart()

    def push(self, samples: np.ndarray, rate: int, stamp_ns: int | None = None) -> list[tuple[Speech, int | None]]:
        """(speech, stamp of its first sample or None) of samples (n, channels) or (n,) float32, stamp of the first of them.

        A hole of more than 200 ms between stamps, or another rate or number of channels, ends the run before it.
        """
        if rate <= 0:
            raise InputError(f"sound has a sample rate of {rate} Hz")
        voice = np.asarray(samples, np.float32).reshape(len(samples), -1)
        if self._channel is not None or voice.shape[1] > MAX_CHANNELS:
            voice = to_mono(voice, self._channel)[:, None]
        out = []
        hole = self._next_ns is not None and stamp_ns is not None and abs(stamp_ns - self._next_ns) > _GAP_NS
        if hole or (rate, voice.shape[1]) != self._shape:
            out += self.flush()
            if (rate, voice.shape[1]) != self._shape:
                self._shape = (rate, voice.shape[1])
                heard = rate <= MAX_RATE and rate % FRAME_RATE == 0
                self._to_heard = None if heard else soxr.ResampleStream(rate, MAX_RATE, voice.shape[1], "float32")
        if not len(voice):
            return out
        self._next_ns = None if stamp_ns is None else stamp_ns + len(voice) * NANOSECONDS // rate
        if self._to_heard is not None:
            start = None if stamp_ns is None else stamp_ns - self._taken * NANOSECONDS // rate
            self._taken += len(voice)
            voice = self._to_heard.resample_chunk(np.ascontiguousarray(voice)).reshape(-1, voice.shape[1])
            stamp_ns = None if start is None else start + self._passed * NANOSECONDS // MAX_RATE
            self._passed += len(voice)
            rate = MAX_RATE
        return out + self._take(voice, rate, stamp_ns)

    def flush(self) -> list[tuple[Speech, int | None]]:
        """What the filters still hold, at the end of the sound; the next push begins a new run."""
        out = []
        if self._to_heard is not None and self._taken:
            tail = self._to_heard.resample_chunk(np.zeros((0, self._held.shape[1]), np.float32), last=True)
            self._to_heard.clear()
            out += self._take(tail.reshape(-1, self._held.shape[1]), MAX_RATE, None)
        out += self._both(self._mono.flush())
        self._restart()
        return out

    def _restart(self) -> None:
        self._next_ns = None
        self._taken = self._passed = 0  # into and out of the filter to the heard rate, in this run
        self._given = 0  # mono samples of this run
        self._held = np.zeros((0, 1), np.float32)  # voice whose mono form is still in the filter
        self._rate = SAMPLE_RATE

    def _take(self, voice: np.ndarray, rate: int, stamp_ns: int | None) -> list[tuple[Speech, int | None]]:
        if not len(voice):
            return []
        self._rate = rate
        self._held = np.concatenate([self._held, voice]) if len(self._held) else voice
        return self._both(self._mono.push(voice, rate, stamp_ns))

    def _both(self, stretches: list) -> list[tuple[Speech, int | None]]:
        out = []
        for mono, stamp in stretches:
            first, last = (voice_index(x, self._rate) for x in (self._given, self._given + len(mono)))
            voice, self._held = self._held[: last - first], self._held[last - first :]
            if len(voice) < last - first:  # the filter's last samples are rounded up
                voice = np.pad(voice, ((0, last - first - len(voice)), (0, 0)))
            out.append((Speech(mono, voice, self._rate, self._given), stamp))
            self._given += len(mono)
        return out
