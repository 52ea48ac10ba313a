"""From face-mesh landmarks to measures of one face: the rigid head pose, and what the soft parts do.

Landmarks are those of MediaPipe's face mesh with irises: (478, 3), x to the right, y down, z away from the
camera, all in pixels. Inside this module axes are x right, y up, z toward the camera. The *head frame* has its
origin between the outer corners of the eyes, its axes along the head's, and the unit of a typical eye distance D.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

COUNT = 478

# Points that neither speech, smiles nor brows move much, in the head frame, mirror-symmetric: (index, x, y, z).
# `Right` and `Left` are the person's own, so the right side has negative x. Ratios of an adult face: with 90 mm
# between the outer corners of the eyes, 33 mm between the inner ones, 34 mm across the wings of the nose, 140 mm
# across the cheeks. Depths are those the mesh gives, which is flatter than a head.
_PAIRS = (  # (right index, left index, |x|, y, z)
    (33, 263, 0.50, 0.00, 0.00),  # outer corners of the eyes
    (133, 362, 0.185, -0.025, 0.065),  # inner corners of the eyes
    (98, 327, 0.19, -0.52, 0.20),  # wings of the nose
    (127, 356, 0.78, -0.035, -0.56),  # temples, from the height of the eyes ...
    (234, 454, 0.775, -0.20, -0.62),
    (93, 323, 0.76, -0.375, -0.63),  # ... down to the ears
    (162, 389, 0.77, 0.14, -0.445),  # ... and up to the hair
    (21, 251, 0.735, 0.285, -0.295),
    (54, 284, 0.67, 0.42, -0.155),
    (109, 338, 0.215, 0.63, 0.19),
)
_MIDDLE = (  # (index, y, z), from the hair down to the base of the nose
    (10, 0.635, 0.205),
    (168, 0.06, 0.24),
    (6, -0.045, 0.285),
    (197, -0.135, 0.34),
    (195, -0.215, 0.40),
    (5, -0.30, 0.465),
    (4, -0.405, 0.49),
    (2, -0.55, 0.29),
)
RIGID_POINTS = np.array([p[0] for p in _PAIRS] + [p[1] for p in _PAIRS] + [p[0] for p in _MIDDLE])
RIGID_SHAPE = np.array(
    [(-x, y, z) for _, _, x, y, z in _PAIRS]
    + [(x, y, z) for _, _, x, y, z in _PAIRS]
    + [(0.0, y, z) for _, y, z in _MIDDLE]
)
# The sides of the head count less: under hair and at the outline the mesh guesses.
_RIGID_WEIGHTS = np.where(np.abs(RIGID_SHAPE[:, 0]) > 0.6, 0.1, 1.0)
_RIGID_WEIGHTS /= _RIGID_WEIGHTS.sum()
_RIGID_MEAN = _RIGID_WEIGHTS @ RIGID_SHAPE
_RIGID_CENTRED = RIGID_SHAPE - _RIGID_MEAN
_RIGID_VARIANCE = _RIGID_WEIGHTS @ (_RIGID_CENTRED**2).sum(axis=1)

# The point about which a head turns and nods (top of the neck), in the head frame: turning does not shift it.
HEAD_CENTRE = np.array([0.0, -0.35, -0.75])

# Groups of landmarks whose mean is one measured point. Sides: index 0 the person's right, 1 the left.
_GROUPS: dict[str, tuple[int, ...]] = {
    "eyeOuterRight": (33,), "eyeOuterLeft": (263,),
    "eyeInnerRight": (133,), "eyeInnerLeft": (362,),
    "upperLidRight": (158, 159, 160), "upperLidLeft": (385, 386, 387),
    "lowerLidRight": (144, 145, 153), "lowerLidLeft": (373, 374, 380),
    "irisRight": (468,), "irisLeft": (473,),
    "browInnerRight": (55, 107), "browInnerLeft": (285, 336),
    "browMiddleRight": (52, 105), "browMiddleLeft": (282, 334),
    "browOuterRight": (46, 70), "browOuterLeft": (276, 300),
    "cornerRight": (61,), "cornerLeft": (291,),
    "upperInner": (13, 82, 312), "lowerInner": (14, 87, 317),
    "upperOuter": (0, 37, 267), "lowerOuter": (17, 84, 314),
    "chin": (148, 152, 377), "noseBase": (2,),
}  # fmt: skip
_POINT = {name: i for i, name in enumerate(_GROUPS)}
_MEMBERS = np.concatenate([np.array(g) for g in _GROUPS.values()])
_SHARE = np.zeros((len(_GROUPS), len(_MEMBERS)))
_at = 0
for _row, _group in enumerate(_GROUPS.values()):
    _SHARE[_row, _at : _at + len(_group)] = 1 / len(_group)
    _at += len(_group)


@dataclass(frozen=True)
class Pose:
    """A rigid fit. angles: (yaw, pitch, roll) in radians relative to the camera, signs as in rig.py.

    rotation: (3, 3), head frame to camera. scale: pixels per unit of the head frame. offset: (3,) pixels, where
    the head frame's origin lies. residual: weighted root mean square distance of the rigid points from the fit, in D.
    """

    rotation: np.ndarray
    scale: float
    offset: np.ndarray
    residual: float

    @cached_property
    def angles(self) -> np.ndarray:
        return angles_of(self.rotation)

    @property
    def centre(self) -> np.ndarray:
        return (self.scale * self.rotation @ HEAD_CENTRE + self.offset)[:2]

    def to_head(self, points: np.ndarray) -> np.ndarray:
        return (points - self.offset) @ self.rotation / self.scale


def rotation_of(angles: np.ndarray) -> np.ndarray:
    """(3, 3) for (yaw, pitch, roll): nod first, then turn, then tilt in the image plane.

    So pitch and yaw are the nose's elevation and azimuth before the tilt, and roll is the angle of the line
    through the eyes as seen in the image.
    """
    (sy, sp, sr), (cy, cp, cr) = np.sin(angles), np.cos(angles)
    nod = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    tilt = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    return tilt @ turn @ nod


def angles_of(rotation: np.ndarray) -> np.ndarray:
    """Inverse of `rotation_of` for |yaw| < pi / 2."""
    across = rotation[:, 0]  # the eye line: (cos yaw cos roll, -cos yaw sin roll, -sin yaw)
    yaw = np.arctan2(-across[2], np.hypot(across[0], across[1]))
    pitch = np.arctan2(rotation[2, 1], rotation[2, 2]) * -1.0
    roll = np.arctan2(-across[1], across[0])
    return np.array([yaw, pitch, roll])


def fit_pose(points: np.ndarray) -> Pose:
    """Similarity transform that carries `RIGID_SHAPE` onto the landmarks, in weighted least squares.

    points: (478, 3), x right, y up, z toward the camera, pixels (Umeyama 1991, eqs. 40-43).
    """
    seen = points[RIGID_POINTS]
    mean = _RIGID_WEIGHTS @ seen
    seen = seen - mean
    u, spread, vt = np.linalg.svd((seen.T * _RIGID_WEIGHTS) @ _RIGID_CENTRED)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * signs) @ vt
    scale = max(float(spread @ signs / _RIGID_VARIANCE), 1e-6)
    error = seen @ rotation / scale - _RIGID_CENTRED
    residual = float(np.sqrt(_RIGID_WEIGHTS @ (error**2).sum(axis=1)))
    return Pose(rotation, scale, mean - scale * rotation @ _RIGID_MEAN, residual)


# What is measured in the head frame, in D (irises: in widths of the eye); `typical` is an adult at rest as the mesh
# shows it, `limit` how far a person's own rest may lie from it. `level`: which quantile of the first seconds is
# taken as rest; it leans to the calm side (lids open, mouth closed, brows and corners low).
@dataclass(frozen=True)
class Measure:
    typical: float
    limit: float
    level: float


_SIDED = {
    "lidGap": Measure(0.095, 0.055, 0.65),
    "lowerLid": Measure(-0.034, 0.020, 0.40),
    "browInner": Measure(0.200, 0.110, 0.40),
    "browMiddle": Measure(0.250, 0.110, 0.40),
    "browOuter": Measure(0.170, 0.110, 0.40),
    "cornerOut": Measure(0.272, 0.050, 0.50),
    "cornerUp": Measure(-0.265, 0.070, 0.45),
    "irisOut": Measure(0.030, 0.100, 0.50),
    "irisUp": Measure(0.058, 0.050, 0.50),
}
MEASURES: dict[str, Measure] = {
    **{name + side: measure for side in ("Right", "Left") for name, measure in _SIDED.items()},
    "upperLip": Measure(-0.250, 0.060, 0.35),
    "lowerLip": Measure(-0.252, 0.070, 0.70),
    "upperRed": Measure(0.070, 0.035, 0.50),
    "lowerRed": Measure(0.133, 0.050, 0.50),
    "chinUp": Measure(-0.750, 0.120, 0.65),
    "chinOut": Measure(0.0, 0.030, 0.50),
    "eyeDistance": Measure(1.0, 0.080, 0.50),
}
AT: dict[str, int] = {name: i for i, name in enumerate(MEASURES)}
TYPICAL = np.array([m.typical for m in MEASURES.values()])
LIMIT = np.array([m.limit for m in MEASURES.values()])
LEVEL = np.array([m.level for m in MEASURES.values()])


# The mesh draws the corners of the mouth across and up with the turning head, by so many D per radian; measured on people who
# turn (0.05 to 0.16 and 0 to 0.26) and on drawn faces (0.02 to 0.11 and -0.04 to 0.12). Uncorrected, a turn moves the mouth.
_CORNERS_IN_TURN, _CORNERS_IN_NOD = 0.08, 0.08
_TURN_LIMIT = 0.6  # radians, beyond which nobody has measured it


def measure_face(points: np.ndarray, pose: Pose, by_mesh: bool = True) -> np.ndarray:
    """The measures of one face, (len(MEASURES),), in the order of `MEASURES`.

    points as in `fit_pose`; by_mesh: as MediaPipe sees them, else where they are. Heights in the upper face count from the
    middle of the eye's corners, in the lower face from the base of the nose.
    """
    image = _SHARE @ points[_MEMBERS]
    head, image = pose.to_head(image).tolist(), image.tolist()

    def at(name: str) -> list[float]:
        return head[_POINT[name]]

    base = at("noseBase")
    yaw, pitch = (min(max(a, -_TURN_LIMIT), _TURN_LIMIT) * by_mesh for a in pose.angles[:2].tolist())
    turned, nodded = _CORNERS_IN_TURN * yaw, _CORNERS_IN_NOD * pitch
    values: list[float] = []
    for side, outward in (("Right", -1.0), ("Left", 1.0)):
        outer, inner = at("eyeOuter" + side), at("eyeInner" + side)
        height = (outer[1] + inner[1]) / 2
        upper, lower, corner = at("upperLid" + side), at("lowerLid" + side), at("corner" + side)
        # The iris is measured in the image, along the eye and across it: its depth is not reliable.
        start, end, iris = (image[_POINT[k + side]] for k in ("eyeOuter", "eyeInner", "iris"))
        along_x, along_y = outward * (start[0] - end[0]), outward * (start[1] - end[1])
        width = max(math.hypot(along_x, along_y), 1e-6)
        shift_x, shift_y = iris[0] - (start[0] + end[0]) / 2, iris[1] - (start[1] + end[1]) / 2
        values += [
            math.hypot(upper[1] - lower[1], upper[2] - lower[2]),
            lower[1] - height,
            at("browInner" + side)[1] - height,
            at("browMiddle" + side)[1] - height,
            at("browOuter" + side)[1] - height,
            outward * (corner[0] - base[0] + turned),
            corner[1] - base[1] + nodded,
            outward * (shift_x * along_x + shift_y * along_y) / width**2,
            (along_x * shift_y - along_y * shift_x) / (width * pose.scale * _EYE_WIDTH),
        ]
    upper, lower, chin = at("upperInner"), at("lowerInner"), at("chin")
    top, bottom = at("upperOuter"), at("lowerOuter")
    values += [
        upper[1] - base[1],
        lower[1] - base[1],
        top[1] - upper[1],
        lower[1] - bottom[1],
        chin[1] - base[1],
        chin[0] - base[0],
        math.dist(at("eyeOuterLeft"), at("eyeOuterRight")),
    ]
    return np.array(values)


_EYE_WIDTH = 0.315  # outer to inner corner, in D
