"""What the user's signals foretell of the avatar's motion, beyond what the avatar's own speech foretells.

A model that does not see the user, or a pair of strangers, must come out at zero. docs/evaluation.md gives the formula.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar_forcing_ros.audio.level import speech_level
from avatar_forcing_ros.learning.evaluation.metrics import smile
from avatar_forcing_ros.learning.evaluation.reaction import gaze_direction
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.timeline import FRAME_RATE

TARGETS = ("smile", "pitch", "yaw", "roll", "gaze")
_USER_LAGS = np.arange(0, 2 * FRAME_RATE + 1, 5)  # frames: 0 to 2 s
_OWN_LAGS = np.arange(-FRAME_RATE, 3 * FRAME_RATE + 1, 5)  # the own speech may be known ahead and is given more room
_AVERAGED = 5  # frames over which a feature is averaged, so that the lags leave no gap
_EVERY = 3  # frames: neighbours say almost the same
_FOLD = 10 * FRAME_RATE // _EVERY  # rows of the blocks of time that are held out together
_FOLDS = 5
_RIDGE = 0.01  # of the number of frames, for features of unit variance
_NEAREST_SHIFT = 5 * FRAME_RATE


def user_features(motion: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """What the avatar could react to, (n, 8): smile, jaw, pitch, yaw, roll, gaze direction, loudness, voice."""
    named = (motion[:, rig.INDEX[name]] for name in ("jawOpen", "headPitch", "headYaw", "headRoll"))
    return np.stack([smile(motion), *named, gaze_direction(motion), *speech_level(samples)], axis=1).astype(np.float64)


def own_features(samples: np.ndarray) -> np.ndarray:
    """What the avatar's own speech says of its motion, (n, 2): loudness, voice."""
    return np.stack(speech_level(samples), axis=1).astype(np.float64)


def avatar_targets(latents: np.ndarray) -> np.ndarray:
    """What is to be foretold, (n, 5): the columns TARGETS."""
    angles = (latents[:, rig.INDEX[name]] for name in ("headPitch", "headYaw", "headRoll"))
    return np.stack([smile(latents), *angles, gaze_direction(latents)], axis=1).astype(np.float64)


@dataclass(frozen=True)
class Gain:
    """raw: mean gain in cross-validated R^2 over the targets; shifted (k,): the same under circular shifts of the user.
    by_target: each target's own raw gain less the shifts' mean of it."""

    raw: float
    shifted: np.ndarray
    by_target: dict[str, float]

    @property
    def gain(self) -> float:
        """The figure: the raw gain less the mean of the shifts'."""
        return self.raw - float(self.shifted.mean())

    @property
    def noise(self) -> tuple[float, float]:
        """Where 95 % of the shifts lie about their own mean: a gain within is no gain."""
        low, high = np.percentile(self.shifted - self.shifted.mean(), (2.5, 97.5))
        return float(low), float(high)

    @property
    def p(self) -> float:
        """Share of the shifts, the true place among them, that gain as much or more."""
        return float((1 + (self.shifted >= self.raw).sum()) / (1 + len(self.shifted)))

    def summary(self) -> dict:
        return {"gain": self.gain, "noise_95": list(self.noise), "p": self.p, "by_target": self.by_target}


def predictive_gain(
    recordings: list[tuple[np.ndarray, np.ndarray, np.ndarray]], seed: int = 0, shifts: int = 100
) -> Gain:
    """The gain over recordings of (avatar_targets (n, 5), own_features (n, k), user_features (n, m)) each.

    Ridge regression of each target on lagged features (every third frame), R^2 on held-out blocks of 10 s (5 folds),
    with and without the user's features; then the same with each recording's user moved around its circle by a random
    time of 5 s or more.
    Raises ValueError where no recording is longer than 20 s.
    """
    recordings = [r for r in recordings if len(r[0]) > 4 * _NEAREST_SHIFT]
    if not recordings:
        raise ValueError("no recording is longer than 20 s")
    rng = np.random.default_rng(seed)
    targets = np.concatenate([(t - t.mean(axis=0))[::_EVERY] for t, _, _ in recordings])
    targets = targets / np.maximum(targets.std(axis=0), 1e-9)
    own = _unit(np.concatenate([_lagged(o, _OWN_LAGS)[::_EVERY] for _, o, _ in recordings]))
    parts = [_lagged(u, _USER_LAGS)[::_EVERY] for _, _, u in recordings]
    mean, spread = (f(np.concatenate(parts), axis=0) for f in (np.mean, np.std))
    parts = [(part - mean) / np.maximum(spread, 1e-9) for part in parts]
    fold = np.concatenate([np.arange(len(part)) // _FOLD + 3 * i for i, part in enumerate(parts)]) % _FOLDS

    without = _held_out_r2(own, targets, fold)
    true = _held_out_r2(np.concatenate([own, np.concatenate(parts)], axis=1), targets, fold) - without
    moved, nearest = [], _NEAREST_SHIFT // _EVERY + 1
    for _ in range(shifts):
        rolled = [np.roll(p, rng.integers(nearest, len(p) - nearest), axis=0) for p in parts]
        moved.append(_held_out_r2(np.concatenate([own, np.concatenate(rolled)], axis=1), targets, fold) - without)
    by_target = dict(zip(TARGETS, (true - np.mean(moved, axis=0)).tolist()))
    return Gain(float(true.mean()), np.mean(moved, axis=1), by_target)


def _lagged(signals: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """(n, k * lags): each signal as it was `lag` frames ago, averaged over 5 frames from then back; ends repeated."""
    count = len(signals)
    ahead = np.concatenate([np.repeat(signals[:1], _AVERAGED, axis=0), signals])
    sums = np.cumsum(ahead, axis=0)
    averaged = (sums[_AVERAGED:] - sums[:-_AVERAGED]) / _AVERAGED
    return np.concatenate([averaged[np.clip(np.arange(count) - lag, 0, count - 1)] for lag in lags], axis=1)


def _unit(columns: np.ndarray) -> np.ndarray:
    return (columns - columns.mean(axis=0)) / np.maximum(columns.std(axis=0), 1e-9)


def _held_out_r2(features: np.ndarray, targets: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """R^2 of each target (k,) over all held-out blocks. Sums of squares per fold make leaving one out cheap."""
    gram, cross = [], []
    for k in range(_FOLDS):
        x, y = features[fold == k], targets[fold == k]
        gram.append(x.T @ x)
        cross.append(x.T @ y)
    error = np.zeros(targets.shape[1])
    for k in range(_FOLDS):
        train = fold != k
        ridge = _RIDGE * train.sum() * np.eye(features.shape[1])
        weights = np.linalg.solve(sum(gram) - gram[k] + ridge, sum(cross) - cross[k])
        error += ((targets[~train] - features[~train] @ weights) ** 2).sum(axis=0)
    return 1.0 - error / np.maximum((targets**2).sum(axis=0), 1e-9)
