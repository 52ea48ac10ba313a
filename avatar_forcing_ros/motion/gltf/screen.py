"""A drawn screen face as glTF: its polygons at rest, and what each coefficient does to their corners as morph targets.

The face is drawn once for every coefficient, and once for every two of them, by `ScreenFaceAvatar` itself onto a canvas that
keeps polygons instead of pixels. Where two coefficients do together something else than their sum, a target of its own, named
`a*b` and weighted by the product of both, says so; a viewer that does not know them draws nearly the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.gltf.glb import Glb, filled
from avatar_forcing_ros.motion.gltf.portrait import METRES, idle_numbers
from avatar_forcing_ros.motion.screen import avatar as drawing

_ZOOM = 1e5  # pixels per face unit while recording: nothing is too small to be drawn
_TINY = 1e-3  # of a coefficient; parts that a rest does not show are recorded slightly open, those that vanish slightly before
_TURN = 0.02  # radians; how far the head turns to tell the depth of what is drawn
_SEEN = 0.012  # face units; what two coefficients do together is kept where it is more
_STEP = 0.002  # metres from one polygon to the next, so that viewers that know depth alone draw them in order
_RING = 32  # corners of a disc
_PARTED = 0.03  # face units; lips that are so far apart have no line between them
_HEAD_PIXELS = 1024
_GLOW_WIDTH = 0.075  # face units; of the light that bright parts shed (_glow)
_LEAN = 0.16  # face units; as far before its centre as the head's picture moves with a turn (_head_motion)
_POSE = range(6)


@dataclass
class _Shape:
    """points (N, 2) in recorded pixels: a ring, or where `strip`, one border and then the other backwards. role: what the page has to know."""

    part: str
    points: np.ndarray
    colour: tuple[int, int, int]
    strip: bool
    clip: str = ""
    role: str = ""


class _Canvas:
    """Takes the place of `_Patch`."""

    def __init__(self, recorder: _Recorder, clip: str = ""):
        self._recorder, self._clip = recorder, clip

    @property
    def _upright(self) -> str:
        """Irises and the light in them stay upright when the head tilts."""
        return "upright" if self._clip.startswith("eye") else ""

    def flood(self, colour: Any) -> None:
        self._recorder.add(self._recorder.outline, colour, strip=True, clip=self._clip)

    def fill(self, pixels: np.ndarray, colour: Any) -> None:
        ring = len(pixels) == len(drawing._RING)
        self._recorder.add(pixels, colour, strip=not ring, clip=self._clip, role=self._upright if ring else "")

    def disc(self, centre: np.ndarray, radius: float, colour: Any) -> None:
        angle = np.linspace(0, 2 * np.pi, _RING, endpoint=False)
        self._recorder.add(
            centre + radius * np.column_stack([np.cos(angle), np.sin(angle)]), colour, strip=False, clip=self._clip
        )

    def inside(self, outline: np.ndarray, paint: Callable[[Any], None]) -> None:
        part = self._recorder.part
        self._recorder.outline = outline
        self._recorder.add(outline, (0, 0, 0), strip=True, role="clip")
        paint(_Canvas(self._recorder, part))

    def put_back(self) -> None:
        """Nothing lies on a canvas of its own."""


class _Recorder(drawing.ScreenFaceAvatar):
    """Draws polygons into a list."""

    def __init__(self, avatar: drawing.ScreenFaceAvatar):
        self.__dict__.update(avatar.__dict__)
        self.shapes: list[_Shape] = []
        self.part = ""
        self.outline = np.zeros((0, 2))

    def add(self, points: np.ndarray, colour: Any, strip: bool, clip: str = "", role: str = "") -> None:
        self.shapes.append(_Shape(self.part, np.asarray(points, float).copy(), tuple(colour), strip, clip, role))

    def record(self, motion: np.ndarray) -> list[_Shape]:
        """What is drawn of a latent (32,), the head's picture left out; pixels from the face's middle."""
        value = dict(zip(rig.NAMES, motion.tolist()))
        self.shapes = []
        self._place(value)
        self._zoom, self._centre = _ZOOM, np.zeros(2)
        canvas = np.zeros((1, 1, 3), np.uint8)
        self._cheeks(value)
        self.part = "nose"
        self._draw_nose(canvas, value | {"browDownLeft": 0.0, "browDownRight": 0.0})
        self._wrinkles()
        self.part = "mouth"
        self._strokes = 0
        self._draw_mouth(canvas, value)
        for work, name in ((self._draw_eye, "eye"), (self._draw_brow, "brow")):
            for side, sign in (("Right", -1.0), ("Left", 1.0)):
                self.part = name + side
                work(canvas, value, side, sign)
        return self.shapes

    def _patch(self, canvas: Any, points: np.ndarray, margin: float = 0.1) -> Any:
        return _Canvas(self)

    def _stroke(self, patch: Any, points: np.ndarray, width: Any, colour: Any, lift: float = 0.0) -> None:
        if self.part == "mouth":
            self._strokes += 1
            chin = lift == 0.05
            if self._strokes == 3:
                self._line_between_lips()
            if self._strokes >= 3 and not chin:
                return  # the line between the lips, which is drawn where they touch only
        super()._stroke(patch, points, width, colour, lift)

    def _line_between_lips(self) -> None:
        """As `_draw_mouth` draws it, but always; `_PARTED` tells where it has gone."""
        upper, lower = np.split(self.outline, 2)
        line = (upper + lower[::-1]) / 2
        taper = 0.35 + 0.65 * (1.0 - drawing._ARC**2) ** 0.5
        half = np.column_stack([0 * taper, 0.5 * 0.020 * taper * _ZOOM])
        self.add(
            np.concatenate([line - half, (line + half)[::-1]]), self._colours["lip_line"], strip=True, role="lip_line"
        )

    def _wrinkles(self) -> None:
        """Beside the bridge of the nose, as `_draw_nose` draws them at their widest; the page fades them in."""
        self.part, arc = "wrinkles", drawing._ARC
        for sign in (-1.0, 1.0):
            for y in (0.02, 0.10):
                line = np.column_stack([sign * (0.055 + 0.035 * arc), y + 0.045 * arc - 0.02 * arc**2])
                pixels, half = self._project(line, 0.12), 0.5 * 0.030 * (1 - 0.6 * arc**2) * _ZOOM
                aside = np.column_stack([-half, sign * half]) * 0.7071  # they rise outward
                ring = np.concatenate([pixels + aside, (pixels - aside)[::-1]])
                self.add(ring, self._colours["nose"], strip=True, role="wrinkle")

    def _cheeks(self, value: dict[str, float]) -> None:
        if self.theme.cheek_strength <= 0:
            return
        for side, sign in (("Right", -1.0), ("Left", 1.0)):
            self.part = "cheek" + side
            lift = 0.5 * value["mouthSmile" + side] + 0.5 * value["eyeSquint" + side]
            middle = np.array([[sign * 0.64, -0.20 + 0.10 * lift]])
            first, across, down = self._project(middle + np.array([[-0.24, 0.17], [0.24, 0.17], [-0.24, -0.17]]))
            self.add(
                np.array([first, across, across + down - first, down]), self._colours["cheek"], strip=True, role="cheek"
            )


def export_screen_face(avatar: drawing.ScreenFaceAvatar, name: str = "screen_face") -> bytes:
    """The GLB file of a screen face."""
    theme, colours = avatar.theme, avatar.theme.colours()
    shapes, states = _measured(_Recorder(avatar))
    glb, scale = Glb("avatar_forcing_ros"), METRES / drawing._D
    head = glb.node("head")
    half = drawing._FACE_HEIGHT / 2 * scale
    pixel = 2 * half / avatar.width  # its centre lies on the face's middle
    _add_head(glb, avatar, head, half, scale)
    exact = glb.add(
        "nodes", {"name": "exact", "children": []}
    )  # drawn by who clips it; the scene of all others has it cut already
    glb.parts["scenes"].append({"name": "clipped by the page", "nodes": [exact]})
    plain = glb.material("colours", blend=True)
    blush = glb.material("cheek", glb.image(_blush(colours["cheek"]), "cheek"), blend=True)
    cut = {key: _cut(shapes, corners) for key, corners in states.items()}
    moved, moved_cut = _targets(states), _targets(cut)
    parts: list[dict[str, Any]] = []
    for (part, clip, role), group in itertools.groupby(
        enumerate(shapes), lambda item: (item[1].part, item[1].clip, item[1].role)
    ):
        index = [i for i, _ in group]
        some, node = [shapes[i] for i in index], f"{part}{role or ('Inside' if clip else '')}{len(parts)}"
        texture = {"uv": np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)} if role == "cheek" else {}

        def mesh(
            name: str,
            rest: list[np.ndarray],
            targets: dict[str, list[np.ndarray]],
            index: list[int] = index,
            some: list[_Shape] = some,
            texture: dict[str, np.ndarray] = texture,
        ) -> int:
            front = np.concatenate([np.full(len(rest[i]), _STEP * i) for i in index])  # in order also by depth alone
            place = np.concatenate([rest[i] for i in index]) * scale + np.outer(front, (0, 0, 1))
            moves = {n: np.concatenate([t[i] for i in index]) * scale for n, t in targets.items()}
            moves = {n: m for n, m in moves.items() if np.abs(m).max() > 0.001 * scale}
            linear = np.concatenate(
                [np.tile(_linear(shape.colour), (len(rest[i]), 1)) for i, shape in zip(index, some)]
            )
            colour = {} if texture else {"COLOR_0": glb.accessor(linear)}
            return glb.mesh(
                name, place, _triangles(some), blush if texture else plain, targets=moves, attributes=colour, **texture
            )

        hidden = bool(clip) or role == "clip"
        glb.node(node, exact if hidden else head, mesh=mesh(node, states[()], moved))
        if clip:
            glb.node(f"{node}Cut", head, mesh=mesh(f"{node}Cut", cut[()], moved_cut))
        counts = [[_STEP * i, len(states[()][i])] for i in index]
        parts.append({"node": node, "part": part, "role": role, "clip": clip, "front": counts})
    glb.parts["scenes"][0] |= {"name": name, "extras": {"avatar_forcing": {
        "version": 1, "kind": "screen", "name": name, "metres_per_unit": METRES, "rig": list(rig.NAMES), "face_unit": scale,
        "picture": {"left": -half - pixel / 2, "top": half + pixel / 2, "side": 2 * half}, "low": rig.LOW.tolist(), "high": rig.HIGH.tolist(),
        "background": colours["background"], "head": colours["head"], "parts": parts, "lean": _LEAN * scale, "near": [drawing._NEARER, drawing._DEPTH], "dome": [drawing._DEPTH, 1.5, 1.6, 0.02],
        "glow": [theme.glow, _GLOW_WIDTH, int(drawing._BRIGHTEST_GLOW)], "parted": _PARTED * scale,
        "cheek": [theme.cheek_strength * 0.55, theme.cheek_strength * 0.45, 0.6], "breath": drawing._BREATH * METRES, "idle": idle_numbers(),
        "face": [-theme.head_width * scale, -theme.head_height * scale, theme.head_width * scale, theme.head_height * scale],
    }}}  # fmt: skip
    return glb.data()


def _add_head(glb: Glb, avatar: drawing.ScreenFaceAvatar, head: int, half: float, scale: float) -> None:
    picture = glb.image(_head_picture(avatar), "head")
    corners = np.array([[-half, half, 0], [half, half, 0], [-half, -half, 0], [half, -half, 0]])
    corners += (-half / _HEAD_PIXELS, half / _HEAD_PIXELS, _LEAN * scale)  # the middle is the centre of a pixel
    stretch = np.zeros((4, 3))
    stretch[:, 1] = 0.06 * (corners[:, 1] - avatar.theme.head_height * scale)
    glb.node("skull", head, mesh=glb.mesh(
        "skull", corners, np.array([[0, 2, 1], [1, 2, 3]]), glb.material("skull", picture, blend=True),
        uv=np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32), targets={"jawOpen": stretch},
    ))  # fmt: skip


def _head_picture(avatar: drawing.ScreenFaceAvatar) -> np.ndarray:
    """The head at rest (H, W, 4) uint8 RGBA."""
    import copy

    large = copy.copy(avatar)
    large.width = large.height = _HEAD_PIXELS
    large._unit = _HEAD_PIXELS / drawing._FACE_HEIGHT
    large._shades, large._shades_at, large._outline = large._head_at_rest()
    drawn = []
    for back in (0, 255):  # over black and over white, so that its cover is known
        large._colours = avatar._colours | {"background": (back,) * 3}
        canvas = np.full((_HEAD_PIXELS, _HEAD_PIXELS, 3), back, np.uint8)
        large._draw_head(canvas, np.eye(2, 3))
        drawn.append(canvas.astype(np.float32))
    cover = 1 - (drawn[1] - drawn[0]).mean(axis=2, keepdims=True) / 255
    return filled(np.clip(np.dstack([drawn[0] / np.maximum(cover, 1e-3), 255 * cover]) + 0.5, 0, 255).astype(np.uint8))


def _blush(colour: tuple[int, int, int]) -> np.ndarray:
    disc = drawing._soft_disc(128)
    return np.dstack([np.broadcast_to(np.array(colour, np.uint8), (128, 128, 3)), (255 * disc + 0.5).astype(np.uint8)])


def _linear(colour: tuple[int, int, int]) -> np.ndarray:
    """sRGB 0 to 255 as the linear colour that glTF wants for corners."""
    value = np.array(colour) / 255.0
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


_States = dict[tuple[int, ...], list[np.ndarray]]


def _measured(recorder: _Recorder) -> tuple[list[_Shape], _States]:
    """The shapes at rest, and all shapes' corners (N, 3) in face units, for no coefficient, each one, and each two that meet."""
    base = rig.pose(jawOpen=_TINY, mouthLowerDown=_TINY)
    shapes = recorder.record(base)
    kinds = [(s.part, s.clip, len(s.points)) for s in shapes]

    def drawn(key: tuple[int, ...], yaw: float = 0.0) -> list[np.ndarray]:
        motion = base + rig.pose(headYaw=yaw)
        motion[list(key)] = 1.0 - _TINY
        found = recorder.record(motion)
        assert [(s.part, s.clip, len(s.points)) for s in found] == kinds
        return [s.points for s in found]

    states: _States = {}
    for key in [(), *((i,) for i in range(len(_POSE), rig.DIM))]:
        states[key] = [_spatial(*points) for points in zip(drawn(key), drawn(key, -_TURN), drawn(key, _TURN))]
    rest = states[()]
    moves = {key: [np.abs(now - was).max() > 1e-3 for now, was in zip(c, rest)] for key, c in states.items()}
    for i, k in itertools.combinations(range(len(_POSE), rig.DIM), 2):
        if np.logical_and(moves[i,], moves[k,]).any():  # two that move nothing in common are what they are
            depths = [(a + b - c)[:, 2] for a, b, c in zip(states[i,], states[k,], rest)]
            states[i, k] = [_at_depth(points, depth) for points, depth in zip(drawn((i, k)), depths)]
    return shapes, states


def _targets(states: _States) -> dict[str, list[np.ndarray]]:
    """By coefficient what it adds to the rest, and by two of them (`a*b`) what they add besides."""
    rest = states[()]
    single = {
        key[0]: [now - was for now, was in zip(corners, rest)] for key, corners in states.items() if len(key) == 1
    }
    targets = {rig.NAMES[i]: moved for i, moved in single.items()}
    for key, corners in states.items():
        if len(key) == 2:
            both = [now - was - a - b for now, was, a, b in zip(corners, rest, single[key[0]], single[key[1]])]
            if max(np.abs(b).max() for b in both) > _SEEN:
                targets["*".join(rig.NAMES[i] for i in key)] = both
    return targets


def _cut(shapes: list[_Shape], corners: list[np.ndarray]) -> list[np.ndarray]:
    """The corners with those of clipped shapes drawn back to the outline that clips them."""
    outlines = {s.part: c for s, c in zip(shapes, corners) if s.role == "clip"}
    found = []
    for shape, points in zip(shapes, corners):
        if shape.clip:
            upper, lower = np.split(outlines[shape.clip], 2)
            points = points.copy()
            points[:, 0] = np.clip(points[:, 0], upper[0, 0], upper[-1, 0])
            low, high = (np.interp(points[:, 0], line[:, 0], line[:, 1]) for line in (lower[::-1], upper))
            points[:, 1] = np.clip(points[:, 1], np.minimum(low, high), high)
        found.append(points)
    return found


def _spatial(points: np.ndarray, less: np.ndarray, more: np.ndarray) -> np.ndarray:
    """Corners (N, 3) in face units from where they are drawn straight on, and turned a little to both sides (N, 2)."""
    across, moved = points[:, 0] / _ZOOM, (more - less)[:, 0] / _ZOOM / (2 * np.sin(_TURN))
    depth = np.full(len(points), 0.7)
    for _ in range(4):  # what is nearer is drawn larger: _project
        near = 1.0 + 0.10 * (depth - 0.75)
        depth = (moved + 0.10 * (across / near) ** 2) / near
    return _at_depth(points, depth)


def _at_depth(points: np.ndarray, depth: np.ndarray) -> np.ndarray:
    near = (1.0 + 0.10 * (depth - 0.75)) * _ZOOM
    return np.column_stack([points[:, 0] / near, -points[:, 1] / near, depth])


def _triangles(shapes: list[_Shape]) -> np.ndarray:
    found, start = [], 0
    for shape in shapes:
        count = len(shape.points)
        if shape.strip:
            own = [
                t
                for i in range(count // 2 - 1)
                for t in ((i, count - 1 - i, i + 1), (i + 1, count - 1 - i, count - 2 - i))
            ]
        else:
            own = [(0, i, i + 1) for i in range(1, count - 1)]
        found += [(a + start, b + start, c + start) for a, b, c in own]
        start += count
    return np.array(found)
