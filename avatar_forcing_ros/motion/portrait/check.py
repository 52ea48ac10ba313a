"""What is wrong with a photo as a source of an avatar, in plain words."""

from __future__ import annotations

import cv2
import numpy as np

from avatar_forcing_ros.motion.portrait.photo import group_note, turned_note, upright
from avatar_forcing_ros.motion.tracking.landmarks import fit_pose
from avatar_forcing_ros.motion.tracking.mesh import (
    EYE_OUTER_LEFT,
    EYE_OUTER_RIGHT,
    FACE_OVAL,
    LOWER_LID,
    UPPER_LID,
    find_faces,
)

_SMALL, _TINY = 90.0, 45.0  # pixels between the outer corners of the eyes
_DARK, _PALE = 55.0, 225.0  # mean grey of the face
_ONE_SIDED = 1.6  # of the brightness of one cheek to the other's
_SOFT = 0.010  # detail of a sharp face, as a share of its brightness
_TURNED, _NODDED, _TILTED = 0.35, 0.40, 0.45  # radians
_WIDE_OPEN = 0.22  # D between the inner lips
_SHUT = 0.050  # D between the lids
_COVERED = 0.45  # share of a part of the face that has not the colour of its skin
# Parts of a face by the landmarks around them.
_PARTS = {
    "the forehead": (109, 10, 338, 336, 9, 107),
    "the cheek at image left": (117, 118, 101, 205, 187, 123),
    "the cheek at image right": (346, 347, 330, 425, 411, 352),
    "the nose": (6, 198, 98, 2, 327, 420),
    "the mouth": (61, 39, 0, 269, 291, 405, 17, 181),
    "the chin": (182, 18, 406, 377, 152, 148),
}
_BRIDGE = (193, 417, 437, 399, 174, 217)  # of the nose


def source_notes(image: np.ndarray) -> list[str]:
    """What a user should know of a picture, the worst first; empty for a good source.

    image: (H, W, 3) uint8 RGB. Raises InputError when no face is found.
    """
    image, turned = upright(image)
    faces = find_faces(image)
    points = faces[0]
    unit = float(np.linalg.norm((points[EYE_OUTER_LEFT] - points[EYE_OUTER_RIGHT])[:2]))
    notes = _size(image, points, unit) + _pose(points) + _light(image, points)
    notes += _features(points) + _covered(image, points, unit) + _sharpness(image, points, unit)
    if turned:
        notes.insert(0, turned_note(turned))
    if len(faces) > 1:
        notes.append(group_note(image, faces))
    return notes


def _size(image: np.ndarray, points: np.ndarray, unit: float) -> list[str]:
    height, width = image.shape[:2]
    notes = []
    if unit < _SMALL:
        word = "very small" if unit < _TINY else "small"
        notes.append(
            f"the face is {word}: {unit:.0f} pixels between the eyes' outer corners; it looks soft below {_SMALL:.0f}"
        )
    low, high = points[FACE_OVAL, :2].min(axis=0), points[FACE_OVAL, :2].max(axis=0)
    if low.min() < 0 or high[0] > width or high[1] > height:
        notes.append("the face is cut off by the picture's border: what is missing is drawn from the border's pixels")
    elif low[1] < 0.3 * unit or low[0] < 0.15 * unit or width - high[0] < 0.15 * unit:
        notes.append(
            "the picture is tight around the face: when the head moves, what lies beyond the border is guessed"
        )
    return notes


def _pose(points: np.ndarray) -> list[str]:
    yaw, pitch, roll = fit_pose(points * (1, -1, -1)).angles
    notes = []
    if abs(yaw) > _TURNED:
        word = "in profile" if abs(yaw) > 0.8 else "turned"
        notes.append(
            f"the head is {word} by {abs(np.degrees(yaw)):.0f} degrees: its far side is guessed, and it turns less"
        )
    if abs(pitch) > _NODDED:
        way = "up" if pitch > 0 else "down"
        notes.append(
            f"the head looks {way} by {abs(np.degrees(pitch)):.0f} degrees: take a picture at the height of the eyes"
        )
    if abs(roll) > _TILTED:
        notes.append(f"the head is tilted by {abs(np.degrees(roll)):.0f} degrees: it stays so at rest")
    return notes


def _light(image: np.ndarray, points: np.ndarray) -> list[str]:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    face = grey[_mask(image.shape, points[FACE_OVAL, :2]) > 0]
    if not face.size:
        return []
    notes = []
    if face.mean() < _DARK:
        notes.append(
            f"the face is dark (mean grey {face.mean():.0f} of 255): eyes and lips show little; take more light"
        )
    elif face.mean() > _PALE:
        notes.append(f"the face is overexposed (mean grey {face.mean():.0f} of 255): its shape is lost in white")
    sides = []
    for part in ("the cheek at image left", "the cheek at image right"):
        cheek = grey[_mask(image.shape, points[list(_PARTS[part]), :2]) > 0]
        sides.append(float(cheek.mean()) + 1.0 if cheek.size else 1.0)
    if max(sides) / min(sides) > _ONE_SIDED:
        dark = "left" if sides[0] < sides[1] else "right"
        notes.append(f"the light comes from one side: image {dark} lies in shadow, and the shadow turns with the head")
    return notes


def _features(points: np.ndarray) -> list[str]:
    depth = float(np.linalg.norm(points[EYE_OUTER_LEFT] - points[EYE_OUTER_RIGHT]))
    notes = []
    gaps = [np.linalg.norm(points[LOWER_LID[s][4]] - points[UPPER_LID[s][4]]) / depth for s in ("Right", "Left")]
    if max(gaps) < _SHUT:
        notes.append("the eyes are closed or nearly so: they cannot be opened, for the eyeballs are not in the picture")
    elif min(gaps) < _SHUT:
        notes.append("one eye is closed or nearly so: it stays narrow")
    opened = float(np.linalg.norm(points[14] - points[13])) / depth
    if opened > _WIDE_OPEN:
        notes.append(
            "the mouth is wide open: it is closed by pulling the chin up; closed, or a smile with teeth, looks better"
        )
    return notes


def _covered(image: np.ndarray, points: np.ndarray, unit: float) -> list[str]:
    """Parts that have not the colour of the skin between the eyes, which masks, hair and hands leave free."""
    lab = cv2.cvtColor(cv2.GaussianBlur(image, (0, 0), max(0.02 * unit, 0.5)), cv2.COLOR_RGB2LAB).astype(np.float32)
    pixels = {name: lab[_mask(image.shape, points[list(outline), :2]) > 0] for name, outline in _PARTS.items()}
    known = lab[_mask(image.shape, points[list(_BRIDGE), :2]) > 0]
    if not len(known):
        return []
    skin = np.median(known, axis=0)
    hidden = []
    for name, part in pixels.items():
        if not len(part):
            continue
        light, red, yellow = (part - skin).T
        if (
            name == "the mouth"
        ):  # lips are redder than skin and lie in its shadow: it counts only where it is bluer or greener
            light, red = 0.0 * light, np.minimum(red, 0.0)
        unlike = (np.hypot(red, yellow) > 22) | (np.abs(light) > 70)
        if unlike.mean() > _COVERED:
            hidden.append(name)
    if not hidden:
        return []
    what = "hair or something else covers" if hidden == ["the forehead"] else "something covers"
    return [f"{what} {' and '.join(hidden)}: it moves with the skin below it, and is measured as skin"]


def _sharpness(image: np.ndarray, points: np.ndarray, unit: float) -> list[str]:
    """Detail at the scale that a picture of the avatar shows, about 130 pixels between the eyes."""
    if unit < _SMALL:
        return []
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    shrink = min(1.0, 130.0 / unit)
    grey = cv2.resize(grey, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA).astype(np.float32)
    inside = _mask(grey.shape, points[FACE_OVAL, :2] * shrink) > 0
    detail = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 1.5))[inside]
    if detail.size and detail.mean() < _SOFT * grey[inside].mean():
        return ["the face is out of focus or smeared: it stays so"]
    return []


def _mask(shape: tuple[int, ...], outline: np.ndarray) -> np.ndarray:
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(outline.astype(np.int32)), 1)
    return mask
