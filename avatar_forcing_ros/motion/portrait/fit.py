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
    (("gazeY",), 0.80, True, 0.90, 2.80),
    (tuple("mouthSmile" + s for s in _BOTH), 0.80, False, 0.85, 2.10),
    (("mouthPucker",), 0.80, False, 0.85, 1.25),
    (("browInnerUp", *("browOuterUp" + s for s in _BOTH)), 0.90, False, 0.85, 1.60),
    (tuple("browDown" + s for s in _BOTH), 0.90, False, 0.75, 1.40),
    (("jawOpen",), 0.80, False, 1.00, 1.35),
)  # fmt: skip
_GOAL = {"jawOpen": 0.90}  # a tracker gives part of an open mouth to other coefficients: the gap itself is as defined
_ROUNDS = 4
_STEP = 0.7  # of the way to the gain that would be right if landmarks followed evenly, in a round
_NEAR = 0.05  # a movement seen this near its size, as a logarithm, is left as it is
_REST_LOOKS, _LOOKS = 8, 2  # at each picture, as at a video's: the mesh settles on its own earlier result
_UNLIKE = np.log(1.2)  # a movement seen larger or smaller by more is another movement
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
            steps = np.array([-1.0, -0.5, 0.5, 1.0] if both_ways else [0.35, 0.7, 1.0]) * amplitude
            tried: list[tuple[np.ndarray, np.ndarray]] = []  # gains, and how far off they are, as logarithms
            for _ in range(_ROUNDS):
                share = _share_seen(mesh, draw, gains, rest, index, steps) / goal
                far = np.abs(np.log(share))
                tried.append((gains[index], far))
                best, least_far = min(tried, key=lambda t: _badness(t[1]))
                if (far < _NEAR).all():
                    break
                onward = np.where(share < _UNSEEN, 1.0, np.clip(gains[index] / share**_STEP, least, greatest))
                gains[index] = onward if far is least_far else np.sqrt(best * gains[index])  # too far: half the way back
            # Each one's best may be of another round: together they are better, or they are not.
            each = np.argmin([far for _, far in tried], axis=0)
            gains[index] = np.array([tried_gains for tried_gains, _ in tried])[each, np.arange(len(index))]
            if len(set(each)) > 1:
                far = np.abs(np.log(_share_seen(mesh, draw, gains, rest, index, steps) / goal))
                gains[index] = gains[index] if _badness(far) < _badness(least_far) else best
    return gains


def _badness(far: np.ndarray) -> tuple[int, float]:
    """First, how many are not seen as what they are; then, how far off all are. One brow under hair is not to spoil the other."""
    return int((far > _UNLIKE).sum()), float((far**2).sum())


def _share_seen(mesh, draw, gains, rest, index, steps: np.ndarray) -> np.ndarray:
    """How much of a movement by these steps (n,) of the coefficients `index` is seen, (len(index),), a thousandth at least."""
    seen = [_seen(mesh, draw, gains, rest, index, step)[index] for step in steps]
    return np.maximum(_slope(np.append(steps, 0.0), np.vstack([*seen, np.zeros(len(index))])), 1e-3)


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
