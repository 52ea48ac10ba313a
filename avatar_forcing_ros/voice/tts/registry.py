"""The engines by name. A voice is named `engine:voice`, or `engine` for its own default, or `auto`."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.voice.tts.base import Voice


@dataclass(frozen=True)
class Engine:
    module: (
        str  # has `make(voice, language)` and `missing()`, which is "" where the engine can be used, else what to do
    )
    what: str


_HERE = "avatar_forcing_ros.voice.tts."
ENGINES = {
    "hibari": Engine(_HERE + "hibari", "neural, English, 24 kHz, weights in its package"),
    "espeak-ng": Engine(_HERE + "espeak", "formants, 100 languages, 22 kHz, tells the times of words"),
    "flite": Engine(_HERE + "flite", "English, 8 or 16 kHz, small and quick"),
    "piper": Engine(_HERE + "piper", "neural, voices of your own (.onnx)"),
    "kokoro": Engine(_HERE + "kokoro", "neural, 24 kHz, tells the times of words"),
    "openai": Engine(_HERE + "openai_speech", "any server with /v1/audio/speech"),
}
_AUTO = ("hibari", "espeak-ng", "flite")  # that need nothing but themselves
_ENGLISH = ("hibari", "flite")  # speak no other language


def available() -> dict[str, str]:
    """{engine: "" where it can be used, else what to do}."""
    return {name: importlib.import_module(engine.module).missing() for name, engine in ENGINES.items()}


def open_voice(voice: str = "auto", language: str = "") -> Voice:
    """Opens `engine[:voice]`; `auto` (or "") is the first engine that is there. language: such as "en", "de" or "en-GB".

    Raises InputError that says what is missing, or which engines there are.
    """
    engine, _, chosen = (voice or "auto").partition(":")
    if engine == "auto":
        foreign = language[:2].lower() not in ("", "en")
        wanting = {}
        for name in _AUTO:
            if foreign and name in _ENGLISH:
                continue
            wanting[name] = importlib.import_module(ENGINES[name].module).missing()
            if not wanting[name]:
                engine = name
                break
        else:
            raise InputError("no speech synthesizer is installed: " + "; or ".join(wanting.values()))
    if engine not in ENGINES:
        raise InputError(f"speech engine '{engine}' is unknown; use one of {', '.join(ENGINES)}, or auto")
    module = importlib.import_module(ENGINES[engine].module)
    missing = module.missing()
    if missing:
        raise InputError(f"{engine}: {missing}")
    return module.make(chosen, language)
