"""Gestures on demand: short movements of the head, the eyes, the brows, as functions of the time since they began."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import rig

NOD, SHAKE, SMILE, WINK, BROWS, LOOK = "nod", "shake", "smile", "wink", "brows", "look"
GESTURES = (NOD, SHAKE, SMILE, WINK, BROWS, LOOK)
_USUAL_SECONDS = {NOD: 0.9, SHAKE: 1.1, SMILE: 2.0, WINK: 0.4, BROWS: 0.7, LOOK: 1.5}
_LONGEST = 60.0  # seconds of a gesture that ends; `look` may stay for ever
_NOD, _SHAKE = 0.17, 0.19  # radians
_OF_HEAD = 0.45  # of the way to where the face looks that the head goes, and at most so far:
_FURTHEST = {"headYaw": 0.38, "headPitch": 0.24}  # radians
_OF_EYE = {"gazeX": 0.68, "gazeY": 0.32}  # radians that one unit of gaze turns an eyeball of 12 mm


@dataclass(frozen=True)
class Gesture:
    """A movement that the face makes now.

    name: one of GESTURES. strength: 0 to 1.5 of its usual size. seconds: how long; 0 as usual. `look` with forever=True
    stays until the next `look`. left: of a wink, the person's own left side. yaw, pitch: of `look`, radians from straight
    ahead, + is image right and up. Raises InputError for values beyond these.
    """

    name: str
    strength: float = 1.0
    seconds: float = 0.0
    left: bool = True
    yaw: float = 0.0
    pitch: float = 0.0
    forever: bool = False

    def __post_init__(self) -> None:
        if self.name not in GESTURES:
            raise InputError(f"gesture '{self.name}' is unknown; use one of {', '.join(GESTURES)}")
        for what, low, high in (
            ("strength", 0.0, 1.5),
            ("seconds", 0.0, _LONGEST),
            ("yaw", -math.pi, math.pi),
            ("pitch", -math.pi, math.pi),
        ):
            value = getattr(self, what)
            if not (math.isfinite(value) and low <= value <= high):
                raise InputError(f"gesture {self.name}: {what} is {value}: give {low:g} to {high:g}")

    @classmethod
    def toward(cls, x: float, y: float, z: float, **others: Any) -> Gesture:
        """A look at a point: metres from the face, x forward out of the picture, y to the person's left, z up (REP 103)."""
        if not all(math.isfinite(v) for v in (x, y, z)) or not math.hypot(x, y, z):
            raise InputError(
                f"gesture look: ({x}, {y}, {z}) is not a point to look at: give metres from the face, and not its own centre"
            )
        return cls(LOOK, yaw=math.atan2(y, x), pitch=math.atan2(z, math.hypot(x, y)), **others)

    @property
    def duration(self) -> float:
        """Seconds until it is over; infinite for a look that stays."""
        return math.inf if self.forever and self.name == LOOK else self.seconds or _USUAL_SECONDS[self.name]

    def at(self, seconds: float) -> tuple[np.ndarray, np.ndarray]:
        """`seconds` after it began: what it adds (32,), and how much of the face's own movement it takes away (32,), 0 to 1."""
        value, hush = rig.neutral(), rig.neutral()
        whole = self.duration
        if not 0.0 <= seconds < whole:
            return value, hush
        size, share = self.strength, seconds / whole if math.isfinite(whole) else 0.0

        def put(swell: float, quiet: float = 0.0, **values: float) -> None:
            for name, amount in values.items():
                value[rig.INDEX[name]] = size * swell * amount
                hush[rig.INDEX[name]] = quiet * min(swell, 1.0)

        if self.name == NOD:  # twice down and up, the second time less
            dip = 0.5 - 0.5 * math.cos(4 * math.pi * share)
            put(1.0, headPitch=-_NOD * dip * (1.0 if share < 0.5 else 0.7))
            hush[rig.INDEX["headPitch"]] = 0.8 * _swell(seconds, whole, 0.12, 0.25)
        elif self.name == SHAKE:
            put(1.0, headYaw=_SHAKE * math.sin(4 * math.pi * share) * _swell(seconds, whole, 0.3, 0.3))
            hush[rig.INDEX["headYaw"]] = 0.8 * _swell(seconds, whole, 0.12, 0.25)
        elif self.name == SMILE:
            put(
                _swell(seconds, whole, 0.25, 0.6),
                mouthSmileLeft=0.8,
                mouthSmileRight=0.8,
                eyeSquintLeft=0.4,
                eyeSquintRight=0.4,
            )
        elif self.name == WINK:
            side = "Left" if self.left else "Right"
            put(
                _swell(seconds, whole, 0.12, 0.16),
                **{"eyeBlink" + side: 1.0, "eyeSquint" + side: 0.5, "mouthSmile" + side: 0.35},
            )
            hush[rig.INDEX["eyeBlink" + ("Right" if self.left else "Left")]] = 1.0  # a blink now would hide it
        elif self.name == BROWS:
            put(_swell(seconds, whole, 0.15, 0.25), browInnerUp=0.8, browOuterUpLeft=0.9, browOuterUpRight=0.9)
        else:
            self._look(put, seconds, whole)
        return value, hush

    def _look(self, put: Callable[..., None], seconds: float, whole: float) -> None:
        """The eyes go first, the head follows part of the way, and the eyes go back by as much."""
        eyes, head = _swell(seconds, whole, 0.10, 0.15), _swell(seconds, whole, 0.40, 0.40)
        for turn, gaze, angle in (("headYaw", "gazeX", self.yaw), ("headPitch", "gazeY", self.pitch)):
            of_head = min(max(_OF_HEAD * angle, -_FURTHEST[turn]), _FURTHEST[turn])
            put(head, 0.7, **{turn: of_head})
            put(eyes, 0.9, **{gaze: min(max((angle - head * of_head) / _OF_EYE[gaze], -1.0), 1.0)})


def _swell(seconds: float, whole: float, rise: float, fall: float) -> float:
    """0 to 1 within `rise` seconds, back to 0 within the last `fall` ones of the whole; shorter where the whole is short."""
    if math.isfinite(whole):
        tight = min(1.0, whole / (rise + fall))
        rise, fall = rise * tight, fall * tight
    up = smooth(seconds / rise)
    return up if math.isinf(whole) else min(up, smooth((whole - seconds) / fall))


def smooth(x: float) -> float:
    """0 up to 0, 1 from 1 on, without a corner between."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3.0 - 2.0 * x)
