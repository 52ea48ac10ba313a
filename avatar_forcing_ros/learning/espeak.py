"""espeak-ng as a library: samples of a sentence and the times of its phones. Needs `apt-get install espeak-ng`."""

from __future__ import annotations

import ctypes
import threading

import numpy as np

from avatar_forcing_ros.errors import InputError

_RETRIEVAL = 1  # samples go to a callback, not to a loudspeaker
_OPTIONS = 0x0001 | 0x0002 | 0x8000  # phoneme events, their names in IPA, no exit on an error
_RATE, _PITCH = 1, 3  # parameters
_UTF8 = 1
_LIST_END, _PHONEME = 0, 7  # kinds of event
_WORDS_PER_MINUTE = 165  # at rate 1


class _Event(ctypes.Structure):
    _fields_ = [
        ("kind", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # milliseconds
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("string", ctypes.c_char * 8),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
_lock = threading.Lock()  # the library has one state for the whole process
_engine: _Engine | None = None


class _Engine:
    def __init__(self) -> None:
        try:
            self.library = ctypes.CDLL("libespeak-ng.so.1")
        except OSError:
            raise InputError("espeak-ng is missing: apt-get install flite espeak-ng") from None
        self.sample_rate = self.library.espeak_Initialize(_RETRIEVAL, 0, None, _OPTIONS)
        if self.sample_rate <= 0:
            raise InputError("espeak-ng finds no data: apt-get install --reinstall espeak-ng espeak-ng-data")
        self._callback = _Callback(self._collect)  # kept: the library only borrows it
        self.library.espeak_SetSynthCallback(self._callback)
        self.chunks: list[np.ndarray] = []
        self.events: list[tuple[str, float]] = []

    def _collect(self, samples, count: int, events) -> int:
        if samples and count > 0:
            self.chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].kind != _LIST_END:
            if events[index].kind == _PHONEME:
                self.events.append((events[index].string.decode(errors="replace"), events[index].audio_position / 1000))
            index += 1
        return 0  # go on


def synthesize(voice: str, text: str, rate: float, pitch: float) -> tuple[np.ndarray, int, list[tuple[str, float]]]:
    """(samples (n,) float32 in [-1, 1], their rate in Hz, [(IPA, its start in seconds)]) of `text`.

    voice: espeak-ng's name, "de" or "de+f2". rate and pitch: factors on the voice's own. An empty IPA is a pause.
    Raises InputError when espeak-ng or the voice is missing.
    """
    global _engine
    with _lock:
        if _engine is None:
            _engine = _Engine()
        library = _engine.library
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise InputError(f"espeak-ng has no voice '{voice}': apt-get install flite espeak-ng, or use another voice")
        library.espeak_SetParameter(_RATE, round(_WORDS_PER_MINUTE * rate), 0)
        library.espeak_SetParameter(_PITCH, int(np.clip(50 + 60 * np.log2(pitch), 0, 99)), 0)
        _engine.chunks, _engine.events = [], []
        data = text.encode()
        if library.espeak_Synth(data, len(data) + 1, 0, 1, 0, _UTF8, None, None) != 0:
            raise InputError(f"espeak-ng cannot speak '{text}' with the voice '{voice}'")
        library.espeak_Synchronize()
        chunks = _engine.chunks or [np.zeros(0, np.int16)]
        return np.concatenate(chunks).astype(np.float32) / 32768, _engine.sample_rate, _engine.events
