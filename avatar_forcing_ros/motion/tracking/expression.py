"""From the measures of a face, and of the same face at rest, to the rig's coefficients of expression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.landmarks import AT, LEVEL, LIMIT, MEASURES, TYPICAL

# What one unit of each coefficient does to the measures of the lower face, in D. The diagonal values are the
# rig's definitions; the others are what comes along on a real face (an opening jaw pulls the corners of the mouth
# down, a smile lifts both lips). Rows follow _MOUTH_ROWS.
_MOUTH_ROWS = (  # (measure, how far in D the mesh and the model may be off)
    ("upperLip", 0.015),
    ("lowerLip", 0.015),
    ("chinUp", 0.070),
    ("cornerOutRight", 0.010),
    ("cornerUpRight", 0.010),
    ("cornerOutLeft", 0.010),
    ("cornerUpLeft", 0.010),
    ("chinOut", 0.010),
    ("red", 0.020),
)
_MOUTH_EFFECTS = {  # coefficient: (spread expected of it, its effects)
    "jawOpen": (1.0, dict(upperLip=0.06, lowerLip=-0.405, chinUp=-0.22, cornerUpRight=-0.12, cornerUpLeft=-0.12,
                          cornerOutRight=-0.015, cornerOutLeft=-0.015, red=-0.06)),
    "jawX": (0.5, dict(chinOut=0.07, cornerOutLeft=0.02, cornerOutRight=-0.02)),
    "mouthSmileLeft": (1.0, dict(cornerOutLeft=0.10, cornerUpLeft=0.10, upperLip=0.015, lowerLip=0.015, chinUp=0.01, red=-0.01)),
    "mouthSmileRight": (1.0, dict(cornerOutRight=0.10, cornerUpRight=0.10, upperLip=0.015, lowerLip=0.015, chinUp=0.01, red=-0.01)),
    "mouthFrownLeft": (0.5, dict(cornerUpLeft=-0.08)),
    "mouthFrownRight": (0.5, dict(cornerUpRight=-0.08)),
    "mouthStretchLeft": (0.6, dict(cornerOutLeft=0.12, cornerUpLeft=0.015)),
    "mouthStretchRight": (0.6, dict(cornerOutRight=0.12, cornerUpRight=0.015)),
    "mouthPucker": (0.7, dict(cornerOutLeft=-0.12, cornerOutRight=-0.12)),
    "mouthFunnel": (1.0, dict(cornerOutLeft=-0.06, cornerOutRight=-0.06, upperLip=0.06, lowerLip=-0.06, chinUp=-0.04)),
    "mouthPress": (0.5, dict(red=-0.08)),
    "mouthUpperUp": (0.6, dict(upperLip=0.08)),
    "mouthLowerDown": (0.5, dict(lowerLip=-0.08)),
}  # fmt: skip
_MOUTH_NAMES = tuple(_MOUTH_EFFECTS)
_MOUTH_INDEX = np.array([rig.INDEX[n] for n in _MOUTH_NAMES])
_ROW = {name: i for i, (name, _) in enumerate(_MOUTH_ROWS)}
_EFFECT = np.zeros((len(_MOUTH_ROWS), len(_MOUTH_NAMES)))
for _column, (_, _effects) in enumerate(_MOUTH_EFFECTS.values()):
    for _name, _value in _effects.items():
        _EFFECT[_ROW[_name], _column] = _value
_WEIGHTED = _EFFECT.T / np.array([s for _, s in _MOUTH_ROWS]) ** 2
_CURVATURE = _WEIGHTED @ _EFFECT + np.diag([1 / spread**2 for spread, _ in _MOUTH_EFFECTS.values()])

# Below this much a coefficient is noise; above it counts from there, so that nothing jumps at the edge.
_DEAD_ZONE = rig.neutral()
for _names, _value in (
    ("gazeX gazeY", 0.10),
    ("eyeBlinkLeft eyeBlinkRight", 0.12),
    ("eyeWideLeft eyeWideRight eyeSquintLeft eyeSquintRight", 0.20),
    ("browInnerUp browDownLeft browDownRight browOuterUpLeft browOuterUpRight", 0.12),
    ("mouthStretchLeft mouthStretchRight mouthPress mouthFunnel mouthUpperUp mouthLowerDown", 0.15),
    ("jawX", 0.25),
    ("mouthSmileLeft mouthSmileRight mouthPucker", 0.10),
    ("mouthFrownLeft mouthFrownRight", 0.20),
):
    for _name in _names.split():
        _DEAD_ZONE[rig.INDEX[_name]] = _value

# The mesh follows some movements by less than their extent, leaning to the average face; measured on faces drawn
# with known coefficients.
_SEEN_OF_BROW = (0.68, 0.68, 0.56)  # inner end, middle, outer end
_SEEN_OF_SQUINT = 0.60
_SEEN_OF_GAZE = (0.65, 0.62)  # across, up and down
_CLOSED_GAP = 0.012  # D; inner lips nearer than this touch
_LID_GAP_CLOSED = 0.30  # of the gap at rest; what the mesh still shows between closed lids ...
_LEAST_LID_GAP = 0.013  # D; ... and as much where the lids are half closed at rest
_LOWER_LID_IN_BLINK = 0.45  # of the closing; the mesh lifts the lower lid when the upper one closes ...
_BROW_IN_BLINK = 0.018  # D; ... and the brows
_IRISES = np.array([[AT[name + side] for side in ("Left", "Right")] for name in ("irisOut", "irisUp")])
_IRIS_IN_WIDE_EYE = 0.4  # of gazeY; the mesh sets the iris lower in an eye opened wide


def mouth_gap(measures: np.ndarray) -> np.ndarray:
    """Distance between the inner lips, in D. measures: (..., len(MEASURES))."""
    return measures[..., AT["upperLip"]] - measures[..., AT["lowerLip"]]


def smile_reach(delta: np.ndarray) -> np.ndarray:
    """How far the corners moved outward plus upward from `rest`, mean of both sides, in D. A whole smile gives 0.2."""
    return 0.5 * sum(delta[..., AT[name + side]] for name in ("cornerOut", "cornerUp") for side in ("Right", "Left"))


def expression_of(measures: np.ndarray, rest: np.ndarray, yaw: float = 0.0, calm: float = 1.0) -> np.ndarray:
    """The rig latent (32,) float32 of one face, its head pose left at zero.

    measures, rest: measures of the face now and at rest (see landmarks.py). yaw: radians relative to the camera;
    where one eye turns away from the camera, the other one's lids and brow stand for both. calm: share of the dead
    zones that hide noise; 0 shows the slightest movement.
    """
    scale = rest[AT["eyeDistance"]]
    delta = (measures - rest) / scale
    latent = rig.neutral()
    _eyes(latent, measures / scale, rest / scale, scale)
    _share_the_near_side(latent, yaw)
    change = {name: delta[AT[name]] for name, _ in _MOUTH_ROWS if name != "red"}
    change["red"] = delta[AT["upperRed"]] + delta[AT["lowerRed"]]
    inward = -(change["cornerOutRight"] + change["cornerOutLeft"]) / 2
    roundest = min(max(inward / 0.05, 0.0), 1.0)  # lips are round only where they are narrow
    latent[_MOUTH_INDEX] = _explain_mouth(np.array([change[name] for name, _ in _MOUTH_ROWS]), roundest)
    _join_rounding(latent, roundest)
    zone = calm * _DEAD_ZONE
    latent = np.sign(latent) * np.maximum(np.abs(latent) - zone, 0.0) / (1.0 - zone)
    # The jaw answers for whatever of the gap between the lips no other coefficient explains.
    lips = 0.08 * (latent[rig.INDEX["mouthUpperUp"]] + latent[rig.INDEX["mouthLowerDown"]])
    lips += 0.12 * latent[rig.INDEX["mouthFunnel"]] + _CLOSED_GAP
    latent[rig.INDEX["jawOpen"]] = max(delta[AT["upperLip"]] - delta[AT["lowerLip"]] - lips, 0.0) / (0.45 - _CLOSED_GAP)
    return rig.clamp(latent).astype(np.float32)


def _eyes(latent: np.ndarray, now: np.ndarray, rest: np.ndarray, scale: float) -> None:
    """Lids, brows and gaze. now, rest: measures divided by `scale`, the person's eye distance."""
    delta = now - rest
    inner_rise = []
    for side in ("Left", "Right"):
        rest_gap = rest[AT["lidGap" + side]]
        shrink = rest_gap - now[AT["lidGap" + side]]
        rise = max(delta[AT["lowerLid" + side]], 0.0)
        # Two unknowns, two equations: a blink closes the gap and takes the lower lid along, a squint lifts the lower
        # lid (rig.py: 0.04 D) and closes the gap by as much.
        whole = rest_gap - min(max(_LID_GAP_CLOSED * rest_gap, _LEAST_LID_GAP), 0.5 * rest_gap)
        lift = 0.04 * _SEEN_OF_SQUINT
        closing = max(shrink, 0.0)
        squint = max(rise - _LOWER_LID_IN_BLINK * closing, 0.0) / (lift * (1.0 - _LOWER_LID_IN_BLINK))
        squint = min(squint, closing / lift)
        blink = min(max((shrink - lift * squint) / whole, 0.0), 1.0)
        latent[rig.INDEX["eyeBlink" + side]] = blink
        latent[rig.INDEX["eyeSquint" + side]] = squint
        latent[rig.INDEX["eyeWide" + side]] = max(-shrink, 0.0) / (0.5 * rest_gap)
        inner, middle, outer = (
            (delta[AT[n + side]] - _BROW_IN_BLINK * blink) / part
            for n, part in zip(("browInner", "browMiddle", "browOuter"), _SEEN_OF_BROW)
        )
        latent[rig.INDEX["browDown" + side]] = max(-(inner + middle) / 2, 0.0) / 0.07
        latent[rig.INDEX["browOuterUp" + side]] = max(outer, 0.0) / 0.10
        inner_rise.append(inner)
    # Eyes blink together: where both close, each supports the measure of the other. A wink stays one.
    lids = [rig.INDEX["eyeBlinkLeft"], rig.INDEX["eyeBlinkRight"]]
    together = min(max((min(latent[lids]) - 0.2) / 0.2, 0.0), 1.0)
    latent[lids] += 0.5 * together * (latent[lids].max() - latent[lids])
    latent[rig.INDEX["browInnerUp"]] = max(sum(inner_rise) / 2, 0.0) / 0.10
    wide = (latent[rig.INDEX["eyeWideLeft"]] + latent[rig.INDEX["eyeWideRight"]]) / 2
    # A lid that is down hides its iris: the other eye's counts alone then.
    open_share = 1e-3 + np.clip((0.8 - latent[lids]) / 0.2, 0.0, 1.0)
    moved = delta[_IRISES] * [(1.0, -1.0), (1.0, 1.0)]  # (across, up) of (left, right) eye: the left one's outside is to the right
    shift = (moved @ open_share) / open_share.sum() * scale / _SEEN_OF_GAZE  # in widths of the eye, not in D
    latent[rig.INDEX["gazeX"]] = shift[0] / 0.25
    latent[rig.INDEX["gazeY"]] = shift[1] / 0.125 + _IRIS_IN_WIDE_EYE * wide


def _share_the_near_side(latent: np.ndarray, yaw: float) -> None:
    share = min(max((abs(yaw) - 0.3) / 0.3, 0.0), 1.0)
    if share == 0.0:
        return
    near, far = ("Right", "Left") if yaw > 0 else ("Left", "Right")
    for name in ("eyeBlink", "eyeWide", "eyeSquint", "browDown", "browOuterUp"):
        i, j = rig.INDEX[name + far], rig.INDEX[name + near]
        latent[i] += share * (latent[j] - latent[i])


def _join_rounding(latent: np.ndarray, roundest: float) -> None:
    """Narrow lips (pucker) that also rise are one movement, the funnel: least squares shares it among all."""
    pucker, funnel, up, down = (rig.INDEX[n] for n in ("mouthPucker", "mouthFunnel", "mouthUpperUp", "mouthLowerDown"))
    share = min(2.0 * latent[pucker], latent[up] / 0.75, max(roundest - latent[funnel], 0.0))
    latent[funnel] += share
    latent[pucker] -= share / 2
    latent[up] -= 0.75 * share
    latent[down] = max(latent[down] - 0.75 * share, 0.0)


def _explain_mouth(change: np.ndarray, roundest: float) -> np.ndarray:
    """The coefficients, within their ranges, whose summed effects explain the change best (least squares).

    `roundest` limits the funnel. Coordinate descent; each step solves one coefficient exactly, so it converges in a few sweeps.
    """
    target = _WEIGHTED @ change
    low, high = rig.LOW[_MOUTH_INDEX], rig.HIGH[_MOUTH_INDEX].copy()
    high[_MOUTH_NAMES.index("mouthFunnel")] = roundest
    solution = np.zeros(len(target))
    for _ in range(12):
        for i in range(len(target)):
            step = (target[i] - _CURVATURE[i] @ solution) / _CURVATURE[i, i]
            solution[i] = min(max(solution[i] + step, low[i]), high[i])
    return solution


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
_ROWS = 64  # remembered frames of the learning time
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

    def observe(self, measures: np.ndarray, angles: np.ndarray, centre: np.ndarray, scale: float, seconds: float) -> NeutralFace:
        """Takes one frame that lasted `seconds` and returns the face at rest as known by now."""
        self._age += seconds
        if self.face is None or self._age < self.learn_seconds:
            self._learn(measures, angles, centre, scale)
        else:
            self._follow(measures, angles, centre, scale, seconds)
        return self.face

    def _learn(self, measures, angles, centre, scale) -> None:
        if self._age - self._kept >= self.learn_seconds / _ROWS:
            self._kept = self._age
            self._rows.append(np.concatenate([measures, angles, centre, [np.log(scale)]]))
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

    def _follow(self, measures, angles, centre, scale, seconds) -> None:
        rest = self.face
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
        measures[AT["lowerLip"]] = max(measures[AT["lowerLip"]], measures[AT["upperLip"]] - 0.02)
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


def _calm(excess, width: float):
    return np.exp(-((np.maximum(excess, 0.0) / width) ** 2))


def _quantile(values: np.ndarray, weights: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Per column the value below which the share `level` of the weights lies. values, weights: (rows, columns)."""
    order = np.argsort(values, axis=0)
    heap = np.cumsum(np.take_along_axis(weights, order, axis=0), axis=0)
    index = (heap < level * heap[-1]).sum(axis=0)
    return np.take_along_axis(values, np.take_along_axis(order, index[None], axis=0), axis=0)[0]
