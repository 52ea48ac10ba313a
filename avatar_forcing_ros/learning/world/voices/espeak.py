"""espeak-ng: samples of a sentence and the times of its phones. Needs Debian's espeak-ng."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.learning.world.voices.synthesizers import INSTALL
from avatar_forcing_ros.voice.tts import espeak_process

_WORDS_PER_MINUTE = 165  # at rate 1
_TIMEOUT_S = 60


def synthesize(voice: str, text: str, rate: float, pitch: float) -> tuple[np.ndarray, int, list[tuple[str, float]]]:
    """(samples (n,) float32 in [-1, 1], their rate in Hz, [(IPA, its start in seconds)]) of `text`.

    voice: espeak-ng's name, "de" or "de+f2". rate and pitch: factors on the voice's own. An empty IPA is a pause.
    The same request always gives the same samples. Raises InputError when espeak-ng or the voice is missing.
    """
    words, height = round(_WORDS_PER_MINUTE * rate), int(np.clip(50 + 60 * np.log2(pitch), 0, 99))
    command = [sys.executable, "-I", "-S", espeak_process.__file__, voice, str(words), str(height)]
    done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=_TIMEOUT_S)
    if done.returncode != 0:
        raise InputError(_why(done.returncode, voice, text))
    head, _, sound = done.stdout.partition(b"\n")
    told = json.loads(head)
    phones = [(ipa, milliseconds / 1000) for ipa, milliseconds in told["phones"]]
    return np.frombuffer(sound, "<i2").astype(np.float32) / 32768, told["sample_rate"], phones


def _why(code: int, voice: str, text: str) -> str:
    if code == espeak_process.NO_LIBRARY:
        return f"espeak-ng is missing: {INSTALL}"
    if code == espeak_process.NO_DATA:
        return "espeak-ng finds no data: apt-get install --reinstall espeak-ng-data"
    if code == espeak_process.NO_VOICE:
        return f"espeak-ng has no voice '{voice}': use a current espeak-ng (apt-get install espeak-ng) or another voice"
    return f"espeak-ng cannot speak '{text}' with the voice '{voice}' (exit code {code})"
