"""Who does what when: the events of two faces in a conversation, and which of them answers which.

Everything is drawn from a distribution around figures of the literature, named where they are used and listed in
docs/conversations.md. Times are in frames of 1/25 s. What the events look like is told in gestures.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar_forcing_ros.timeline import FRAME_RATE


@dataclass(frozen=True)
class Event:
    """Something that a face or a voice does.

    kind: smile, laugh, nod, shake, brow, glance (away from the other), blink, tilt, frown, press (of the lips), turn
        (of speech), backchannel (a sound of the listener).
    person: 0 or 1. frame: where it begins. frames: how long it lasts.
    strength: the coefficient's height, radians for nod, shake and tilt; for a glance -1 or 1, its side; 1 for sounds.
    cause_frame: where that of the other person began which it answers, or None.
    """

    kind: str
    person: int
    frame: int
    frames: int
    strength: float
    cause_frame: int | None = None

    @property
    def end(self) -> int:
        return self.frame + self.frames


@dataclass(frozen=True)
class Phrase:
    """A stretch of one voice, frames [first, end). opens, closes: the first, the last of a turn."""

    first: int
    end: int
    opens: bool = False
    closes: bool = False
    question: bool = False
    negative: bool = False
    laugh: bool = False
    backchannel: bool = False
    cause_frame: int | None = None


@dataclass(frozen=True)
class Style:
    """How a person is: factors about 1 on how much and how often, drawn once per conversation."""

    smiles: float
    nods: float
    head: float
    blinks: float
    brows: float
    looks: float  # how long they look at the other
    mirroring: float  # gain of the other's head pose
    mirror_delay: int  # frames
    lopsided: float  # of a smile: left over right
    away: tuple[float, float]  # where they look when they think: up or down, left or right preferred


@dataclass(frozen=True)
class Side:
    """One person as the other meets them.

    phrases in time order; active (n,) bool: the voice sounds; loudness (n,) in 0..1; mouth (n, 32): what speech alone
    does to the face; seen, heard: whether the other sees the face, hears the voice.
    """

    style: Style
    phrases: tuple[Phrase, ...]
    active: np.ndarray
    loudness: np.ndarray
    mouth: np.ndarray
    seen: bool = True
    heard: bool = True


def random_style(rng: np.random.Generator) -> Style:
    def around(spread: float) -> float:
        return float(np.clip(rng.lognormal(0.0, spread), 0.4, 2.2))

    return Style(
        smiles=around(0.3), nods=around(0.3), head=around(0.25), blinks=around(0.3), brows=around(0.4), looks=around(0.2),
        mirroring=float(rng.uniform(0.2, 0.4)), mirror_delay=int(rng.integers(5, 13)), lopsided=float(rng.normal(0.0, 0.06)),
        away=(float(rng.normal(0.0, 0.12)), float(rng.normal(0.0, 0.5))),
    )  # fmt: skip


def seconds(value: float) -> int:
    """Frames of a time in seconds, at least one."""
    return max(1, round(value * FRAME_RATE))


def delay(rng: np.random.Generator, median: float, spread: float, least: float, most: float) -> int:
    """A reaction time in frames: log-normal, cut to [least, most] seconds. Reaction times are skewed to the right."""
    return seconds(float(np.clip(median * rng.lognormal(0.0, spread), least, most)))


def _poisson(rng: np.random.Generator, per_minute: float, count: int) -> np.ndarray:
    """Frames of events that come at random."""
    return np.sort(rng.integers(0, max(1, count), rng.poisson(per_minute * count / (60.0 * FRAME_RATE))))


def pauses(active: np.ndarray, least_talk: float = 1.0, least_pause: float = 0.2) -> list[tuple[int, int]]:
    """[first, end) of the silences of at least `least_pause` seconds after `least_talk` seconds of talk since the last
    one that counted; a shorter silence is part of the talk."""
    found, talked = [], 0
    changes = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(np.int8)))
    for i in range(0, len(changes), 2):
        end = int(changes[i + 1])
        following = int(changes[i + 2]) if i + 2 < len(changes) else len(active)
        talked += end - int(changes[i])
        if following - end >= seconds(least_pause):
            if talked >= seconds(least_talk):
                found.append((end, following))
                talked = 0
            elif following - end > seconds(1.0):
                talked = 0
    return found


def plan(rng: np.random.Generator, people: tuple[Side, Side]) -> list[Event]:
    """All events of both faces, in the order of their frames."""
    events = _smiles(rng, people)
    events += _nods(rng, people)
    events += _shakes(rng, people) + _brows(rng, people) + _tilts(rng, people) + _small(rng, people)
    glances = _glances(rng, people)
    events += glances + _blinks(rng, people, glances)
    for person, side in enumerate(people):
        for phrase in side.phrases:
            kind = "laugh" if phrase.laugh else "backchannel" if phrase.backchannel else "turn" if phrase.opens else ""
            if kind:
                events.append(Event(kind, person, phrase.first, phrase.end - phrase.first, 1.0, phrase.cause_frame))
    return sorted(events, key=lambda event: (event.frame, event.person, event.kind))


SMILES_PER_MINUTE = 1.8  # begun by one person of their own accord
SMILE_ANSWERED = 0.93  # a friendly listener; genuine smiles are answered most (Heerey and Crossley 2013)
SMILE_DELAY = (0.55, 0.22, 0.36, 1.1)  # seconds: median, log spread, least, most (Dimberg and Thunberg 1998, Heerey)


def _smiles(rng: np.random.Generator, people: tuple[Side, Side]) -> list[Event]:
    """Smiles of their own accord and with laughter, and the answers: mimicry begins 0.4 to 1 s after the other's smile,
    at 0.5 to 1 of its height, and outlasts it (Dimberg 1982; Hess and Bourgeois 2010; Heerey and Crossley 2013).
    A smile lasts 0.5 to 4 s at its height (Frank, Ekman and Friesen 1993) and fades more slowly than it comes."""
    count = len(people[0].active)
    wishes: list[tuple[int, int, Phrase | None]] = []
    for person, side in enumerate(people):
        laughs = [p for p in side.phrases if p.laugh and p.cause_frame is None]
        wishes += [(max(0, p.first - seconds(rng.uniform(0.1, 0.4))), person, p) for p in laughs]
        wishes += [(int(f), person, None) for f in _poisson(rng, SMILES_PER_MINUTE * side.style.smiles, count)]
        # Smiles gather where a turn ends or begins, the places of a conversation where people look at each other.
        wishes += [(p.end, person, None) for p in side.phrases if p.closes and rng.random() < 0.06 * side.style.smiles]
    wishes.sort(key=lambda wish: (wish[0], wish[1]))
    events: list[Event] = []
    free = 0
    for frame, person, laugh in wishes:
        if frame < free and laugh is None:
            continue
        length = seconds(float(np.clip(rng.lognormal(np.log(1.6), 0.5), 0.7, 5.0)) + 0.4)
        height = float(rng.uniform(0.35, 0.95))
        if laugh is not None:
            length, height = laugh.end - frame + seconds(rng.uniform(0.3, 1.5)), float(rng.uniform(0.75, 1.0))
        own = Event("smile", person, frame, length, height)
        events.append(own)
        free = own.end + seconds(1.5)
        other = 1 - person
        met = people[person].seen or (laugh is not None and people[person].heard)
        if met and rng.random() < SMILE_ANSWERED:
            wait = delay(rng, *SMILE_DELAY)
            lag = delay(rng, 0.6, 0.5, 0.1, 2.0)
            length = max(seconds(0.7), length - wait + lag)
            answer = Event("smile", other, frame + wait, length, height * float(rng.uniform(0.5, 1.0)), frame)
            events.append(answer)
            free = max(free, answer.end + seconds(1.5))
    return events


NOD_IN_PAUSE = 0.7
NOD_AT_TURN_END = 0.35  # the turn changes hands, and the listener speaks instead
NOD_RETURNED = 0.5


def _nods(rng: np.random.Generator, people: tuple[Side, Side]) -> list[Event]:
    """Nods of a listener in the speaker's pauses of 200 ms and more after a second of talk, 0.2 to 0.7 s into them (Ward
    and Tsukahara 2000 on when back-channels come; Hadar, Steiner and Rose 1985 on nods of listeners); with the own
    "mhm"; while listening and speaking without such a cue; and in return for a nod (Hale et al. 2020: nods of two
    people come together)."""
    count = len(people[0].active)
    wishes: list[tuple[int, int, int | None, float]] = []  # (frame, person, cause, probability)
    for person, side in enumerate(people):
        other = people[1 - person]
        talking = side.active
        if other.heard:
            for first, end in pauses(other.active):
                at = first + delay(rng, 0.36, 0.3, 0.2, 0.7)
                soon = talking[at : at + seconds(0.3)].any()
                if end > first and at < count:
                    wishes.append((at, person, first, NOD_AT_TURN_END if soon else NOD_IN_PAUSE))
        for phrase in side.phrases:
            if phrase.backchannel:
                wishes.append((max(0, phrase.first - int(rng.integers(-2, 4))), person, phrase.cause_frame, 0.8))
        for frame in _poisson(rng, 3.0 * side.style.nods, count):
            if talking[frame] or other.active[frame]:
                wishes.append((int(frame), person, None, 1.0))
    wishes.sort(key=lambda wish: (wish[0], wish[1]))
    events: list[Event] = []
    free = [0, 0]

    def add(frame: int, person: int, cause: int | None) -> bool:
        if frame < free[person] or (cause is not None and cause >= frame):
            return False
        length = seconds(float(rng.uniform(0.35, 1.1)))
        depth = float(np.clip(rng.lognormal(np.log(0.10), 0.4) * np.sqrt(people[person].style.nods), 0.04, 0.24))
        events.append(Event("nod", person, frame, length, depth, cause))
        free[person] = frame + length + seconds(0.9)
        return True

    queue = list(wishes)
    while queue:
        frame, person, cause, chance = queue.pop(0)
        chance = min(0.95, chance * people[person].style.nods ** 0.5) if chance < 1.0 else chance
        if rng.random() >= chance or not add(frame, person, cause):
            continue
        returned = cause is not None and any(
            e.kind == "nod" and e.frame == cause and e.person != person for e in events
        )
        if people[person].seen and not returned:
            # Who listens returns a nod; who speaks seldom returns the listener's.
            busy = people[1 - person].active[frame : frame + seconds(1.0)].mean() > 0.5
            queue.append((frame + delay(rng, 0.7, 0.3, 0.35, 1.4), 1 - person, frame, 0.12 if busy else NOD_RETURNED))
            queue.sort(key=lambda wish: (wish[0], wish[1]))
    return [event for event in events if event.frame < count]


def _shakes(rng: np.random.Generator, people: tuple[Side, Side]) -> list[Event]:
    """Head shakes with negation (Kendon 2002; McClave 2000), sometimes returned."""
    events = []
    for person, side in enumerate(people):
        for phrase in side.phrases:
            if phrase.negative and rng.random() < 0.45:
                frame = phrase.first + seconds(rng.uniform(0.05, 0.5))
                events.append(
                    Event("shake", person, frame, seconds(rng.uniform(0.7, 1.5)), float(rng.uniform(0.06, 0.18)))
                )
                if side.seen and rng.random() < 0.25:
                    late = frame + delay(rng, 0.8, 0.3, 0.4, 1.6)
                    length, width = seconds(rng.uniform(0.6, 1.1)), float(rng.uniform(0.04, 0.10))
                    events.append(Event("shake", 1 - person, late, length, width, frame))
    return events


def _brows(rng: np.random.Generator, people: tuple[Side, Side]) -> list[Event]:
    """Brows rise on the own questions and, a moment after their end, on the other's (Ekman 1979: brows as
    conversational signals); on accents see gestures.py."""
    events = []
    for person, side in enumerate(people):
        for phrase in (p for p in side.phrases if p.question):
            if rng.random() < 0.4:
                frame = max(phrase.first, phrase.end - seconds(rng.uniform(0.3, 0.9)))
                events.append(
                    Event("brow", person, frame, seconds(rng.uniform(0.5, 1.2)), float(rng.uniform(0.25, 0.6)))
                )
            if side.heard and rng.random() < 0.5:
                frame = phrase.end + delay(rng, 0.35, 0.3, 0.2, 0.8)
                length, height = seconds(rng.uniform(0.4, 1.2)), float(rng.uniform(0.25, 0.65))
                events.append(Event("brow", 1 - person, frame, length, height, phrase.end))
    return events


def _tilts(rng: np.random.Generator, people: tuple[Side, Side]) -> list[Event]:
    """The head tilts while listening to a turn: a sign of interest (Costa, Menzani and Ricci Bitti 2001)."""
    events = []
    for person, side in enumerate(people):
        for phrase in side.phrases if side.heard else ():
            if phrase.opens and phrase.end - phrase.first > seconds(1.0) and rng.random() < 0.3:
                length = min(phrase.end - phrase.first, seconds(3.0)) + seconds(rng.uniform(0.3, 1.5))
                height = float(rng.choice((-1.0, 1.0)) * rng.uniform(0.04, 0.12))
                frame = phrase.first + delay(rng, 0.9, 0.3, 0.4, 1.8)
                events.append(Event("tilt", 1 - person, frame, length, height, phrase.first))
    return events


def _small(rng: np.random.Generator, people: tuple[Side, Side]) -> list[Event]:
    """What a face does without a reason that could be seen: brows drawn together, lips pressed."""
    events = []
    for person, side in enumerate(people):
        count = len(side.active)
        for frame in _poisson(rng, 1.2 * side.style.brows, count):
            events.append(
                Event("frown", person, int(frame), seconds(rng.uniform(0.8, 3.0)), float(rng.uniform(0.1, 0.4)))
            )
        for frame in _poisson(rng, 1.2, count):
            if not side.active[max(0, frame - 5) : frame + seconds(1.2)].any():
                length, height = seconds(rng.uniform(0.4, 1.0)), float(rng.uniform(0.15, 0.5))
                events.append(Event("press", person, int(frame), length, height))
    return events


# Mean seconds of looking at the other and away, by what one does: about 75 % while listening and 50 % while speaking
# (Kendon 1967; Argyle and Cook 1976; Argyle and Ingham 1972).
_LOOKS = {"listen": (5.0, 1.4), "speak": (2.2, 2.4), "idle": (4.0, 2.0)}


def _state(people: tuple[Side, Side], person: int, frame: int) -> str:
    around = slice(max(0, frame - seconds(0.4)), frame + seconds(0.4))
    if people[person].active[around].any():
        return "speak"
    return "listen" if people[1 - person].active[around].any() else "idle"


def _glances(rng: np.random.Generator, people: tuple[Side, Side]) -> list[Event]:
    """Looking away: at random by state, as the own turn begins, seldom as it ends or the other's begins (Kendon 1967),
    and after the other who looks away for long, to the side where that is (Frischen, Bayliss and Tipper 2007)."""
    count = len(people[0].active)
    events: list[Event] = []
    own: list[list[Event]] = []
    for person, side in enumerate(people):
        away = np.zeros(count, bool)
        frame, looking = 0, True
        while frame < count:
            mean = _LOOKS[_state(people, person, frame)][0 if looking else 1]
            length = seconds(mean * 0.835 * rng.lognormal(0.0, 0.6) * (side.style.looks if looking else 1.0))
            away[frame : frame + length] = not looking
            frame, looking = frame + length, not looking
        for phrase in side.phrases:
            if phrase.opens and rng.random() < 0.5:
                first = max(0, phrase.first - seconds(rng.uniform(0.0, 0.3)))
                away[first : first + seconds(rng.uniform(0.7, 2.2))] = True
        for phrase in people[1 - person].phrases if people[1 - person].heard else ():
            if phrase.opens and rng.random() < 0.6:  # who is spoken to looks
                first = phrase.first + delay(rng, 0.5, 0.3, 0.25, 1.0)
                away[first : first + seconds(rng.uniform(1.0, 2.5))] = False
        for phrase in side.phrases:
            if phrase.closes and rng.random() < 0.8:
                away[max(0, phrase.end - seconds(rng.uniform(0.3, 0.8))) : phrase.end + seconds(0.6)] = False
        changes = np.flatnonzero(np.diff(np.concatenate([[False], away, [False]]).astype(np.int8)))
        runs = [(int(a), int(b)) for a, b in zip(changes[::2], changes[1::2]) if b - a >= seconds(0.3)]
        right = 0.5 + side.style.away[1]
        own.append([Event("glance", person, a, b - a, 1.0 if rng.random() < right else -1.0) for a, b in runs])
    events += own[0] + own[1]
    for person, side in enumerate(people):
        for event in own[person] if side.seen else ():
            if event.frames >= seconds(1.8) and rng.random() < 0.3:
                first = event.frame + delay(rng, 1.0, 0.3, 0.6, 1.7)
                length = seconds(rng.uniform(0.5, 1.2))
                if not any(e.frame - 6 < first + length and first < e.end + 6 for e in own[1 - person]):
                    # What lies on one's left is on the right of who sits opposite: the image's other side.
                    events.append(Event("glance", 1 - person, first, length, -event.strength, event.frame))
    return sorted(events, key=lambda event: event.frame)


# Blinks per minute that come of themselves; phrase ends and glances add to them. Together about 17 a minute at rest, 26
# in conversation (Bentivoglio et al. 1997), fewer while attending to somebody.
_BLINKS = {"listen": 9.0, "speak": 17.0, "idle": 11.0}


def _blinks(rng: np.random.Generator, people: tuple[Side, Side], glances: list[Event]) -> list[Event]:
    """Blinks: at skewed intervals; at phrase ends, by the listener too, 0.25 to 0.5 s later (Nakano and Kitazawa 2010);
    with shifts of gaze (Evinger et al. 1994)."""
    count = len(people[0].active)
    wishes: list[list[tuple[int, int | None]]] = [[], []]
    for person, side in enumerate(people):
        frame = 0.0
        while frame < count:
            rate = _BLINKS[_state(people, person, int(frame))] * side.style.blinks
            frame += max(seconds(0.5), 60.0 * FRAME_RATE / rate * 0.82 * rng.lognormal(0.0, 0.63))
            wishes[person].append((int(frame), None))
        for phrase in side.phrases:
            if not phrase.backchannel and rng.random() < 0.35:
                frame = phrase.end + int(rng.integers(-2, 5))
                wishes[person].append((frame, None))
                if side.seen and rng.random() < 0.25:
                    wishes[1 - person].append((frame + delay(rng, 0.36, 0.2, 0.25, 0.5), frame))
        for event in glances:
            if event.person == person:
                wishes[person] += [(at, None) for at in (event.frame, event.end) if rng.random() < 0.2]
    events = []
    for person, moments in enumerate(wishes):
        free = 0
        for frame, cause in sorted(moments, key=lambda moment: moment[0]):
            if frame >= free and frame < count:
                events.append(Event("blink", person, max(0, frame), seconds(0.3), float(rng.uniform(0.85, 1.0)), cause))
                free = frame + seconds(0.45)
    return events
