"""What a face did, as numbers: lips, liveliness, drift. docs/evaluation.md gives each formula and its source.

Latents are rig latents (n, 32) at 25 Hz, samples are (n * 640,) float32 at 16 kHz.
"""

from __future__ import annotations

import numpy as np

from avatar_forcing_ros.audio.level import runs, speech_level
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.timeline import FRAME_RATE

CLOSED_JAW = 0.06  # jawOpen of a mouth at rest: below it no gap is seen
SHUT_JAW = 0.08  # jawOpen at which the lips count as met for p, b, m
SILENCE_FRAMES = FRAME_RATE // 2 + 1  # half a second
POSE = [rig.INDEX[n] for n in ("headYaw", "headPitch", "headRoll", "headX", "headY", "headScale")]
ANGLES = POSE[:3]
EXPRESSION = [i for i, n in enumerate(rig.NAMES) if not n.startswith("head")]
_JAW = rig.INDEX["jawOpen"]


def jaw(latents: np.ndarray) -> np.ndarray:
    """Mouth opening (n,): jawOpen."""
    return latents[:, _JAW]


def pucker(latents: np.ndarray) -> np.ndarray:
    return latents[:, rig.INDEX["mouthPucker"]]


def smile(latents: np.ndarray) -> np.ndarray:
    """Mean of both sides (n,)."""
    return latents[:, rig.SMILE].mean(axis=1)


def mouth_width(latents: np.ndarray) -> np.ndarray:
    """How far each corner has moved outward, in 0.12 D (n,): what rig.py says that each coefficient does to it."""
    stretch = latents[:, rig.STRETCH].mean(axis=1)
    return stretch + 0.10 / 0.12 * smile(latents) - pucker(latents) - 0.5 * latents[:, rig.INDEX["mouthFunnel"]]


MOUTH = {"jaw": jaw, "width": mouth_width, "pucker": pucker}


def correlation(true: np.ndarray, other: np.ndarray) -> float:
    """Pearson's r. NaN where `true` does not move (nothing could be predicted), 0 where only `other` does not."""
    if len(true) < 3 or np.std(true) < 1e-6:
        return float("nan")
    return 0.0 if np.std(other) < 1e-6 else float(np.corrcoef(true, other)[0, 1])


def lagged_correlation(true: np.ndarray, other: np.ndarray, reach: int, valid: np.ndarray | None = None) -> np.ndarray:
    """r of true[t] with other[t + lag] for lag = -reach .. reach frames (2 reach + 1,): lag > 0 means other is late.

    valid: (n,) bool; False where `true` is not known.
    """
    count = len(true)
    valid = np.ones(count, bool) if valid is None else valid
    curve = []
    for lag in range(-reach, reach + 1):
        at = np.arange(max(0, -lag), min(count, count - lag))
        at = at[valid[at]]
        curve.append(correlation(true[at], other[at + lag]))
    return np.array(curve)


def best_lag(curve: np.ndarray, reach: int, either_sign: bool = False) -> tuple[float, int]:
    """(r, lag) where a curve of `lagged_correlation` is highest within +-reach; either_sign: where |r| is."""
    middle = len(curve) // 2
    part = curve[middle - reach : middle + reach + 1]
    if not np.isfinite(part).any():
        return float("nan"), 0
    index = int(np.nanargmax(np.abs(part) if either_sign else part))
    return float(part[index]), index - reach


def after_silence(samples: np.ndarray, frames: int = SILENCE_FRAMES) -> np.ndarray:
    """(n,) bool: nothing sounds in this frame, nor in the half second before it."""
    _, sounding = speech_level(samples)
    quiet = np.convolve(~sounding, np.ones(frames))[: len(sounding)]
    return quiet > frames - 0.5


def closed_in_silence(latents: np.ndarray, samples: np.ndarray) -> tuple[int, int]:
    """(frames with jawOpen < 0.06, frames) among those that follow half a second of silence."""
    quiet = after_silence(samples)
    return int((jaw(latents)[quiet] < CLOSED_JAW).sum()), int(quiet.sum())


def closure_hits(latents: np.ndarray, closures: np.ndarray) -> np.ndarray:
    """For each p, b, m (a stretch of closures (n,) bool): whether jawOpen falls below 0.08 in it, +-1 frame."""
    opening = jaw(latents)
    return np.array([opening[max(0, a - 1) : b + 1].min() < SHUT_JAW for a, b in runs(closures)], bool)


def closure_chance(
    latents: np.ndarray, closures: np.ndarray, speaking: np.ndarray, rng: np.random.Generator, draws: int = 20
) -> float:
    """Share of hits for as many stretches of the same lengths laid at random where the voice speaks.

    speaking: (n,) bool. NaN without speech or closures. Of a mouth that never opens this is 1, as its hits are.
    """
    opening, stretches = jaw(latents), runs(closures)
    places = np.flatnonzero(speaking)
    if not len(stretches) or not len(places):
        return float("nan")
    hits = []
    for first, after in stretches:
        starts = rng.choice(places, draws)
        hits += [opening[max(0, a - 1) : a + after - first + 1].min() < SHUT_JAW for a in starts]
    return float(np.mean(hits))


def clusters(points: np.ndarray, count: int, seed: int = 0, rounds: int = 50, most: int = 6000) -> np.ndarray:
    """Centres (count, dim) of k-means (Lloyd's rounds from k-means++ seeds) on at most `most` of the points (n, dim)."""
    rng = np.random.default_rng(seed)
    points = points[rng.permutation(len(points))[:most]].astype(np.float64)
    centres = points[:1]
    for _ in range(count - 1):
        away = _square_distances(points, centres).min(axis=1)
        share = away / away.sum() if away.sum() > 0 else None
        centres = np.concatenate([centres, points[[rng.choice(len(points), p=share)]]])
    for _ in range(rounds):
        nearest = _square_distances(points, centres).argmin(axis=1)
        moved = np.stack(
            [points[nearest == k].mean(axis=0) if (nearest == k).any() else centres[k] for k in range(count)]
        )
        if np.allclose(moved, centres):
            break
        centres = moved
    return centres


def _square_distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return ((points**2).sum(1)[:, None] - 2 * points @ centres.T + (centres**2).sum(1)).clip(0)


def diversity(points: np.ndarray, centres: np.ndarray) -> float:
    """SID: entropy in bits of how often each cluster is visited by points (n, dim); at most log2 of the clusters."""
    counts = np.bincount(_square_distances(points, centres).argmin(axis=1), minlength=len(centres))
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum())


def blinks_per_minute(latents: np.ndarray) -> float:
    """Lids (mean of both) that close beyond 0.5 after having been open beyond 0.7 of the gap."""
    lids = latents[:, rig.LIDS].mean(axis=1)
    count, is_open = 0, True
    for value in lids:
        if is_open and value > 0.5:
            count, is_open = count + 1, False
        elif value < 0.3:
            is_open = True
    return 60.0 * FRAME_RATE * count / len(lids)


def jerk(signals: np.ndarray) -> float:
    """Mean absolute third difference of signals (n,) or (n, k), in units per frame^3."""
    return float(np.abs(np.diff(signals, n=3, axis=0)).mean())


def border_ratio(latents: np.ndarray, commit: int, order: int = 1) -> float:
    """How much more the motion changes where one step's frames meet the next one's than elsewhere: 1 is not at all.

    commit: frames of a step; borders lie before frames commit, 2 commit ... NaN where every frame touches a border.
    order 1: jumps (mean |first difference|); 2: kinks (second difference, at both frames that touch the border). Each
    coefficient counts by its own mean change.
    """
    change = np.abs(np.diff(latents, n=order, axis=0))
    change = change[:, change.mean(axis=0) > 1e-6]
    if not change.size:
        return float("nan")
    last = np.arange(len(change)) + order  # the last frame that each difference looks at
    border = last % commit < order
    if border.all():
        return float("nan")
    change = (change / change.mean(axis=0)).mean(axis=1)
    return float(change[border].mean() / change[~border].mean())


def drift(
    latents: np.ndarray, repeats: int | None = None, window: int = 60 * FRAME_RATE, ends: int = 300 * FRAME_RATE
) -> dict:
    """How far the motion walks off over a long run.

    repeats: frames after which the signals that drove it begin again, a multiple of the window, or None.
    furthest, last: Euclidean distance of the mean of a window (60 s) from the first window's mean: the largest, and
        that of the last one. What the face does in a minute counts as well, so see what the true motion has.
    same_signals: the largest distance of a window from that of the first round with the same signals, or None.
    spread_ratio: standard deviation (mean over coefficients) of the last 5 minutes over that of the first 5.
    finite: no NaN, no infinity. Raises ValueError for less than two windows.
    """
    count = len(latents) // window
    if count < 2:
        raise ValueError(f"{len(latents)} frames are less than two windows of {window}")
    if not np.isfinite(latents).all():
        return {"furthest": None, "last": None, "same_signals": None, "spread_ratio": None, "finite": False}
    means = latents[: count * window].astype(np.float64).reshape(count, window, -1).mean(axis=1)
    away = np.linalg.norm(means - means[0], axis=1)
    same = None
    if repeats and repeats % window == 0 and count > repeats // window:
        same = float(np.linalg.norm(means - means[np.arange(count) % (repeats // window)], axis=1).max())
    ends = min(ends, len(latents) // 2)
    spread = [float(part.astype(np.float64).std(axis=0).mean()) for part in (latents[:ends], latents[-ends:])]
    return {
        "furthest": float(away.max()), "last": float(away[-1]), "same_signals": same,
        "spread_ratio": spread[1] / spread[0] if spread[0] > 1e-9 else None, "finite": True,
    }  # fmt: skip
