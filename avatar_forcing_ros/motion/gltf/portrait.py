"""An animated photo as glTF: what `PortraitAvatar` draws, as meshes, textures and morph targets.

A viewer that knows glTF alone shows the head with its eyes, teeth and background and moves it by its morph targets and
joints. Our page (web/page/src/portrait.ts) reads the numbers in the scene's `extras` besides, and draws what the Python
renderer draws.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from avatar_forcing_ros.motion import idle, rig
from avatar_forcing_ros.motion.gltf.glb import UINT8, Glb, filled
from avatar_forcing_ros.motion.portrait import avatar as drawing
from avatar_forcing_ros.motion.portrait import limits
from avatar_forcing_ros.motion.tracking.mesh import (
    FACE_OVAL,
    INNER_LIP_LOWER,
    INNER_LIP_UPPER,
    LOWER_LID,
    MESH_POINTS,
    UPPER_LID,
)

METRES = 0.09  # D, the distance between the eyes' outer corners, as on an adult
_SIDES = ("Right", "Left")
_BEHIND = 0.02  # D; how far eyes and teeth lie behind the skin around them
_FAR = 1.5  # D; how far the background lies behind the head
_SURROUNDINGS = 256  # pixels of the picture's side in the softer picture around it
_POSE = range(6)


class _Frame:
    """From the picture's pixels (x right, y down, z away) to metres about the head's centre of turning."""

    def __init__(self, avatar: drawing.PortraitAvatar):
        self.scale = METRES / avatar._unit
        self.pivot = avatar._pivot

    def points(self, pixels: np.ndarray) -> np.ndarray:
        return self.ways(np.asarray(pixels, float) - self.pivot)

    def ways(self, pixels: np.ndarray) -> np.ndarray:
        return np.asarray(pixels, float) * (self.scale, -self.scale, -self.scale)


def export_portrait(avatar: drawing.PortraitAvatar, name: str = "portrait") -> bytes:
    """The GLB file of a portrait."""
    glb, frame = Glb("avatar_forcing_ros"), _Frame(avatar)
    assert isinstance(avatar.size, int)  # a square
    face = glb.node("face")
    body = glb.node("body", face)
    head = glb.node("head", face)
    _add_person(glb, frame, avatar, body, head)
    _add_background(glb, frame, avatar)
    eyes = {side: _add_eye(glb, frame, avatar, side, head) for side in _SIDES}
    mouth = _add_mouth(glb, frame, avatar, head)
    side = avatar.size * frame.scale
    left, top = frame.points(np.array([-0.5, -0.5, 0.0]))[:2]
    glb.parts["cameras"] = [{
        "type": "orthographic", "name": "front",
        "orthographic": {"xmag": side / 2, "ymag": side / 2, "znear": 0.01, "zfar": 10.0},
    }]  # fmt: skip
    glb.node("front", camera=0, translation=[left + side / 2, top - side / 2, 2.0])
    oval = avatar._rest[FACE_OVAL]
    glb.parts["scenes"][0] |= {"name": name, "extras": {"avatar_forcing": {
        "version": 1, "kind": "portrait", "name": name, "metres_per_unit": METRES, "rig": list(rig.NAMES),
        "picture": {"left": left, "top": top, "side": side},
        "face": [*frame.points(oval.min(axis=0))[:2].tolist(), *frame.points(oval.max(axis=0))[:2].tolist()],
        "gain": _floats(avatar._gain), "knee": _floats(limits._KNEE), "limit": _floats(limits._LIMIT),
        "low": _floats(rig.LOW), "turns": float(avatar._turns), "lowest_look": float(avatar._lowest_look),
        "down": _floats(_direction(avatar._axes[1])), "breath": drawing._BREATH * METRES, "idle": idle_numbers(),
        "lips": [INNER_LIP_UPPER, INNER_LIP_LOWER], "landmarks": MESH_POINTS, "eyes": eyes, "mouth": mouth,
    }}}  # fmt: skip
    return glb.data()


def idle_numbers() -> dict[str, Any]:
    """What the page needs to sway and breathe as idle.py does."""
    return {
        "micro": [[rig.INDEX[name], *numbers] for name, *numbers in idle._MICRO],
        "breaths": [idle._BREATHS, idle._BREATHS_DRIFT],
        "of_breath": [[rig.INDEX["headPitch"], idle._NOD_OF_BREATH], [rig.INDEX["headY"], idle._LIFT_OF_BREATH]],
    }


def _floats(values: Any) -> list[float]:
    return [round(float(v), 7) for v in np.ravel(values)]


def _direction(image_way: np.ndarray) -> np.ndarray:
    return image_way * (1.0, -1.0, -1.0)


def _add_person(glb: Glb, frame: _Frame, avatar: drawing.PortraitAvatar, body: int, head: int) -> None:
    texels = avatar._skin.shape[0]
    pad, more = texels // 4, texels // drawing.BEYOND
    layer = avatar._warp._person[pad - more : pad + texels + more, pad - more : pad + texels + more]
    uv = (avatar._on_skin(avatar._photo_mesh[:, :2]) + 0.5 + more) / layer.shape[0]  # beyond 0 to 1 the border repeats
    positions = frame.points(avatar._rest)
    basis = avatar._basis.reshape(rig.DIM, -1, 3)
    targets = {}
    for i, name in enumerate(rig.NAMES):
        way = frame.ways(basis[i]) * avatar._gain[i]
        # The page turns the head by its joint. For viewers that know morph targets alone, its first order.
        targets[name] = _pose_target(i, positions, avatar._follow) if i in _POSE else way
    follow = np.clip(avatar._follow, 0.0, 1.0)
    joints = np.zeros((len(positions), 4), np.uint8)
    joints[:, 1] = 1
    weights = np.zeros((len(positions), 4), np.float32)
    weights[:, 0], weights[:, 1] = follow, 1 - follow
    joints[weights == 0.0] = 0
    still = np.tile(np.eye(4, dtype=np.float32).reshape(1, 16), (2, 1))
    skin = {"joints": [head, body], "name": "neck", "inverseBindMatrices": glb.accessor(still, target=None)}
    texture = glb.image(filled(layer), "person")
    mesh = glb.mesh(
        "person", positions, _shown_triangles(avatar, layer, more), glb.material("person", texture, blend=True), uv=uv, targets=targets,
        attributes={"JOINTS_0": glb.accessor(joints, UINT8), "WEIGHTS_0": glb.accessor(weights)},
    )  # fmt: skip
    glb.node("person", mesh=mesh, skin=glb.add("skins", skin))


def _pose_target(index: int, positions: np.ndarray, follow: np.ndarray) -> np.ndarray:
    """Displacements (V, 3) in metres per unit of a coefficient of the head's pose, near its rest."""
    x, y, z = positions.T
    none = np.zeros_like(x)
    one = none + METRES
    way = [(z, none, -x), (none, z, -y), (y, -x, none), (one, none, none), (none, one, none), (x, y, z)][index]
    return np.stack(way, axis=1) * follow[:, None]


def _shown_triangles(avatar: drawing.PortraitAvatar, layer: np.ndarray, more: int) -> np.ndarray:
    """The skin's triangles from far to near, without those of the openings and those that show nothing of the person."""
    openings = [set(UPPER_LID[side] + LOWER_LID[side]) for side in _SIDES] + [set(INNER_LIP_UPPER + INNER_LIP_LOWER)]
    texels = layer.shape[0]
    at = avatar._on_skin(avatar._photo_mesh[:, :2]) + more
    found = []
    for triangle in avatar._triangles:
        if any(opening.issuperset(triangle.tolist()) for opening in openings):
            continue
        low, high = (
            np.floor(at[triangle].min(axis=0)).astype(int) - 1,
            np.ceil(at[triangle].max(axis=0)).astype(int) + 2,
        )
        (x0, y0), (x1, y1) = np.clip(low, 0, texels - 1), np.clip(high, 1, texels)
        if layer[y0:y1, x0:x1, 3].any():
            found.append(triangle)
    order = np.argsort([-avatar._rest[t, 2].sum() for t in found], kind="stable")
    return np.array(found)[order]


def _quad(
    glb: Glb,
    frame: _Frame,
    name: str,
    corners: np.ndarray,
    z: float,
    material: int,
    *,
    targets: Any = None,
    textured: bool = True,
) -> int:
    """A mesh of four corners (4, 2) in the picture's pixels, in reading order, at depth z in metres."""
    positions = frame.points(np.column_stack([corners, np.zeros(4)]))
    positions[:, 2] = z
    uv = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32)
    return glb.mesh(
        name, positions, np.array([[0, 2, 1], [1, 2, 3]]), material, uv=uv if textured else None, targets=targets
    )


def _rectangle(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    return np.array([[x0, y0], [x1, y0], [x0, y1], [x1, y1]])


def _behind_skin(frame: _Frame, avatar: drawing.PortraitAvatar, corners: np.ndarray) -> float:
    """Depth in metres behind all of the face's skin that lies before the corners (4, 2)."""
    face = avatar._rest[:MESH_POINTS]
    inside = ((face[:, :2] > corners.min(axis=0)) & (face[:, :2] < corners.max(axis=0))).all(axis=1)
    return float(frame.points(face[inside])[:, 2].min() - _BEHIND * METRES)


def _add_background(glb: Glb, frame: _Frame, avatar: drawing.PortraitAvatar) -> None:
    size, picture = avatar.size, avatar._warp._background
    assert isinstance(size, int)
    z = float(frame.points(avatar._rest)[:, 2].min() - _FAR * METRES)
    mesh = _quad(
        glb, frame, "background", _rectangle(-0.5, -0.5, size - 0.5, size - 0.5), z,
        glb.material("background", glb.image(picture, "background", jpeg_quality=94)),
    )  # fmt: skip
    glb.node("background", mesh=mesh)
    # Screens are not square: around the picture its background goes on, mirrored and ever softer.
    half = _SURROUNDINGS // 2
    small = cv2.resize(picture, (_SURROUNDINGS,) * 2, interpolation=cv2.INTER_AREA)
    wide = cv2.copyMakeBorder(small, half, half, half, half, cv2.BORDER_REFLECT)
    inside = np.zeros(wide.shape[:2], np.uint8)
    inside[half:-half, half:-half] = 1
    distance = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    soft = wide.astype(np.float32)
    for sigma in (2.0, 5.0, 12.0):
        share = np.clip(distance / (3 * sigma), 0, 1)[..., None]
        soft += share * (cv2.GaussianBlur(wide, (0, 0), sigma).astype(np.float32) - soft)
    texture = glb.image(np.clip(soft + 0.5, 0, 255).astype(np.uint8), "surroundings", jpeg_quality=90)
    corners = _rectangle(-0.5 - size / 2, -0.5 - size / 2, 1.5 * size - 0.5, 1.5 * size - 0.5)
    glb.node(
        "surroundings", mesh=_quad(glb, frame, "surroundings", corners, z - 0.01, glb.material("surroundings", texture))
    )


def _add_eye(glb: Glb, frame: _Frame, avatar: drawing.PortraitAvatar, side: str, head: int) -> dict[str, Any]:
    eye = avatar._eyes[side]
    height, width = eye._white.shape[:2]
    x0, y0 = eye.origin - 0.5
    corners = _rectangle(x0, y0, x0 + width, y0 + height)
    z = _behind_skin(frame, avatar, corners)
    white = glb.image(_bytes(eye._white), f"white{side}")
    # As a layer of its own an iris needs a cover, which the drawn face does not: it adds differences to the white.
    cover = np.clip(np.abs(eye._iris).max(axis=2, keepdims=True) / 12.0, 0, 1) * eye._behind
    colour = eye._white + eye._iris / np.maximum(eye._behind, 1e-3)
    iris = glb.image(filled(_bytes(np.dstack([colour, 255 * cover]))), f"iris{side}")
    look = np.array([[0.25, 0.0], [0.0, -0.125]]) * eye.width @ avatar._axes[:2, :2]
    ways = {
        name: np.tile(frame.ways(np.append(way * avatar._gain[rig.INDEX[name]], 0.0)), (4, 1))
        for name, way in zip(("gazeX", "gazeY"), look)
    }
    ball = glb.node(
        f"eye{side}", head, mesh=_quad(glb, frame, f"eye{side}", corners, z, glb.material(f"white{side}", white))
    )
    material = glb.material(f"iris{side}", iris, blend=True)
    glb.node(
        f"iris{side}",
        ball,
        mesh=_quad(glb, frame, f"iris{side}", corners, z + 0.1 * _BEHIND * METRES, material, targets=ways),
    )
    details = np.concatenate([
        np.dstack([eye._iris / 2 + 128, np.full(eye._behind.shape, 255.0)]), np.dstack([eye._edge / 2 + 128, 255 * eye._behind])
    ], axis=1)  # fmt: skip
    lids = [UPPER_LID[side][4], LOWER_LID[side][4]]
    return {
        "node": f"eye{side}", "lids": [UPPER_LID[side], LOWER_LID[side]], "middle": lids, "anchor": _floats(frame.points(avatar._eyes_at[side])),
        "detail": glb.image(_bytes(details), f"detail{side}"), "look": _floats([frame.ways(np.append(w, 0.0))[:2] for w in look]),
        "width": eye.width * frame.scale, "lid_edge": drawing._LID_EDGE * METRES, "gap": eye._gap * frame.scale,
        "lash": _floats(eye._lash), "lash_width": drawing._LASH_LINE * METRES,
    }  # fmt: skip


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(values + 0.5, 0, 255).astype(np.uint8)


def _add_mouth(glb: Glb, frame: _Frame, avatar: drawing.PortraitAvatar, head: int) -> dict[str, Any]:
    mouth, unit = avatar._mouth, avatar._unit
    turn = avatar._axes[:2, :2].T  # columns: the face's right and down, on the picture
    start = -np.array([mouth._half_width, mouth._above]) * unit
    height, width = mouth._upper.shape[:2]
    flat = _rectangle(*start, *(start + (width, height)))
    skull, jaw = avatar._skull_teeth, avatar._jaw_teeth
    corners = skull[:2] + flat @ turn.T
    deepest = _behind_skin(frame, avatar, corners)
    colour = mouth._tint(96, 38, 36) * mouth._light
    dark = (0.5 * colour / 255.0) ** 2.2
    inside = glb.node("mouth", head)
    cavity = glb.material("cavity", colour=(*dark.tolist(), 1.0))
    glb.node(
        "cavity", inside, mesh=_quad(glb, frame, "cavity", corners, deepest - 0.08 * METRES, cavity, textured=False)
    )
    down, across = avatar._axes[1] * 0.40 * unit, avatar._axes[0] * 0.08 * unit
    moves = {
        name: np.tile(frame.ways(way * avatar._gain[rig.INDEX[name]]), (4, 1))
        for name, way in (("jawOpen", down), ("jawX", across))
    }
    layers = []
    for name, rgba, anchor, targets, depth, shade in (
        ("tongue", mouth._tongue, jaw, moves, 0.06, (1.35, -0.2, 0.15)),
        ("teethLower", mouth._lower, jaw, moves, 0.04, (0.9, 0.30, 0.45)),
        ("teethUpper", mouth._upper, skull, None, 0.02, (0.9, 0.30, 0.45)),
    ):  # fmt: skip
        straight = np.dstack([rgba[..., :3] / np.maximum(rgba[..., 3:], 1e-3), 255 * rgba[..., 3:]])
        material = glb.material(name, glb.image(filled(_bytes(straight)), name), blend=True)
        mesh = _quad(glb, frame, name, anchor[:2] + flat @ turn.T, deepest - depth * METRES, material, targets=targets)
        glb.node(name, inside, mesh=mesh)
        layers.append(
            {"node": name, "anchor": _floats(frame.points(anchor)), "moves": targets is not None, "shade": shade}
        )
    if (photo := mouth._photo_teeth) is not None:
        rgba = np.dstack([photo.layer[..., :3] / np.maximum(photo.layer[..., 3:], 1e-3), 255 * photo.layer[..., 3:]])
        material = glb.material("teethPhoto", glb.image(filled(_bytes(rgba)), "teethPhoto"), blend=True)
        x0, y0 = photo.origin - 0.5
        corners = _rectangle(x0, y0, x0 + rgba.shape[1], y0 + rgba.shape[0])
        glb.node("teethPhoto", inside, mesh=_quad(glb, frame, "teethPhoto", corners, deepest, material))
        layers.append(
            {"node": "teethPhoto", "anchor": _floats(frame.points(skull)), "moves": False, "shade": (0.9, 0.55, 0.7)}
        )
    return {
        "layers": layers, "colour": _floats(colour), "teeth": _floats(frame.points(skull)),
        "jaw_open": _floats(frame.ways(down)), "jaw_x": _floats(frame.ways(across)),
    }  # fmt: skip
