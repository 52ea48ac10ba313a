"""Whether the rig means the same to the face that draws it and to the tracker that measures it.

An avatar is driven with known coefficients, one after the other and mixed; its pictures are tracked like a camera's, by
the package's tracker, which is shown the face at rest, and by MediaPipe's landmarks as they are: without filters or memory.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar_forcing_ros.media.grid import video_on_grid
from avatar_forcing_ros.media.open import open_media
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.base import Avatar
from avatar_forcing_ros.motion.portrait.avatar import PortraitAvatar
from avatar_forcing_ros.motion.portrait.photo import read_picture
from avatar_forcing_ros.motion.tracking import landmarks
from avatar_forcing_ros.motion.tracking.expression import expression_of
from avatar_forcing_ros.motion.tracking.tracker import FaceTracker
from avatar_forcing_ros.motion.tracking.video_mesh import VideoMesh
from avatar_forcing_ros.timeline import FRAME_RATE

SMILE = ("mouthSmileLeft", "mouthSmileRight")
BLINK = ("eyeBlinkLeft", "eyeBlinkRight")
BROWS_UP = ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")
BROWS_DOWN = ("browDownLeft", "browDownRight")
AMPLITUDE = (0.8, 1.25)  # least and greatest of what is seen over what was drawn
REQUIRED = {  # coefficients drawn together: least correlation
    ("headYaw",): 0.95, ("headPitch",): 0.95, ("headRoll",): 0.95, ("jawOpen",): 0.95, BLINK: 0.9, SMILE: 0.9,
    BROWS_UP: 0.9, BROWS_DOWN: 0.9, ("mouthPucker",): 0.9, ("gazeX",): 0.8, ("gazeY",): 0.8,
}  # fmt: skip
_STRETCHES = (  # coefficients, amplitude, whether they go both ways
    (("headYaw",), 0.35, True), (("headPitch",), 0.25, True), (("headRoll",), 0.30, True), (("jawOpen",), 0.8, False),
    (BLINK, 1.0, False), (SMILE, 0.9, False), (BROWS_UP, 0.9, False), (BROWS_DOWN, 0.9, False),
    (("mouthPucker",), 0.9, False), (("gazeX",), 0.8, True), (("gazeY",), 0.8, True), (("mouthSmileLeft",), 0.9, False),
    (("headX",), 0.3, True), (("headY",), 0.2, True), (("headScale",), 0.15, True),
)  # fmt: skip
MIXED = "mixed"
MIXED_NAMES = ("headYaw", "headPitch", "headRoll", "jawOpen", *BLINK, *SMILE)
VIDEOS = (".mp4", ".mov", ".mpg", ".avi", ".mkv", ".webm")
REST_FRAMES, EACH, PAUSE, MIXED_FRAMES = 40, 26, 5, 150


@dataclass(frozen=True)
class Cycle:
    """drawn, tracked, measured: (n, 32), the last by MediaPipe's landmarks, None where they were not looked at. confidence: (n,).
    stretches: by name.

    true: as `measured`, by landmarks that lie where they were drawn; None for a face without points.
    """

    drawn: np.ndarray
    tracked: np.ndarray
    measured: np.ndarray | None
    true: np.ndarray | None
    confidence: np.ndarray
    stretches: dict[str, slice]

    def agreement(self, stretch: str, name: str, by: str = "tracked") -> tuple[float, float]:
        """(correlation, amplitude of what is seen over what was drawn) of a coefficient over a stretch. by: whose eyes."""
        where = self.stretches[stretch]
        a, b = (x[where, rig.INDEX[name]].astype(float) for x in (self.drawn, getattr(self, by)))
        a, b = a - a.mean(), b - b.mean()
        return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-9)), float(a @ b / (a @ a))

    def required(self, by: str = "tracked", rounding: float = 0.0) -> dict[str, tuple[float, float, bool, bool]]:
        """Of every coefficient of `REQUIRED`: correlation, amplitude, and whether either misses what is asked by more than
        `rounding`."""
        low, high = AMPLITUDE
        found = {}
        for names, least in REQUIRED.items():
            for name in names:
                r, amplitude = self.agreement("+".join(names), name, by)
                found[name] = (r, amplitude, r < least - rounding, not low - rounding <= amplitude <= high + rounding)
        return found


def picture_of(source: str | Path) -> np.ndarray:
    """An image file's picture, or a video's first image, (H, W, 3) uint8 RGB. Raises InputError for what cannot be read."""
    if Path(source).suffix.lower() not in VIDEOS:
        return read_picture(source)
    with open_media(str(source)) as reader:
        return next(image for _, image in video_on_grid(reader))


def sequence(only_required: bool = False) -> tuple[np.ndarray, dict[str, slice]]:
    """Motions (n, 32) and {name of a stretch: slice}. Names are coefficients joined by +, and MIXED.

    only_required: the stretches of `REQUIRED` alone.
    """
    parts, stretches, at = [np.zeros((REST_FRAMES, rig.DIM))], {}, REST_FRAMES
    phase = np.linspace(0, 1, EACH)
    for names, amplitude, both_ways in _STRETCHES:
        if only_required and names not in REQUIRED:
            continue
        part = np.zeros((EACH + PAUSE, rig.DIM))
        for name in names:
            part[:EACH, rig.INDEX[name]] = amplitude * (
                np.sin(2 * np.pi * phase) if both_ways else np.sin(np.pi * phase) ** 2
            )
        stretches["+".join(names)] = slice(at, at + EACH)
        parts.append(part)
        at += len(part)
    if only_required:
        return np.concatenate(parts).astype(np.float32), stretches
    t = np.arange(MIXED_FRAMES) / FRAME_RATE
    part = np.zeros((MIXED_FRAMES, rig.DIM))
    lids = np.zeros(MIXED_FRAMES)
    for start in (20, 55, 90, 125):
        lids[start : start + 8] = (0.3, 0.7, 1, 1, 0.8, 0.5, 0.3, 0.1)
    for name, values in {
        "headYaw": 0.3 * np.sin(2 * np.pi * 0.40 * t),
        "headPitch": 0.2 * (np.sin(2 * np.pi * 0.53 * t + 1) - np.sin(1) * np.exp(-2 * t)),
        "headRoll": 0.2 * np.sin(2 * np.pi * 0.31 * t),
        "jawOpen": 0.3 * (1 - np.cos(2 * np.pi * 1.3 * t)),
        **dict.fromkeys(SMILE, 0.4 * (1 - np.cos(2 * np.pi * 0.25 * t))),
        **dict.fromkeys(BLINK, lids),
    }.items():
        part[:, rig.INDEX[name]] = values
    stretches[MIXED] = slice(at, at + MIXED_FRAMES)
    return np.concatenate([*parts, part]).astype(np.float32), stretches


def run_cycle(avatar: Avatar, only_required: bool = False) -> Cycle:
    """Draws the sequence with a face of the rig and tracks its pictures. Deterministic; some seconds. Raises InputError for a
    face that the tracker does not find.

    only_required: the stretches of `REQUIRED` alone, by the tracker alone, in a third of the time.
    """
    drawn, stretches = sequence(only_required)
    faces: list = []
    seen: list = []
    true: list = []
    mesh = VideoMesh()
    tracker = FaceTracker(neutral=avatar.render(rig.neutral()))
    with contextlib.closing(tracker):
        for i, motion in enumerate(drawn):
            picture = avatar.render(motion)
            faces.append(tracker.track(picture, i / FRAME_RATE))
            if only_required:
                continue
            found = mesh.process(picture)
            if found:
                last = _measured(found[0] * (1, -1, -1))
            elif not seen:
                last = (landmarks.TYPICAL, landmarks.Pose(np.eye(3), 1.0, np.zeros(3), 1.0))
            seen.append(last)
            if isinstance(avatar, PortraitAvatar):  # its irises are no points of the mesh: gaze is left out
                points = avatar.points(motion) * (1, -1, -1)
                points = np.vstack([points, np.repeat(points[:1], landmarks.COUNT - len(points), axis=0)])
                true.append(_measured(points, by_mesh=False))
    tracked, confidence = np.array([f.motion for f in faces]), np.array([f.confidence for f in faces])
    by_mesh, by_points = (_latents(looks) if looks else None for looks in (seen, true))
    return Cycle(drawn, tracked, by_mesh, by_points, confidence, stretches)


def _measured(points: np.ndarray, by_mesh: bool = True) -> tuple[np.ndarray, landmarks.Pose]:
    pose = landmarks.fit_pose(points)
    return landmarks.measure_face(points, pose, by_mesh), pose


def _latents(seen: list) -> np.ndarray:
    """Latents (n, 32) of measures and poses against those of the calm frames at the start."""
    calm = seen[10:REST_FRAMES]
    rest = np.median([measures for measures, _ in calm], axis=0)
    angles, centre = (np.median([getattr(pose, name) for _, pose in calm], axis=0) for name in ("angles", "centre"))
    scale = float(np.median([pose.scale for _, pose in calm]))
    latents = []
    for measures, pose in seen:
        latent = expression_of(measures, rest, pose.angles[0])
        latent[:3] = landmarks.angles_of(pose.rotation @ landmarks.rotation_of(angles).T)
        latent[3:5] = (pose.centre - centre) / (scale * rest[landmarks.AT["eyeDistance"]])
        latent[5] = np.log(pose.scale / scale)
        latents.append(latent)
    return np.array(latents)
