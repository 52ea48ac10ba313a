"""Piper, run as a program, with a voice file of yours: `piper:/voices/en_US-amy-medium.onnx`."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.voice.tts.base import Piece, Voice, from_pcm

_READ = 8192  # bytes


def missing() -> str:
    return (
        "" if shutil.which("piper") else "install it: pip install piper-tts (GPL-3.0), so that `piper` is on the path"
    )


def make(voice: str, language: str) -> Voice:
    return PiperVoice(voice)


class PiperVoice(Voice):
    def __init__(self, model: str) -> None:
        description = Path(model + ".json")
        if not model or not Path(model).is_file() or not description.is_file():
            raise InputError(f"piper: no voice '{model}'; give piper:FILE.onnx, with FILE.onnx.json beside it")
        try:
            self._rate = int(json.loads(description.read_text())["audio"]["sample_rate"])
        except (ValueError, KeyError, TypeError):
            raise InputError(f"piper: {description} does not tell audio.sample_rate") from None
        self._model, self.name = model, f"piper:{Path(model).stem}"
        self._process: subprocess.Popen | None = None

    def speak(self, sentence: str) -> Iterator[Piece]:
        command = ["piper", "--model", self._model, "--output-raw"]
        self._process = process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdin is not None and process.stdout is not None  # pipes, as asked for
        process.stdin.write(sentence.encode() + b"\n")
        process.stdin.close()
        rest, any_sound = b"", False
        while data := process.stdout.read(_READ):
            rest += data
            samples = from_pcm(rest)
            rest = rest[2 * len(samples) :]
            if len(samples):
                any_sound = True
                yield Piece(samples, self._rate)
        if process.wait() != 0 and not any_sound:
            raise InputError(f"{self.name} cannot speak '{sentence[:40]}' (exit code {process.returncode})")

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
