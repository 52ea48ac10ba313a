"""Conversations of two people that never were: who speaks when, what is heard of it, and what both faces do.

Persons 0 and 1 are drawn alike, so either may be the avatar. Figures of turn taking are from the literature, named where
they are used and listed in docs/conversations.md.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.learning.world import texts
from avatar_forcing_ros.learning.world.behaviour import Event, Phrase, Side, delay, pauses, plan, random_style
from avatar_forcing_ros.learning.world.breaths import Breath, breath_lips, breath_sound, draw_breath
from avatar_forcing_ros.learning.world.gestures import perform
from avatar_forcing_ros.learning.world.visemes import closures, mouth
from avatar_forcing_ros.learning.world.voices.speech import Utterance, Voice, laugh, random_voice, say_all
from avatar_forcing_ros.timeline import FRAME_RATE, SAMPLE_RATE, SAMPLES_PER_FRAME

FLOOR_NOISE = 10 ** (-66 / 20)  # RMS under the separated channels
_TEXTS = {  # kind of utterance: what makes the words, and how many are asked for at once
    "sentence": (texts.random_sentence, 6), "question": (texts.random_question, 2), "backchannel": (texts.backchannel, 2),
}  # fmt: skip
_NEGATIVE = {
    "no", "not", "never", "nothing", "don't", "doesn't", "didn't", "can't", "won't", "isn't", "nein", "nicht", "kein",
    "keine", "nie", "nichts", "non", "pas", "jamais", "rien", "nunca", "nada", "mai", "niente", "não", "нет", "не", "niet",
    "geen", "nee", "inte", "nej", "aldrig", "není", "nikdy", "emme", "koskaan", "eikä",
}  # fmt: skip


@dataclass(frozen=True)
class Conversation:
    """samples: (2, n * 640) float32 in [-1, 1], one clean channel per person. motion: (2, n, 32) float32 rig latents.
    speaking: (2, n) bool, the voice sounds (a breath is none). closures: (2, n) bool, p, b or m keep the lips shut. events: of both, in
    the order of their frames. seen, heard: whether person 0's and 1's face, voice reach the other; an absent face's
    motion and an absent voice's samples are here all the same. voices: their names."""

    samples: np.ndarray
    motion: np.ndarray
    speaking: np.ndarray
    closures: np.ndarray
    events: tuple[Event, ...]
    seed: int
    voices: tuple[str, str]
    seen: tuple[bool, bool] = (True, True)
    heard: tuple[bool, bool] = (True, True)


class _Talker:
    """One person's voice: utterances on demand, made some at a time."""

    def __init__(self, rng: np.random.Generator, held_out: bool) -> None:
        self.rng, self.voice = rng, random_voice(rng, held_out)
        self.volume = float(rng.lognormal(0.0, 0.25))
        self.clarity = float(rng.uniform(0.8, 1.15))
        self._ready: dict[str, deque[Utterance]] = {}

    def take(self, kind: str) -> Utterance:
        """The next utterance of a kind: sentence, question, backchannel or laugh."""
        if kind == "laugh":
            return laugh(self.rng, self.voice)
        ready = self._ready.setdefault(kind, deque())
        if not ready:
            make, count = _TEXTS[kind]
            ready.extend(say_all([(self.voice, make(self.rng, self.voice.language)) for _ in range(count)]))
        return ready.popleft()


@dataclass(frozen=True)
class _Spoken:
    """An utterance in its place; start in seconds."""

    person: int
    start: float
    utterance: Utterance
    kind: str
    opens: bool = False
    closes: bool = False
    cause_frame: int | None = None

    @property
    def end(self) -> float:
        return self.start + self.utterance.seconds


def make_conversation(seed: int, seconds: float = 60.0, held_out: bool = False) -> Conversation:
    """The conversation of this seed; the same arguments always give the same. held_out: with voices that training never
    hears, and other draws. Raises InputError for less than 4 or more than 600 seconds, or where a synthesizer is missing."""
    if not 4.0 <= seconds <= 600.0:
        raise InputError(f"a conversation of {seconds:g} s: give 4 to 600 s")
    if seed < 0:
        raise InputError(f"seed {seed}: give 0 or more")
    rng = np.random.default_rng([seed, int(held_out), 20260122])
    count = round(seconds * FRAME_RATE)
    talkers = (_Talker(rng, held_out), _Talker(rng, held_out))
    silent, seen, heard = _scene(rng)
    spoken = _turns(rng, talkers, count / FRAME_RATE, silent)
    channels = _channels(rng, spoken, talkers, count)
    answers = _answers(rng, talkers, channels, spoken, silent=silent, seen=seen, heard=heard)
    if answers:
        spoken = sorted(spoken + answers, key=lambda s: s.start)
        channels = _channels(rng, spoken, talkers, count)
    active, loudness = zip(*(_activity(channel) for channel in channels))
    breaths = _breaths(
        np.random.default_rng([seed, int(held_out), 20150305]), talkers, spoken, channels
    )  # changes no other draw
    sides, shut = [], []
    for person in (0, 1):
        own = [s for s in spoken if s.person == person]
        lips = np.zeros((count, 32), np.float32)
        closed = np.zeros(count, bool)
        for s in own:
            lips = np.maximum(lips, mouth(s.utterance.phones, count, s.start, talkers[person].clarity))
            closed |= closures(s.utterance.phones, count, s.start)
        for breath in breaths[person]:
            lips = np.maximum(lips, breath_lips(breath, count))
        phrases = tuple(phrase for phrase in map(_phrase, own) if phrase.first < count)
        sides.append(
            Side(
                random_style(rng),
                phrases,
                active[person],
                loudness[person],
                lips,
                seen=seen[person],
                heard=heard[person],
            )
        )
        shut.append(closed)
    events = plan(rng, (sides[0], sides[1]))
    events = [event for event in events if event.frame < count]
    motion = perform(rng, (sides[0], sides[1]), events)
    return Conversation(
        samples=channels, motion=motion, speaking=np.stack(active), closures=np.stack(shut), events=tuple(events), seed=seed,
        voices=(_named(talkers[0].voice), _named(talkers[1].voice)), seen=seen, heard=heard,
    )  # fmt: skip


def _named(voice: Voice) -> str:
    return f"{voice.synthesizer}:{voice.name}"


def _scene(rng: np.random.Generator) -> tuple[tuple[bool, bool], tuple[bool, bool], tuple[bool, bool]]:
    """(who is silent throughout, whose face is seen, whose voice is heard)."""
    silent, seen, heard = [False, False], [True, True], [True, True]
    one, draw = int(rng.integers(2)), rng.random()
    if draw < 0.10:
        silent[one] = True
    elif draw < 0.12:
        silent = [True, True]
    elif draw < 0.18:
        seen[one] = False
    elif draw < 0.22:
        heard[one] = False
    elif draw < 0.25:
        seen[one] = heard[one] = False
    return (silent[0], silent[1]), (seen[0], seen[1]), (heard[0], heard[1])


def _turns(rng: np.random.Generator, talkers, seconds: float, silent: tuple[bool, bool]) -> list[_Spoken]:
    """Turns of 1 to 12 s with gaps about 200 ms, a third of them overlaps (Stivers et al. 2009; Heldner and Edlund 2010:
    Gaussian, 40 % overlaps), pauses inside turns (Heldner and Edlund: median about 0.5 s), lapses of some seconds."""
    if all(silent):
        return []
    spoken: list[_Spoken] = []
    free = [0.0, 0.0]  # when each has ended
    at, person = float(rng.uniform(0.3, 2.0)), int(rng.integers(2))
    while at < seconds:
        person = 1 - person if silent[person] else person
        length = float(np.clip(rng.lognormal(np.log(3.0), 0.75), 1.0, 12.0))
        start = max(0.0, at, free[person] + 0.15)
        begun, opens, closes = start, True, False
        while not closes and start < seconds:
            if not opens:
                start += float(np.clip(rng.lognormal(np.log(0.5), 0.55), 0.15, 2.0))
            kind = "question" if rng.random() < 0.18 else "sentence"
            utterance = talkers[person].take(kind)
            closes = kind == "question" or start + utterance.seconds - begun >= length
            spoken.append(_Spoken(person, start, utterance, kind, opens, closes))
            start, opens = spoken[-1].end, False
        if rng.random() < 0.07:  # laughter follows what the laughing person said (Provine 2000)
            start += float(rng.uniform(0.05, 0.4))
            spoken.append(_Spoken(person, start, talkers[person].take("laugh"), "laugh"))
            start = spoken[-1].end
        free[person] = start
        if rng.random() < 0.06:
            at = start + float(rng.uniform(2.0, 8.0))  # a lapse
        elif silent[1 - person]:
            at = start + float(rng.uniform(0.8, 4.0))  # nobody takes the turn
        else:
            at = start + float(np.clip(rng.normal(0.2, 0.42), -1.2, 1.8))
        if rng.random() < 0.85:
            person = 1 - person
        else:
            at = max(at, start + float(rng.uniform(0.6, 2.0)))
    return spoken


def _answers(rng: np.random.Generator, talkers, channels: np.ndarray, spoken, *, silent, seen, heard) -> list[_Spoken]:
    """What the listener utters: "mhm" in the speaker's pauses (Ward and Tsukahara 2000), laughter that joins in (Provine
    2000: laughter is contagious; listeners laugh less than who speaks)."""
    answers = []
    for person in (0, 1):
        if silent[person] or not heard[1 - person]:
            continue
        own = [(s.start - 0.3, s.end + 0.3) for s in spoken if s.person == person]
        wishes = []
        for first, end in pauses(_activity(channels[1 - person])[0]):
            if end - first >= 0.25 * FRAME_RATE and rng.random() < 0.35:
                wishes.append((first + delay(rng, 0.38, 0.25, 0.2, 0.7), "backchannel", first))
        for s in spoken:
            if s.person != person and s.kind == "laugh" and rng.random() < 0.4:
                first = int(s.start * FRAME_RATE)
                wishes.append((first + delay(rng, 0.45, 0.3, 0.2, 1.0), "laugh", first))
        last_end = -1.0
        for frame, kind, cause in sorted(wishes):
            utterance = talkers[person].take(kind)
            start = frame / FRAME_RATE
            end = start + utterance.seconds
            if start > last_end + 0.5 and not any(a < end and start < b for a, b in own):
                answers.append(_Spoken(person, start, utterance, kind, cause_frame=cause))
                last_end = end
    return answers


def _channels(rng: np.random.Generator, spoken, talkers, count: int) -> np.ndarray:
    """Both voices (2, n * 640) float32, over a very low noise; back-channels are quieter than turns."""
    channels = FLOOR_NOISE * rng.standard_normal((2, count * SAMPLES_PER_FRAME), dtype=np.float32)
    for s in spoken:
        gain = talkers[s.person].volume * (0.6 if s.kind == "backchannel" else 1.0)
        _add(channels[s.person], s.start, gain * s.utterance.samples)
    return np.clip(channels, -1.0, 1.0)


def _add(channel: np.ndarray, start: float, samples: np.ndarray) -> None:
    """Samples from `start` (s) on into a channel, as far as it reaches."""
    place = channel[round(start * SAMPLE_RATE) :][: len(samples)]
    place += samples[: len(place)]


def _breaths(rng: np.random.Generator, talkers, spoken, channels: np.ndarray) -> tuple[list[Breath], list[Breath]]:
    """Each person's breaths, whose sound is put into the channels (2, n * 640)."""
    drawn: tuple[list[Breath], list[Breath]] = ([], [])
    for person in (0, 1):
        free = 0.0
        for s in spoken:
            if s.person != person:
                continue
            if s.kind in ("sentence", "question") and s.utterance.phones:
                first = next((p.symbol for p in s.utterance.phones if p.symbol != "pau"), "pau")
                if breath := draw_breath(rng, free, s.start, first, s.opens):
                    drawn[person].append(breath)
                    _add(channels[person], breath.start, breath_sound(rng, breath, talkers[person].volume))
            free = max(free, s.end)
    return drawn


def _activity(channel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the voice sounds (n,) bool, holes below 160 ms closed; loudness (n,) in 0..1) of a clean channel."""
    power = np.mean(channel.reshape(-1, SAMPLES_PER_FRAME) ** 2, axis=1)
    decibels = 10.0 * np.log10(power + 1e-12)
    sounding = decibels > -56.0
    top = np.percentile(decibels[sounding], 90) if sounding.any() else -20.0
    sounding &= decibels > top - 30.0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], sounding, [False]]).astype(np.int8)))
    for a, b in zip(edges[1:-1:2], edges[2::2]):
        if b - a < 4:
            sounding[a:b] = True
    return sounding, np.where(sounding, np.clip((decibels - top + 25.0) / 25.0, 0.0, 1.0), 0.0)


def _phrase(spoken: _Spoken) -> Phrase:
    words = {word.strip(".,!?;:¿¡").lower() for word in spoken.utterance.text.split()}
    first = int(spoken.start * FRAME_RATE)
    return Phrase(
        first=first, end=max(first + 1, int(np.ceil(spoken.end * FRAME_RATE))), opens=spoken.opens, closes=spoken.closes,
        question=spoken.kind == "question", negative=bool(words & _NEGATIVE), laugh=spoken.kind == "laugh",
        backchannel=spoken.kind == "backchannel", cause_frame=spoken.cause_frame,
    )  # fmt: skip
