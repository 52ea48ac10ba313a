"""Kokoro through its package `kokoro`, where it is installed with its weights: `kokoro:af_heart`."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.voice.tts.base import Piece, Voice, Word

RATE = 24_000


def missing() -> str:
    return "" if importlib.util.find_spec("kokoro") else "install it: pip install kokoro"


def make(voice: str, language: str) -> Voice:
    return KokoroVoice(voice or "af_heart")


class KokoroVoice(Voice):
    """voice: Kokoro's name, whose first letter is its language."""

    def __init__(self, voice: str) -> None:
        from kokoro import KPipeline

        self._voice, self.name = voice, f"kokoro:{voice}"
        try:
            self._pipeline = KPipeline(lang_code=voice[0])
        except Exception as error:  # weights or a language that are not there: of many kinds
            raise InputError(f"{self.name} cannot be opened: {error}") from None

    def speak(self, sentence: str) -> Iterator[Piece]:
        begin = 0.0
        for result in self._pipeline(sentence, voice=self._voice):
            if result.audio is None:
                continue
            samples = np.asarray(result.audio, np.float32).reshape(-1, 1)
            words = tuple(
                Word(token.text, begin + token.start_ts, begin + token.end_ts)
                for token in (getattr(result, "tokens", None) or ())
                if getattr(token, "start_ts", None) is not None
                and token.end_ts is not None
                and any(c.isalnum() for c in token.text)
            )
            yield Piece(samples, RATE, words)
            begin += len(samples) / RATE
