"""Does the avatar answer the user? Its responses to single events: smiles, nods, glances; and rPCC.

docs/evaluation.md gives each formula and its source. Latents are rig latents (n, 32) at 25 Hz.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar_forcing_ros.audio.level import runs
from avatar_forcing_ros.learning.evaluation.metrics import EXPRESSION, POSE, correlation, smile
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.timeline import FRAME_RATE

WINDOWS = {"1 s": FRAME_RATE, "1.5 s": FRAME_RATE * 3 // 2}  # frames within which an answer counts
_LONGEST = max(WINDOWS.values())
SMILE_RISE = 0.12  # of the mean smile, within SMILE_SPAN: a change that a viewer sees
SMILE_SPAN = 15  # frames
SMILING = 0.25  # an avatar that smiles already has nothing to answer
NOD_DEPTH = 0.04  # radians, peak of the fast part of the pitch: above most of what speech itself does to the head
GLANCE = 0.15  # radians, change of the direction of the gaze
GLANCE_SPAN = 5  # frames
ON_USER = 0.12  # radians: a face's width at one and a half metres is 0.1
_NEAREST_SHIFT = 5 * FRAME_RATE  # frames: a shift nearer than that is no control
_EYE = 0.65  # radians of the eye per gazeX, as generators and tracker take it


def rises(signal: np.ndarray, by: float = SMILE_RISE, span: int = SMILE_SPAN) -> np.ndarray:
    """Frames at which a rise of at least `by` within `span` frames begins: the last one before it that is within by / 4 of the lowest, so
    that what trembles at rest does not date the rise. One rise counts once, however long it is."""
    padded = np.concatenate([np.full(span, signal[0]), signal]) if len(signal) else signal
    windows = np.lib.stride_tricks.sliding_window_view(padded, span + 1)
    rise = signal - windows.min(axis=1)
    found, ready = [], True
    for frame, value in enumerate(rise):
        if ready and value >= by:
            low = np.flatnonzero(windows[frame] <= windows[frame].min() + by / 4)
            found.append(max(0, frame - span + int(low[-1])))
            ready = False
        elif value < by / 2:
            ready = True
    return np.array(found, int)


def smile_onsets(latents: np.ndarray) -> np.ndarray:
    """Frames at which a smile begins, or grows by 0.12 within 0.6 s."""
    return rises(smile(latents))


def nods(latents: np.ndarray) -> np.ndarray:
    """Frames at which a nod begins: the pitch, freed of what is slower than about 0.8 Hz, sinks by 0.04 rad."""
    pitch = latents[:, rig.INDEX["headPitch"]].astype(np.float64)
    if not len(pitch):
        return np.zeros(0, int)
    fast = pitch - _smoothed(pitch, FRAME_RATE)
    down = _smoothed(fast, 3) < -NOD_DEPTH
    starts = runs(down)[:, 0]
    kept: list[int] = []
    for start in starts:  # the second dip of one nod is not a nod of its own
        if not kept or start - kept[-1] > 0.8 * FRAME_RATE:
            kept.append(int(start))
    return np.array(kept, int)


def _smoothed(signal: np.ndarray, frames: int) -> np.ndarray:
    """Moving average over an odd number of frames about each frame, the ends repeated."""
    half = frames // 2
    padded = np.pad(signal, half, mode="edge")
    return np.convolve(padded, np.ones(2 * half + 1) / (2 * half + 1), mode="valid")


def gaze_direction(latents: np.ndarray) -> np.ndarray:
    """Where the eyes look, sideways, in radians (n,): head and eyes together."""
    return latents[:, rig.INDEX["headYaw"]] + _EYE * latents[:, rig.INDEX["gazeX"]]


def looks_at_user(latents: np.ndarray) -> float:
    """Share of the frames whose gaze is within 0.12 rad of the camera's, sideways."""
    return float((np.abs(gaze_direction(latents)) < ON_USER).mean()) if len(latents) else float("nan")


def glances(latents: np.ndarray) -> np.ndarray:
    """Frames at which the gaze leaves for another direction: by 0.15 rad or more within 0.2 s."""
    direction = gaze_direction(latents)
    if len(direction) <= GLANCE_SPAN:
        return np.zeros(0, int)
    moved = np.abs(direction[GLANCE_SPAN:] - direction[:-GLANCE_SPAN]) >= GLANCE
    return runs(moved)[:, 0]


@dataclass(frozen=True)
class Responses:
    """count: events that could be answered. rates: share answered, by window. chance, chance_high: mean and 97.5th
    percentile of each rate over random circular shifts of the events. delays: frames from an event to its answer, of those
    answered within the longest window."""

    count: int
    rates: dict[str, float]
    chance: dict[str, float]
    chance_high: dict[str, float]
    delays: np.ndarray

    def summary(self) -> dict:
        """For JSON: delays as median and quartiles in seconds."""
        quartiles = np.percentile(self.delays, (25, 50, 75)) / FRAME_RATE if len(self.delays) else np.full(3, np.nan)
        return {
            "events": self.count, "rate": self.rates, "chance": self.chance, "chance_97.5": self.chance_high,
            "delay_s": dict(zip(("q25", "median", "q75"), quartiles.tolist())),
        }  # fmt: skip


@dataclass(frozen=True)
class Recording:
    """One conversation for `responses`. events, answers: frames, in order. frames: its length.
    busy: (frames,) bool, where an event has nothing to be answered, or None."""

    events: np.ndarray
    answers: np.ndarray
    frames: int
    busy: np.ndarray | None = None


def responses(recordings: list[Recording], seed: int = 0, shifts: int = 200) -> Responses:
    """How often events are followed by answers, over several recordings.

    An event at a busy frame, or too near to the end for the longest window, is not counted. The chance is counted in the
    same way after all events of a recording were moved around its circle by one random time of 5 s or more.
    """
    rng = np.random.default_rng(seed)

    def delays_of(shifted: bool) -> np.ndarray:
        found = []
        for one in recordings:
            events = (np.asarray(one.events, int) + (_random_shift(rng, one.frames) if shifted else 0)) % one.frames
            events = events[events + _LONGEST < one.frames]
            if one.busy is not None:
                events = events[~one.busy[events]]
            found.append(_first_answers(events, np.asarray(one.answers, int)))
        return np.concatenate(found) if found else np.zeros(0, int)

    def rates_of(delays: np.ndarray) -> list[float]:
        return [float((delays <= window).mean()) if len(delays) else np.nan for window in WINDOWS.values()]

    delays = delays_of(False)
    by_chance = np.array([rates_of(delays_of(True)) for _ in range(shifts)])
    by_chance = by_chance[np.isfinite(by_chance).all(axis=1)]
    if not len(by_chance):
        by_chance = np.full((1, len(WINDOWS)), np.nan)
    return Responses(
        count=len(delays),
        rates=dict(zip(WINDOWS, rates_of(delays))),
        chance=dict(zip(WINDOWS, by_chance.mean(axis=0).tolist())),
        chance_high=dict(zip(WINDOWS, np.percentile(by_chance, 97.5, axis=0).tolist())),
        delays=delays[delays <= _LONGEST],
    )


def _random_shift(rng: np.random.Generator, frames: int) -> int:
    near = min(_NEAREST_SHIFT, frames // 4)
    return int(rng.integers(near, frames - near))


def _first_answers(events: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Frames from each event to the first answer at or after it; a large number where there is none."""
    never = 1 << 30
    if not len(answers):
        return np.full(len(events), never)
    index = np.searchsorted(answers, events)
    return np.where(index < len(answers), answers[np.minimum(index, len(answers) - 1)] - events, never)


def gaze_following(
    recordings: list[tuple[np.ndarray, np.ndarray, np.ndarray]], seed: int = 0, shifts: int = 200
) -> dict[str, float]:
    """Whether the avatar looks where the user looks, when the user looks away for long.

    recordings: (latents (n, 32), frames of the user's glances (k,), their sides (k,): 1 image right, -1 image left).
    Returns {"radians", "chance_97.5", "events"}: the mean change of the avatar's gaze from the 0.4 s before a glance to
    0.8 to 2.2 s after its start, positive toward what the user looks at (the other side of the image, for who sits
    opposite); and what 97.5 % of random circular shifts of the glances stay below.
    """
    rng = np.random.default_rng(seed)
    before, first, last = 10, 20, 55

    def mean_change(shifted: bool) -> float:
        changes = []
        for latents, events, sides in recordings:
            gaze = gaze_direction(latents)
            moved = (np.asarray(events, int) + (_random_shift(rng, len(gaze)) if shifted else 0)) % len(gaze)
            changes += [
                -side * (gaze[e + first : e + last].mean() - gaze[e - before : e].mean())
                for e, side in zip(moved, sides)
                if e >= before and e + last < len(gaze)
            ]
        return float(np.mean(changes)) if changes else np.nan

    events = sum(len(one[1]) for one in recordings)
    if not events:
        return {"radians": np.nan, "chance_97.5": np.nan, "events": 0}
    by_chance = [mean_change(True) for _ in range(shifts)]
    return {"radians": mean_change(False), "chance_97.5": float(np.nanpercentile(by_chance, 97.5)), "events": events}


def around(signal: np.ndarray, events: np.ndarray, before: int, after: int) -> np.ndarray:
    """Pieces (k, before + after + 1) of a signal about events, less each piece's value at its event."""
    events = np.asarray(events, int)
    events = events[(events >= before) & (events + after < len(signal))]
    pieces = np.array([signal[e - before : e + after + 1] - signal[e] for e in events])
    return pieces.reshape(-1, before + after + 1)


def rpcc(user: np.ndarray, true: np.ndarray, generated: np.ndarray) -> dict[str, float]:
    """{"expression", "pose"}: |PCC(user, true) - PCC(user, generated)| of one recording, 0 is best.

    PCC is the mean over the group's coefficients of Pearson's r over time between user and avatar; a coefficient that
    does not move on either side counts 0.
    """

    def pcc(avatar: np.ndarray, group: list[int]) -> float:
        return float(np.nan_to_num([correlation(user[:, i], avatar[:, i]) for i in group]).mean())

    groups = {"expression": EXPRESSION, "pose": POSE}
    return {name: abs(pcc(true, group) - pcc(generated, group)) for name, group in groups.items()}
