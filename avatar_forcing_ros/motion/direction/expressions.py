"""Expressions by name, or by valence and arousal, as what they add to a rig latent.

The 25 names are those of hri_msgs/Expression. Seven of them are the basic emotions with `neutral`; they follow the action
units that people show (Ekman, Friesen, "Facial Action Coding System", 1978), as far as the rig has coefficients for them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import rig

BASIC = ("neutral", "happy", "sad", "angry", "surprised", "scared", "disgusted")
USUAL_FADE = 0.4  # seconds
_BOTH = ("eyeBlink", "eyeWide", "eyeSquint", "browDown", "browOuterUp", "mouthSmile", "mouthFrown", "mouthStretch")


def _face(**values: float) -> np.ndarray:
    """A latent; a name of `_BOTH` without its side stands for both sides."""
    sided = {n + side: v for n, v in values.items() if n in _BOTH for side in ("Left", "Right")}
    return rig.pose(**sided, **{n: v for n, v in values.items() if n not in _BOTH})


_OFFSETS: dict[str, np.ndarray] = {
    "neutral": _face(),
    "happy": _face(mouthSmile=0.95, eyeSquint=0.65, mouthUpperUp=0.25, browOuterUp=0.10),
    "sad": _face(mouthFrown=1.0, browInnerUp=1.0, eyeBlink=0.22, mouthPucker=0.15, gazeY=-0.45, headPitch=-0.13, headRoll=0.06),
    "angry": _face(browDown=1.0, browOuterUp=0.35, eyeWide=0.35, eyeSquint=0.60, mouthPress=0.9, mouthFrown=0.70, gazeY=0.20, headPitch=-0.09),
    "surprised": _face(browInnerUp=1.0, browOuterUp=1.0, eyeWide=0.80, jawOpen=0.40, mouthFunnel=0.60, mouthPucker=0.30, headPitch=0.04),
    "scared": _face(
        browInnerUp=1.0, browDown=0.25, eyeWide=1.0, mouthStretch=1.0, mouthLowerDown=0.60, mouthFrown=0.60, jawOpen=0.14,
        headPitch=0.05, headScale=-0.05,
    ),
    "disgusted": _face(
        mouthUpperUp=1.0, browDown=0.80, eyeSquint=0.9, eyeBlink=0.15, mouthFrownLeft=0.85, mouthFrownRight=0.45, headPitch=0.06,
        headYaw=0.10, headRoll=-0.06,
    ),
    "pleading": _face(browInnerUp=1.0, mouthFrown=0.35, mouthPucker=0.25, eyeWide=0.35, headPitch=-0.10, headRoll=0.08, gazeY=0.35),
    "vulnerable": _face(browInnerUp=0.7, mouthFrown=0.30, mouthPress=0.35, gazeY=-0.25, headRoll=0.08),
    "despaired": _face(browInnerUp=1.0, mouthFrown=1.0, eyeBlink=0.45, jawOpen=0.12, headPitch=-0.22),
    "guilty": _face(browInnerUp=0.6, mouthFrown=0.35, mouthPress=0.6, gazeY=-0.7, gazeX=-0.3, headPitch=-0.16),
    "disappointed": _face(browInnerUp=0.45, mouthFrown=0.65, mouthPress=0.35, eyeBlink=0.20, headPitch=-0.08),
    "embarrassed": _face(browInnerUp=0.4, mouthSmile=0.40, mouthPress=0.65, gazeX=0.5, gazeY=-0.5, headPitch=-0.10, headYaw=-0.10),
    "horrified": _face(browInnerUp=1.0, eyeWide=1.0, jawOpen=0.42, mouthStretch=0.8, mouthLowerDown=0.4, headPitch=0.07, headScale=-0.06),
    "skeptical": _face(browOuterUpLeft=1.0, browDownRight=0.7, eyeSquint=0.4, mouthFrownRight=0.5, mouthPress=0.3, headRoll=-0.07),
    "annoyed": _face(browDown=0.6, eyeSquint=0.45, mouthPress=0.55, mouthFrown=0.35, eyeBlink=0.12),
    "furious": _face(
        browDown=1.0, eyeWide=0.65, eyeSquint=0.8, mouthUpperUp=0.55, mouthLowerDown=0.6, mouthStretch=0.5, mouthFrown=0.5,
        jawOpen=0.10, headPitch=-0.12,
    ),
    "suspicious": _face(browDown=0.65, eyeSquint=1.0, eyeBlink=0.15, mouthPress=0.4, headYaw=0.10, gazeX=-0.25),
    "rejected": _face(browInnerUp=0.8, mouthFrown=0.85, gazeX=0.5, gazeY=-0.5, headYaw=0.14, headPitch=-0.10),
    "bored": _face(eyeBlink=0.42, mouthFrown=0.30, gazeX=0.45, gazeY=0.15, headRoll=0.10),
    "tired": _face(eyeBlink=0.55, browInnerUp=0.25, mouthFrown=0.20, headPitch=-0.12, headRoll=0.05),
    "asleep": _face(eyeBlink=1.0, headPitch=-0.20, headRoll=0.08),
    "confused": _face(browInnerUp=0.5, browDownRight=0.7, browOuterUpLeft=0.5, eyeSquintRight=0.4, mouthFrown=0.25, headRoll=0.13),
    "amazed": _face(browInnerUp=0.9, browOuterUp=0.9, eyeWide=0.75, mouthSmile=0.65, jawOpen=0.25),
    "excited": _face(mouthSmile=1.0, browInnerUp=0.5, browOuterUp=0.7, eyeWide=0.45, jawOpen=0.14, mouthUpperUp=0.3, headPitch=0.05),
}  # fmt: skip
EXPRESSIONS: tuple[str, ...] = tuple(_OFFSETS)

# Where expressions lie in the plane of valence and arousal, -1 to 1 (after Russell's circle, 1980): (valence, arousal, name, share).
_PLANE = (
    (0.0, 0.0, "neutral", 1.0), (0.8, 0.35, "happy", 1.0), (0.75, 0.85, "excited", 1.0), (0.1, 0.9, "surprised", 1.0),
    (-0.45, 0.9, "scared", 1.0), (-0.8, 0.75, "angry", 1.0), (-0.75, 0.25, "disgusted", 1.0), (-0.75, -0.4, "sad", 1.0),
    (-0.3, -0.75, "bored", 1.0), (0.0, -0.95, "tired", 1.0), (0.6, -0.6, "happy", 0.4),
)  # fmt: skip


@dataclass(frozen=True)
class Expression:
    """What the face shows until it is told otherwise.

    name: one of EXPRESSIONS; empty: by valence and arousal, each -1 to 1. intensity: 0 to 1. fade: seconds in which it comes.
    Raises InputError for values beyond these.
    """

    name: str = "neutral"
    intensity: float = 1.0
    fade: float = USUAL_FADE
    valence: float = 0.0
    arousal: float = 0.0

    def __post_init__(self) -> None:
        if self.name and self.name not in _OFFSETS:
            raise InputError(f"expression '{self.name}' is unknown; use one of {', '.join(EXPRESSIONS)}")
        for what, low, high in (
            ("intensity", 0.0, 1.0),
            ("fade", 0.0, 60.0),
            ("valence", -1.0, 1.0),
            ("arousal", -1.0, 1.0),
        ):
            value = getattr(self, what)
            if not (math.isfinite(value) and low <= value <= high):
                raise InputError(f"expression: {what} is {value}: give {low:g} to {high:g}")

    @classmethod
    def parse(cls, text: str) -> Expression:
        """NAME, NAME:INTENSITY, or VALENCE,AROUSAL. Empty text is `neutral`. Raises InputError."""
        if not text.strip():
            return cls()
        try:
            if "," in text:
                valence, arousal = (float(part) for part in text.split(","))
                return cls("", valence=valence, arousal=arousal)
            name, _, intensity = text.partition(":")
            return cls(name.strip().lower(), float(intensity) if intensity else 1.0)
        except ValueError:
            raise InputError(
                f"expression '{text}': give NAME:INTENSITY, as happy:0.6, or VALENCE,AROUSAL, as -0.5,0.8"
            ) from None

    @property
    def offset(self) -> np.ndarray:
        """(32,) float32: what it adds to a latent at rest."""
        if self.name:
            return self.intensity * _OFFSETS[self.name]
        near = np.array(
            [1.0 / ((self.valence - v) ** 2 + (self.arousal - a) ** 2 + 0.02) ** 2 for v, a, _, _ in _PLANE]
        )
        parts = np.array([share * _OFFSETS[name] for _, _, name, share in _PLANE])
        return (self.intensity * (near / near.sum()) @ parts).astype(np.float32)
