"""The face at rest: learned while a person is watched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from avatar_forcing_ros.motion.tracking.expression import mouth_gap, smile_reach
from avatar_forcing_ros.motion.tracking.landmarks import AT, LEVEL, LIMIT, MEASURES, TYPICAL


@dataclass(frozen=True)
class NeutralFace:
    """A person's face at rest. measures: see landmarks.py. angles: (yaw, pitch, roll) relative to the camera.

    centre (2,) pixels, y up, and scale (pixels per unit of the head frame) say where the head rests in the image.
    """

    measures: np.ndarray
    angles: np.ndarray
    centre: np.ndarray
    scale: float


# Which of a frame's weights counts for a measure: 0 the mouth's, 1 the lids' and gaze's, 2 that of all else.
_PART = np.array(
    [
        0 if n.startswith(("corner", "upperLip", "lowerLip", "upperRed", "lowerRed", "chin"))
        else 1 if n.startswith(("lidGap", "lowerLid", "iris"))
        else 2
        for n in MEASURES
    ]
)  # fmt: skip
_ANGLE_LIMIT = np.array([0.35, 0.45, 0.20])
_ROWS = 96  # remembered frames of the learning time
_APART_AT_REST = 0.005  # D; at most, between lips that are closed
_BETWEEN = 8  # at most so many rows from one image
_TYPICAL_SECONDS = 0.03  # how much seen time the typical face counts as
_SLOWEST = 30.0  # seconds in which a learned face follows a lasting change


class NeutralLearner:
    """Learns a face at rest while it talks, smiles and blinks.

    Over the first `learn_seconds` each measure takes the quantile of `landmarks.Measure.level` of the frames seen
    so far. Frames with an open mouth, a smile, closed lids or raised brows count next to nothing for that part of
    the face, and typical human ratios count as one frame: so the first frame is usable, and a person who smiles
    throughout still smiles. Afterwards the face follows slowly, with a time constant that grows to 30 s, and more
    slowly still while it is active: a person who sits down differently is at rest again after a while, yet a long
    smile remains one.
    """

    def __init__(self, learn_seconds: float) -> None:
        self.learn_seconds = learn_seconds
        self.reset()

    def reset(self) -> None:
        self._age = 0.0  # seconds of face seen
        self._kept = -np.inf
        self._rows: list[np.ndarray] = []  # measures, angles, centre, log scale; at most _ROWS + 1
        self.face: NeutralFace | None = None

    def scale(self, factor: float) -> None:
        """The image has become so many times as wide; the person is the same."""
        if self.face is not None:
            self.face = NeutralFace(
                self.face.measures, self.face.angles, factor * self.face.centre, factor * self.face.scale
            )
        for row in self._rows:
            row[-3:-1] *= factor
            row[-1] += np.log(factor)

    def observe(
        self, measures: np.ndarray, angles: np.ndarray, centre: np.ndarray, scale: float, seconds: float
    ) -> NeutralFace:
        """Takes one frame that lasted `seconds` and returns the face at rest as known by now."""
        self._age += seconds
        if self.face is None or self._age < self.learn_seconds:
            self._learn(measures, angles, centre, scale)
        else:
            self._follow(measures, angles, centre, scale, seconds)
        assert self.face is not None
        return self.face

    def _learn(self, measures: np.ndarray, angles: np.ndarray, centre: np.ndarray, scale: float) -> None:
        row = np.concatenate([measures, angles, centre, [np.log(scale)]])
        last = self._rows[-1] if self._rows else row
        # Of a slow camera what lay between two images counts too, as if it had moved evenly.
        due = int((self._age - self._kept) / (self.learn_seconds / _ROWS)) if self._rows and self.learn_seconds else 1
        for part in range(1, min(due, _BETWEEN) + 1):
            self._rows.append(last + part / due * (row - last))
        if due:
            self._kept = self._age
        rows, count = np.array(self._rows), len(MEASURES)
        facing = _calm(np.abs(rows[:, count : count + 2]).max(axis=1) - 0.3, 0.2)
        # Brows and lids are as various as people: what counts as raised is judged against the lowest seen.
        usual = np.where(_PART == 0, TYPICAL, np.quantile(rows[:, :count], 0.1, axis=0))
        weights = facing[:, None] * _calmness(rows[:, :count], usual, 0.05, 0.06)[:, _PART] + 1e-3
        level = _quantile(rows[:, :count], weights, LEVEL)
        seen = weights.sum(axis=0) * self.learn_seconds / _ROWS
        rest = TYPICAL + np.clip(level - TYPICAL, -LIMIT, LIMIT) * seen / (seen + _TYPICAL_SECONDS)
        pose = np.median(rows[:, count:], axis=0)
        self._set(rest, pose[:3], pose[3:5], float(np.exp(pose[5])))

    def _follow(
        self, measures: np.ndarray, angles: np.ndarray, centre: np.ndarray, scale: float, seconds: float
    ) -> None:
        rest = self.face
        assert rest is not None
        rate = seconds / min(max(self._age, 2.0), _SLOWEST)
        still = _calm(np.abs(angles - rest.angles).max(), 0.2)
        share = still * np.maximum(_calmness(measures, rest.measures, 0.03, 0.03)[_PART], 0.03)
        self._set(
            rest.measures + rate * share * (measures - rest.measures),
            rest.angles + rate * max(still, 0.1) * (angles - rest.angles),
            rest.centre + rate * (centre - rest.centre),
            rest.scale * float(np.exp(rate * np.log(scale / rest.scale))),
        )

    def _set(self, measures: np.ndarray, angles: np.ndarray, centre: np.ndarray, scale: float) -> None:
        measures = np.clip(measures, TYPICAL - LIMIT, TYPICAL + LIMIT)
        # At rest the mouth is closed, whatever was seen of it.
        measures[AT["lowerLip"]] = max(measures[AT["lowerLip"]], measures[AT["upperLip"]] - _APART_AT_REST)
        self.face = NeutralFace(measures, np.clip(angles, -_ANGLE_LIMIT, _ANGLE_LIMIT), centre, scale)


def _calmness(measures: np.ndarray, rest: np.ndarray, gap: float, reach: float) -> np.ndarray:
    """How calm the mouth, the lids and all else are, (..., 3) from 0 to 1, if `rest` were the face at rest.

    measures: (..., len(MEASURES)). gap: D between the lips that counts as an open mouth. reach: D of movement that
    may be a person's own shape.
    """
    delta = measures - rest
    mouth = _calm(mouth_gap(measures), gap) * _calm(smile_reach(delta) - reach, 0.03)
    brows = _calm(np.maximum(delta[..., AT["browMiddleRight"]], delta[..., AT["browMiddleLeft"]]) - 0.02, 0.03)
    lids = measures[..., [AT["lidGapRight"], AT["lidGapLeft"]]] / TYPICAL[AT["lidGapRight"]]
    return np.stack([mouth, brows * _calm(0.65 - lids.min(axis=-1), 0.15), brows], axis=-1)


def _calm(excess: Any, width: float) -> Any:
    return np.exp(-((np.maximum(excess, 0.0) / width) ** 2))


def _quantile(values: np.ndarray, weights: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Per column the value below which the share `level` of the weights lies. values, weights: (rows, columns)."""
    order = np.argsort(values, axis=0)
    sorted_weights = np.take_along_axis(weights, order, axis=0)
    heap = np.cumsum(sorted_weights, axis=0) - 0.5 * sorted_weights  # a value stands in the middle of its weight
    sorted_values = np.take_along_axis(values, order, axis=0)
    aim = level * sorted_weights.sum(axis=0)
    above = np.clip((heap < aim).sum(axis=0), 1, max(len(values) - 1, 1))
    columns = np.arange(values.shape[1])
    if len(values) == 1:
        return sorted_values[0]
    low, high = heap[above - 1, columns], heap[above, columns]
    share = np.clip((aim - low) / np.maximum(high - low, 1e-12), 0.0, 1.0)
    return sorted_values[above - 1, columns] + share * (
        sorted_values[above, columns] - sorted_values[above - 1, columns]
    )
