"""What the network in the box hears: four log-mel spectra per frame, as models/audio_encoder.py makes them, in NumPy.

Spectra of sound that has been heard stay as they are, so a step only makes those of the sound that is new.
"""

from __future__ import annotations

import numpy as np

from avatar_forcing_ros.timeline import SAMPLE_RATE, SAMPLES_PER_FRAME

WINDOW, SPECTRA = 512, 4  # samples of one spectrum; spectra per frame
FLOOR = 1e-2  # power of a band that is silent
LOW_HERTZ, HIGH_HERTZ = 60.0, 7600.0
HOP = SAMPLES_PER_FRAME // SPECTRA


def mel_filters(bands: int) -> np.ndarray:
    """Triangular filters (bands, 257) on the mel scale, each with a peak of 1."""
    low, high = 2595.0 * np.log10(1.0 + np.array([LOW_HERTZ, HIGH_HERTZ]) / 700.0)
    edges = 700.0 * (10.0 ** (np.linspace(low, high, bands + 2) / 2595.0) - 1.0)  # Hz
    frequencies = np.linspace(0.0, SAMPLE_RATE / 2, WINDOW // 2 + 1)
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    return np.minimum(rising, falling).clip(min=0.0).astype(np.float32)


class RollingSpectra:
    """The newest `frames` frames of several speakers as spectra (speakers, frames, 4 * bands). State of fixed size."""

    def __init__(self, speakers: int, frames: int, bands: int) -> None:
        self._filters = np.ascontiguousarray(mel_filters(bands).T)
        self._taper = np.hanning(WINDOW + 1)[:-1].astype(np.float32)  # periodic
        self.spectra = np.zeros((speakers, frames, SPECTRA * bands), np.float32)
        self._before = np.zeros((speakers, WINDOW - HOP), np.float32)  # the sound that the next spectrum begins with

    def reset(self, samples: np.ndarray) -> None:
        """Fill the window. samples: (speakers, frames * 640)."""
        self._before[:] = 0.0
        for speaker, one in enumerate(samples):
            self.push(speaker, one)

    def push(self, speaker: int, samples: np.ndarray) -> None:
        """The newest samples (n * 640,) of one speaker at unit speech level; n may be 0, and more than the window holds."""
        count = len(samples) // SAMPLES_PER_FRAME
        if not count:
            return
        sound = np.concatenate([self._before[speaker], samples.astype(np.float32)])
        self._before[speaker] = sound[-self._before.shape[1] :]
        step = sound.itemsize
        windows = np.ndarray((SPECTRA * count, WINDOW), np.float32, sound, 0, (HOP * step, step))
        spectra = np.fft.rfft(windows * self._taper, axis=1)
        mel = (spectra.real**2 + spectra.imag**2).astype(np.float32) @ self._filters
        new = (np.log(mel + np.float32(FLOOR)) / 4.0 - 0.5).reshape(count, -1)
        kept = self.spectra[speaker]
        kept[:] = np.concatenate([kept, new])[-len(kept) :]
