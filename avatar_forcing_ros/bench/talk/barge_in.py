"""Interruptions, back-channels and the avatar's own echo, all made: how soon and how wrongly it stops. On a clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from avatar_forcing_ros.timeline import FRAME_NS, NANOSECONDS, SAMPLE_RATE, SAMPLES_PER_FRAME, time_of
from avatar_forcing_ros.voice.listening.barge_in import BargeIn
from avatar_forcing_ros.voice.listening.ear import Ear
from avatar_forcing_ros.voice.listening.made import HELD_OUT_VOICES, HUMS, SENTENCES, WORDS, said, there
from avatar_forcing_ros.voice.listening.vad import make_detector

ECHO_DB = -10.0  # of the avatar's voice in the microphone
DELAYS_MS = (50, 100, 170, 240, 300)
STOPPED_MS = 300.0
STOP_NS = 40_000_000  # an interruption is heard with the next frame of the avatar's voice
_NOISE = 10 ** (-60 / 20)
_ROOM_S = 0.15  # of reverberation
_TEXT = (
    "Welcome to our hotel. Breakfast is served from seven to ten in the room behind you. The swimming pool is on the top floor, and it is "
    "open until nine in the evening. If you need a taxi, I will gladly call one for you. The museum of modern art is ten minutes away."
)


def echo_path(delay_ms: float, random: np.random.Generator, room: bool = True) -> np.ndarray:
    """Impulse response from the avatar's voice to the microphone, of unit energy."""
    first = round(delay_ms * SAMPLE_RATE / 1000)
    path = np.zeros(first + round(_ROOM_S * SAMPLE_RATE))
    path[first] = 1.0
    if room:
        tail = np.arange(len(path) - first)
        path[first:] += random.normal(size=len(tail)) * np.exp(-tail / (0.04 * SAMPLE_RATE)) * 0.04
    return path / np.sqrt(np.sum(path**2))


def avatar_voice(seconds: float, voice: str) -> np.ndarray:
    """(n,) of the avatar speaking without an end, with pauses."""
    sentences = [s + "." for s in _TEXT.split(". ")]
    parts, length, i = [], 0, 0
    while length < seconds * SAMPLE_RATE:
        sound = said(voice, sentences[i % len(sentences)])
        assert sound is not None
        parts += [sound, np.zeros(round(0.25 * SAMPLE_RATE), np.float32)]
        length += len(sound) + round(0.25 * SAMPLE_RATE)
        i += 1
    return np.concatenate(parts)[: round(seconds * SAMPLE_RATE)]


class Room:
    """The avatar speaks into a room with a microphone; the user's sounds are laid over it."""

    def __init__(self, voice: np.ndarray, delay_ms: float, random: np.random.Generator) -> None:
        path = echo_path(delay_ms, random)
        echo = np.convolve(voice, path)[: len(voice)]
        level = np.sqrt(np.mean(voice**2)) * 10 ** (ECHO_DB / 20)
        self.voice = voice.astype(np.float32)
        self.microphone = (echo * (level / np.sqrt(np.mean(echo**2))) + random.normal(size=len(voice)) * _NOISE).astype(
            np.float32
        )

    def add(self, at: int, sound: np.ndarray) -> None:
        sound = sound[: len(self.microphone) - at]
        self.microphone[at : at + len(sound)] += sound

    def acts(self, detector: str) -> Iterator[tuple[int, bool]]:
        """(ns from the beginning, whether it is for good) of the moments at which it would fall silent; the avatar speaks on."""
        ear, policy = Ear(make_detector(detector)), BargeIn("stop")
        for frame in range(len(self.voice) // SAMPLES_PER_FRAME):
            place = slice(frame * SAMPLES_PER_FRAME, (frame + 1) * SAMPLES_PER_FRAME)
            heard = ear.push(frame, self.microphone[place], True, self.voice[place])
            action = policy.decide(heard, True)
            if action.stop or action.gain == 0.0:
                yield time_of(frame + 1) + STOP_NS, action.stop

    def stops(self, detector: str) -> Iterator[int]:
        """Of those, when it would stop for good."""
        return (time for time, good in self.acts(detector) if good)


def benchmark(
    count: int = 200,
    echo_minutes: float = 30.0,
    detector: str = "auto",
    seed: int = 1,
    progress: Callable[[str], None] = print,
) -> dict:
    """Figures, of voices and sentences that nothing was made from: interruptions that silence the avatar within 300 ms of their onset
    and when they end its speech, back-channels (half of them hums, half words) that silence it for a moment or end its speech, and
    own echo that ends it."""
    random = np.random.default_rng(seed)
    avatar = avatar_voice(60.0, "flite:slt")
    held_out = [v for v in HELD_OUT_VOICES if there(v)]
    silent: list[float] = []  # ms from an interruption's onset
    ended: list[float] = []
    late: list[str] = []
    false: dict[str, list[str]] = {"hums": [], "words": []}
    paused: dict[str, int] = {"hums": 0, "words": 0}
    kinds = (
        ("interruptions", SENTENCES, held_out, count),
        ("hums", HUMS, [v for v in held_out if v.startswith("espeak")], count // 2),
        ("words", WORDS, held_out, count - count // 2),
    )
    for kind, texts, voices, cases in kinds:
        done = 0
        while done < cases:
            room = Room(avatar, float(random.uniform(50, 300)), random)
            places: list[tuple[int, int, str]] = []
            at = 3 * SAMPLE_RATE
            while at < len(avatar) - 3 * SAMPLE_RATE and done < cases:
                voice, text = voices[int(random.integers(len(voices)))], texts[int(random.integers(len(texts)))]
                sound = said(voice, text)
                if sound is None:
                    continue
                onset = at + int(random.integers(0, SAMPLES_PER_FRAME))
                room.add(onset, sound * 10 ** (random.uniform(-4, 4) / 20))
                end = onset + len(sound)
                begin_ns, end_ns = (s * NANOSECONDS // SAMPLE_RATE for s in (onset, end))
                places.append((begin_ns, end_ns, f"{voice} {text}"))
                at = end + int(random.uniform(1.5, 3.0) * SAMPLE_RATE)
                done += 1
            acts = list(room.acts(detector))
            for begin, end, case in places:
                mine = [(t, good) for t, good in acts if begin <= t < end + NANOSECONDS // 2]
                stops = [t for t, good in mine if good]
                if kind == "interruptions":
                    silent.append((mine[0][0] - begin) / 1e6 if mine else np.inf)
                    ended.append((stops[0] - begin) / 1e6 if stops else np.inf)
                    late += [case] if silent[-1] > STOPPED_MS else []
                else:
                    paused[kind] += bool(mine)
                    false[kind] += [case] if stops else []
        progress(f"{kind}: {cases}")
    echoes, spoken = 0, 0.0
    while spoken < echo_minutes * 60:
        minutes = min(echo_minutes, 1.0)
        voice = held_out[int(random.integers(len(held_out)))]
        room = Room(avatar_voice(60 * minutes, voice), DELAYS_MS[int(random.integers(len(DELAYS_MS)))], random)
        echoes += len(list(room.stops(detector)))
        spoken += 60 * minutes
    progress(f"own echo: {spoken / 60:.0f} minutes")

    def spread(times: list[float]) -> dict[str, float]:
        return {f"p{q}": float(np.round(np.percentile(times, q, method="lower"), 1)) for q in (50, 95)}

    return {
        "detector": make_detector(detector).name,
        "interruptions": count,
        "silent_within_300_ms": round(float(np.mean(np.array(silent) <= STOPPED_MS)), 4),
        "silent_ms": spread(silent),
        "stopped_at_all": round(float(np.mean(np.isfinite(ended))), 4),
        "stop_ms": spread(ended),
        "back_channels": count,
        "false_stops": sum(map(len, false.values())),
        "false_stops_of": false,
        "paused": paused,
        "late": late,
        "echo_minutes": round(spoken / 60, 1),
        "echo_stops": echoes,
        "frame_ms": FRAME_NS / 1e6,
    }
