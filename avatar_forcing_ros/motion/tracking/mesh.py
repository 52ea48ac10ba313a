"""The face mesh that MediaPipe finds on an image: points, their names, triangles and contours.

Only what still pictures need is here; the camera tracker has its own running session. Indices are those of
MediaPipe's canonical face (468 points, 10 more for the irises).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion.tracking.detector import detect
from avatar_forcing_ros.motion.tracking.models import FULL_RANGE, table
from avatar_forcing_ros.motion.tracking.video_mesh import VideoMesh

MESH_POINTS = 468
EYE_OUTER_RIGHT, EYE_OUTER_LEFT = 33, 263  # the person's right eye is at image left
CHIN, NOSE_TIP, FOREHEAD = 152, 1, 10
MOUTH_CORNER = {"Right": 61, "Left": 291}
EAR_RIGHT, EAR_LEFT = 234, 454

# Contours run from image left to image right; upper and lower entries face each other.
INNER_LIP_UPPER = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308]
INNER_LIP_LOWER = [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308]
OUTER_LIP_UPPER = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291]
OUTER_LIP_LOWER = [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291]
UPPER_LID = {
    "Right": [33, 246, 161, 160, 159, 158, 157, 173, 133],
    "Left": [362, 398, 384, 385, 386, 387, 388, 466, 263],
}
LOWER_LID = {"Right": [33, 7, 163, 144, 145, 153, 154, 155, 133], "Left": [362, 382, 381, 380, 374, 373, 390, 249, 263]}
IRIS = {"Right": [468, 469, 470, 471, 472], "Left": [473, 474, 475, 476, 477]}  # centre first
BROW = {  # inner end first; upper edge, then lower edge
    "Right": ([107, 66, 105, 63, 70], [55, 65, 52, 53, 46]),
    "Left": ([336, 296, 334, 293, 300], [285, 295, 282, 283, 276]),
}
FACE_OVAL = [
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
]  # fmt: skip

_MOST, _LEAST = 5, 0.4  # faces of a group, and the score from which a detection is one
_DETECTION_SIDE = 1280  # larger images are searched at this size: the detector gains nothing above it


def triangles() -> np.ndarray:
    """Triangles (852, 3) of the face without its holes (mouth and eyes), from the list of the mesh's edges."""
    mesh_edges = table("edges").tolist()
    neighbours: dict[int, set[int]] = {}
    for a, b in mesh_edges:
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    found = {tuple(sorted((a, b, c))) for a, b in mesh_edges for c in neighbours[a] & neighbours[b]}
    # Beside each nostril three edges enclose smaller triangles: that ring is no triangle of the surface.
    found -= {(49, 64, 129), (279, 294, 358)}
    return np.array(sorted(found), dtype=np.int32)


def edges(tris: np.ndarray) -> np.ndarray:
    """Unique edges (E, 2) of triangles (T, 3)."""
    pairs = np.concatenate([tris[:, list(p)] for p in itertools.combinations(range(3), 2)])
    return np.unique(np.sort(pairs, axis=1), axis=0)


def with_band(
    tris: np.ndarray, points: np.ndarray, line: list[int], width: float
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Splits the triangles on the line's side so that a narrow band along it has vertices of its own.

    tris: (T, 3). points: (V, 3). line: vertices. width: of the band, in the points' unit.
    Returns (triangles, points with those of the band appended, for each appended one the line's vertex it belongs to).
    """
    on_line = set(line)
    added: list[np.ndarray] = []
    owners: list[int] = []
    index: dict[tuple[int, int], int] = {}

    def between(a: int, b: int) -> int:
        if (a, b) not in index:
            way = points[b] - points[a]
            index[a, b] = len(points) + len(added)
            length: Any = np.linalg.norm(way[:2])
            added.append(points[a] + way * min(width / max(length, 1e-9), 0.45))
            owners.append(a)
        return index[a, b]

    split = []
    for triangle in tris.tolist():
        k = sum(v in on_line for v in triangle)
        while k in (1, 2) and not (triangle[0] in on_line and (triangle[1] in on_line) == (k == 2)):
            triangle = triangle[1:] + triangle[:1]
        a, b, c = triangle
        if k == 1:
            ab, ac = between(a, b), between(a, c)
            split += [(a, ab, ac), (ab, b, c), (ab, c, ac)]
        elif k == 2:
            ac, bc = between(a, c), between(b, c)
            split += [(a, b, bc), (a, bc, ac), (ac, bc, c)]
        else:
            split.append((a, b, c))
    return np.array(split, dtype=np.int32), np.concatenate([points, np.reshape(added, (-1, 3))]), owners


def find_face(image: np.ndarray) -> np.ndarray:
    """The largest face of `find_faces`."""
    return find_faces(image)[0]


def find_faces(image: np.ndarray) -> list[np.ndarray]:
    """Faces, the largest first: each (478, 3) pixels of `image` (H, W, 3) uint8 RGB; z grows away from the viewer.

    Raises InputError when no face is found.
    """
    height, width = image.shape[:2]
    shrink = min(1.0, _DETECTION_SIDE / max(height, width))
    small = image if shrink == 1.0 else cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    faces: list[np.ndarray] = []
    # A face that fills the frame, or one far away, is missed at first: look again with a margin, then closer at
    # each box of the far-range detector, which also finds the others of a group.
    margin = int(0.4 * max(height, width) * shrink)
    for window in (
        (0, 0, *small.shape[1::-1]),
        (-margin, -margin, small.shape[1] + margin, small.shape[0] + margin),
    ):
        faces = faces or _look(small, window)
    for window in _boxes(small):
        middle = np.array([window[0] + window[2], window[1] + window[3]]) / 2
        if not any((f[:, :2].min(axis=0) < middle).all() and (f[:, :2].max(axis=0) > middle).all() for f in faces):
            faces += _look(small, window)[:1]
    if not faces:
        raise InputError(
            "no face found in the picture: use one where a face looks at the camera, well lit and not covered"
        )
    return [f / shrink for f in sorted(faces, key=lambda f: -np.prod(np.ptp(f[:, :2], axis=0)))]


def _look(image: np.ndarray, window: tuple[int, int, int, int]) -> list[np.ndarray]:
    """The faces that the mesh finds in a window of the image, the largest first; pixels of the image."""
    found = VideoMesh(_MOST, _LEAST).process(_cut(image, window))
    faces = [face + (window[0], window[1], 0) for face in found]
    return sorted(faces, key=lambda f: -np.prod(np.ptp(f[:, :2], axis=0)))


def _boxes(image: np.ndarray) -> Iterator[tuple[int, int, int, int]]:
    """Windows (x0, y0, x1, y1) around the faces that the far-range detector finds, the largest first."""
    for x0, y0, x1, y1 in sorted(
        (d.box for d in detect(image, FULL_RANGE)), key=lambda b: -(b[2] - b[0]) * (b[3] - b[1])
    ):
        cx, cy, half = (x0 + x1) / 2, (y0 + y1) / 2, 1.2 * max(x1 - x0, y1 - y0)
        yield int(cx - half), int(cy - half), int(cx + half), int(cy + half)


def _cut(image: np.ndarray, window: tuple[int, int, int, int]) -> np.ndarray:
    """The window (x0, y0, x1, y1) of an image; what lies outside repeats the border."""
    x0, y0, x1, y1 = window
    height, width = image.shape[:2]
    left, top, right, bottom = max(0, -x0), max(0, -y0), max(0, x1 - width), max(0, y1 - height)
    inside = image[max(0, y0) : min(height, y1), max(0, x0) : min(width, x1)]
    return (
        cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_REPLICATE)
        if top + left + right + bottom
        else inside
    )
