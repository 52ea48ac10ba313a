"""flite, the small English synthesizer. Needs Debian's flite."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.voice.tts.base import Piece, Voice, from_wave

VOICES = ("slt", "rms", "awb", "kal16", "kal")
_TIMEOUT_S = 60


def missing() -> str:
    return "" if shutil.which("flite") else "install it: apt-get install flite"


def make(voice: str, language: str) -> Voice:
    return FliteVoice(voice or "slt")


class FliteVoice(Voice):
    def __init__(self, voice: str) -> None:
        if voice not in VOICES:
            raise InputError(f"flite has no voice '{voice}'; use one of {', '.join(VOICES)}")
        self._voice, self.name = voice, f"flite:{voice}"
        self._process: subprocess.Popen | None = None

    def speak(self, sentence: str) -> Iterator[Piece]:
        with tempfile.TemporaryDirectory() as folder:
            text, sound = Path(folder) / "text", Path(folder) / "sound.wav"
            text.write_text(sentence + "\n")
            self._process = subprocess.Popen(
                ["flite", "-voice", self._voice, "-f", str(text), "-o", str(sound)],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                code = self._process.wait(_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.close()
                raise InputError(f"{self.name} did not answer within {_TIMEOUT_S} s") from None
            if code != 0 or not sound.is_file():
                raise InputError(f"{self.name} cannot speak '{sentence[:40]}' (exit code {code})")
            yield from_wave(sound.read_bytes(), self.name)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
