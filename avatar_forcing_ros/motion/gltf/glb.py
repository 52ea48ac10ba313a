"""Writes a binary glTF 2.0 file: accessors, images, meshes with named morph targets, nodes.

Positions are metres, x to image right, y up, z toward the viewer. Nothing here knows what a face is.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import cv2
import numpy as np

FLOAT, UINT16, UINT8 = 5126, 5123, 5121
_KINDS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
_DTYPES = {FLOAT: "<f4", UINT16: "<u2", UINT8: "<u1"}
_ARRAY_BUFFER, _ELEMENT_BUFFER = 34962, 34963
_CLAMP = 33071
_FLAT = np.array([0.0, 0.0, 1.0], np.float32)


class Glb:
    """Collects the parts of one file. `parts` is the document that glTF's JSON schema describes."""

    def __init__(self, generator: str):
        self.parts: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": generator},
            "scene": 0, "scenes": [{"nodes": []}], "nodes": [], "meshes": [], "accessors": [], "bufferViews": [],
            "materials": [], "textures": [], "images": [],
            "samplers": [{"magFilter": 9729, "minFilter": 9729, "wrapS": _CLAMP, "wrapT": _CLAMP}],
            "extensionsUsed": ["KHR_materials_unlit"],
        }  # fmt: skip
        self._binary = bytearray()

    def add(self, kind: str, value: dict) -> int:
        """Appends to a list of the document; its index there."""
        self.parts.setdefault(kind, []).append(value)
        return len(self.parts[kind]) - 1

    def accessor(self, values: np.ndarray, component: int = FLOAT, target: int | None = _ARRAY_BUFFER) -> int:
        """values: (N,), (N, 2), (N, 3), (N, 4) or (N, 16)."""
        values = np.ascontiguousarray(values, dtype=_DTYPES[component])
        flat = values.reshape(len(values), -1)
        accessor = {
            "bufferView": self._view(values.tobytes(), target), "componentType": component, "count": len(values),
            "type": _KINDS[flat.shape[1]],
        }  # fmt: skip
        if component == FLOAT:
            accessor |= {"min": flat.min(axis=0).tolist(), "max": flat.max(axis=0).tolist()}
        return self.add("accessors", accessor)

    def image(self, pixels: np.ndarray, name: str, jpeg_quality: int = 0) -> int:
        """A texture of pixels (H, W, 3 or 4) uint8 RGB(A), lossless unless a quality (1 to 100) is given."""
        order = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
        options = [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality] if jpeg_quality else [cv2.IMWRITE_PNG_COMPRESSION, 7]
        done, data = cv2.imencode(".jpg" if jpeg_quality else ".png", cv2.cvtColor(pixels, order), options)
        if not done:
            raise ValueError(f"{name} cannot be packed")
        kind = "image/jpeg" if jpeg_quality else "image/png"
        source = self.add("images", {"bufferView": self._view(data.tobytes(), None), "mimeType": kind, "name": name})
        return self.add("textures", {"sampler": 0, "source": source, "name": name})

    def material(
        self,
        name: str,
        texture: int | None = None,
        blend: bool = False,
        colour: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0),
    ) -> int:
        """Unlit, seen from both sides. colour: linear RGBA, 0 to 1, times the texture."""
        surface: dict[str, Any] = {
            "baseColorFactor": [float(c) for c in colour],
            "metallicFactor": 0.0,
            "roughnessFactor": 1.0,
        }
        if texture is not None:
            surface["baseColorTexture"] = {"index": texture}
        material = {
            "name": name,
            "pbrMetallicRoughness": surface,
            "doubleSided": True,
            "extensions": {"KHR_materials_unlit": {}},
        }
        return self.add("materials", material | ({"alphaMode": "BLEND"} if blend else {}))

    def mesh(
        self, name: str, positions: np.ndarray, triangles: np.ndarray, material: int, *, uv: np.ndarray | None = None,
        targets: dict[str, np.ndarray] | None = None, attributes: dict[str, int] | None = None,
    ) -> int:  # fmt: skip
        """positions: (V, 3). triangles: (T, 3). uv: (V, 2), v down. targets: displacements (V, 3) by name. attributes: more accessors."""
        normals = np.broadcast_to(_FLAT, positions.shape)
        found = {"POSITION": self.accessor(positions), "NORMAL": self.accessor(normals), **(attributes or {})}
        if uv is not None:
            found["TEXCOORD_0"] = self.accessor(uv)
        primitive: dict[str, Any] = {
            "attributes": found, "indices": self.accessor(triangles.reshape(-1), UINT16, _ELEMENT_BUFFER), "material": material,
        }  # fmt: skip
        mesh: dict[str, Any] = {"name": name, "primitives": [primitive]}
        if targets:
            primitive["targets"] = [{"POSITION": self.accessor(t)} for t in targets.values()]
            mesh |= {"weights": [0.0] * len(targets), "extras": {"targetNames": list(targets)}}
        return self.add("meshes", mesh)

    def node(self, name: str, parent: int | None = None, **values: Any) -> int:
        """A node under `parent`, or under the scene. values: mesh, skin, camera, translation, extras, as glTF has them."""
        index = self.add("nodes", {"name": name, **values})
        over = (
            self.parts["scenes"][0]["nodes"]
            if parent is None
            else self.parts["nodes"][parent].setdefault("children", [])
        )
        over.append(index)
        return index

    def data(self) -> bytes:
        """The whole file."""
        parts = {k: v for k, v in self.parts.items() if v != []}
        parts["buffers"] = [{"byteLength": len(self._binary)}]
        text = json.dumps(parts, separators=(",", ":"), allow_nan=False).encode()
        text += b" " * (-len(text) % 4)
        binary = bytes(self._binary) + b"\0" * (-len(self._binary) % 4)
        head = struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(binary))
        return (
            head + struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
        )

    def _view(self, data: bytes, target: int | None) -> int:
        self._binary += b"\0" * (-len(self._binary) % 4)
        view = {"buffer": 0, "byteOffset": len(self._binary), "byteLength": len(data)} | (
            {"target": target} if target else {}
        )
        self._binary += data
        return self.add("bufferViews", view)


def filled(rgba: np.ndarray) -> np.ndarray:
    """Pixels (H, W, 4) uint8 with colour also where nothing is seen, so that filtering brings no dark rim in."""
    cover = rgba[..., 3:].astype(np.float32) / 255.0
    colour = rgba[..., :3] * cover
    out = rgba.copy()
    for sigma in (1.0, 3.0, 9.0, 27.0):
        share = cv2.GaussianBlur(cover, (0, 0), sigma)
        spread = cv2.GaussianBlur(colour, (0, 0), sigma) / np.maximum(share, 1e-6)[..., None]
        empty = (out[..., 3] == 0) & (share > 1e-4) & (out[..., :3].max(axis=2) == 0)
        out[empty, :3] = np.clip(spread[empty] + 0.5, 1, 255)
    return out
