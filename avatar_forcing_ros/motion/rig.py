"""The rig motion space: 32 named coefficients that say what a face does, for any face.

A latent of this space is a float32 vector in the order of `NAMES`. The tracker measures it on a camera
image, a generator predicts it, an avatar draws it. So that all three mean the same thing, every
coefficient is defined by what it does to the face, in units of the *eye distance* D: the distance between
the outer corners of the eyes of the neutral face seen from the front (about 90 mm on an adult).

Directions are those of the image as it is seen (not mirrored): +x is image right, +y is up. `Left` and
`Right` in a name are the person's own, as in ARKit: `mouthSmileLeft` lifts the corner at image right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SPACE = "rig"


@dataclass(frozen=True)
class Coefficient:
    name: str
    low: float
    high: float
    meaning: str  # what the value 1 (or one radian) does


COEFFICIENTS: tuple[Coefficient, ...] = (
    Coefficient("headYaw", -1.0, 1.0, "radians; + turns the nose toward image right"),
    Coefficient("headPitch", -0.8, 0.8, "radians; + lifts the nose, looking up"),
    Coefficient("headRoll", -0.8, 0.8, "radians; + tilts the top of the head toward image right (clockwise as seen)"),
    Coefficient("headX", -2.0, 2.0, "shift of the head toward image right, in D"),
    Coefficient("headY", -2.0, 2.0, "shift of the head upward, in D"),
    Coefficient("headScale", -0.7, 0.7, "natural logarithm of the head's size over its neutral size; + is nearer"),
    Coefficient("gazeX", -1.0, 1.0, "eyes turned toward image right; 1 moves the iris 0.25 of the eye's width"),
    Coefficient("gazeY", -1.0, 1.0, "eyes turned up; 1 moves the iris 0.125 of the eye's width"),
    Coefficient("eyeBlinkLeft", 0.0, 1.0, "lids' gap shrinks; 1 is closed"),
    Coefficient("eyeBlinkRight", 0.0, 1.0, "lids' gap shrinks; 1 is closed"),
    Coefficient("eyeWideLeft", 0.0, 1.0, "upper lid rises; 1 widens the gap by half"),
    Coefficient("eyeWideRight", 0.0, 1.0, "upper lid rises; 1 widens the gap by half"),
    Coefficient("eyeSquintLeft", 0.0, 1.0, "lower lid rises by 0.04 D, cheek with it"),
    Coefficient("eyeSquintRight", 0.0, 1.0, "lower lid rises by 0.04 D, cheek with it"),
    Coefficient("browInnerUp", 0.0, 1.0, "inner ends of the brows rise by 0.10 D"),
    Coefficient("browDownLeft", 0.0, 1.0, "brow sinks by 0.07 D"),
    Coefficient("browDownRight", 0.0, 1.0, "brow sinks by 0.07 D"),
    Coefficient("browOuterUpLeft", 0.0, 1.0, "outer end of the brow rises by 0.10 D"),
    Coefficient("browOuterUpRight", 0.0, 1.0, "outer end of the brow rises by 0.10 D"),
    Coefficient("jawOpen", 0.0, 1.0, "gap between the inner lips grows by 0.45 D, the chin sinks with it"),
    Coefficient("jawX", -1.0, 1.0, "chin moves 0.10 D toward image right"),
    Coefficient("mouthSmileLeft", 0.0, 1.0, "corner moves 0.10 D outward and 0.10 D up"),
    Coefficient("mouthSmileRight", 0.0, 1.0, "corner moves 0.10 D outward and 0.10 D up"),
    Coefficient("mouthFrownLeft", 0.0, 1.0, "corner sinks by 0.08 D"),
    Coefficient("mouthFrownRight", 0.0, 1.0, "corner sinks by 0.08 D"),
    Coefficient("mouthStretchLeft", 0.0, 1.0, "corner moves 0.12 D outward, at its height"),
    Coefficient("mouthStretchRight", 0.0, 1.0, "corner moves 0.12 D outward, at its height"),
    Coefficient("mouthPucker", 0.0, 1.0, "lips round: each corner moves 0.12 D inward, lips come forward"),
    Coefficient("mouthFunnel", 0.0, 1.0, "lips open round: corners 0.06 D inward, each inner lip 0.06 D apart"),
    Coefficient("mouthPress", 0.0, 1.0, "lips pressed: the visible red halves"),
    Coefficient("mouthUpperUp", 0.0, 1.0, "upper lip rises by 0.08 D"),
    Coefficient("mouthLowerDown", 0.0, 1.0, "lower lip sinks by 0.08 D beyond the jaw"),
)
NAMES: tuple[str, ...] = tuple(c.name for c in COEFFICIENTS)
DIM = len(NAMES)
INDEX: dict[str, int] = {name: i for i, name in enumerate(NAMES)}
LOW = np.array([c.low for c in COEFFICIENTS], dtype=np.float32)
HIGH = np.array([c.high for c in COEFFICIENTS], dtype=np.float32)

# A mirror image swaps the sides and turns these around.
_SIGNED_BY_MIRROR = ("headYaw", "headRoll", "headX", "gazeX", "jawX")
_MIRROR_ORDER = np.array(
    [INDEX[n.replace("Left", "Right") if "Left" in n else n.replace("Right", "Left")] for n in NAMES]
)
_MIRROR_SIGN = np.array([-1.0 if n in _SIGNED_BY_MIRROR else 1.0 for n in NAMES], dtype=np.float32)


def group(*names: str) -> list[int]:
    """The places of these coefficients in a latent, in their order."""
    return [INDEX[name] for name in names]


# Groups of coefficients, as places in a latent. They are defined here and nowhere else.
HEAD = group("headYaw", "headPitch", "headRoll", "headX", "headY", "headScale")
TURN = HEAD[:3]
GAZE = group("gazeX", "gazeY")
LIDS = group("eyeBlinkLeft", "eyeBlinkRight")
SQUINT = group("eyeSquintLeft", "eyeSquintRight")
SMILE = group("mouthSmileLeft", "mouthSmileRight")
STRETCH = group("mouthStretchLeft", "mouthStretchRight")
BROW_OUTER = group("browOuterUpLeft", "browOuterUpRight")
MOUTH = [i for i, name in enumerate(NAMES) if name.startswith(("mouth", "jaw"))]  # lips, their corners and the jaw
LIPS = [i for i in MOUTH if "Smile" not in NAMES[i] and "Frown" not in NAMES[i]]  # what speech decides of a mouth
# What made speech moves (learning/world/visemes.py): no smile, no frown, and no jaw aside.
SPOKEN = [i for i in LIPS if NAMES[i] != "jawX"]
OPENING = group("jawOpen", "mouthPress", "mouthUpperUp", "mouthLowerDown")


def neutral() -> np.ndarray:
    """The face at rest: (32,) float32 of zeros."""
    return np.zeros(DIM, dtype=np.float32)


def pose(**values: float) -> np.ndarray:
    """A latent (32,) with the named coefficients set and the others neutral. Raises KeyError on a wrong name."""
    latent = neutral()
    for name, value in values.items():
        latent[INDEX[name]] = value
    return latent


def clamp(latents: np.ndarray) -> np.ndarray:
    """Latents (..., 32) limited to each coefficient's range."""
    return np.clip(latents, LOW, HIGH)


def mirror(latents: np.ndarray) -> np.ndarray:
    """What the same motion (..., 32) looks like in a mirror: sides swapped, sideways motion turned around."""
    return latents[..., _MIRROR_ORDER] * _MIRROR_SIGN
