"""Parts of the mesh of an animated photo: where closed lips meet, what fills holes, what lies around the face."""

from __future__ import annotations

import cv2
import numpy as np

from avatar_forcing_ros.motion.face_mesh import FACE_OVAL


def seam(photo: np.ndarray, upper: np.ndarray, lower: np.ndarray, axes: np.ndarray, unit: float) -> np.ndarray:
    """Where closed lips meet: near the middle of the inner contours, on the darkest line."""
    middle = (upper + lower) / 2
    grey = cv2.GaussianBlur(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), (0, 0), max(0.5, 0.006 * unit)).astype(np.float32)
    offsets = np.linspace(-0.04, 0.04, 33) * unit
    at = (middle[:, None, :2] + offsets[None, :, None] * axes[1, :2]).astype(np.float32)
    dark = cv2.remap(grey, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    cost = dark + 25.0 * (offsets / (0.04 * unit)) ** 2
    best = offsets[cost.argmin(axis=1)]
    best = np.convolve(np.pad(best, 1, mode="edge"), (0.25, 0.5, 0.25), mode="valid")
    return middle + best[:, None] * axes[1]


def without_cliffs(points: np.ndarray, steepest: float) -> np.ndarray:
    """Depths (V,) of points (V, 3), none farther behind a neighbour than `steepest` times their distance in the picture.

    What a picture shows edge-on, as the far cheek of a face from the side, is a sliver: turned into view it would be
    stretched to what nobody has seen. So it is taken for as deep as what is seen beside it.
    """
    apart = np.linalg.norm(points[:, None, :2] - points[None, :, :2], axis=2)
    return (points[:, 2] + steepest * apart).min(axis=1)


def strip(upper: list[int], lower: list[int]) -> np.ndarray:
    """Triangles between two contours that share their ends: they cover a hole of the mesh."""
    found = []
    for (a, b), (c, d) in zip(zip(upper, upper[1:]), zip(lower, lower[1:])):
        found += [t for t in ((a, b, d), (a, d, c)) if len(set(t)) == 3]
    return np.array(found, dtype=np.int32)


def grid_around(oval: np.ndarray, size: int, step: float) -> np.ndarray:
    """Vertices (N, 2) around the face, to beyond the picture's borders: a ring close by, then a staggered grid."""
    contour = oval.astype(np.float32)
    centre = oval.mean(axis=0)
    ring = centre + (oval - centre) * 1.13
    rows = np.arange(-0.45 * size, 1.45 * size, step)
    grid = np.array([(x + (0.5 * step if j % 2 else 0.0), y) for j, y in enumerate(rows) for x in rows])
    ring_contour = ring.astype(np.float32)
    apart = np.array([cv2.pointPolygonTest(ring_contour, (float(x), float(y)), True) for x, y in grid])
    grid = grid[apart < -0.45 * step]
    return np.concatenate([[p for p in ring if cv2.pointPolygonTest(contour, (float(p[0]), float(p[1])), False) < 0], grid])


def triangles_around(points: np.ndarray, face_count: int) -> np.ndarray:
    """Delaunay triangles (T, 3) between the face's oval and the vertices beyond it, none inside the face."""
    used = np.array(FACE_OVAL + list(range(face_count, len(points))))
    low, high = points[used].min(axis=0) - 10, points[used].max(axis=0) + 10
    plane = cv2.Subdiv2D((0, 0, int(high[0] - low[0]) + 1, int(high[1] - low[1]) + 1))
    index = {}
    for vertex in used.tolist():
        index[plane.insert(tuple(float(v) for v in points[vertex] - low))] = vertex
    oval = points[FACE_OVAL].astype(np.float32)
    found = []
    for x0, y0, x1, y1, x2, y2 in plane.getTriangleList():
        corners = [plane.locate((float(x), float(y))) for x, y in ((x0, y0), (x1, y1), (x2, y2))]
        triple = [index.get(c[2], -1) for c in corners]
        middle = np.array([(x0 + x1 + x2) / 3, (y0 + y1 + y2) / 3]) + low
        if min(triple) >= 0 and len(set(triple)) == 3 and cv2.pointPolygonTest(oval, tuple(map(float, middle)), False) < 0:
            found.append(triple)
    return np.array(found, dtype=np.int32)


def patch(image: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    (x, y), r = centre.astype(int), max(1, int(radius))
    x, y = np.clip(x, 0, image.shape[1] - 1), np.clip(y, 0, image.shape[0] - 1)
    return image[max(0, y - r) : y + r + 1, max(0, x - r) : x + r + 1].reshape(-1, 3)


def smoothstep(x):
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)
