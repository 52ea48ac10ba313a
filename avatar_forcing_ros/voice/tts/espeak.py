"""espeak-ng through its library, which tells the times of words. Needs Debian's espeak-ng."""

from __future__ import annotations

import ctypes.util
import json
import subprocess
import sys
from collections.abc import Iterator

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.voice.tts import espeak_process
from avatar_forcing_ros.voice.tts.base import Piece, Voice, Word, from_pcm

_TIMEOUT_S = 60


def missing() -> str:
    return "" if ctypes.util.find_library("espeak-ng") else "install it: apt-get install espeak-ng"


def make(voice: str, language: str) -> Voice:
    return EspeakVoice(voice or language.lower() or "en")


class EspeakVoice(Voice):
    """voice: espeak-ng's name, "de" or "en-us+f3"."""

    def __init__(self, voice: str) -> None:
        self._voice, self.name = voice, f"espeak-ng:{voice}"
        self._process: subprocess.Popen | None = None

    def speak(self, sentence: str) -> Iterator[Piece]:
        # A process of its own: the library keeps a state, and a fresh one gives the same samples for the same sentence.
        command = [sys.executable, "-I", "-S", espeak_process.__file__, self._voice]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            output, _ = self._process.communicate(sentence.encode(), timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.close()
            raise InputError(f"{self.name} did not answer within {_TIMEOUT_S} s") from None
        if self._process.returncode == espeak_process.NO_VOICE:
            raise InputError(f"espeak-ng has no voice '{self._voice}': `espeak-ng --voices` lists them")
        if self._process.returncode != 0:
            raise InputError(f"{self.name} cannot speak '{sentence[:40]}' (exit code {self._process.returncode})")
        head, _, sound = output.partition(b"\n")
        told = json.loads(head)
        samples = from_pcm(sound)
        starts = [milliseconds / 1000 for _, _, milliseconds in told["words"]] + [len(samples) / told["sample_rate"]]
        words = tuple(
            Word(sentence[at : at + length].strip(), starts[i], max(starts[i], starts[i + 1]))
            for i, (at, length, _) in enumerate(told["words"])
        )
        yield Piece(samples, told["sample_rate"], tuple(w for w in words if w.text))

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
