"""hibari-tts: a small neural synthesizer of English whose weights are in its package. Needs `pip install hibari-tts`."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.voice.tts.base import Piece, Voice


def missing() -> str:
    return "" if importlib.util.find_spec("hibari") else "install it: pip install hibari-tts"


def make(voice: str, language: str) -> Voice:
    return HibariVoice(voice or "heart")


class HibariVoice(Voice):
    """The voice `heart` is in the package; others are fetched by it when first used."""

    def __init__(self, voice: str) -> None:
        from hibari import Hibari

        self.name = f"hibari:{voice}"
        try:
            self._engine = Hibari(voice=voice)
        except (ValueError, RuntimeError) as error:
            raise InputError(str(error)) from None

    def speak(self, sentence: str) -> Iterator[Piece]:
        for samples in self._engine.stream(sentence, seed=0):
            if len(samples):
                yield Piece(np.clip(samples, -1.0, 1.0).astype(np.float32)[:, None], self._engine.sample_rate)
