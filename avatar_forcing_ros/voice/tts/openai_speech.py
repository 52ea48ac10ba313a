"""Any server with OpenAI's /v1/audio/speech: `openai:VOICE`. Its address, model and key come from the environment.

OPENAI_BASE_URL (such as http://localhost:8880/v1), OPENAI_API_KEY, OPENAI_SPEECH_MODEL (tts-1).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.voice import http
from avatar_forcing_ros.voice.tts.base import Piece, Voice, from_pcm, from_wave

RATE = 24_000  # of response_format pcm
_READ = 4800  # bytes: 100 ms
_TIMEOUT_S = 20.0


def missing() -> str:
    return "" if os.environ.get("OPENAI_BASE_URL") else "set OPENAI_BASE_URL, such as http://localhost:8880/v1"


def make(voice: str, language: str) -> Voice:
    return OpenAIVoice(voice or "alloy", os.environ["OPENAI_BASE_URL"])


class OpenAIVoice(Voice):
    """base: address that ends in /v1."""

    def __init__(self, voice: str, base: str, model: str = "", timeout: float = _TIMEOUT_S) -> None:
        self._voice, self.name = voice, f"openai:{voice}"
        self._server, self._timeout = http.Server(base, os.environ.get("OPENAI_API_KEY", "")), timeout
        self._model = model or os.environ.get("OPENAI_SPEECH_MODEL", "tts-1")
        self._closed = False

    def speak(self, sentence: str) -> Iterator[Piece]:
        self._closed = False
        asked = {"model": self._model, "voice": self._voice, "input": sentence, "response_format": "pcm"}
        with self._server.post_json("/audio/speech", asked, self._timeout) as answer:
            head = answer.read(4)
            if head == b"RIFF":  # it gives WAV whatever is asked for
                yield from_wave(head + answer.read(), self.name)
                return
            rest, any_sound = head, False
            while not self._closed:
                data = answer.read(_READ)
                rest += data
                samples = from_pcm(rest)
                rest = rest[2 * len(samples) :]
                if len(samples):
                    any_sound = True
                    yield Piece(samples, RATE)
                if not data:
                    break
            if not any_sound and not self._closed:
                raise InputError(f"{self.name}: the server at {self._server.base} gave no sound")

    def close(self) -> None:
        self._closed = True
