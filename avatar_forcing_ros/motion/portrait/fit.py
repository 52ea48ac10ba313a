"""Fits an animated photo to the rig: as much movement is drawn as a tracker will measure for the same coefficient.

A photo's mesh has guessed depth, and a tracker's landmarks lean to the average face, more on some faces than on others.
So a few poses are drawn, measured as a camera's picture is, and each coefficient is given a gain.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.tracking import landmarks
from avatar_forcing_ros.motion.tracking.expression import expression_of
from avatar_forcing_ros.motion.tracking.video_mesh import VideoMesh

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
_BEYOND = 3  # further gains that are tried where the rounds came nowhere near
_LEVEL = 0.03  # gains that are seen this much alike, as logarithms, are no worse than each other
_UNLIKE = np.log(1.2)  # a movement seen larger or smaller by more is another movement
_UNSEEN = 0.1  # less than this share of a movement measured: it cannot be seen on this face, and is drawn as defined


def fitted_gains(draw: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Gains (32,) float32 for one photo. draw: (latent (32,), gains (32,)) -> picture (H, W, 3) uint8 RGB.

    More movement is not always seen as more: landmarks give up on a brow that rises far. So of the gains tried in some
    rounds those are taken that were seen nearest to what was asked.
    """
    gains = np.ones(rig.DIM, np.float32)
    mesh = VideoMesh()
    rest = _measured(mesh, draw(rig.neutral(), gains), _REST_LOOKS)
    if rest is None:
        return gains
    for names, amplitude, both_ways, least, greatest in _FITTED:
        index, goal = [rig.INDEX[n] for n in names], _GOAL.get(names[0], 1.0)
        steps = np.array([-1.0, -0.5, 0.5, 1.0] if both_ways else [0.35, 0.7, 1.0]) * amplitude
        tried: list[tuple[np.ndarray, np.ndarray]] = []  # gains, and how far off they are, as logarithms
        too_large: list[np.ndarray] = []
        for _ in range(_ROUNDS):
            share = _share_seen(mesh, draw, gains, rest, index, steps) / goal
            far = np.abs(np.log(share))
            tried.append((gains[index], far))
            too_large.append(share > 1.0)
            best, least_far = min(tried, key=lambda t: _badness(t[1]))
            if (far < _NEAR).all():
                break
            onward = np.where(share < _UNSEEN, 1.0, np.clip(gains[index] / share**_STEP, least, greatest))
            # As near as the best: landmarks that stay where they are move later, those of brows excepted. Farther: half the way back.
            level = len(index) == 1 and abs(far[0] - least_far[0]) < _LEVEL
            gains[index] = onward if far is least_far or level else np.sqrt(best * gains[index])
        nearest = min(far[0] for _, far in tried)
        if len(index) == 1 and nearest > _UNLIKE and gains[index][0] < greatest:  # rounds that stuck: look farther
            for further in np.geomspace(gains[index][0], greatest, _BEYOND + 1)[1:]:
                gains[index] = further
                tried.append((gains[index], np.abs(np.log(_share_seen(mesh, draw, gains, rest, index, steps) / goal))))
            best, least_far = min(tried, key=lambda t: _badness(t[1]))
        # Each one's best may be of another round: together they are better, or they are not.
        of_gains, fars = np.array([t[0] for t in tried]), np.array([t[1] for t in tried])
        each = fars.argmin(axis=0)
        if len(index) > 1:  # of gains by which it is seen too large, and alike, the least
            alike = (fars < fars.min(axis=0) + _LEVEL) & np.array(too_large)
            each = np.where(
                np.array(too_large)[each, np.arange(len(index))], np.where(alike, of_gains, np.inf).argmin(axis=0), each
            )
        gains[index] = of_gains[each, np.arange(len(index))]
        if len(set(each)) > 1:
            far = np.abs(np.log(_share_seen(mesh, draw, gains, rest, index, steps) / goal))
            gains[index] = gains[index] if _badness(far) < _badness(least_far) else best
    return gains


def _badness(far: np.ndarray) -> tuple[int, float]:
    """First, how many are not seen as what they are; then, how far off all are. One brow under hair is not to spoil the other."""
    return int((far > _UNLIKE).sum()), float((far**2).sum())


def _share_seen(
    mesh: Any, draw: Callable[..., Any], gains: Any, rest: Any, index: Any, steps: np.ndarray
) -> np.ndarray:
    """How much of a movement by these steps (n,) of the coefficients `index` is seen, (len(index),), a thousandth at least."""
    seen = [_seen(mesh, draw, gains, rest, index, step)[index] for step in steps]
    return np.maximum(_slope(np.append(steps, 0.0), np.vstack([*seen, np.zeros(len(index))])), 1e-3)


def _slope(drawn: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """How much of what is drawn (n,) is seen (n, k), by least squares: (k,)."""
    drawn = drawn - drawn.mean()
    return drawn @ (seen - seen.mean(axis=0)) / (drawn @ drawn)


def _seen(mesh: Any, draw: Callable[..., Any], gains: Any, rest: Any, index: Any, value: Any) -> np.ndarray:
    """The latent (32,) that is measured when the named coefficients have this value; zeros where no face is seen."""
    motion = rig.neutral()
    motion[index] = value
    now = _measured(mesh, draw(motion, gains), _LOOKS)
    if now is None:
        return rig.neutral()
    (measures, pose), (rest_measures, rest_pose) = now, rest
    latent = expression_of(measures, rest_measures, pose.angles[0])
    latent[rig.HEAD[:3]] = landmarks.angles_of(pose.rotation @ rest_pose.rotation.T)
    return latent


def _measured(mesh: Any, picture: np.ndarray, looks: int) -> tuple[np.ndarray, landmarks.Pose] | None:
    """The mean of the later half of several looks at a picture, and the last one's pose."""
    measures: list[np.ndarray] = []
    pose: landmarks.Pose | None = None
    for look in range(looks):
        found = mesh.process(picture)
        if found and look >= looks // 2:
            points = found[0] * (1, -1, -1)
            pose = landmarks.fit_pose(points)
            measures.append(landmarks.measure_face(points, pose))
    return None if pose is None else (np.mean(measures, axis=0), pose)
