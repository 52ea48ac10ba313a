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
    (("gazeX",), 0.80, True, 0.90, 1.80),
    (("gazeY",), 0.80, True, 0.90, 2.20),
    (tuple("mouthSmile" + s for s in _BOTH), 0.80, False, 0.85, 1.90),
    (("mouthPucker",), 0.80, False, 0.85, 1.25),
    (("browInnerUp", *("browOuterUp" + s for s in _BOTH)), 0.90, False, 0.85, 1.45),
    (tuple("browDown" + s for s in _BOTH), 0.90, False, 0.75, 1.40),
    (("jawOpen",), 0.80, False, 1.00, 1.35),
)  # fmt: skip
_GOAL = {"jawOpen": 0.90}  # a tracker gives part of an open mouth to other coefficients: the gap itself is as defined
_ROUNDS = 4
_STEP = 0.7  # of the way to the gain that would be right if landmarks followed evenly, in a round
_NEAR = 0.05  # a movement seen this near its size, as a logarithm, is left as it is
_REST_LOOKS, _LOOKS = 8, 2  # at each picture, as at a video's: the mesh settles on its own earlier result
_UNSEEN = 0.1  # less than this share of a movement measured: it cannot be seen on this face, and is drawn as defined


def fitted_gains(draw: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Gains (32,) float32 for one photo. draw: (latent (32,), gains (32,)) -> picture (H, W, 3) uint8 RGB.

    More movement is not always seen as more: landmarks give up on a brow that rises far. So of the gains tried in some
    rounds those are taken that were seen nearest to what was asked.
    """
    gains = np.ones(rig.DIM, np.float32)
    with contextlib.closing(open_face_mesh(max_num_faces=1, refine_landmarks=True)) as mesh:
        rest = _measured(mesh, draw(rig.neutral(), gains), _REST_LOOKS)
        if rest is None:
            return gains
        for names, amplitude, both_ways, least, greatest in _FITTED:
            index, goal = [rig.INDEX[n] for n in names], _GOAL.get(names[0], 1.0)
            steps = np.array([-1.0, -0.5, 0.5, 1.0] if both_ways else [0.5, 1.0]) * amplitude
            best, least_off = gains[index], np.inf
            for _ in range(_ROUNDS):
                seen = [_seen(mesh, draw, gains, rest, index, step)[index] for step in steps]
                share = np.maximum(_slope(np.append(steps, 0.0), np.vstack([*seen, np.zeros(len(index))])), 1e-3) / goal
                off = np.abs(np.log(share))
                if (off**2).sum() > least_off:  # too far: half the way back
                    gains[index] = np.sqrt(best * gains[index])
                    continue
                best, least_off = gains[index], (off**2).sum()
                if (off < _NEAR).all():
                    break
                gains[index] = np.where(share < _UNSEEN, 1.0, np.clip(gains[index] / share**_STEP, least, greatest))
            gains[index] = best
    return gains


def _slope(drawn: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """How much of what is drawn (n,) is seen (n, k), by least squares: (k,)."""
    drawn = drawn - drawn.mean()
    return drawn @ (seen - seen.mean(axis=0)) / (drawn @ drawn)


def _seen(mesh, draw, gains, rest, index, value) -> np.ndarray:
    """The latent (32,) that is measured when the named coefficients have this value; zeros where no face is seen."""
    motion = rig.neutral()
    motion[index] = value
    now = _measured(mesh, draw(motion, gains), _LOOKS)
    if now is None:
        return rig.neutral()
    (measures, pose), (rest_measures, rest_pose) = now, rest
    latent = expression_of(measures, rest_measures, pose.angles[0])
    latent[:3] = landmarks.angles_of(pose.rotation @ rest_pose.rotation.T)
    return latent


def _measured(mesh, picture: np.ndarray, looks: int) -> tuple[np.ndarray, landmarks.Pose] | None:
    """The mean of the later half of several looks at a picture, and the last one's pose."""
    scale = np.array([picture.shape[1], -picture.shape[0], -picture.shape[1]])
    measures, pose = [], None
    for look in range(looks):
        found = mesh.process(picture).multi_face_landmarks
        if found and look >= looks // 2:
            points = np.array([(p.x, p.y, p.z) for p in found[0].landmark]) * scale
            pose = landmarks.fit_pose(points)
            measures.append(landmarks.measure_face(points, pose))
    return (np.mean(measures, axis=0), pose) if measures else None
