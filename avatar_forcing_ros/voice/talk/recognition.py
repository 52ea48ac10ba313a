"""Speech recognition by a server with OpenAI's /v1/audio/transcriptions."""

from __future__ import annotations

import io
import json
import os
import wave

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.timeline import SAMPLE_RATE
from avatar_forcing_ros.voice import http

_TIMEOUT_S = 20.0


class Recogniser:
    """base: address that ends in /v1; key from OPENAI_API_KEY."""

    def __init__(self, base: str, model: str = "whisper-1", language: str = "", timeout: float = _TIMEOUT_S) -> None:
        self._server = http.Server(base, os.environ.get("OPENAI_API_KEY", ""))
        self._model, self._language, self._timeout = model, language, timeout

    def text_of(self, samples: np.ndarray) -> str:
        """What is said in samples (n,) float32 at 16 kHz. Raises InputError."""
        file = io.BytesIO()
        with wave.open(file, "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(SAMPLE_RATE)
            sound.writeframes(np.clip(samples * 32768.0, -32768, 32767).astype("<i2").tobytes())
        fields = {"model": self._model, "response_format": "json"}
        if self._language:
            fields["language"] = self._language[:2]
        part = ("file", "turn.wav", file.getvalue())
        with self._server.post_form("/audio/transcriptions", fields, part, self._timeout) as answer:
            data = answer.read()
        try:
            return str(json.loads(data)["text"]).strip()
        except (ValueError, KeyError, TypeError):
            raise InputError("the server's answer does not have the form of /v1/audio/transcriptions") from None
