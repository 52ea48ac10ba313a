"""What a face can do: the tracked motion of a video on it, a sheet of its expressions, and a turn-table of it."""

from __future__ import annotations

import cv2
import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.grid import audio_16k, video_on_grid
from avatar_forcing_ros.media.open import open_media
from avatar_forcing_ros.media.video_writer import VideoWriter, refuse_to_overwrite
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.base import Avatar
from avatar_forcing_ros.motion.direction.expressions import Expression
from avatar_forcing_ros.motion.space import make_tracker
from avatar_forcing_ros.motion.tracking import A_FACE
from avatar_forcing_ros.motion.tracking.tracker import FaceTracker, face_at_rest
from avatar_forcing_ros.timeline import FRAME_RATE

TILE = 256  # pixels of one picture of the sheet
CAPTION = 24
COLUMNS = 6


def _emotion(name: str) -> dict[str, float]:
    return {n: float(v) for n, v in zip(rig.NAMES, Expression(name).offset) if v}


EXPRESSIONS: tuple[tuple[str, dict[str, float]], ...] = (
    ("at rest", {}),
    ("turned to image right", {"headYaw": 0.3}),
    ("turned to image left", {"headYaw": -0.3}),
    ("looking up", {"headPitch": 0.2}),
    ("looking down", {"headPitch": -0.2}),
    ("tilted", {"headRoll": 0.25}),
    ("jaw a little open", {"jawOpen": 0.25}),
    ("jaw wide open", {"jawOpen": 0.7}),
    ("smile", {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8}),
    ("laugh", {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9, "jawOpen": 0.3, "eyeSquintLeft": 0.6, "eyeSquintRight": 0.6}),
    ("smile on one side", {"mouthSmileLeft": 0.8}),
    ("frown", {"mouthFrownLeft": 0.8, "mouthFrownRight": 0.8}),
    ("wide (ee)", {"mouthStretchLeft": 0.7, "mouthStretchRight": 0.7, "jawOpen": 0.12}),
    ("round (oo)", {"mouthPucker": 0.8}),
    ("open round (oh)", {"mouthFunnel": 0.8, "jawOpen": 0.2}),
    ("pressed (m)", {"mouthPress": 0.8}),
    ("lips apart", {"mouthUpperUp": 0.6, "mouthLowerDown": 0.6}),
    ("jaw to one side", {"jawX": 0.8}),
    ("eyes closed", {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}),
    ("wink", {"eyeBlinkLeft": 1.0, "mouthSmileLeft": 0.5}),
    ("eyes wide, brows up", {"eyeWideLeft": 0.8, "eyeWideRight": 0.8, "browInnerUp": 0.9, "browOuterUpLeft": 0.9,
                             "browOuterUpRight": 0.9}),
    ("brows down", {"browDownLeft": 0.9, "browDownRight": 0.9}),
    ("looking to image right", {"gazeX": 0.8}),
    ("looking down (eyes)", {"gazeY": -0.8}),
    *((name, _emotion(name)) for name in ("happy", "sad", "angry", "surprised", "scared", "disgusted", "skeptical", "bored", "asleep")),
    ("turned, laughing", {"headYaw": 0.35, "headRoll": 0.1, "mouthSmileLeft": 0.9, "mouthSmileRight": 0.9, "jawOpen": 0.3}),
    ("turned, tilted, up", {"headYaw": -0.35, "headRoll": -0.25, "headPitch": 0.2, "mouthSmileLeft": 0.4, "mouthSmileRight": 0.4}),
    ("beyond its limits", {"headYaw": 1.0, "headPitch": 0.8, "jawOpen": 1.5, "mouthLowerDown": 1.0, "mouthPucker": 1.0}),
)  # fmt: skip


def contact_sheet(avatar: Avatar) -> np.ndarray:
    """Every expression with its name below, (H, W, 3) uint8 RGB. Raises InputError for a face that is not of the rig."""
    if avatar.space != rig.SPACE:
        raise InputError(
            f"a sheet of expressions is drawn from the space '{rig.SPACE}', this face has '{avatar.space}'"
        )
    tiles = []
    for name, values in EXPRESSIONS:
        tile = cv2.resize(_square_of(avatar.render(rig.pose(**values))), (TILE, TILE), interpolation=cv2.INTER_AREA)
        label = np.full((CAPTION, TILE, 3), 255, np.uint8)
        cv2.putText(label, name, (6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (30, 30, 30), 1, cv2.LINE_AA)
        tiles.append(np.vstack([tile, label]))
    return np.vstack([np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)])


def _square_of(picture: np.ndarray) -> np.ndarray:
    """The square of a picture that holds the face."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top = min(max(round(0.40 * height - 0.45 * side), 0), height - side)
    left = (width - side) // 2
    return picture[top : top + side, left : left + side]


TURN_SECONDS = 8.0


def turntable_motion(frame: int) -> np.ndarray:
    """The latent (32,) of a frame of the turn-table: the head goes round once, then the face speaks, smiles and blinks."""
    t = frame / FRAME_RATE
    first, second = min(t / 4.0, 1.0), max(t - 4.0, 0.0) / 4.0
    swell = np.sin(np.pi * first)
    speech = np.sin(np.pi * second) ** 0.5
    smile = np.clip(2.0 * second - 1.0, 0.0, 1.0) * speech
    blink = max(0.0, 1.0 - abs(t - 1.0) / 0.12) + max(0.0, 1.0 - abs(t - 5.5) / 0.12)
    values = {
        "headYaw": 0.38 * np.sin(2 * np.pi * first) * swell**0.2 + 0.12 * speech * np.sin(2 * np.pi * 0.6 * t),
        "headPitch": 0.20 * np.sin(4 * np.pi * first) * swell,
        "headRoll": 0.15 * np.sin(2 * np.pi * first - 0.8) * swell + 0.10 * smile,
        "jawOpen": 0.25 * speech * (1.0 - np.cos(2 * np.pi * 3.1 * t)) / 2,
        "mouthFunnel": 0.4 * speech * max(np.sin(2 * np.pi * 0.9 * t), 0.0),
        "mouthStretchLeft": 0.3 * speech * max(-np.sin(2 * np.pi * 0.9 * t), 0.0),
        "mouthStretchRight": 0.3 * speech * max(-np.sin(2 * np.pi * 0.9 * t), 0.0),
        "browInnerUp": 0.5 * speech * max(np.sin(2 * np.pi * 0.5 * t), 0.0),
    }
    values |= dict.fromkeys(("mouthSmileLeft", "mouthSmileRight"), 0.9 * smile)
    values |= dict.fromkeys(("eyeBlinkLeft", "eyeBlinkRight"), blink)
    return rig.pose(**values)


def turntable(avatar: Avatar, out: str) -> None:
    """Writes the turn-table of a face of the rig as an mp4."""
    with VideoWriter(out, fps=FRAME_RATE) as writer:
        for frame in range(round(TURN_SECONDS * FRAME_RATE)):
            writer.write_frame(frame, avatar.render(turntable_motion(frame), frame))


def reenact(driver: str, avatar: Avatar, out: str, progress=lambda frames: None) -> dict:
    """Puts the tracked motion of a video on a face, frame by frame, with the video's sound, into an mp4.

    The video is seen twice where the tracker learns the face at rest: the first time for that. progress: called with the
    images seen so far, of both times.
    Returns frames and the share of them that showed a face. Raises InputError where the driver has no video or no face.
    """
    refuse_to_overwrite(out, driver)
    with open_media(driver) as reader:
        if not reader.has_video:
            raise InputError(f"{driver}: has no video to take motion from")
        first, frames, seen = 0, 0, 0

        def images():
            nonlocal first
            for _, image in video_on_grid(reader):
                yield image
                first += 1
                progress(first)

        # Nothing is made up from this motion, so the slightest movement of the lips counts.
        in_rig = avatar.space == rig.SPACE
        rest = face_at_rest(images()) if in_rig else None
        if in_rig and rest is None:
            raise InputError(f"{driver}: no face was seen in it")
        tracker = FaceTracker(neutral=rest, calm=0.0) if in_rig else make_tracker(avatar.space)
        with VideoWriter(out, fps=FRAME_RATE) as writer:
            for index, image in video_on_grid(reader):
                face = tracker.track(image, index / FRAME_RATE)
                picture = avatar.render(face.motion, index)
                writer.write_frame(index, picture)
                frames, seen = frames + 1, seen + (face.confidence > A_FACE)
                progress(first + frames)
            position = 0
            for chunk in audio_16k(reader) if reader.has_audio else ():
                writer.write_audio(position, chunk)
                position += len(chunk)
        tracker.close()
    if not seen:
        raise InputError(f"{driver}: no face was seen in it")
    return {"frames": frames, "face_share": round(seen / frames, 3)}
