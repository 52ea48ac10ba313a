"""Marks in a text -> what the face is asked for: gestures (nod, wink:0.8, look_left ...) and expressions (happy, sad:0.5 ...)."""

from __future__ import annotations

from typing import Any

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion.direction.expressions import Expression
from avatar_forcing_ros.motion.direction.gestures import GESTURES, LOOK, Gesture

_LOOKS = {  # radians: yaw toward the person's left, pitch up
    "look_left": (0.45, 0.0), "look_right": (-0.45, 0.0), "look_up": (0.0, 0.3), "look_down": (0.0, -0.3), "look_ahead": (0.0, 0.0),
}  # fmt: skip


def direction_of(mark: str) -> Gesture | Expression | None:
    """What a mark asks for; None where its name is none of ours: it is then for somebody else. Raises InputError for a bad strength."""
    name, _, strength = mark.strip().lower().partition(":")
    try:
        size: dict[str, Any] = {"strength": float(strength)} if strength else {}
    except ValueError:
        raise InputError(f"mark '{mark}': give NAME or NAME:STRENGTH, as nod:0.5") from None
    if name in _LOOKS:
        yaw, pitch = _LOOKS[name]
        return Gesture(LOOK, yaw=yaw, pitch=pitch, **size)
    if name == "wink_right":
        return Gesture("wink", left=False, **size)
    if name in GESTURES:
        return Gesture(name, **size)
    try:
        return Expression.parse(mark)
    except InputError:
        return None
