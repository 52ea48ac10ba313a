"""The seam: a sentence in, pieces of sound out, with the times of its words where the engine tells them."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from avatar_forcing_ros.errors import InputError


class Word(NamedTuple):
    """start and end in seconds; told: the times are the engine's own, else they are shared out by length."""

    text: str
    start: float
    end: float
    told: bool = True


class Piece(NamedTuple):
    """Sound of a sentence: samples (n, channels) float32 in [-1, 1] at `rate` Hz; words whose times count from the sentence's start."""

    samples: np.ndarray
    rate: int
    words: tuple[Word, ...] = ()


class Voice:
    """An engine with a voice chosen. One sentence at a time; closed when done. Raises InputError with what to mend."""

    name = ""  # engine:voice

    def speak(self, sentence: str) -> Iterator[Piece]:
        """The sound of one sentence, piece by piece as it is made."""
        raise NotImplementedError

    def close(self) -> None:
        """Ends what the engine has running; `speak` in another thread ends soon."""


def from_wave(data: bytes, what: str) -> Piece:
    """A whole WAV file of 16 bits. Raises InputError where it is none."""
    try:
        with wave.open(io.BytesIO(data)) as sound:
            if sound.getsampwidth() != 2:
                raise InputError(f"{what} gave sound of {8 * sound.getsampwidth()} bits; 16 can be used")
            rate, channels, raw = sound.getframerate(), sound.getnchannels(), sound.readframes(1 << 30)
    except (wave.Error, EOFError) as error:
        raise InputError(f"{what} gave no sound: {error}") from None
    return Piece(from_pcm(raw, channels), rate)


def from_pcm(data: bytes, channels: int = 1) -> np.ndarray:
    """16-bit little-endian samples -> (n, channels) float32; what is no whole sample is left out."""
    whole = len(data) - len(data) % (2 * channels)
    return (np.frombuffer(data[:whole], "<i2").astype(np.float32) / 32768).reshape(-1, channels)
