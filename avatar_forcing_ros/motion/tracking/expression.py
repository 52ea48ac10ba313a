"""From the measures of a face, and of the same face at rest, to the rig's coefficients of expression."""

from __future__ import annotations

import numpy as np

from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.tracking.landmarks import AT

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

_CURVATURE_ROWS = _CURVATURE.tolist()  # plain numbers: an array of 13 costs more to touch than to compute with
_MOUTH_LOW, _MOUTH_HIGH = rig.LOW[_MOUTH_INDEX].tolist(), rig.HIGH[_MOUTH_INDEX].tolist()
_FUNNEL = _MOUTH_NAMES.index("mouthFunnel")
_SWEEPS, _MOVED = 12, 1e-4  # the descent ends after so many sweeps, or when none would move by more

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
_IRIS_SIGNS = np.array(
    [(1.0, -1.0), (1.0, 1.0)]
)  # (across, up) of (left, right) eye: the left one's outside is to the right
_IRIS_IN_WIDE_EYE = 0.4  # of gazeY; the mesh sets the iris lower in an eye opened wide


def mouth_gap(measures: np.ndarray) -> np.ndarray:
    """Distance between the inner lips, in D. measures: (..., len(MEASURES))."""
    return measures[..., AT["upperLip"]] - measures[..., AT["lowerLip"]]


def smile_reach(delta: np.ndarray) -> np.ndarray:
    """How far the corners moved outward plus upward from `rest`, mean of both sides, in D. A whole smile gives 0.2."""
    out = delta[..., AT["cornerOutRight"]] + delta[..., AT["cornerOutLeft"]]
    return 0.5 * (out + delta[..., AT["cornerUpRight"]] + delta[..., AT["cornerUpLeft"]])


def expression_of(measures: np.ndarray, rest: np.ndarray, yaw: float = 0.0, calm: float = 1.0) -> np.ndarray:
    """The rig latent (32,) float32 of one face, its head pose left at zero.

    measures, rest: measures of the face now and at rest (see landmarks.py). yaw: radians relative to the camera;
    where one eye turns away from the camera, the other one's lids and brow stand for both. calm: share of the dead
    zones that hide noise; 0 shows the slightest movement.
    """
    scale = rest[AT["eyeDistance"]]
    delta = (measures - rest) / scale
    change = dict(zip(AT, delta.tolist()))
    latent = rig.neutral()
    _eyes(latent, measures / scale, rest / scale, scale)
    _share_the_near_side(latent, yaw)
    change["red"] = change["upperRed"] + change["lowerRed"]
    inward = -(change["cornerOutRight"] + change["cornerOutLeft"]) / 2
    roundest = min(max(inward / 0.05, 0.0), 1.0)  # lips are round only where they are narrow
    latent[_MOUTH_INDEX] = _explain_mouth(np.array([change[name] for name, _ in _MOUTH_ROWS]), roundest)
    _join_rounding(latent, roundest)
    zone = calm * _DEAD_ZONE
    latent = np.sign(latent) * np.maximum(np.abs(latent) - zone, 0.0) / (1.0 - zone)
    # The jaw answers for whatever of the gap between the lips no other coefficient explains.
    lips = 0.08 * (latent[rig.INDEX["mouthUpperUp"]] + latent[rig.INDEX["mouthLowerDown"]])
    lips += 0.12 * latent[rig.INDEX["mouthFunnel"]] + _CLOSED_GAP
    latent[rig.INDEX["jawOpen"]] = max(change["upperLip"] - change["lowerLip"] - lips, 0.0) / (0.45 - _CLOSED_GAP)
    return rig.clamp(latent).astype(np.float32)


def _eyes(latent: np.ndarray, now: np.ndarray, rest: np.ndarray, scale: float) -> None:
    """Lids, brows and gaze. now, rest: measures divided by `scale`, the person's eye distance."""
    moved = (now - rest)[_IRISES] * _IRIS_SIGNS
    now, rest = now.tolist(), rest.tolist()
    delta = [a - b for a, b in zip(now, rest)]
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
    together = min(max((min(latent[rig.LIDS]) - 0.2) / 0.2, 0.0), 1.0)
    latent[rig.LIDS] += 0.5 * together * (latent[rig.LIDS].max() - latent[rig.LIDS])
    latent[rig.INDEX["browInnerUp"]] = max(sum(inner_rise) / 2, 0.0) / 0.10
    wide = (latent[rig.INDEX["eyeWideLeft"]] + latent[rig.INDEX["eyeWideRight"]]) / 2
    # A lid that is down hides its iris: the other eye's counts alone then.
    open_share = 1e-3 + np.clip((0.8 - latent[rig.LIDS]) / 0.2, 0.0, 1.0)
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
    high = [*_MOUTH_HIGH]
    high[_FUNNEL] = roundest
    solution = [0.0] * len(high)
    missing = (_WEIGHTED @ change).tolist()  # what the coefficients so far leave to explain
    for _ in range(_SWEEPS):
        moved = False
        for i, (curvature, low) in enumerate(zip(_CURVATURE_ROWS, _MOUTH_LOW)):
            value = min(max(solution[i] + missing[i] / curvature[i], low), high[i])
            step = value - solution[i]
            if abs(step) > _MOVED:
                solution[i] = value
                missing = [m - step * c for m, c in zip(missing, curvature)]
                moved = True
        if not moved:
            break
    return np.array(solution)
