"""One sentence through libespeak-ng, in a process of its own: python -I -S espeak_process.py VOICE WORDS_PER_MINUTE PITCH

The text comes on standard input. Standard output gets one line of JSON, {"sample_rate": Hz, "phones": [[IPA, its start in
milliseconds], ...]}, then the samples as 16-bit integers. A process of its own because the library keeps a state from
sentence to sentence: only a fresh one gives the same samples for the same request. Standard library only: starts fast.
"""

import ctypes
import json
import sys

_RETRIEVAL = 1  # samples go to a callback, not to a loudspeaker
_OPTIONS = 0x0001 | 0x0002 | 0x8000  # phoneme events, their names in IPA, no exit on an error
_RATE, _PITCH = 1, 3  # parameters
_UTF8 = 1
_LIST_END, _PHONEME = 0, 7  # kinds of event
NO_LIBRARY, NO_DATA, NO_VOICE, NO_SPEECH = 3, 4, 5, 6  # exit codes


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


def main(voice: str, words_per_minute: int, pitch: int, text: bytes) -> int:
    try:
        library = ctypes.CDLL("libespeak-ng.so.1")
    except OSError:
        return NO_LIBRARY
    sample_rate = library.espeak_Initialize(_RETRIEVAL, 0, None, _OPTIONS)
    if sample_rate <= 0:
        return NO_DATA
    sound, phones = bytearray(), []

    @_Callback
    def collect(samples, count, events):
        if samples and count > 0:
            sound.extend(ctypes.string_at(samples, 2 * count))
        index = 0
        while events[index].kind != _LIST_END:
            if events[index].kind == _PHONEME:
                phones.append((events[index].string.decode(errors="replace"), events[index].audio_position))
            index += 1
        return 0  # go on

    library.espeak_SetSynthCallback(collect)
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        return NO_VOICE
    library.espeak_SetParameter(_RATE, words_per_minute, 0)
    library.espeak_SetParameter(_PITCH, pitch, 0)
    if library.espeak_Synth(text, len(text) + 1, 0, 1, 0, _UTF8, None, None) != 0:
        return NO_SPEECH
    library.espeak_Synchronize()
    sys.stdout.buffer.write(json.dumps({"sample_rate": sample_rate, "phones": phones}).encode() + b"\n" + sound)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.stdin.buffer.read()))
