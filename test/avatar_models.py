"""Avatars as others make them, as small as they can be: GLB with blend shapes, and VRM."""

from __future__ import annotations

import numpy as np

from avatar_forcing_ros.motion.gltf.glb import Glb

BONES = (
    "hips", "spine", "head", "leftUpperLeg", "leftLowerLeg", "leftFoot", "rightUpperLeg", "rightLowerLeg", "rightFoot",
    "leftUpperArm", "leftLowerArm", "leftHand", "rightUpperArm", "rightLowerArm", "rightHand",
)  # fmt: skip


def head_model(names: list[str], vrm: bool = False) -> bytes:
    """A white plate for a face with a dark mouth, whose corners the shapes move: the first opens it, the second widens it."""
    glb = Glb("test")
    y = 1.5 if vrm else 0.0
    plate = np.array([[-0.1, y - 0.13, 0], [0.1, y - 0.13, 0], [-0.1, y + 0.13, 0], [0.1, y + 0.13, 0]])
    mouth = np.array([[-0.03, y - 0.06, 0.01], [0.03, y - 0.06, 0.01], [-0.03, y - 0.05, 0.01], [0.03, y - 0.05, 0.01]])
    triangles = np.array([[0, 1, 2], [2, 1, 3], [4, 5, 6], [6, 5, 7]])
    open_, wide, none = np.zeros((8, 3)), np.zeros((8, 3)), np.zeros((8, 3))
    open_[4:6, 1] = -0.05
    wide[4::2, 0], wide[5::2, 0] = -0.04, 0.04
    targets = dict(zip(names, [open_, wide, none, none]))
    colours = np.array([[1.0, 1.0, 1.0, 1.0]] * 4 + [[0.0, 0.0, 0.0, 1.0]] * 4)
    mesh = glb.mesh(
        "plate", np.concatenate([plate, mouth]), triangles, glb.material("plate"), targets=targets,
        attributes={"COLOR_0": glb.accessor(colours)},
    )  # fmt: skip
    if not vrm:
        glb.node("plate", glb.node("Head"), mesh=mesh)
        return glb.data()
    nodes = {name: glb.node(name) for name in BONES if name != "head"}
    nodes["head"] = glb.node("head", nodes["spine"], translation=[0.0, y - 0.11, 0.0])
    plate_node = glb.node("plate", nodes["head"], mesh=mesh, translation=[0.0, 0.11 - y, 0.0])
    presets = {
        preset: {"morphTargetBinds": [{"node": plate_node, "index": i, "weight": 1.0}]}
        for i, preset in enumerate(("aa", "happy"))
    }
    glb.parts["extensionsUsed"].append("VRMC_vrm")
    glb.parts["extensions"] = {
        "VRMC_vrm": {
            "specVersion": "1.0",
            "meta": {"name": "test", "authors": ["test"], "licenseUrl": "https://vrm.dev/licenses/1.0/"},
            "humanoid": {"humanBones": {name: {"node": node} for name, node in nodes.items()}},
            "expressions": {"preset": presets},
        }
    }
    return glb.data()
