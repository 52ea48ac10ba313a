"""The avatar's own voice in the microphone: estimated from what it is known to say, and taken out.

A partitioned-block frequency-domain adaptive filter whose step is chosen by a Kalman filter per frequency (Enzner and Vary 2006,
Kuech et al. 2014), so that it learns while the avatar speaks and hardly moves while the user speaks over it. It covers echoes up to
400 ms late. Before it has learned, what is left of an echo is told by how far it still correlates with the avatar's voice.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BLOCK = 320  # samples: 20 ms
PARTITIONS = 20  # blocks of echo path: 400 ms
_MEMORY = 0.9995  # of the echo path from block to block
_NOISE_SMOOTHING = 0.8
_SILENT_POWER = 1e-8  # of the avatar's voice: -80 dB
_WINDOW = 12 * BLOCK  # samples that are compared with the avatar's voice: 240 ms
_LEARNED_BLOCKS = 300
_TAIL_BLOCKS = 25  # an echo may go on for 500 ms after the voice


class Clean(NamedTuple):
    """samples: (n,) float32, the microphone without the estimated echo; echo: (n,) the estimate; own: the avatar's voice may be in it."""

    samples: np.ndarray
    echo: np.ndarray
    own: bool


class EchoGuard:
    """Takes the microphone and the avatar's voice, 16 kHz mono, side by side in time. State of fixed size."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        bins = BLOCK + 1
        self._spectra = np.zeros((PARTITIONS, bins), np.complex64)  # of the avatar's voice, newest first
        self._filter = np.zeros((PARTITIONS, bins), np.complex64)
        self._doubt = np.full((PARTITIONS, bins), 0.1, np.float32)  # variance of the filter's error
        self._noise: np.ndarray = np.full(bins, 1e-3, np.float32)
        self._last_voice = np.zeros(BLOCK, np.float32)
        self._voice = np.zeros(_WINDOW + PARTITIONS * BLOCK, np.float32)
        self._heard = np.zeros(_WINDOW, np.float32)
        self._tail = 0
        self._spoken = 0  # blocks with the avatar's voice

    def push(self, microphone: np.ndarray, voice: np.ndarray) -> Clean:
        """microphone, voice: (n,) float32, n a multiple of 320, of the same time."""
        cleaned, echoes = np.empty_like(microphone), np.zeros_like(microphone)
        for at in range(0, len(microphone), BLOCK):
            place = slice(at, at + BLOCK)
            cleaned[place], echoes[place] = self._block(microphone[place], voice[place])
        n = len(microphone)
        self._voice = np.concatenate([self._voice[n:], voice])
        self._heard = np.concatenate([self._heard[n:], cleaned])
        return Clean(cleaned, echoes, self._tail > 0)

    def _block(self, microphone: np.ndarray, voice: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        power = float(np.dot(voice, voice)) / BLOCK
        self._tail = _TAIL_BLOCKS if power > _SILENT_POWER else max(0, self._tail - 1)
        self._spoken += power > _SILENT_POWER
        spectrum = np.fft.rfft(np.concatenate([self._last_voice, voice])).astype(np.complex64)
        self._last_voice = voice
        self._spectra = np.concatenate([spectrum[None], self._spectra[:-1]])
        if not self._tail:
            return microphone, np.zeros_like(microphone)
        echo = np.fft.irfft((self._filter * self._spectra).sum(0))[BLOCK:].astype(np.float32)
        error = microphone - echo
        self._learn(error)
        before, after = float(np.dot(microphone, microphone)), float(np.dot(error, error))
        if before < 0.8 * after:  # the filter makes it worse: it does not fit this room (any more)
            return microphone, np.zeros_like(microphone)
        return error, echo

    def _learn(self, error: np.ndarray) -> None:
        spectrum = np.fft.rfft(np.concatenate([np.zeros(BLOCK, np.float32), error])).astype(np.complex64)
        self._noise = _NOISE_SMOOTHING * self._noise + (1 - _NOISE_SMOOTHING) * np.abs(spectrum) ** 2
        powers = np.abs(self._spectra) ** 2
        step = self._doubt / ((self._doubt * powers).sum(0) + 2 * self._noise + 1e-6)
        change = step * np.conj(self._spectra) * spectrum
        taps = np.fft.irfft(change, axis=1)
        taps[:, BLOCK:] = 0.0
        self._filter += np.fft.rfft(taps, axis=1).astype(np.complex64)
        kept = _MEMORY**2
        self._doubt = kept * (1 - 0.5 * step * powers) * self._doubt + (1 - kept) * np.abs(self._filter) ** 2
        self._doubt = np.maximum(self._doubt, 1e-7).astype(np.float32)

    @property
    def learned(self) -> bool:
        """The avatar has spoken for six seconds."""
        return self._spoken >= _LEARNED_BLOCKS

    def alike(self) -> float:
        """0 to 1: the largest normalised correlation of the last 240 ms, cleaned, with the avatar's voice up to 400 ms earlier."""
        heard = np.diff(self._heard, prepend=self._heard[:1])  # the voice's fundamental alone says little
        voice = np.diff(self._voice, prepend=self._voice[:1])
        size = 1 << int(np.ceil(np.log2(len(voice) + len(heard))))
        products = np.fft.irfft(np.fft.rfft(voice, size) * np.conj(np.fft.rfft(heard, size)), size)[
            : len(voice) - len(heard) + 1
        ]
        energies = np.cumsum(np.concatenate([[0.0], voice.astype(np.float64) ** 2]))
        energies = energies[len(heard) :] - energies[: -len(heard)]
        own = float(np.dot(heard, heard))
        return float(np.max(np.abs(products) / np.sqrt(np.maximum(energies, 1e-9) * max(own, 1e-9)), initial=0.0))
