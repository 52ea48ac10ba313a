"""A photo of a face, animated by rig latents on the CPU.

The photo's own pose and expression are the rig's neutral: a latent of zeros gives the photo back. From the face
mesh of the photo a mesh of the whole head is built; coefficients displace its vertices (face_shapes.py), the head
turns about the top of the neck in weak perspective, and the neck and shoulders follow less the lower they lie. The
person is cut out softly and drawn over a background completed behind the head, so nothing else ever moves.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import face_mesh, rig
from avatar_forcing_ros.motion.face_mesh import EYE_OUTER_LEFT, EYE_OUTER_RIGHT, FACE_OVAL, INNER_LIP_LOWER, INNER_LIP_UPPER, IRIS, LOWER_LID, UPPER_LID
from avatar_forcing_ros.motion.face_openings import Eye, Mouth, curve_matrix
from avatar_forcing_ros.motion.face_shapes import Shapes
from avatar_forcing_ros.motion.landmarks import HEAD_CENTRE, rotation_of
from avatar_forcing_ros.motion.matte import completed, person_mask
from avatar_forcing_ros.motion.photo import crop_face, read_picture, sampled

_NECK = 0.8  # D; from the chin down to where nothing follows the head
_GRID_STEP = 0.34  # D; spacing of the vertices around the face
_CLOSED_MOUTH = 0.04  # D; inner lips nearer than this are one line: the mesh is never exact
_MAP_STEP = 2  # the warp is computed at every second pixel, then interpolated
_SLIVER = 0.5  # pixels; triangles flatter than this are left to their neighbours: their maps reach too far
_DEPTH = 1.3  # the mesh's depth is flatter than a head: ears lie 0.8 D behind the eyes' corners, the nose 0.5 D before
_DEEP, _FLATTEN = 0.15, 0.8  # D behind the eyes; beyond it depth counts less, so that a turned cheek does not fold
_LASHES = 0.035  # D; height of the band above the upper lid that holds the lashes
_LID_EDGE = 0.04  # D; lids that moved this far have left behind the shadow they cast on the photo's eyes
_MIN_SIDE = 64


class PortraitAvatar:
    """Animates one photo. Stateless: the same latent gives the same picture.

    image: (H, W, 3) uint8 RGB. size: side of the square pictures in pixels.
    Raises InputError when no face is found. Attribute `photo` is the square crop that latent zero reproduces.
    """

    space = rig.SPACE

    def __init__(self, image: np.ndarray, size: int = 512):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise InputError(f"portrait: expected an image (H, W, 3) of uint8, got {image.shape} of {image.dtype}")
        if min(image.shape[:2]) < _MIN_SIDE or size < _MIN_SIDE:
            have = f"{image.shape[1]}x{image.shape[0]} at size {size}"
            raise InputError(f"portrait: image {have}: both need {_MIN_SIDE} pixels or more")
        self.size = size
        # The skin is kept finer than the picture where the source allows: moved by parts of a pixel it stays sharp.
        self._skin, points = crop_face(image, face_mesh.find_face(image), size)
        self._fineness = self._skin.shape[0] / size
        self.photo = sampled(self._skin, size)
        self._measure(points)
        self._build_mesh(points)
        self._cut_out(points)
        self._prepare_openings(points)

    @classmethod
    def from_file(cls, path: str | Path, size: int = 512) -> PortraitAvatar:
        """Reads a picture of any usual format: colour, grey, 16 bits, transparent. Raises InputError when it cannot."""
        picture = read_picture(path)
        try:
            return cls(picture, size)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    # ---- once per photo -------------------------------------------------------------------------------------------

    def _measure(self, points: np.ndarray) -> None:
        """The face's unit, axes and centre of turning, in pixels of the crop."""
        right, left = points[EYE_OUTER_RIGHT], points[EYE_OUTER_LEFT]
        self._unit = float(np.linalg.norm(left - right))
        across = (left - right)[:2] / np.linalg.norm((left - right)[:2])
        self._axes = np.eye(3)  # rows: face right, face down, away, in image coordinates
        self._axes[0, :2], self._axes[1, :2] = across, (-across[1], across[0])
        self._between_eyes = (left + right) / 2
        x, y, z = HEAD_CENTRE * (1, -1, -1) * self._unit
        self._pivot = self._between_eyes + np.array([x, y, z]) @ self._axes

    def _to_face(self, points: np.ndarray) -> np.ndarray:
        return (points - self._between_eyes) @ self._axes.T / self._unit

    def _on_skin(self, points: np.ndarray) -> np.ndarray:
        """Where points (..., 2) of the picture lie on the finer skin."""
        return (points + 0.5) * self._fineness - 0.5

    def _build_mesh(self, points: np.ndarray) -> None:
        face = points[: face_mesh.MESH_POINTS].copy()
        upper, lower = INNER_LIP_UPPER[1:-1], INNER_LIP_LOWER[1:-1]
        gap = float(((face[lower] - face[upper]) @ self._axes[1]).max()) / self._unit
        self._mouth_open_at_rest = gap > _CLOSED_MOUTH
        if not self._mouth_open_at_rest:
            seam = _seam(self.photo, face[upper], face[lower], self._axes, self._unit)
            face[upper] = face[lower] = seam
        face[:, 2] = self._between_eyes[2] + (face[:, 2] - self._between_eyes[2]) * _DEPTH
        deep = face[:, 2] - self._between_eyes[2] - _DEEP * self._unit
        face[:, 2] -= np.maximum(deep, 0.0) * (1 - _FLATTEN)
        upper_lids = UPPER_LID["Right"][1:-1] + UPPER_LID["Left"][1:-1]
        surface, face, owners = face_mesh.with_band(face_mesh.triangles(), face, upper_lids, _LASHES * self._unit)
        lashes = dict(zip(range(face_mesh.MESH_POINTS, len(face)), owners))
        holes = [_strip(INNER_LIP_UPPER, INNER_LIP_LOWER)] + [_strip(UPPER_LID[s], LOWER_LID[s]) for s in ("Right", "Left")]
        around = _grid_around(face[FACE_OVAL, :2], self.size, _GRID_STEP * self._unit)
        depth = self._depth_around(face, around)
        self._rest = np.concatenate([face, np.column_stack([around, depth])])
        outer = _triangles_around(self._rest[:, :2], len(face))
        self._triangles = np.concatenate([surface, *holes, outer])
        self._follow = np.ones(len(self._rest))
        chin = self._to_face(face[face_mesh.CHIN])[1]
        below = (self._to_face(self._rest[len(face) :])[:, 1] - chin) / _NECK
        self._follow[len(face) :] = 1 - _smoothstep(below)
        shapes = Shapes(self._to_face(self._rest), face_mesh.edges(np.concatenate([surface, outer])), lashes)
        basis = shapes.basis.reshape(-1, 3) @ (self._axes * self._unit)  # to pixels along image axes
        self._basis = basis.astype(np.float32).reshape(rig.DIM, -1)
        self._pad = self._skin.shape[0] // 4
        self._source = self._on_skin(self._rest[self._triangles, :2]) + self._pad

    def _depth_around(self, face: np.ndarray, around: np.ndarray) -> np.ndarray:
        """Depth of vertices beyond the face: from its border back to the plane through the centre of the head."""
        oval = face[FACE_OVAL]
        distance = np.linalg.norm(around[:, None] - oval[None, :, :2], axis=2)
        share = 1 / distance**3
        border = (share * oval[:, 2]).sum(axis=1) / share.sum(axis=1)
        back = self._pivot[2]
        return border + (back - border) * _smoothstep(distance.min(axis=1) / (0.7 * self._unit))

    def _cut_out(self, points: np.ndarray) -> None:
        photo = self.photo.astype(np.float32)
        mask = person_mask(self.photo, points[FACE_OVAL, :2])
        self._background = np.clip(completed(photo, (mask > 0).astype(np.float32)) + 0.5, 0, 255).astype(np.uint8)
        # The person's own colour in mixed pixels, so that person over background gives the photo back.
        fine = self._skin.shape[1::-1]
        mask = cv2.resize(mask, fine, interpolation=cv2.INTER_LINEAR)
        behind = cv2.resize(self._background, fine, interpolation=cv2.INTER_LINEAR).astype(np.float32)
        cover = np.maximum(mask, 0.08)[..., None]
        person = np.clip((self._skin - (1 - cover) * behind) / cover, 0, 255)
        rim = max(1, round(0.008 * self._unit * self._fineness))
        for side in ("Right", "Left"):  # closed lids must not show the eye that the photo has between them
            opening = np.zeros(mask.shape, np.uint8)
            lids = self._on_skin(points[UPPER_LID[side] + LOWER_LID[side][::-1], :2])
            cv2.fillPoly(opening, [lids.astype(np.int32)], 1)
            opening[rim:] |= opening[:-rim].copy()
            person = completed(person.astype(np.float32), opening.astype(np.float32))
        layer = np.dstack([person, mask * 255.0]) + 0.5
        self._person = cv2.copyMakeBorder(layer.astype(np.uint8), *(self._pad,) * 4, cv2.BORDER_REPLICATE)

    def _prepare_openings(self, points: np.ndarray) -> None:
        self._lip_curve, self._lid_curve = curve_matrix(len(INNER_LIP_UPPER)), curve_matrix(len(UPPER_LID["Right"]))
        rest = self._rest[:, :2]
        self._eyes = {}
        for side in ("Right", "Left"):
            upper, lower = self._lid_curve @ rest[UPPER_LID[side]], self._lid_curve @ rest[LOWER_LID[side]]
            self._eyes[side] = Eye(self.photo, upper, lower, points[IRIS[side], :2])
        lips = self._rest[INNER_LIP_UPPER + INNER_LIP_LOWER]
        middle = (lips[0] + lips[10]) / 2
        upper, lower = (middle + self._axes[1] * ((self._rest[p] - middle) @ self._axes[1]) for p in (13, 14))
        # Teeth lie behind the lips; their edge shows a little below the line where closed lips meet, and where the
        # photo's lips are open, as far below the upper one as teeth are high.
        gap = float((lower - upper) @ self._axes[1]) / self._unit
        self._skull_teeth = upper + self._axes[1] * max(0.022, min(0.8 * gap, 0.09)) * self._unit + (0, 0, 0.06 * self._unit)
        self._jaw_teeth = lower + self._axes[1] * 0.018 * self._unit + (0, 0, 0.08 * self._unit)
        cheeks = np.concatenate([_patch(self.photo, points[p, :2], 0.08 * self._unit) for p in (50, 280, 4, 151)])
        skin = np.percentile(cheeks, 85, axis=0) / 255.0
        bright = float(np.clip(skin.max() * 1.2, 0.08, 1.0))
        cast = skin / skin.max() / np.array([1.0, 0.80, 0.70])  # against the colour of usual skin
        self._mouth = Mouth(self._unit, bright * np.clip(1 + 0.4 * (cast / cast.mean() - 1), 0.7, 1.2))

    # ---- per frame ------------------------------------------------------------------------------------------------

    def render(self, motion: np.ndarray) -> np.ndarray:
        """The picture (size, size, 3) uint8 RGB of one rig latent (32,); values beyond the rig's ranges are limited."""
        motion = np.asarray(motion, dtype=np.float32)
        if motion.shape != (rig.DIM,):
            raise InputError(f"portrait: expected a rig latent ({rig.DIM},), got {motion.shape}")
        motion = rig.clamp(np.nan_to_num(motion))
        vertices = self._rest + (motion @ self._basis).reshape(-1, 3)
        self._keep_apart(vertices)
        pose, shift = self._head(motion)
        posed = (vertices - self._pivot) @ pose.T + self._pivot + shift
        posed = vertices + (posed - vertices) * self._follow[:, None]
        frame = self._draw_person(posed)
        self._draw_openings(frame, motion, vertices, posed, pose, shift)
        return frame

    def _keep_apart(self, vertices: np.ndarray) -> None:
        """Summed coefficients must not push an upper lid below the lower one, or the lips through one another."""
        down = self._axes[1]
        for upper, lower, upper_share in (
            (UPPER_LID["Right"], LOWER_LID["Right"], 1.0), (UPPER_LID["Left"], LOWER_LID["Left"], 1.0),
            (INNER_LIP_UPPER, INNER_LIP_LOWER, 0.5),
        ):  # fmt: skip
            crossed = np.minimum((vertices[lower] - vertices[upper]) @ down, 0.0)[:, None] * down
            vertices[upper] += crossed * upper_share
            vertices[lower] -= crossed * (1 - upper_share)

    def _head(self, motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(3, 3) turning and scale about the pivot in image coordinates, and the shift (3,) in pixels."""
        turn = np.array([1.0, -1.0, -1.0])  # between y up, z near (landmarks.py) and the image's y down, z away
        rotation = rotation_of(motion[:3].astype(np.float64)) * turn[:, None] * turn
        shift = np.array([motion[3], -motion[4], 0.0]) * self._unit
        return rotation * np.exp(float(motion[5])), shift

    def _draw_person(self, posed: np.ndarray) -> np.ndarray:
        side = -(-self.size // _MAP_STEP)
        cells = np.zeros((side, side), np.int32)  # 0: nothing, else 1 + triangle
        at = posed[self._triangles]  # (T, 3, 3)
        maps, height = _affine_maps(at[:, :, :2], self._source)
        flat = at[:, :, :2]
        seen = (flat.min(axis=1) < self.size).all(axis=1) & (flat.max(axis=1) > 0).all(axis=1) & (height > _SLIVER)
        order = np.argsort(-at[:, :, 2].sum(axis=1), kind="stable")
        coarse = np.round(((flat + 0.5) / _MAP_STEP - 0.5) * 16).astype(np.int32)
        fill = cv2.fillConvexPoly
        for i in order[seen[order]].tolist():
            fill(cells, coarse[i], i + 1, cv2.LINE_8, 4)
        x = (np.arange(side, dtype=np.float32) + 0.5) * _MAP_STEP - 0.5
        chosen = np.take(maps, cells.ravel(), axis=0).reshape(side, side, 6)
        source = np.empty((side, side, 2), np.float32)
        source[..., 0] = chosen[..., 0] * x + chosen[..., 1] * x[:, None] + chosen[..., 2]
        source[..., 1] = chosen[..., 3] * x + chosen[..., 4] * x[:, None] + chosen[..., 5]
        folds = _folds(source)
        full = (side * _MAP_STEP,) * 2
        source = cv2.resize(source, full, interpolation=cv2.INTER_LINEAR)[: self.size, : self.size]
        drawn = cv2.remap(self._person, source, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
        cover = cv2.extractChannel(drawn, 3).astype(np.float32) * np.float32(1 / 255)
        frame = cv2.blendLinear(cv2.cvtColor(drawn, cv2.COLOR_RGBA2RGB), self._background, cover, 1 - cover)
        if folds.any():  # where one part hides another the coarse map is jagged: smooth across the edge
            rows, columns = np.flatnonzero(folds.any(axis=1)), np.flatnonzero(folds.any(axis=0))
            top, left = rows[0] * _MAP_STEP, columns[0] * _MAP_STEP
            folds = folds[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            view = frame[top : top + folds.shape[0] * _MAP_STEP, left : left + folds.shape[1] * _MAP_STEP]
            folds = cv2.resize(folds, view.shape[1::-1], interpolation=cv2.INTER_LINEAR)
            view[:] = cv2.blendLinear(cv2.GaussianBlur(view, (5, 5), 1.3), view, folds, 1 - folds)
        return frame

    def _draw_openings(self, frame, motion, vertices, posed, pose, shift) -> None:
        linear = pose[:2, :2]
        for side in ("Right", "Left"):
            eye = self._eyes[side]
            corners = [UPPER_LID[side][0], UPPER_LID[side][-1]]
            moved = posed[corners].mean(axis=0)[:2] - linear @ self._rest[corners].mean(axis=0)[:2]
            look = np.array([0.25 * motion[rig.INDEX["gazeX"]], -0.125 * motion[rig.INDEX["gazeY"]]]) * eye.width
            upper, lower = self._lid_curve @ posed[UPPER_LID[side], :2], self._lid_curve @ posed[LOWER_LID[side], :2]
            lids = [UPPER_LID[side][4], LOWER_LID[side][4]]
            lids_moved = np.linalg.norm(vertices[lids] - self._rest[lids], axis=1).max() / (_LID_EDGE * self._unit)
            eye.draw(frame, upper, lower, linear, moved, look @ self._axes[:2, :2], float(_smoothstep(lids_moved)))
        opened = float(((vertices[14] - vertices[13]) - (self._rest[14] - self._rest[13])) @ self._axes[1]) / self._unit
        openness = 1.0 if not self._mouth_open_at_rest else float(_smoothstep(opened / 0.12))

        def place(point):
            return ((point - self._pivot) @ pose.T + self._pivot + shift)[:2]

        jaw = self._axes[1] * 0.40 * motion[rig.INDEX["jawOpen"]] + self._axes[0] * 0.08 * motion[rig.INDEX["jawX"]]
        upper, lower = self._lip_curve @ posed[INNER_LIP_UPPER, :2], self._lip_curve @ posed[INNER_LIP_LOWER, :2]
        turned = linear @ self._axes[:2, :2].T
        self._mouth.draw(
            frame, upper, lower, turned, place(self._skull_teeth), place(self._jaw_teeth + jaw * self._unit), openness
        )


def _seam(photo: np.ndarray, upper: np.ndarray, lower: np.ndarray, axes: np.ndarray, unit: float) -> np.ndarray:
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


def _affine_maps(goal: np.ndarray, source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps from the frame back to the photo, one per triangle, and the triangles' heights on the frame.

    goal, source: (T, 3, 2). Returns (T + 1, 6) float32, rows (a, b, c, d, e, f) with x' = a x + b y + c and
    y' = d x + e y + f, row 0 leading outside the photo; and the distance (T,) of the longest side from its corner.
    """
    u, v = goal[:, 1] - goal[:, 0], goal[:, 2] - goal[:, 0]
    p, q = source[:, 1] - source[:, 0], source[:, 2] - source[:, 0]
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    longest = np.sqrt(np.maximum((u**2).sum(axis=1), np.maximum((v**2).sum(axis=1), ((v - u) ** 2).sum(axis=1))))
    over = 1.0 / np.where(np.abs(area) < 1e-6, 1.0, area)
    maps = np.empty((len(goal) + 1, 6), np.float32)
    maps[0] = (0, 0, -1e4, 0, 0, -1e4)
    for k in (0, 1):
        a = (p[:, k] * v[:, 1] - q[:, k] * u[:, 1]) * over
        b = (q[:, k] * u[:, 0] - p[:, k] * v[:, 0]) * over
        maps[1:, 3 * k], maps[1:, 3 * k + 1] = a, b
        maps[1:, 3 * k + 2] = source[:, 0, k] - a * goal[:, 0, 0] - b * goal[:, 0, 1]
    return maps, np.abs(area) / np.maximum(longest, 1e-6)


def _folds(source: np.ndarray) -> np.ndarray:
    """Where neighbours of a coarse map (H, W, 2) come from far apart: (H, W) float32, 1 on such edges of the person."""
    jump = np.zeros(source.shape[:2], np.uint8)
    x, y = source[..., 0], source[..., 1]
    far = 4.0 * _MAP_STEP
    known = x > -1e3
    across = (np.abs(x[:, 1:] - x[:, :-1]) + np.abs(y[:, 1:] - y[:, :-1]) > far) & known[:, 1:] & known[:, :-1]
    along = (np.abs(x[1:] - x[:-1]) + np.abs(y[1:] - y[:-1]) > far) & known[1:] & known[:-1]
    jump[:, 1:] |= across
    jump[:, :-1] |= across
    jump[1:] |= along
    jump[:-1] |= along
    return jump.astype(np.float32)


def _patch(image: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    (x, y), r = centre.astype(int), max(1, int(radius))
    x, y = np.clip(x, 0, image.shape[1] - 1), np.clip(y, 0, image.shape[0] - 1)
    return image[max(0, y - r) : y + r + 1, max(0, x - r) : x + r + 1].reshape(-1, 3)


def _smoothstep(x):
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)


def _strip(upper: list[int], lower: list[int]) -> np.ndarray:
    """Triangles between two contours that share their ends: they cover a hole of the mesh."""
    found = []
    for (a, b), (c, d) in zip(zip(upper, upper[1:]), zip(lower, lower[1:])):
        found += [t for t in ((a, b, d), (a, d, c)) if len(set(t)) == 3]
    return np.array(found, dtype=np.int32)


def _grid_around(oval: np.ndarray, size: int, step: float) -> np.ndarray:
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


def _triangles_around(points: np.ndarray, face_count: int) -> np.ndarray:
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
