"""Fits an animated photo to the rig: as much movement is drawn as a tracker will measure for the same coefficient.

A photo's mesh has guessed depth, and a tracker's landmarks lean to the average face, more on some faces than on others.
So a few poses are drawn, measured as a camera's picture is, and each coefficient is given a gain.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np

from avatar_forcing_ros.motion import landmarks, rig
from avatar_forcing_ros.motion.expression import expression_of
from avatar_forcing_ros.motion.mediapipe_start import open_face_mesh

_BOTH = ("Left", "Right")
# (coefficients drawn together, amplitude, whether they go both ways, least and greatest gain)
_FITTED: tuple[tuple[tuple[str, ...], float, bool, float, float], ...] = (
    (("headYaw",), 0.30, True, 0.85, 1.25),
    (("headPitch",), 0.20, True, 0.75, 1.20),
    (("gazeX",), 0.80, True, 0.90, 1.45),
    (("gazeY",), 0.80, True, 0.90, 1.60),
    (tuple("mouthSmile" + s for s in _BOTH), 0.80, False, 0.85, 1.45),
    (("mouthPucker",), 0.80, False, 0.85, 1.45),
    (("browInnerUp", *("browOuterUp" + s for s in _BOTH)), 0.80, False, 0.85, 1.50),
    (tuple("browDown" + s for s in _BOTH), 0.80, False, 0.80, 1.40),
    (("jawOpen",), 0.80, False, 1.00, 1.25),
)  # fmt: skip
_GOAL = {"jawOpen": 0.88}  # a tracker gives part of an open mouth to other coefficients: the gap itself is as defined
_ROUNDS = 2
_LOOKS = 2  # at each picture, as at a video's: the mesh settles on its own earlier result
_UNSEEN = 0.2  # less than this share of a movement measured: it cannot be seen on this face, and is drawn as defined


def fitted_gains(draw: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Gains (32,) float32 for one photo. draw: (latent (32,), gains (32,)) -> picture (H, W, 3) uint8 RGB."""
    gains = np.ones(rig.DIM, np.float32)
    with contextlib.closing(open_face_mesh(max_num_faces=1, refine_landmarks=True)) as mesh:
        rest = _measured(mesh, draw(rig.neutral(), gains))
        if rest is None:
            return gains
        for _ in range(_ROUNDS):
            for names, amplitude, both_ways, least, greatest in _FITTED:
                index = [rig.INDEX[n] for n in names]
                steps = np.array([-1.0, -0.5, 0.5, 1.0] if both_ways else [0.5, 1.0]) * amplitude
                seen = [_seen(mesh, draw, gains, rest, index, step)[index] for step in steps]
                share = _slope(np.append(steps, 0.0), np.vstack([*seen, np.zeros(len(index))]))
                wanted = gains[index] * _GOAL.get(names[0], 1.0) / np.maximum(share, 1e-3)
                gains[index] = np.where(share < _UNSEEN, 1.0, np.clip(wanted, least, greatest))
    return gains


def _slope(drawn: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """How much of what is drawn (n,) is seen (n, k), by least squares: (k,)."""
    drawn = drawn - drawn.mean()
    return drawn @ (seen - seen.mean(axis=0)) / (drawn @ drawn)


def _seen(mesh, draw, gains, rest, index, value) -> np.ndarray:
    """The latent (32,) that is measured when the named coefficients have this value; zeros where no face is seen."""
    motion = rig.neutral()
    motion[index] = value
    now = _measured(mesh, draw(motion, gains))
    if now is None:
        return rig.neutral()
    (measures, pose), (rest_measures, rest_pose) = now, rest
    latent = expression_of(measures, rest_measures, pose.angles[0])
    latent[:3] = landmarks.angles_of(pose.rotation @ rest_pose.rotation.T)
    return latent


def _measured(mesh, picture: np.ndarray) -> tuple[np.ndarray, landmarks.Pose] | None:
    for _ in range(_LOOKS):
        found = mesh.process(picture).multi_face_landmarks
    if not found:
        return None
    scale = np.array([picture.shape[1], -picture.shape[0], -picture.shape[1]])
    points = np.array([(p.x, p.y, p.z) for p in found[0].landmark]) * scale
    pose = landmarks.fit_pose(points)
    return landmarks.measure_face(points, pose), pose
