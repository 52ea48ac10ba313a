"""Hair, brows and lashes of the people that make_portrait.py renders: strands grown on the mesh of a head.

Lengths are decimetres, x to the person's left, z up, the face looks along -y.
"""

import bpy
import numpy as np
from mathutils import Vector
from mathutils.bvhtree import BVHTree


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
        to_ear = (np.abs(points[:, 0]) - self.ear[0], points[:, 1] - self.ear[1], points[:, 2] - self.ear[2])
        near_ear = (np.abs(rel[:, 0]) > 0.60) & (np.linalg.norm(np.stack(to_ear, axis=1) * (0.4, 1, 1), axis=1) < 0.34)
        return (points[:, 2] - self.eye[2] > line) & ~near_ear


def grow(head: Head, roots, normals, steps, step, *, direction, clearance):
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
    wave = (
        np.sin(phase + t[None, None, :, None] * rng.uniform(5, 9, (count, 1, 1, 3))) * waviness * t[None, None, :, None]
    )
    return (guides[:, None] + offset + wave).reshape(-1, steps, 3)


def bob(head: Head, vertices, rng):
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
        away = np.stack(
            [side, 0.15 + 0.5 * np.clip(back, 0, 1) + 0.25 * np.clip(-back, 0, 1), np.zeros(len(point))], axis=1
        )
        leaving = max(0.0, 1 - k / 5)
        turn_in = np.clip((head.eye[2] - 0.70 - point[:, 2]) / 0.45, 0, 1)[:, None]
        inward = np.stack([-np.sign(point[:, 0]) * 0.5, np.full(len(point), -0.05), np.zeros(len(point))], axis=1)
        down = np.array([0, 0, -0.62]) * (1 - 0.6 * leaving)
        return 0.55 * last + away * (0.05 + 0.75 * leaving) + down + inward * turn_in * 0.55

    def clearance(k):
        return hold * min(1.0, k / 4) + 0.012

    guides = grow(head, roots, normals, steps, step, direction=direction, clearance=clearance)
    # Keep the face free, and cut the tips at the height of the jaw.
    rel = guides - (0, 0, head.eye[2])
    heights = [-1.2, -0.6, 0.0, 0.35, 0.50, 0.62, 0.70, 0.76]
    edge = np.interp(rel[..., 2], heights, [0.60, 0.66, 0.68, 0.60, 0.47, 0.28, 0.02, -0.6])
    edge = edge + 0.05 * hold[:, None] / 0.13
    front = rel[..., 1] < head.centre[1] - 0.15
    sign = np.where(side > 0, 1.0, -1.0)[:, None]
    guides[..., 0] = np.where(front & (sign * guides[..., 0] < edge), sign * edge, guides[..., 0])
    for _ in range(2):  # the bend this makes is smoothed
        guides[:, 1:-1] = 0.25 * guides[:, :-2] + 0.5 * guides[:, 1:-1] + 0.25 * guides[:, 2:]
    for i, strand in enumerate(guides):
        below = np.flatnonzero(strand[:, 2] < end[i])
        if len(below):
            t = np.linspace(0, max(below[0], 2), steps)
            guides[i] = np.stack([np.interp(t, np.arange(steps), strand[:, c]) for c in range(3)], axis=1)
    return multiply(guides, 18, rng, 0.018, 0.016), np.linspace(0.0040, 0.0018, steps)


def short(head: Head, vertices, rng):
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

    guides = grow(head, roots, normals, steps, step, direction=direction, clearance=clearance)
    return multiply(guides, 5, rng, 0.018, 0.012), np.linspace(0.0030, 0.0010, steps)


def brows(head: Head, rng, person):
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


def lashes(head: Head, rng, person):
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
            curve = (
                heading[:, None] * s * size[:, None, None]
                + np.array([0, 0, up]) * (s**2.0) * size[:, None, None] * 0.55
            )
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
