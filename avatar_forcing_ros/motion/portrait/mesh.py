"""Parts of the mesh of an animated photo: what fills holes, what lies around the face. portrait/lips.py: the lips."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from avatar_forcing_ros.motion.tracking.mesh import (
    CHIN,
    EYE_OUTER_LEFT,
    EYE_OUTER_RIGHT,
    FACE_OVAL,
    IRIS,
    LOWER_LID,
    MOUTH_CORNER,
    UPPER_LID,
    with_band,
)

# Landmarks beside those of the lids, away from the eye.
_BELOW_LID = {"Right": [25, 110, 24, 23, 22, 26, 112], "Left": [341, 256, 252, 253, 254, 339, 255]}
ABOVE_LID = {"Right": [247, 30, 29, 27, 28, 56, 190], "Left": [414, 286, 258, 257, 259, 260, 467]}
_EYE_INNER = (133, 362)
# In D, from an adult's to a child's or back, and how much of a child that is.
_LOWER_FACE, _IRIS, _MOUTH = ((1.02, 1.18), (1.0, 0.0)), ((0.125, 0.158), (0.2, 1.0)), ((0.45, 0.60), (1.0, 0.0))
_BRIDGE, _RIM, _RIM_STEP = (
    0.09,
    0.07,
    0.006,
)  # of the brightness around, by which glasses' lines stand out; D between looks
_LARGE_EYE = 0.02  # D; eyeball shown below the mesh's lower lids, on both eyes, that no error of the mesh explains


def look(picture: np.ndarray, at: np.ndarray) -> np.ndarray:
    """What a float32 picture shows at the places (..., 2), in pixels."""
    where = at.astype(np.float32)
    return cv2.remap(picture, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]  # no second map


def with_large_eyes(photo: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The points (478, 3) with the lids of a character's large eyes where the picture has them.

    The mesh knows people's eyes: on larger ones its lids lie on the eyeball, and closing would leave a part of it
    uncovered. Eyeball is what has more of some colour than the skin below the eye.
    """
    across = points[EYE_OUTER_LEFT, :2] - points[EYE_OUTER_RIGHT, :2]
    down = np.array([-across[1], across[0]])  # D long
    soft = cv2.GaussianBlur(photo, (0, 0), max(0.5, 0.006 * float(np.hypot(*across)))).astype(np.float32)
    steps = np.linspace(0.0, 0.08, 17)

    def eyeball_beyond(lid: list[int], lower: list[int], way: np.ndarray) -> np.ndarray:
        """How far (7,), in D, the eyeball goes on beyond the lid's landmarks without a gap."""
        skin = look(soft, points[lower, None, :2] + 0.12 * down)
        more = (look(soft, points[lid, None, :2] + steps[None, :, None] * way) - skin).max(axis=2)
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
        above = np.pad(
            np.maximum(above[1:-1], np.maximum(above[:-2], above[2:])), 1
        )  # a glint or lashes hide some of it
        rise = np.convolve(above, (0.25, 0.5, 0.25), mode="valid")
        for line, beside, way in (
            (lower, _BELOW_LID[side], below[side].max() * arch),
            (upper, ABOVE_LID[side], -rise),
        ):
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


def wears_glasses(photo: np.ndarray, points: np.ndarray) -> bool:
    """Whether lines as of a frame cross the bridge of the nose and run below both eyes of a picture (H, W, 3) uint8.

    Brows that meet, a fringe or a hand may look like it: what follows from the answer must do no harm to a bare face.
    """
    right, left = points[EYE_OUTER_RIGHT, :2], points[EYE_OUTER_LEFT, :2]
    across = left - right  # D long
    down = np.array([-across[1], across[0]])
    unit = float(np.hypot(*across))
    grey = cv2.cvtColor(cv2.GaussianBlur(photo, (0, 0), max(0.5, 0.006 * unit)), cv2.COLOR_RGB2GRAY).astype(np.float32)

    def line(start: np.ndarray, end: np.ndarray, low: float, high: float) -> float:
        """How much the clearest line from start to end stands out that lies between low and high, in D, below them."""
        steps = np.arange(low, high, _RIM_STEP)
        seen = look(grey, np.linspace(start, end, 15)[None] + steps[:, None, None] * down)
        around = cv2.GaussianBlur(seen, (0, 0), sigmaX=1e-3, sigmaY=0.035 / _RIM_STEP)
        stands_out = np.abs(seen - around) / max(float(around.mean()), 1.0)
        best = stands_out[:, 0]
        for column in stands_out.T[1:]:  # two steps up or down at most from one column to the next
            beside = np.pad(best, 2, constant_values=-1.0)
            best = column + np.max([beside[k : k + len(best)] for k in range(5)], axis=0)
        return float(best.max()) / stands_out.shape[1]

    middle = (points[_EYE_INNER[0], :2] + points[_EYE_INNER[1], :2]) / 2
    bridge = line(middle - 0.06 * across, middle + 0.06 * across, -0.14, 0.20)
    below = [line(points[LOWER_LID[s][1], :2], points[LOWER_LID[s][-2], :2], 0.10, 0.45) for s in LOWER_LID]
    return bridge > _BRIDGE and min(below) > _RIM


def with_still_skin(
    tris: np.ndarray, face: np.ndarray, lashes: dict[int, int], width: float
) -> tuple[np.ndarray, np.ndarray]:
    """(triangles, points) with a second band above the lashes: there the skin stops that goes with the lid.

    lashes: vertex of the band -> landmark of the lid; those that come between the two are added. width: in the points' unit.
    """
    lid_of, count = dict(lashes), len(face)
    tris, face, owners = with_band(tris, face, list(lid_of), width)
    for vertex, lash in enumerate(owners, start=count):
        if (face[vertex] - face[lash])[:2] @ (face[lash] - face[lid_of[lash]])[:2] < 0.0:
            lashes[vertex] = lid_of[lash]
    return tris, face


def child_of(points: np.ndarray) -> float:
    """How much a face (478, 3) is built as a child's of five, 0 to 1: a short lower face, large irises, a narrow mouth."""
    unit = float(np.linalg.norm(points[EYE_OUTER_LEFT] - points[EYE_OUTER_RIGHT]))
    eyes = points[[EYE_OUTER_RIGHT, EYE_OUTER_LEFT, *_EYE_INNER]].mean(axis=0)
    lower_face = float(np.linalg.norm(points[CHIN] - eyes)) / unit
    iris = float(np.mean([np.linalg.norm(points[i[1:], :2] - points[i[0], :2], axis=1).mean() for i in IRIS.values()]))
    mouth = float(np.linalg.norm(points[MOUTH_CORNER["Left"]] - points[MOUTH_CORNER["Right"]])) / unit
    signs = (
        np.interp(lower_face, *_LOWER_FACE), np.interp(2 * iris / unit, *_IRIS), np.interp(mouth, *_MOUTH),
    )  # fmt: skip
    return float(np.clip((np.cbrt(np.prod(signs)) - 0.55) / 0.3, 0.0, 1.0))


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


def grid_around(oval: np.ndarray, size: tuple[int, int], step: float) -> np.ndarray:
    """Vertices (N, 2) around the face, to beyond the picture's borders: a ring close by, then a staggered grid."""
    contour = oval.astype(np.float32)
    centre = oval.mean(axis=0)
    ring = centre + (oval - centre) * 1.13
    beyond = 0.45 * min(size)
    columns, rows = (np.arange(-beyond, length + beyond, step) for length in size)
    grid = np.array([(x + (0.5 * step if j % 2 else 0.0), y) for j, y in enumerate(rows) for x in columns])
    ring_contour = ring.astype(np.float32)
    apart = np.array([cv2.pointPolygonTest(ring_contour, (float(x), float(y)), True) for x, y in grid])
    grid = grid[apart < -0.45 * step]
    return np.concatenate(
        [[p for p in ring if cv2.pointPolygonTest(contour, (float(p[0]), float(p[1])), False) < 0], grid]
    )


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
        if (
            min(triple) >= 0
            and len(set(triple)) == 3
            and cv2.pointPolygonTest(oval, tuple(map(float, middle)), False) < 0
        ):
            found.append(triple)
    return np.array(found, dtype=np.int32)


def reach(start: np.ndarray, way: np.ndarray, outline: np.ndarray) -> float:
    """How many times a way (2,) can be gone from a start (2,) inside a closed outline (N, 2) before it leaves it; 0 outside."""
    if cv2.pointPolygonTest(outline.astype(np.float32), tuple(map(float, start)), False) < 0:
        return 0.0
    edges = np.roll(outline, -1, axis=0) - outline
    across = way[0] * edges[:, 1] - way[1] * edges[:, 0]
    across = np.where(np.abs(across) < 1e-9, np.inf, across)
    from_start = outline - start
    times = (from_start[:, 0] * edges[:, 1] - from_start[:, 1] * edges[:, 0]) / across
    along = (from_start[:, 0] * way[1] - from_start[:, 1] * way[0]) / across
    hit = (times > 0) & (along >= 0) & (along <= 1)
    return float(times[hit].min()) if hit.any() else np.inf


def patch(image: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    (x, y), r = centre.astype(int), max(1, int(radius))
    x, y = np.clip(x, 0, image.shape[1] - 1), np.clip(y, 0, image.shape[0] - 1)
    return image[max(0, y - r) : y + r + 1, max(0, x - r) : x + r + 1].reshape(-1, 3)


def smoothstep(x: Any) -> Any:
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)
