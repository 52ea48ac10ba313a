"""Parts of the mesh of an animated photo: where closed lips meet, what fills holes, what lies around the face."""

from __future__ import annotations

import cv2
import numpy as np

from avatar_forcing_ros.motion.face_mesh import EYE_OUTER_LEFT, EYE_OUTER_RIGHT, FACE_OVAL, IRIS, LOWER_LID, UPPER_LID

# Landmarks beside those of the lids, away from the eye.
_BELOW_LID = {"Right": [25, 110, 24, 23, 22, 26, 112], "Left": [341, 256, 252, 253, 254, 339, 255]}
_ABOVE_LID = {"Right": [247, 30, 29, 27, 28, 56, 190], "Left": [414, 286, 258, 257, 259, 260, 467]}
_LARGE_EYE = 0.02  # D; eyeball shown below the mesh's lower lids, on both eyes, that no error of the mesh explains


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


def with_large_eyes(photo: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The points (478, 3) with the lids of a character's large eyes where the picture has them.

    The mesh knows people's eyes: on larger ones its lids lie on the eyeball, and closing would leave a part of it
    uncovered. Eyeball is what has more of some colour than the skin below the eye.
    """
    across = points[EYE_OUTER_LEFT, :2] - points[EYE_OUTER_RIGHT, :2]
    down = np.array([-across[1], across[0]])  # D long
    soft = cv2.GaussianBlur(photo, (0, 0), max(0.5, 0.006 * float(np.hypot(*across)))).astype(np.float32)
    steps = np.linspace(0.0, 0.08, 17)

    def look(at: np.ndarray) -> np.ndarray:
        return cv2.remap(soft, at.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def eyeball_beyond(lid: list[int], lower: list[int], way: np.ndarray) -> np.ndarray:
        """How far (7,), in D, the eyeball goes on beyond the lid's landmarks without a gap."""
        skin = look(points[lower, None, :2] + 0.12 * down)
        more = (look(points[lid, None, :2] + steps[None, :, None] * way) - skin).max(axis=2)
        most = more.max(axis=1, keepdims=True)
        ball = (more > 0.5 * most) & (most > 40.0)
        return np.where(ball.all(axis=1), 0.0, steps[np.argmin(ball, axis=1)])

    lids = {side: (UPPER_LID[side][1:-1], LOWER_LID[side][1:-1]) for side in LOWER_LID}
    below = {side: eyeball_beyond(lower, lower, down) for side, (_, lower) in lids.items()}
    if min(np.median(way) for way in below.values()) < _LARGE_EYE:
        return points
    arch = np.sin(np.linspace(0.0, np.pi, 9))[1:-1] ** 0.6
    moved = points.copy()
    for side, (upper, lower) in lids.items():
        above = np.pad(eyeball_beyond(upper, lower, -down), 1)
        above = np.pad(np.maximum(above[1:-1], np.maximum(above[:-2], above[2:])), 1)  # a glint or lashes hide some of it
        rise = np.convolve(above, (0.25, 0.5, 0.25), mode="valid")
        for line, beside, way in ((lower, _BELOW_LID[side], below[side].max() * arch), (upper, _ABOVE_LID[side], -rise)):
            moved[line, :2] += way[:, None] * down
            moved[beside, :2] += 0.5 * way[:, None] * down
        iris = moved[IRIS[side], :2]  # the mesh loses it as well: it goes to where its darkness is centred
        ys, xs = np.mgrid[: photo.shape[0], : photo.shape[1]]
        radius, dark, at = np.linalg.norm(iris[1:] - iris[0], axis=1).mean(), 255.0 - soft.mean(axis=2), iris[0]
        for _ in range(8):
            near = np.hypot(xs - at[0], ys - at[1]) < 0.8 * radius
            weight = np.maximum(dark[near] - np.percentile(dark[near], 60), 0.0)
            at = np.array([xs[near] @ weight, ys[near] @ weight]) / max(weight.sum(), 1e-6) if weight.any() else at
        moved[IRIS[side], :2] += at - iris[0]
    return moved


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
