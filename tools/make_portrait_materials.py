"""Materials of the people that make_portrait.py renders: skin, eyes, hair, cloth, as Cycles node trees."""

from pathlib import Path

import bpy


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
                self.put(
                    node.inputs[int(key[1:]) if key[0] == "i" and key[1:].isdigit() else key.replace("_", " ")], value
                )
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


def skin_material(person, data: Path, marks: dict):
    n = Nodes("skin")
    deep = tuple(c * f for c, f in zip(person.skin, (0.90, 0.60, 0.55)))
    uneven = tuple(c * f for c, f in zip(person.skin, (0.97, 0.93, 0.91)))
    colour = n.mix(n.ramp(n.noise(9.0), 0.35, 0.7), person.skin, uneven)
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


def eye_material(person, radius: float):
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
    shader = n.add(
        "BsdfPrincipled",
        Base_Color=colour,
        Roughness=rough,
        Specular_IOR_Level=0.55,
        Coat_Weight=0.6,
        Coat_Roughness=0.02,
    )
    return n.done(shader.outputs[0])


def hair_material(name, melanin, redness):
    n = Nodes(name)
    hair = n.add(
        "BsdfHairPrincipled", parametrization="MELANIN", Melanin=melanin, Melanin_Redness=redness, Roughness=0.32,
        Radial_Roughness=0.42, Random_Color=0.25, Random_Roughness=0.2,
    )  # fmt: skip
    return n.done(hair.outputs[0])


def shirt_material(person, neck):
    """Knitted cloth, cut out around the neck."""
    n = Nodes("shirt")
    knit = n.mix(n.ramp(n.noise(55.0, 4.0), 0.3, 0.7), tuple(c * 0.88 for c in person.shirt), person.shirt)
    shape = (0.74, 0.35, 1.0)
    edge = n.spot(neck, 0.70, shape)
    knit = n.mix(n.math("MULTIPLY", n.ramp(edge, 0.0, 0.04), 0.35), knit, tuple(c * 0.6 for c in person.shirt))
    bump = n.add("Bump", Strength=0.25, Distance=0.02, Height=n.noise(70.0, 2.0)).outputs[0]
    cloth = n.add(
        "BsdfPrincipled", Base_Color=knit, Roughness=0.85, Specular_IOR_Level=0.15, Sheen_Weight=0.3, Normal=bump
    )
    height = n.add("SeparateXYZ", i0=n.add("TexCoord").outputs["Object"]).outputs[2]
    gone = n.math(
        "MAXIMUM", n.math("GREATER_THAN", n.spot(neck, 0.62, shape), 0.0), n.math("GREATER_THAN", height, neck[2])
    )
    mixed = n.add("MixShader", i0=gone, i1=cloth.outputs[0], i2=n.add("BsdfTransparent").outputs[0])
    return n.done(mixed.outputs[0])


def strand_material(name, colour):
    """For lashes and brows: matte, so that they do not glow against the light."""
    n = Nodes(name)
    return n.done(n.add("BsdfPrincipled", Base_Color=colour, Roughness=0.6, Specular_IOR_Level=0.2).outputs[0])
