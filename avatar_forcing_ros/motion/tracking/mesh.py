"""The face mesh that MediaPipe finds on an image: points, their names, triangles and contours.

Only what still pictures need is here; the camera tracker has its own running session. Indices are those of
MediaPipe's canonical face (468 points, 10 more for the irises).
"""

from __future__ import annotations

import itertools

import cv2
import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion.mediapipe_start import face_mesh_edges, quiet_native_start, solution

MESH_POINTS = 468
EYE_OUTER_RIGHT, EYE_OUTER_LEFT = 33, 263  # the person's right eye is at image left
CHIN, NOSE_TIP, FOREHEAD = 152, 1, 10
EAR_RIGHT, EAR_LEFT = 234, 454

# Contours run from image left to image right; upper and lower entries face each other.
INNER_LIP_UPPER = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308]
INNER_LIP_LOWER = [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308]
OUTER_LIP_UPPER = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291]
OUTER_LIP_LOWER = [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291]
UPPER_LID = {"Right": [33, 246, 161, 160, 159, 158, 157, 173, 133], "Left": [362, 398, 384, 385, 386, 387, 388, 466, 263]}
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

_DETECTION_SIDE = 1280  # larger images are searched at this size: the detector gains nothing above it


def triangles() -> np.ndarray:
    """Triangles (852, 3) of the face without its holes (mouth and eyes), from MediaPipe's list of edges."""
    mesh_edges = face_mesh_edges()
    neighbours: dict[int, set[int]] = {}
    for a, b in mesh_edges:
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    found = {
        tuple(sorted((a, b, c))) for a, b in mesh_edges for c in neighbours[a] & neighbours[b]
    }
    # Beside each nostril three edges enclose smaller triangles: that ring is no triangle of the surface.
    found -= {(49, 64, 129), (279, 294, 358)}
    return np.array(sorted(found), dtype=np.int32)


def edges(tris: np.ndarray) -> np.ndarray:
    """Unique edges (E, 2) of triangles (T, 3)."""
    pairs = np.concatenate([tris[:, list(p)] for p in itertools.combinations(range(3), 2)])
    return np.unique(np.sort(pairs, axis=1), axis=0)


def with_band(tris: np.ndarray, points: np.ndarray, line: list[int], width: float):
    """Splits the triangles on the line's side so that a narrow band along it has vertices of its own.

    tris: (T, 3). points: (V, 3). line: vertices. width: of the band, in the points' unit.
    Returns (triangles, points with those of the band appended, for each appended one the line's vertex it belongs to).
    """
    on_line, added, owners, index = set(line), [], [], {}

    def between(a: int, b: int) -> int:
        if (a, b) not in index:
            way = points[b] - points[a]
            index[a, b] = len(points) + len(added)
            added.append(points[a] + way * min(width / max(np.linalg.norm(way[:2]), 1e-9), 0.45))
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
    options = {"static_image_mode": True, "max_num_faces": 5, "refine_landmarks": True, "min_detection_confidence": 0.4}
    faces: list[np.ndarray] = []
    with quiet_native_start(), solution("face_mesh").FaceMesh(**options) as mesh:
        # A face that fills the frame, or one far away, is missed at first: look again with a margin, then closer at
        # each box of the far-range detector, which also finds the others of a group.
        margin = int(0.4 * max(height, width) * shrink)
        for window in ((0, 0, *small.shape[1::-1]), (-margin, -margin, small.shape[1] + margin, small.shape[0] + margin)):
            faces = faces or _look(mesh, small, window)
        for window in _boxes(small):
            middle = np.array([window[0] + window[2], window[1] + window[3]]) / 2
            if not any((f[:, :2].min(axis=0) < middle).all() and (f[:, :2].max(axis=0) > middle).all() for f in faces):
                faces += _look(mesh, small, window)[:1]
    if not faces:
        raise InputError("no face found in the picture: use one where a face looks at the camera, well lit and not covered")
    return [f / shrink for f in sorted(faces, key=lambda f: -np.prod(np.ptp(f[:, :2], axis=0)))]


def _look(mesh, image: np.ndarray, window: tuple[int, int, int, int]) -> list[np.ndarray]:
    """The faces that the mesh finds in a window of the image, the largest first; pixels of the image."""
    x0, y0, x1, y1 = window
    found = mesh.process(np.ascontiguousarray(_cut(image, window))).multi_face_landmarks or []
    scale = np.array([x1 - x0, y1 - y0, x1 - x0], dtype=np.float64)
    faces = [np.array([(p.x, p.y, p.z) for p in face.landmark]) * scale + (x0, y0, 0) for face in found]
    return sorted(faces, key=lambda f: -np.prod(np.ptp(f[:, :2], axis=0)))


def _boxes(image: np.ndarray):
    """Windows (x0, y0, x1, y1) around the faces that the far-range detector finds, the largest first."""
    height, width = image.shape[:2]
    with solution("face_detection").FaceDetection(model_selection=1, min_detection_confidence=0.4) as detector:
        found = detector.process(image).detections or []
    boxes = [d.location_data.relative_bounding_box for d in found]
    for box in sorted(boxes, key=lambda b: -b.width * b.height):
        cx, cy = (box.xmin + box.width / 2) * width, (box.ymin + box.height / 2) * height
        half = 1.2 * max(box.width * width, box.height * height)
        yield int(cx - half), int(cy - half), int(cx + half), int(cy + half)


def _cut(image: np.ndarray, window: tuple[int, int, int, int]) -> np.ndarray:
    """The window (x0, y0, x1, y1) of an image; what lies outside repeats the border."""
    x0, y0, x1, y1 = window
    height, width = image.shape[:2]
    left, top, right, bottom = max(0, -x0), max(0, -y0), max(0, x1 - width), max(0, y1 - height)
    inside = image[max(0, y0) : min(height, y1), max(0, x0) : min(width, x1)]
    return cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_REPLICATE) if top + left + right + bottom else inside
