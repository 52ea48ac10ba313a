"""Faces that were measured elsewhere, as in a browser: the measures of landmarks.py in, rig latents out.

No picture comes here. The face at rest is learned, and noise is filtered, by the tracker's own code.
"""

from __future__ import annotations

import math

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion.tracking import landmarks
from avatar_forcing_ros.motion.tracking.tracker import (
    _EASE,
    _FIRST_STEP,
    _HOLD,
    _LATE,
    _LONGEST_STEP,
    FaceTracker,
    TrackedFace,
)

EXTRA = ("yaw", "pitch", "roll", "centreX", "centreY", "scale", "residual", "visible")
DIM = len(landmarks.MEASURES) + len(EXTRA)
_WIDTH = 640.0  # pixels; pictures are taken for so wide


class MeasuredTracker(FaceTracker):
    """Follows one face by what a page measured of it."""

    def follow(self, values: np.ndarray | None, time_s: float) -> TrackedFace:
        """The next measurement.

        values: (DIM,) the measures in the order of `landmarks.MEASURES`, then `EXTRA`: angles in radians; centre and scale in widths
        of the picture, y up; residual in D; visible from 0 to 1. None: no face was seen. time_s: when the picture was taken. Raises
        InputError for another shape or values that are not finite.
        """
        if values is not None:
            values = np.asarray(values, np.float64)
            if values.shape != (DIM,) or not np.isfinite(values).all():
                raise InputError(f"a measured face has {DIM} finite values; got the shape {values.shape}")
        first, before = self._shape is None, self._time
        if not first and -_LATE <= time_s - before <= 0.0:
            return self._face
        if not first and time_s < before:
            self._restart()
        self._shape = (1, int(_WIDTH), 3)
        step = min(max(time_s - before, 1e-3), _LONGEST_STEP) if math.isfinite(before) else _FIRST_STEP
        self._now, self._time, self._doubt = self._now + step, time_s, ""
        if values is None:
            self._lost(self._now, step)
        else:
            if self._now - self._present > _HOLD + _EASE and not first:
                self._learner.reset()  # it may be another person
            pose, measures, visible = _taken_apart(values)
            self._follow(pose, measures, visible, self._now, step, first)
        self._face = TrackedFace(self._motion.copy(), self._confidence, None, int(values is not None))
        return self._face


def _taken_apart(values: np.ndarray) -> tuple[landmarks.Pose, np.ndarray, dict[str, float]]:
    measures, extra = values[: len(landmarks.MEASURES)], dict(zip(EXTRA, values[len(landmarks.MEASURES) :].tolist()))
    rotation = landmarks.rotation_of(np.array([extra["yaw"], extra["pitch"], extra["roll"]]))
    scale = max(extra["scale"], 1e-4) * _WIDTH
    centre = np.array([extra["centreX"], extra["centreY"]]) * _WIDTH
    offset = np.append(centre, 0.0) - scale * rotation @ landmarks.HEAD_CENTRE
    pose = landmarks.Pose(rotation, scale, offset, extra["residual"])
    return pose, measures, {"unlike": min(max(extra["visible"], 0.0), 1.0)}


def tables() -> dict:
    """What a page has to know to measure as landmarks.py does, for JSON."""
    return {
        "dim": DIM,
        "rigid": landmarks.RIGID_POINTS.tolist(),
        "shape": landmarks.RIGID_SHAPE.tolist(),
        "weights": landmarks._RIGID_WEIGHTS.tolist(),
        "centre": landmarks.HEAD_CENTRE.tolist(),
        "groups": {name: list(points) for name, points in landmarks._GROUPS.items()},
        "corners": [landmarks._CORNERS_IN_TURN, landmarks._CORNERS_IN_NOD, landmarks._TURN_LIMIT],
        "eye_width": landmarks._EYE_WIDTH,
        "eye_distance": float(landmarks.TYPICAL[landmarks.AT["eyeDistance"]]),
        "measures": list(landmarks.MEASURES),
    }
