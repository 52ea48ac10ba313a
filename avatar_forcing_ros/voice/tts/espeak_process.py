"""One sentence through libespeak-ng: python -I -S espeak_process.py VOICE [WORDS_PER_MINUTE PITCH], the text on standard input.

Standard output gets one line of JSON, then the samples as 16-bit integers. The line: {"sample_rate": Hz, "words": [[first character,
characters, start in milliseconds], ...]}; where rate and pitch (0 to 99) are given {"sample_rate": Hz, "phones": [[IPA, its start in
milliseconds], ...]}. A process of its own because the library keeps a state from sentence to sentence: only a fresh one gives the
same samples for the same request. Standard library only: starts fast.
"""

import ctypes
import json
import sys

_RETRIEVAL = 1  # samples go to a callback, not to a loudspeaker
_NO_EXIT = 0x8000  # on an error
_PHONES = 0x0001 | 0x0002  # phoneme events, their names in IPA
_RATE, _PITCH = 1, 3  # parameters
_UTF8 = 1
_LIST_END, _WORD, _PHONEME = 0, 1, 7  # kinds of event
NO_LIBRARY, NO_DATA, NO_VOICE, NO_SPEECH = 3, 4, 5, 6  # exit codes


class _Event(ctypes.Structure):
    _fields_ = [
        ("kind", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # characters, from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # milliseconds
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("string", ctypes.c_char * 8),
    ]


class _Voice(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def main(voice: str, rate_and_pitch: list[int], text: bytes) -> int:
    try:
        library = ctypes.CDLL("libespeak-ng.so.1")
    except OSError:
        return NO_LIBRARY
    sample_rate = library.espeak_Initialize(_RETRIEVAL, 0, None, _NO_EXIT | (_PHONES if rate_and_pitch else 0))
    if sample_rate <= 0:
        return NO_DATA
    sound, words, phones = bytearray(), [], []

    @_Callback
    def collect(samples, count, events):
        if samples and count > 0:
            sound.extend(ctypes.string_at(samples, 2 * count))
        index = 0
        while events[index].kind != _LIST_END:
            event = events[index]
            if event.kind == _WORD:
                words.append((event.text_position - 1, event.length, event.audio_position))
            elif event.kind == _PHONEME:
                phones.append((event.string.decode(errors="replace"), event.audio_position))
            index += 1
        return 0  # go on

    library.espeak_SetSynthCallback(collect)
    if library.espeak_SetVoiceByName(voice.encode()) != 0:  # "en-gb" is a language of the voice "en", not a name
        wanted = _Voice(languages=voice.encode())
        if library.espeak_SetVoiceByProperties(ctypes.byref(wanted)) != 0:
            return NO_VOICE
    for parameter, value in zip((_RATE, _PITCH), rate_and_pitch):
        library.espeak_SetParameter(parameter, value, 0)
    if library.espeak_Synth(text, len(text) + 1, 0, 1, 0, _UTF8, None, None) != 0:
        return NO_SPEECH
    library.espeak_Synchronize()
    told: dict[str, list] = {"phones": phones} if rate_and_pitch else {"words": words}
    sys.stdout.buffer.write(json.dumps({"sample_rate": sample_rate, **told}).encode() + b"\n" + sound)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], [int(value) for value in sys.argv[2:4]], sys.stdin.buffer.read()))
