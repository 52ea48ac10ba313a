"""Festival: samples of a sentence and the times of its phones, by voices made of recordings of people.

Most are diphones, two are statistical models (HTS). Needs Debian's festival and the festvox packages of synthesizers.py.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.learning.world.phones import PHONES, Phone
from avatar_forcing_ros.learning.world.voices.synthesizers import INSTALL, read_wave

VOICES = {  # language of the text, by Festival's name of the voice
    "ked_diphone": "en", "cmu_us_slt_arctic_hts": "en", "lp_diphone": "it", "pc_diphone": "it", "czech_dita": "cs",
    "czech_krb": "cs", "czech_machac": "cs", "czech_ph": "cs", "suo_fi_lj_diphone": "fi", "hy_fi_mv_diphone": "fi",
    "upc_ca_ona_hts": "ca",
}  # fmt: skip
# What the phones of a language are among PHONES, where that is not their own name: one, or two that share its time. Marks
# of stress (1) and length (:) are dropped where the table has none: how long a phone lasts is told by its times.
_TABLES = {
    "en": {"axr": "er", "dx": "d", "el": "l", "em": "m", "en": "n", "hv": "hh", "nx": "n", "h#": "pau", "brth": "pau"},
    "it": {
        "i": "iy", "E": "eh", "O": "ao", "u": "uw", "j": "y", "S": "sh", "Z": "zh", "ts": "t s", "tS": "ch", "dz": "d z",
        "dZ": "jh", "J": "ny", "nf": "v", "L": "ny", "r": "rr", "#": "pau",
    },
    "cs": {
        "e": "eh", "i": "ih", "i:": "iy", "u": "uw", "h": "hh", "ch": "x", "j": "y", "r": "rr", "r~": "rr zh",
        "r~*": "rr sh", "c": "t s", "c~": "ch", "dz": "d z", "dz~": "jh", "s~": "sh", "z~": "zh", "t~": "t", "d~": "d",
        "n~": "ny", "n*": "ng", "_": "q", "#": "pau",
    },
    "fi": {
        "a": "aa", "i": "iy", "u": "uw", "y": "ue", "@": "ae", "7": "oe", "&": "ax", "T": "th", "D": "dh", "S": "sh",
        "Z": "zh", "h": "hh", "L": "l", "j": "y", "r": "rr", "N": "ng", "#": "pau", "##": "pau",
    },
    "ca": {
        "E": "eh", "i": "iy", "O": "ao", "u": "uw", "j": "y", "J": "ny", "L": "ny", "r": "rr", "S": "sh", "Z": "zh",
        "_": "pau", "#": "pau",
    },
}  # fmt: skip
_ENCODING = {"cs": "iso-8859-2"}  # of others: ISO 8859-1
_TIMEOUT_S = 60
_LOWEST = 30.0  # Hz; below lies only the drift of predicted samples, an offset of -46 dB in hy_fi_mv_diphone
_LOWEST_PITCH = 60.0  # Hz; about 50 Hz Festival's marks of pitch fail, and its memory with them
_MARGIN = 0.05  # seconds of a pause left at both ends
_HEAP = "1000000"  # cells of Lisp; Festival's own ten million take twice as long to set up as a sentence to say
# Diphone voices take a stretch of durations, and the pitch may be changed between its plan and the wave; HTS voices take a
# rate, and plan their pitch where it cannot be reached.
_SCRIPT = """
(voice_{name})
(Parameter.set 'Duration_Stretch {stretch:.4f})
(define (scale target)
  (let ((f0 (* {pitch:.4f} (item.feat target 'f0))))
    (if (item.feat.present target 'f0) (item.set_feat target 'f0 (if (< f0 {lowest_pitch}) {lowest_pitch} f0)))))
(define (scale_pitch utt)
  (mapcar scale (if (member 'Target (utt.relationnames utt)) (utt.relation.leafs utt 'Target)))
  utt)
(set! after_analysis_hooks (append after_analysis_hooks (list scale_pitch)))
(defvar hts_engine_params nil)
(set! hts_engine_params (append hts_engine_params (list (list "-r" {rate:.4f}))))
(set! said (utt.synth (Utterance Text "{text}")))
(utt.save.segs said "{folder}/phones")
(utt.save.wave said "{folder}/sound" 'riff)
"""


def synthesize(voice: str, text: str, rate: float, pitch: float) -> tuple[np.ndarray, int, list[Phone]]:
    """(samples (n,) float32 in [-1, 1], their rate in Hz, phones without gaps) of `text`.

    voice: one of VOICES. rate and pitch: factors on the voice's own; the HTS voices keep their pitch. The same request
    always gives the same samples. Raises InputError when Festival or the voice is missing, or cannot say the text.
    """
    if voice not in VOICES:
        raise InputError(f"there is no Festival voice '{voice}'; use one of {', '.join(VOICES)}")
    language = VOICES[voice]
    with tempfile.TemporaryDirectory() as folder:
        script = _SCRIPT.format(
            name=voice, stretch=1.0 / rate, pitch=pitch, rate=rate, folder=folder, lowest_pitch=_LOWEST_PITCH,
            text=text.replace("\\", " ").replace('"', " "),
        )  # fmt: skip
        path = Path(folder)
        try:
            (path / "script").write_text(script, _ENCODING.get(language, "iso-8859-1"))
            command = ["festival", "--heap", _HEAP, "-b", str(path / "script")]
            told = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S)
        except FileNotFoundError:
            raise InputError(f"festival is missing: {INSTALL}") from None
        except UnicodeEncodeError as error:
            raise InputError(f"text '{text}' has letters that the voice {voice} cannot read: {error}") from None
        if b"unbound variable : voice_" in told.stderr:
            raise InputError(f"Festival's voice {voice} is missing: {INSTALL}")
        if told.returncode < 0 and pitch != 1.0:  # it crashed; its own pitch is what it was made for
            return synthesize(voice, text, rate, 1.0)
        if told.returncode != 0:
            why = told.stderr.decode(errors="replace").strip()[:200]
            raise InputError(f"Festival finds nothing to say in '{text}' with the voice {voice}: {why}")
        samples, sample_rate = read_wave(path / "sound")
        segments = (path / "phones").read_text().partition("#\n")[2]
    from scipy.signal import lfilter  # late: it takes as long to import as PyTorch

    pole = np.exp(-2.0 * np.pi * _LOWEST / sample_rate)
    samples = lfilter([1.0, -1.0], [1.0, -pole], samples).astype(np.float32)
    samples, phones = _cut(samples, sample_rate, _phones(segments, language))
    return samples, sample_rate, phones


def _cut(samples: np.ndarray, sample_rate: int, phones: list[Phone]) -> tuple[np.ndarray, list[Phone]]:
    """Both without the pauses at their ends, but for 50 ms: the noise of a recording hides from who looks for silence."""
    begin = max(0.0, phones[0].end - _MARGIN) if phones[0].symbol == "pau" else 0.0
    end = phones[-1].start + _MARGIN if phones[-1].symbol == "pau" else phones[-1].end
    moved = [Phone(p.symbol, max(p.start, begin) - begin, min(p.end, end) - begin) for p in phones]
    return samples[round(begin * sample_rate) : round(end * sample_rate)], moved


def _phones(segments: str, language: str) -> list[Phone]:
    """Phones from Festival's lines of an end in seconds, a number and a name; doubled ones are one, as lips do not part
    within the pp of Italian."""
    phones: list[Phone] = []
    start = 0.0
    for end, _, name in (line.split() for line in segments.splitlines()):
        parts, stop = symbols(name, language), float(end)
        edges = np.linspace(start, stop, len(parts) + 1).tolist()
        for symbol, a, b in zip(parts, edges, edges[1:]):
            if phones and phones[-1].symbol == symbol:
                a = phones.pop().start
            phones.append(Phone(symbol, a, b))
        start = stop
    return phones


def symbols(name: str, language: str) -> list[str]:
    """The phones of visemes.py for a phone of Festival's voices of a language. Raises InputError for an unknown one."""
    table, plain = _TABLES[language], name.rstrip("1:")
    parts = table.get(name, table.get(plain, plain)).split()
    if not parts or not set(parts) <= set(PHONES):
        raise InputError(f"Festival's phone '{name}' is unknown: use the Festival and the voices of Debian ({INSTALL})")
    return parts
