"""Speech to learn from: sentences said by free synthesizers, with the times of their phones.

flite (English) and Festival (five languages), whose voices are made of recordings of people, and espeak-ng (many languages,
many variants, made of formants) know when each phone sounds, so the mouth that belongs to the sound is known without any
recording of a face. All are in Debian (synthesizers.py). The same voice and text always give the same samples.

Some voices, variants and languages are held out: what is trained never hears them.
"""

from __future__ import annotations

import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import soxr

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.learning.world.phones import PHONES, Phone
from avatar_forcing_ros.learning.world.voices import espeak, festival
from avatar_forcing_ros.learning.world.voices.ipa import ipa_phones
from avatar_forcing_ros.learning.world.voices.synthesizers import INSTALL, read_wave
from avatar_forcing_ros.timeline import SAMPLE_RATE

LEVEL = 0.08  # RMS of an utterance
FLITE = {"slt": 0.4, "awb": 0.3, "kal16": 0.2, "kal": 0.1}  # how often each is used; kal has 8 kHz only
FLITE_PITCH = {"slt": 170.0, "awb": 130.0, "kal16": 105.0, "kal": 105.0, "rms": 100.0}  # Hz of the voices themselves
HELD_OUT_FLITE = ("rms",)
FESTIVAL = {name: 2 if name == "ked_diphone" else 1 for name in festival.VOICES}  # shares; flite has slt but not ked
# espeak-ng's names of the languages, by the language of the text.
ESPEAK = {
    "en": ("en-us", "en", "en-gb-x-rp", "en-gb-x-gbclan", "en-us-nyc"),
    "de": ("de",),
    "fr": ("fr", "fr-be"),
    "es": ("es", "es-419"),
    "it": ("it",),
    "pt": ("pt", "pt-br"),
    "pl": ("pl",),
    "ru": ("ru",),
}
HELD_OUT_ESPEAK = {"en": ("en-gb-scotland",), "nl": ("nl",), "sv": ("sv",)}
VARIANTS = (
    *("m1", "m2", "m3", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f5", "klatt", "klatt2", "klatt4", "Andy", "Annie"),
    *(
        "Alicia",
        "Denis",
        "Gene",
        "Henrique",
        "Hugo",
        "Lee",
        "Marco",
        "Mario",
        "Mike",
        "adam",
        "anika",
        "antonio",
        "belinda",
    ),
    *(
        "benjamin",
        "boris",
        "caleb",
        "david",
        "ed",
        "edward",
        "john",
        "max",
        "miguel",
        "norbert",
        "pablo",
        "paul",
        "pedro",
    ),
    *("quincy", "rob", "robert", "sandro", "shelby", "steph", "travis", "victor", "zac"),
)
HELD_OUT_VARIANTS = ("m4", "f4", "klatt3", "linda", "michel", "Michael", "Jacky", "steph2")
_MARGIN = 0.05  # seconds of silence left at both ends
_SILENT = 10 ** (-45 / 20)  # of the loud parts' level
_THREADS = 2


@dataclass(frozen=True)
class Voice:
    """synthesizer: "flite", "espeak" or "festival"; name: its name for the voice, as "slt", "de+f2" or "czech_ph"; language:
    of the texts, as texts.py has them. rate and pitch: factors on the voice's own. formant: resampling, 1.2 is a fifth higher
    in formants and pitch and a fifth faster, as from a smaller head."""

    synthesizer: str
    name: str
    language: str
    rate: float = 1.0
    pitch: float = 1.0
    formant: float = 1.0


@dataclass(frozen=True)
class Utterance:
    """samples (n,) float32 at 16 kHz with an RMS of about 0.08 and at most 60 ms of silence at either end; phones: one
    after the other without gaps, in seconds from the first sample; voice: the voice's name."""

    samples: np.ndarray
    phones: tuple[Phone, ...]
    voice: str
    text: str

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE


def random_voice(rng: np.random.Generator, held_out: bool = False) -> Voice:
    """A voice of any synthesizer, a third each. held_out: one of those that training never hears (never one of them
    otherwise), half of flite and half of espeak-ng."""
    style = {"rate": rng.uniform(0.8, 1.3), "pitch": 2 ** rng.uniform(-0.45, 0.45), "formant": rng.uniform(0.82, 1.22)}
    draw = rng.random()
    if not held_out and draw > 2 / 3:
        shares = np.array(list(FESTIVAL.values()))
        name = str(rng.choice(list(FESTIVAL), p=shares / shares.sum()))
        return Voice("festival", name, festival.VOICES[name], **style)
    if draw < (1 / 2 if held_out else 1 / 3):
        name = str(rng.choice(HELD_OUT_FLITE)) if held_out else str(rng.choice(list(FLITE), p=list(FLITE.values())))
        return Voice("flite", name, "en", **style)
    languages = HELD_OUT_ESPEAK if held_out else ESPEAK
    language = "en" if rng.random() < 0.35 else str(rng.choice(list(languages)))
    variant = rng.choice(HELD_OUT_VARIANTS if held_out else VARIANTS)
    return Voice("espeak", f"{rng.choice(languages[language])}+{variant}", language, **style)


def say(voice: Voice, text: str) -> Utterance:
    """`text` said by `voice`. Raises InputError when the synthesizer or the voice is missing or nothing is to be said."""
    samples, sample_rate, phones = _SAY[voice.synthesizer](voice, text)
    if all(phone.symbol == "pau" for phone in phones):
        raise InputError(f"text '{text}': the voice {voice.name} finds nothing to say in it")
    samples = soxr.resample(samples, sample_rate * voice.formant, SAMPLE_RATE, quality="HQ")
    stretched = [Phone(p.symbol, p.start / voice.formant, p.end / voice.formant) for p in phones]
    return _finish(samples, stretched, voice.name, text)


def say_all(requests: list[tuple[Voice, str]]) -> list[Utterance]:
    """Utterances of all requests, in their order; two are made at once."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(lambda request: say(*request), requests))


def _finish(samples: np.ndarray, phones: list[Phone], voice: str, text: str) -> Utterance:
    """Trimmed and levelled."""
    step = SAMPLE_RATE // 200
    levels = np.sqrt(np.mean(samples[: len(samples) // step * step].reshape(-1, step) ** 2, axis=1))
    if len(levels) == 0 or levels.max() <= 0.0:
        raise InputError(f"text '{text}': the voice {voice} says nothing")
    loud = np.flatnonzero(levels > _SILENT * np.percentile(levels, 95))
    first = max(0, loud[0] * step - round(_MARGIN * SAMPLE_RATE))
    last = min(len(samples), (loud[-1] + 1) * step + round(_MARGIN * SAMPLE_RATE))
    samples = samples[first:last]
    begin, end = first / SAMPLE_RATE, last / SAMPLE_RATE
    cut = [Phone(p.symbol, *(float(np.clip(t, begin, end) - begin) for t in (p.start, p.end))) for p in phones]
    samples = samples * (LEVEL / np.sqrt(np.mean(samples**2)))
    kept = tuple(p for p in cut if p.end - p.start > 1e-4)
    return Utterance(np.clip(samples, -1.0, 1.0).astype(np.float32), kept, voice, text)


def _say_flite(voice: Voice, text: str) -> tuple[np.ndarray, int, list[Phone]]:
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        command = ["flite", "-voice", voice.name, "-psdur", "--setf", f"duration_stretch={1 / voice.rate:.3f}"]
        command += ["--setf", f"int_f0_target_mean={FLITE_PITCH.get(voice.name, 110.0) * voice.pitch:.1f}"]
        try:
            told = subprocess.run([*command, "-t", text, "-o", file.name], capture_output=True, text=True, timeout=60)
        except FileNotFoundError:
            raise InputError(f"flite is missing: {INSTALL}") from None
        if told.returncode != 0:
            raise InputError(f"flite cannot speak '{text}' with the voice {voice.name}: {told.stderr.strip()[:200]}")
        samples, sample_rate = read_wave(file.name)
    phones, start = [], 0.0
    for name, end in (entry.rsplit(":", 1) for entry in told.stdout.split()):
        if name not in PHONES:
            raise InputError(f"flite's phone '{name}' is unknown: use the flite of Debian (apt-get install flite)")
        phones.append(Phone(name, start, float(end)))
        start = float(end)
    return samples, sample_rate, phones


def _say_espeak(voice: Voice, text: str) -> tuple[np.ndarray, int, list[Phone]]:
    samples, sample_rate, events = espeak.synthesize(voice.name, text, voice.rate, voice.pitch)
    return samples, sample_rate, ipa_phones(events, len(samples) / sample_rate)


def _say_festival(voice: Voice, text: str) -> tuple[np.ndarray, int, list[Phone]]:
    return festival.synthesize(voice.name, text, voice.rate, voice.pitch)


_SAY = {"flite": _say_flite, "espeak": _say_espeak, "festival": _say_festival}


def laugh(rng: np.random.Generator, voice: Voice) -> Utterance:
    """A laugh, "ha ha ha": breathy calls, about five a second, that get lower, weaker and slower.

    Numbers after Bachorowski, Smoski & Owren 2001 (The acoustic features of human laughter): calls about 0.2 s apart,
    voiced ones far above the speaking pitch, with the formants of an open central vowel.
    """
    from scipy.signal import lfilter  # late: it takes as long to import as PyTorch

    count = int(rng.integers(3, 9))
    period = rng.uniform(0.17, 0.24) / voice.rate**0.5 * np.linspace(1.0, rng.uniform(1.05, 1.35), count)
    starts = 0.04 + np.concatenate([[0.0], np.cumsum(period)[:-1]])
    times = np.arange(round((starts[-1] + period[-1] + 0.1) * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = FLITE_PITCH.get(voice.name, 140.0) * voice.pitch * voice.formant * rng.uniform(1.4, 2.2)
    voiced, breath, phones = np.zeros_like(times), np.zeros_like(times), []
    for start, length, gain in zip(starts, period, np.linspace(1.0, rng.uniform(0.3, 0.7), count)):
        vowel = start + rng.uniform(0.35, 0.5) * length
        phones += [Phone("hh", start, vowel), Phone("aa", vowel, start + length)]
        voiced += gain * np.interp(
            times, [vowel - 0.01, vowel + 0.02, start + 0.8 * length, start + length], [0, 1, 0.5, 0]
        )
        breath += gain * np.interp(times, [start, start + 0.03, vowel, start + length], [0, 0.5, 0.25, 0])
    contour = pitch * np.linspace(1.0, rng.uniform(0.7, 0.9), len(times)) * (1.0 + 0.1 * voiced)
    phase = np.cumsum(contour / SAMPLE_RATE) % 1.0
    source = voiced * (1.0 - 2.0 * phase) ** 3 + 0.4 * breath * rng.standard_normal(len(times))
    sound = np.zeros_like(source)
    for centre, width, gain in ((750.0, 110.0, 1.0), (1300.0, 130.0, 0.6), (2600.0, 200.0, 0.3), (3500.0, 300.0, 0.15)):
        radius = np.exp(-np.pi * width / SAMPLE_RATE)
        turn = 2.0 * radius * np.cos(2.0 * np.pi * centre * voice.formant / SAMPLE_RATE)
        sound += gain * lfilter([1.0 - radius], [1.0, -turn, radius**2], source)
    ends = [Phone("pau", 0.0, phones[0].start), *phones, Phone("pau", phones[-1].end, len(times) / SAMPLE_RATE)]
    return _finish(sound.astype(np.float32), ends, voice.name, "ha " * count)
