"""Speech to learn from: voices, times of phones, mouths that fit them, texts and what microphones do to them."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.learning.data import augment
from avatar_forcing_ros.learning.world import phones, texts, visemes
from avatar_forcing_ros.learning.world.phones import Phone
from avatar_forcing_ros.learning.world.voices import espeak, festival, ipa, speech, synthesizers
from avatar_forcing_ros.learning.world.voices.speech import Voice
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.timeline import FRAME_RATE, SAMPLE_RATE, SAMPLES_PER_FRAME
from avatar_forcing_ros.voice.tts import espeak_process

needs_synthesizers = pytest.mark.skipif(
    not all(map(shutil.which, synthesizers.PROGRAMS)), reason=f"needs {synthesizers.INSTALL}"
)
JAW, PRESS, PUCKER = (rig.INDEX[name] for name in ("jawOpen", "mouthPress", "mouthPucker"))
SENTENCES = (
    "my brother will never bring a map to the warm purple farm.",
    "the happy people paint a boat, and nobody could leave the room.",
    "perhaps we should carry the heavy box over the old bridge tomorrow.",
)
VOICES = (
    *(
        Voice("flite", "slt", "en"),
        Voice("flite", "awb", "en"),
        Voice("espeak", "en-us+m3", "en"),
        Voice("espeak", "en+f2", "en"),
    ),
    *(Voice("festival", "ked_diphone", "en"), Voice("festival", "cmu_us_slt_arctic_hts", "en")),
)
# Many p, b and m between vowels, a pause, and what a script or an encoding may trip over.
FESTIVAL_TEXTS = {
    "en": 'my "mama" and a baby boy (O\'Brien) may bump a pony\\, papa may pay.',
    "it": 'però la mamma "beve", e un papà ama la pipa più bella dell\'uomo.',
    "cs": 'můj "malý" pes má příliš mouky, bába řekla mámě pěkně o bábovce.',
    "fi": 'hyvä mummo "lupaa" apua, ja poika näki kypärän: ömmää, pappa puhuu.',
    "ca": 'la mama no sap què "beu", però el pare té una poma i un bon pa amb l\'abella.',
}


def phones_of(*parts: tuple[str, float]) -> list[Phone]:
    """Phones one after the other from (symbol, length)."""
    phones, start = [], 0.0
    for symbol, length in parts:
        phones.append(Phone(symbol, start, start + length))
        start += length
    return phones


@pytest.fixture(scope="module")
def utterances():
    requests = [(voice, sentence) for voice in VOICES for sentence in SENTENCES]
    return list(zip(requests, speech.say_all(requests)))


@needs_synthesizers
def test_an_utterance_is_level_trimmed_and_its_phones_cover_it(utterances):
    for (voice, sentence), said in utterances:
        assert (said.voice, said.text, said.samples.dtype) == (voice.name, sentence, np.float32)
        assert np.sqrt(np.mean(said.samples**2)) == pytest.approx(speech.LEVEL, rel=0.02)
        levels = np.sqrt(np.mean(said.samples[: len(said.samples) // 80 * 80].reshape(-1, 80) ** 2, axis=1))
        loud = np.flatnonzero(levels > 0.0055 * np.percentile(levels, 95)) * 0.005  # above -45 dB
        assert loud[0] <= 0.06 and said.seconds - loud[-1] <= 0.065
        assert said.phones[0].start == 0.0 and said.phones[-1].end == pytest.approx(said.seconds, abs=0.12)
        for before, after in zip(said.phones, said.phones[1:]):
            assert before.symbol in phones.PHONES
            assert after.start == pytest.approx(before.end, abs=1e-3) and before.end > before.start


@needs_synthesizers
@pytest.mark.parametrize("synthesizer", ["flite", "espeak", "festival"])
def test_the_jaw_moves_with_the_sound(utterances, synthesizer):
    """The lag at which the jaw's opening fits the sound's loudness best is none, or the jaw is one frame ahead."""
    fits = {lag: [] for lag in range(-3, 4)}
    for (voice, _), said in utterances:
        if voice.synthesizer != synthesizer:
            continue
        count = len(said.samples) // SAMPLES_PER_FRAME
        frames = said.samples[: count * SAMPLES_PER_FRAME].reshape(count, SAMPLES_PER_FRAME)
        loudness = np.log(np.sqrt(np.mean(frames**2, axis=1)) + 1e-3)
        jaw = visemes.mouth(said.phones, count)[:, JAW]
        for lag in fits:
            a, b = jaw[max(0, -lag) : count - max(0, lag)], loudness[max(0, lag) : count - max(0, -lag)]
            fits[lag].append(np.corrcoef(a, b)[0, 1])
    means = {lag: np.mean(values) for lag, values in fits.items()}
    assert max(means, key=means.get) in (0, 1) and max(means.values()) > 0.3


@needs_synthesizers
def test_the_same_request_gives_the_same_samples(utterances):
    for (voice, sentence), said in utterances[::3]:
        again = speech.say(voice, sentence)
        assert again.phones == said.phones and np.array_equal(again.samples, said.samples)


@needs_synthesizers
def test_a_formant_factor_stretches_sound_and_phones_alike():
    plain = speech.say(Voice("flite", "slt", "en"), SENTENCES[0])
    short = speech.say(Voice("flite", "slt", "en", formant=1.2), SENTENCES[0])
    assert short.seconds == pytest.approx(plain.seconds / 1.2, abs=0.03)
    assert [p.symbol for p in short.phones] == [p.symbol for p in plain.phones]
    assert short.phones[-2].start == pytest.approx(plain.phones[-2].start / 1.2, abs=0.02)


@needs_synthesizers
def test_every_language_can_be_said_and_its_phones_are_known():
    for language, names in {**speech.ESPEAK, **speech.HELD_OUT_ESPEAK}.items():
        rng = np.random.default_rng(1)
        for name in names:
            text = " ".join(texts.random_sentence(rng, language) for _ in range(3))
            _, _, events = espeak.synthesize(name, text, 1.0, 1.0)
            heard = [sound for sound, _ in events if sound.strip("ːʲ") and not sound.startswith("(")]
            assert len(heard) > 20 and not [sound for sound in heard if not ipa.symbols(sound)], name


def _loudness(samples: np.ndarray, start: float, end: float) -> float:
    """Decibels of full scale between two times."""
    first = int(start * SAMPLE_RATE)
    return 10 * np.log10(np.mean(samples[first : max(first + 1, int(end * SAMPLE_RATE))] ** 2) + 1e-9)


@needs_synthesizers
@pytest.mark.parametrize("name", festival.VOICES)
def test_a_festival_voice_is_loud_in_its_vowels_and_quiet_where_its_lips_are_shut(name):
    language = festival.VOICES[name]
    for style in ({}, {"rate": 1.3, "pitch": 1.37, "formant": 0.82}, {"rate": 0.8, "pitch": 0.73, "formant": 1.22}):
        said = speech.say(Voice("festival", name, language, **style), FESTIVAL_TEXTS[language])
        for before, after in zip(said.phones, said.phones[1:]):
            assert after.start == pytest.approx(before.end, abs=1e-3) and before.end > before.start
        assert said.phones[-1].end == pytest.approx(said.seconds, abs=0.12)
        heard: dict[str, list[float]] = {"vowel": [], "pause": [], "shut": []}
        for phone in said.phones:
            third = (phone.end - phone.start) / 3
            kind = (
                "vowel"
                if phone.symbol in phones.VOWELS
                else {"pau": "pause", "p": "shut", "b": "shut"}.get(phone.symbol)
            )
            if kind:
                heard[kind].append(_loudness(said.samples, phone.start + third, phone.end - third))
        vowel, pause, shut = (np.median(heard[kind]) for kind in ("vowel", "pause", "shut"))
        assert len(heard["vowel"]) > 10 and len(heard["shut"]) > 3 and vowel > shut + 6 and vowel > pause + 20, style


@needs_synthesizers
def test_rate_and_pitch_change_a_diphone_voice():
    def pitch(said: speech.Utterance) -> float:
        """Hz, the middle of the vowels' strongest self-similarity."""
        found = []
        for phone in said.phones:
            middle = round((phone.start + phone.end) / 2 * SAMPLE_RATE)
            around = said.samples[max(0, middle - 400) : middle + 400]
            if phone.symbol in phones.VOWELS and len(around) == 800:
                similar = np.correlate(around, around, "full")[799:]
                found.append(SAMPLE_RATE / (40 + np.argmax(similar[40:267])))
        return float(np.median(found))

    voices = [Voice("festival", "lp_diphone", "it", *style) for style in ((1.0, 1.0), (1.25, 1.3))]
    plain, changed = speech.say_all([(voice, FESTIVAL_TEXTS["it"]) for voice in voices])
    assert pitch(changed) == pytest.approx(1.3 * pitch(plain), rel=0.08)
    assert changed.seconds == pytest.approx(plain.seconds / 1.25, rel=0.06)
    low = speech.say(Voice("festival", "czech_machac", "cs", 0.8957, 0.7703), "pro žena.")  # 55 Hz crash Festival
    assert low.seconds > 0.6


@needs_synthesizers
def test_every_phone_of_every_festival_voice_is_known():
    for name, language in festival.VOICES.items():
        listed = "(print (mapcar car (cadr (assoc 'phones (PhoneSet.description nil)))))"
        told = subprocess.run(["festival", "-b", f"(voice_{name})", listed], capture_output=True, text=True, check=True)
        names = told.stdout.strip("()\n ").split()
        assert len(names) > 25 and all(festival.symbols(phone, language) for phone in names)
    with pytest.raises(InputError, match="'qq'"):
        festival.symbols("qq", "en")


def test_festival_phones_share_time_and_doubled_ones_are_one():
    phones = festival._phones("#\n0.1 100 #\n0.3 100 ts\n0.4 100 p\n0.5 100 p\n0.7 100 a1\n".partition("#\n")[2], "it")
    assert [p.symbol for p in phones] == ["pau", "t", "s", "p", "a"]
    assert [round(p.end, 6) for p in phones] == [0.1, 0.2, 0.3, 0.5, 0.7]
    assert [festival.symbols(name, "cs") for name in ("i", "i:", "r~*")] == [["ih"], ["iy"], ["rr", "sh"]]


@needs_synthesizers
def test_humming_is_not_spelled():
    assert "um hum" in {texts.backchannel(np.random.default_rng(seed)) for seed in range(200)}
    for voice in (VOICES[0], VOICES[2]):
        assert [p.symbol for p in speech.say(voice, "um hum").phones if p.symbol != "pau"] == [
            "ah",
            "m",
            "hh",
            "ah",
            "m",
        ]


@needs_synthesizers
def test_every_variant_exists():
    voices = [Voice("espeak", f"en-us+{variant}", "en") for variant in (*speech.VARIANTS, *speech.HELD_OUT_VARIANTS)]
    for said in speech.say_all([(voice, "hello") for voice in voices]):
        assert said.seconds > 0.2, said.voice


def test_held_out_voices_never_train():
    rng = np.random.default_rng(0)
    seen, held = ([speech.random_voice(rng, held_out=flag) for _ in range(2000)] for flag in (False, True))
    for part in (0, 1):  # language or flite voice, and variant
        names = [{v.name.split("+")[part] for v in voices if part == 0 or "+" in v.name} for voices in (seen, held)]
        assert names[0] and names[1] and not names[0] & names[1]
    assert not {v.language for v in seen} & {"nl", "sv"} and {v.language for v in held} == {"en", "nl", "sv"}
    assert {v.language for v in seen} >= {"en", "de", "fr", "es", "it", "pt", "pl", "ru", "cs", "fi", "ca"}
    for synthesizer in ("flite", "espeak", "festival"):
        assert np.mean([v.synthesizer == synthesizer for v in seen]) == pytest.approx(1 / 3, abs=0.04)
    assert {v.name for v in seen if v.synthesizer == "festival"} == set(festival.VOICES)
    assert not [v for v in held if v.synthesizer == "festival"]
    assert all(0.82 <= v.formant <= 1.22 for v in seen + held)


def test_held_out_voices_stay_what_they_were():
    """Corpora that are held out stay comparable: the same draws give the same voices as before there was Festival."""
    rng = np.random.default_rng(8)
    drawn = [speech.random_voice(rng, held_out=True) for _ in range(6)]
    assert [v.name for v in drawn] == ["en-gb-scotland+linda", "rms", "rms", "nl+Michael", "rms", "rms"]
    assert drawn[-1].formant == pytest.approx(0.9778674325194411, abs=1e-12)


def test_everyone_is_told_the_same_packages():
    root = Path(__file__).parents[3]
    for told in ("docs/training.md", ".ci/run"):
        words = (root / told).read_text().split()
        assert [word for word in words if word in synthesizers.PACKAGES] == list(synthesizers.PACKAGES), told


def _without_library(folder):
    """The process as it is on a machine that has no espeak-ng."""
    path = folder / "espeak_process.py"
    path.write_text(Path(espeak_process.__file__).read_text().replace("libespeak-ng.so.1", "libnowhere.so.1"))
    specification = importlib.util.spec_from_file_location("espeak_process_without_library", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_a_missing_synthesizer_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "/nowhere")
    for voice in (VOICES[0], VOICES[4]):
        with pytest.raises(
            InputError, match=f"{voice.synthesizer} is missing: apt-get install flite espeak-ng festival festvox-kd"
        ):
            speech.say(voice, "hello")
    monkeypatch.setattr(espeak, "espeak_process", _without_library(tmp_path))
    with pytest.raises(InputError, match="apt-get install flite espeak-ng"):
        speech.say(Voice("espeak", "de", "de"), "hallo")


@needs_synthesizers
def test_an_unknown_voice_and_an_empty_text_are_clear_errors(monkeypatch):
    with pytest.raises(InputError, match="nobody"):
        speech.say(Voice("espeak", "nobody", "en"), "hello")
    with pytest.raises(InputError, match="nobody.*use one of ked_diphone"):
        speech.say(Voice("festival", "nobody", "en"), "hello")
    monkeypatch.setitem(festival.VOICES, "nobody", "en")
    with pytest.raises(InputError, match="nobody is missing: apt-get install.*festvox-kdlpc16k"):
        speech.say(Voice("festival", "nobody", "en"), "hello")
    with pytest.raises(InputError, match="letters"):
        speech.say(VOICES[4], "привет")
    for voice in VOICES[1:5]:
        with pytest.raises(InputError, match="nothing"):
            speech.say(voice, " ")


def test_a_laugh_is_calls_about_five_a_second():
    for seed in range(5):
        laugh = speech.laugh(np.random.default_rng(seed), Voice("flite", "slt", "en"))
        calls = [p for p in laugh.phones if p.symbol == "aa"]
        gaps = np.diff([p.start for p in calls])
        assert 3 <= len(calls) <= 8 and 0.12 < gaps.mean() < 0.36
        jaw = visemes.mouth(laugh.phones, round(laugh.seconds * FRAME_RATE))[:, JAW]
        assert jaw.max() > 0.25
        mean = lambda a, b: np.mean(laugh.samples[int(a * SAMPLE_RATE) : int(b * SAMPLE_RATE)] ** 2)  # noqa: E731
        assert mean(calls[0].start, calls[0].start + 0.05) > 4 * mean(calls[0].end - 0.01, calls[0].end)


@pytest.mark.parametrize("articulation", [0.6, 1.0, 1.4])
def test_lips_are_shut_in_every_closure(articulation):
    rng = np.random.default_rng(3)
    parts = [(str(rng.choice(phones.PHONES)), float(rng.uniform(0.03, 0.2))) for _ in range(400)]
    spoken = phones_of(*parts)
    count = round(spoken[-1].end * FRAME_RATE) + 20
    for start in (0.0, 0.313, -1.2):
        latents, shut = visemes.mouth(spoken, count, start, articulation), visemes.closures(spoken, count, start)
        assert shut.sum() > 20
        assert latents[shut, JAW].max() < 0.06 and latents[shut, PRESS].min() > 0.2
        assert np.mean(latents[~shut, JAW] > 0.06 * articulation) > 0.6


def test_only_the_mouth_moves_and_it_settles_in_silence():
    phones = phones_of(("aa", 0.2), ("w", 0.1), ("uw", 0.2), ("ae", 0.25), ("pau", 0.7), ("ao", 0.3))
    latents = visemes.mouth(phones, 100, start=1.0)
    assert latents.shape == (100, rig.DIM) and latents.dtype == np.float32
    others = [i for i, name in enumerate(rig.NAMES) if name not in visemes.MOUTH]
    assert not latents[:, others].any() and (latents >= rig.LOW).all() and (latents <= rig.HIGH).all()
    times = (np.arange(100) + 0.5) / FRAME_RATE
    silent = (times < 0.7) | ((times > 2.05) & (times < 2.2)) | (times > 3.05)
    assert latents[silent, JAW].max() < 0.03
    assert latents[(times > 1.02) & (times < 1.15), JAW].min() > 0.2


def test_targets_follow_phonetics():
    def at(symbol: str, name: str, length: float = 0.2) -> float:
        return float(visemes.mouth(phones_of(("t", 0.08), (symbol, length), ("t", 0.08)), 20)[:, rig.INDEX[name]].max())

    for close in ("iy", "ih"):
        heights = [at(vowel, "jawOpen") for vowel in (close, "eh", "ae")]
        assert heights == sorted(heights) and heights[-1] > 1.75 * heights[0]
    for rounded, spread in (("uw", "iy"), ("o", "e"), ("ao", "aa")):  # of like height: the lips leave less
        assert at(rounded, "jawOpen") < 0.75 * at(spread, "jawOpen")
    assert at("uw", "mouthPucker") > 0.3 and at("iy", "mouthPucker") < 0.05
    assert at("iy", "mouthStretchLeft") > 0.18 > at("uw", "mouthStretchLeft")
    assert at("aa", "jawOpen", 0.06) < 0.75 * at("aa", "jawOpen", 0.25)  # fast speech opens less


def test_lips_that_round_or_touch_the_teeth_leave_no_gap():
    for symbol in ("w", "f", "v"):
        jaw = visemes.mouth(phones_of(("aa", 0.2), (symbol, 0.12), ("aa", 0.2)), 13)[:, JAW]
        assert jaw[5:8].min() < 0.35 * jaw.max(), symbol
    teeth = visemes.mouth(phones_of(("aa", 0.2), ("s", 0.12), ("aa", 0.2)), 13)[:, JAW]
    assert 0.1 < teeth[5:8].min() < 0.75 * teeth.max()  # of an s they show


def test_rounding_begins_before_its_vowel():
    def pucker(vowel: str) -> np.ndarray:
        return visemes.mouth(phones_of(("iy", 0.15), ("s", 0.1), ("t", 0.08), (vowel, 0.2)), 14)[:, PUCKER]

    frame = int(0.23 * FRAME_RATE)  # in the t, 100 ms before the vowel
    assert pucker("uw")[frame] > 0.08 > 10 * pucker("iy")[frame]


def test_a_frame_shows_its_middle_wherever_the_utterance_starts():
    phones = phones_of(("aa", 0.2), ("b", 0.1), ("iy", 0.2))
    whole = visemes.mouth(phones, 60, start=1.0)
    assert np.allclose(visemes.mouth(phones, 50, start=0.6), whole[10:], atol=1e-3)
    assert np.allclose(visemes.mouth(phones, 30, start=-0.2), np.concatenate([whole[30:]]), atol=1e-3)
    assert not visemes.mouth([], 5).any() and visemes.mouth(phones, 0).shape == (0, rig.DIM)


def test_ipa_becomes_phones_without_gaps():
    assert [ipa.symbols(s) for s in ("aɪ", "ts", "ɑ̃", "yː", "ç", "tʃ", "ã", "?")] == [
        ["ay"], ["t", "s"], ["aa"], ["ue"], ["y"], ["ch"], ["a"], [],
    ]  # fmt: skip
    phones = ipa.ipa_phones([("(en)", 0.0), ("b", 0.05), ("", 0.1), ("ts", 0.12), ("", 0.2)], 0.5)
    assert [p.symbol for p in phones] == ["pau", "b", "t", "s", "pau"]
    assert [round(p.end, 3) for p in phones] == [0.05, 0.12, 0.16, 0.2, 0.5]


def test_texts_vary_and_an_unknown_language_is_an_error():
    for language in texts.LANGUAGES:
        rng = np.random.default_rng(0)
        for make in (texts.random_sentence, texts.random_question):
            made = [make(rng, language) for _ in range(60)]
            assert len(set(made)) > 55
            assert not [text for text in made if re.search(r"\b[A-HJ-Z_]\b", text)]  # no place left unfilled
            assert [make(np.random.default_rng(7), language)] == [make(np.random.default_rng(7), language)]
        assert len({texts.backchannel(rng, language) for _ in range(60)}) > 4
    for make in (texts.random_sentence, texts.random_question, texts.backchannel):
        with pytest.raises(InputError, match="'xx'"):
            make(np.random.default_rng(0), "xx")


def test_rooms_and_microphones_keep_time_and_level():
    rng = np.random.default_rng(0)
    clicks = np.zeros(SAMPLE_RATE, np.float32)
    clicks[4000] = clicks[9000] = 1.0
    for change in (augment.room, augment.tilt):
        for _ in range(20):
            out = change(rng, clicks)
            assert out.dtype == np.float32 and out.shape == clicks.shape
            assert abs(int(np.argmax(np.abs(out[:6500]))) - 4000) <= 2
            assert np.sqrt(np.mean(out**2)) == pytest.approx(np.sqrt(np.mean(clicks**2)), rel=0.1)
    assert (
        not augment.room(rng, np.zeros(800, np.float32)).any()
        and not augment.tilt(rng, np.zeros(800, np.float32)).any()
    )


def test_backgrounds_have_unit_level_and_differ():
    rng = np.random.default_rng(0)
    heard = [augment.noise(rng, 8000) for _ in range(20)]
    assert all(n.shape == (8000,) and np.sqrt(np.mean(n**2)) == pytest.approx(1.0, abs=1e-3) for n in heard)
    low = [np.sum(np.abs(np.fft.rfft(n)[:500]) ** 2) / np.sum(np.abs(np.fft.rfft(n)) ** 2) for n in heard]
    assert min(low) < 0.2 and max(low) > 0.8
