"""Voice activity of 16 kHz sound: Silero's network where it is installed, else the level over the noise floor."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import NamedTuple

import numpy as np

from avatar_forcing_ros.audio.level import SpeechLevel
from avatar_forcing_ros.errors import InputError

DETECTORS = ("auto", "silero", "level")
_HOP, _CONTEXT = 512, 64  # samples that Silero takes at once, and of those before
_ON, _OFF = 0.5, 0.3  # probability at which a voice begins and ends


class Activity(NamedTuple):
    """probability: 0..1 of a voice in the newest sound; active: somebody speaks; db: level of the frame."""

    probability: float
    active: bool
    db: float


class VoiceDetector:
    """Takes frames of 640 samples in order. State of fixed size."""

    name = ""

    def push(self, samples: np.ndarray, known: bool = True) -> Activity:
        raise NotImplementedError

    def reset(self) -> None:
        """The stream begins anew."""


class LevelDetector(VoiceDetector):
    """The level tracker: anything that is 9 dB over the noise floor is a voice."""

    name = "level"

    def __init__(self) -> None:
        self._level = SpeechLevel()

    def push(self, samples: np.ndarray, known: bool = True) -> Activity:
        level = self._level.push(samples, known)
        return Activity(level.strength, level.active, level.db)

    def reset(self) -> None:
        self._level.reset()


class SileroDetector(VoiceDetector):
    """Silero VAD's ONNX file from the package `silero-vad`, run by ONNX Runtime on one core: about 0.3 ms per 32 ms of sound."""

    name = "silero"

    def __init__(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(_model()), options, providers=["CPUExecutionProvider"])
        self._rate = np.array(16_000, np.int64)
        self._level = SpeechLevel()
        self.reset()

    def reset(self) -> None:
        self._state = np.zeros((2, 1, 128), np.float32)
        self._rest = np.zeros(_CONTEXT, np.float32)  # the context, and samples that are no whole hop yet
        self._probability, self._active = 0.0, False
        self._level.reset()

    def push(self, samples: np.ndarray, known: bool = True) -> Activity:
        self._rest = np.concatenate([self._rest, samples.astype(np.float32)])
        while len(self._rest) >= _CONTEXT + _HOP:
            asked = {"input": self._rest[None, : _CONTEXT + _HOP], "state": self._state, "sr": self._rate}
            probability, self._state = self._session.run(None, asked)
            self._probability = float(probability[0, 0])
            self._rest = self._rest[_HOP:]
        self._active = self._probability > (_OFF if self._active else _ON)
        return Activity(self._probability, self._active, self._level.push(samples, known).db)


def _model() -> Path:
    found = importlib.util.find_spec("silero_vad")  # found, not imported: the import wants PyTorch
    folder = Path(found.origin).parent / "data" if found is not None and found.origin else None
    for name in ("silero_vad_16k_op15.onnx", "silero_vad.onnx"):
        if folder is not None and (folder / name).is_file():
            return folder / name
    raise InputError(
        "Silero's voice activity is not installed: pip install --no-deps silero-vad, or use the detector level"
    )


def make_detector(name: str = "auto") -> VoiceDetector:
    """auto: Silero where it and ONNX Runtime are installed, else the level. Raises InputError where a named one is missing."""
    if name not in DETECTORS:
        raise InputError(f"voice detector '{name}' is unknown; use one of {', '.join(DETECTORS)}")
    there = importlib.util.find_spec("silero_vad") is not None and importlib.util.find_spec("onnxruntime") is not None
    if name == "level" or (name == "auto" and not there):
        return LevelDetector()
    if not there:
        raise InputError(
            "Silero's voice activity is not installed: pip install --no-deps silero-vad, or use the detector level"
        )
    return SileroDetector()
