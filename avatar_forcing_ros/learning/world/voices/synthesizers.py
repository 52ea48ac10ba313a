"""What the synthesizers of speech.py share: the one list of what apt has to install, and how their files are read."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

PACKAGES = (
    *(
        "flite",
        "espeak-ng",
        "festival",
        "festvox-kdlpc16k",
        "festvox-us-slt-hts",
        "festvox-italp16k",
        "festvox-itapc16k",
    ),
    *("festvox-czech-dita", "festvox-czech-krb", "festvox-czech-machac", "festvox-czech-ph", "festvox-suopuhe-lj"),
    *("festvox-suopuhe-mv", "festvox-ca-ona-hts"),
)
PROGRAMS = ("flite", "espeak-ng", "festival")  # of the packages, to be run
INSTALL = f"apt-get install {' '.join(PACKAGES)}"


def read_wave(path: str | Path) -> tuple[np.ndarray, int]:
    """(samples (n,) float32 in [-1, 1], their rate in Hz) of a file of 16 bits and one channel."""
    with wave.open(str(path)) as sound:
        return np.frombuffer(sound.readframes(sound.getnframes()), "<i2").astype(
            np.float32
        ) / 32768, sound.getframerate()
