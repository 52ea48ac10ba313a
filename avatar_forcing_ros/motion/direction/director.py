"""Bends a generator's latents by what the face was told: expression, mood, gestures, liveliness. Lips that speak are left alone.

What is added is a function of the frame's index and of the requests; of the motion itself only how much the mouth has
moved lately is kept. So a stream gives the same as a file, and nothing grows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.direction.expressions import Expression
from avatar_forcing_ros.motion.direction.gestures import LOOK, NOD, SHAKE, Gesture, smooth
from avatar_forcing_ros.timeline import FRAME_RATE

VOICE_AHEAD = 5  # frames before a sound in which lips that an expression holds apart have to be back
SOUNDS = 10 ** (-50 / 20)  # peak of a frame of the voice, above which it speaks
AS_MADE = 0.5  # the liveliness at which the face moves as its generator moves it
_FOLLOWS = 0.35  # of the way to a place that moves, in a frame
_MOST_GESTURES = 8  # at once; the oldest is dropped
_RELEASE = 12  # frames after which a mouth that fell silent shows the whole expression again
_ATTACK = 3, 2  # frames within which it gives way to a voice; to lips that move, which are in the midst of it
_MOVES, _STILL = 0.03, 0.01  # change of the lips per frame that is speech, that is none
_CORNERS_SPEAK = 0.70  # of an expression's corners of the mouth that stay while it speaks
_OPPOSED = 0.85  # of a generator's smile that an expression's frown takes away; the same of brows and lids


def _indices(*starts: str) -> list[int]:
    return [i for i, name in enumerate(rig.NAMES) if name.startswith(starts)]


_POSE = _indices("head")
_BROWS = _indices("brow")
_CORNERS = _indices("mouthSmile", "mouthFrown")
_LIPS = [i for i in _indices("jaw", "mouth") if i not in _CORNERS]  # what speech moves: an expression gives way there
_ROUND = [rig.INDEX["mouthPucker"], rig.INDEX["mouthFunnel"]]
_BLINKS, _WIDES = _indices("eyeBlink"), _indices("eyeWide")
_ONE_WAY = rig.LOW == 0.0
# Coefficients that work against one another: row takes away from column.
_AGAINST = np.zeros((rig.DIM, rig.DIM), np.float32)
for _side in ("Left", "Right"):
    for _one, _other in (("mouthSmile" + _side, "mouthFrown" + _side), ("browDown" + _side, "browOuterUp" + _side),
                         ("browDown" + _side, "browInnerUp"), ("eyeWide" + _side, "eyeSquint" + _side)):  # fmt: skip
        _AGAINST[rig.INDEX[_one], rig.INDEX[_other]] = _AGAINST[rig.INDEX[_other], rig.INDEX[_one]] = _OPPOSED


class Director:
    """Holds what the face is told and applies it, frame by frame.

    mood: what it shows when nothing else is asked. liveliness: 0 (calm) to 1 (lively); 0.5 moves as the generator does. The
    head's pose and the brows are scaled by 0.5 + liveliness, so 0.2 halves their variance; lips, lids and gaze are as they were.
    Raises InputError for a liveliness beyond 0 to 1. Deterministic: the same latents, frames and requests give the same.
    """

    def __init__(self, mood: Expression | None = None, liveliness: float = AS_MADE) -> None:
        self.liveliness = liveliness
        self._mood = mood or Expression()
        self._asked: Expression | None = None
        self._from = self._to = self._mood.offset
        self._began, self._fade = 0, 0  # frames
        self._gestures: list[tuple[int, Gesture]] = []  # with the frame at which each began
        self.reset()

    def reset(self) -> None:
        """The stream starts anew, as after a jump of time. What the face shows stays; gestures end."""
        self._from, self._began, self._fade = self._to, 0, 0
        self._gestures.clear()
        self._held: dict[tuple[int, Gesture], np.ndarray] = {}  # the motion as it was when a nod or shake began
        self._speaking = 0.0
        self._lips: np.ndarray | None = None
        self._frame: int | None = None

    @property
    def liveliness(self) -> float:
        return self._liveliness

    @liveliness.setter
    def liveliness(self, value: float) -> None:
        if not (math.isfinite(value) and 0.0 <= value <= 1.0):
            raise InputError(f"liveliness is {value}: give 0 (calm) to 1 (lively)")
        self._liveliness = float(value)

    @property
    def idle(self) -> bool:
        """Whether it leaves latents as they are."""
        return self.liveliness == AS_MADE and not self._gestures and not self._from.any() and not self._to.any()

    @property
    def shown(self) -> Expression:
        """The expression that the face shows or goes to."""
        return self._asked or self._mood

    def express(self, expression: Expression | None, frame: int) -> None:
        """From `frame` on the face goes to this expression, from what it shows now; None or neutral: back to the mood."""
        self._asked = None if expression is None or expression.name == "neutral" else expression
        self._go(frame, self._mood.fade if expression is None else expression.fade)

    def rest_in(self, mood: Expression, frame: int) -> None:
        """Another mood; the face goes to it from `frame` on, unless it is asked for something else."""
        self._mood = mood
        if self._asked is None:
            self._go(frame, mood.fade)

    def _go(self, frame: int, fade: float) -> None:
        self._from, self._to = self._offset(frame), self.shown.offset
        self._began, self._fade = frame, round(fade * FRAME_RATE)

    def gesture(self, gesture: Gesture, frame: int) -> None:
        """Makes a gesture from `frame` on. A look ends the look before it; of more than eight at once the oldest is dropped."""
        if gesture.name == LOOK:
            self._gestures = [(f, g) for f, g in self._gestures if g.name != LOOK]
        self._gestures = [*self._gestures, (frame, gesture)][-_MOST_GESTURES:]

    def aim(self, yaw: float, pitch: float) -> bool:
        """Turns the look that goes on towards another direction (radians), once a frame. False where there is none."""
        for i, (began, gesture) in enumerate(self._gestures):
            if gesture.name == LOOK:
                nearer = (
                    gesture.yaw + _FOLLOWS * (yaw - gesture.yaw),
                    gesture.pitch + _FOLLOWS * (pitch - gesture.pitch),
                )
                self._gestures[i] = began, replace(gesture, yaw=nearer[0], pitch=nearer[1])
                return True
        return False

    def apply(self, latents: np.ndarray, first_frame: int, speech: Sequence[bool] | None = None) -> np.ndarray:
        """The latents (n, 32) float32 of frames from `first_frame` on, bent; a new array.

        speech (n,): whether the avatar's voice sounds in each frame or in the VOICE_AHEAD ones after it, where that is known; the
        lips' own movement tells it too, one frame late. Frames are to be given in order; left-out ones do no harm.
        """
        heard = [False] * len(latents) if speech is None else speech
        return np.stack(
            [self._bent(x, first_frame + i, bool(h)) for i, (x, h) in enumerate(zip(latents, heard, strict=True))]
        )

    def _offset(self, frame: int) -> np.ndarray:
        """What the expression adds at a frame (32,)."""
        share = smooth((frame - self._began) / self._fade) if self._fade else 1.0
        return self._from + (self._to - self._from) * np.float32(share) if share < 1.0 else self._to.copy()

    def _bent(self, latent: np.ndarray, frame: int, heard: bool) -> np.ndarray:
        speaking = self._listen(latent, frame, heard)
        offset = self._offset(frame)
        if frame >= self._began + self._fade:
            self._from = self._to
        if self.idle:
            return np.array(latent, np.float32)
        offset[_LIPS] *= 1.0 - speaking
        offset[_CORNERS] *= 1.0 - (1.0 - _CORNERS_SPEAK) * speaking
        offset[_CORNERS] *= 1.0 - 0.5 * min(float(latent[_ROUND].max()), 1.0)  # a u stays round in a smile
        bent = np.array(latent, np.float32)
        bent[_POSE + _BROWS] *= 0.5 + self.liveliness
        self._gestures = [(f, g) for f, g in self._gestures if (frame - f) / FRAME_RATE < g.duration]
        self._held = {key: held for key, held in self._held.items() if key in self._gestures}
        # The frame of the request is the first that moves.
        moves = [g.at((frame + 1 - began) / FRAME_RATE) for began, g in self._gestures if frame >= began]
        for (began, gesture), (_, hush) in zip([x for x in self._gestures if frame >= x[0]], moves):
            # Where a nod begins, the head stays until it is over; a look is toward a place, wherever the head was.
            stays = self._held.setdefault((began, gesture), bent.copy()) if gesture.name in (NOD, SHAKE) else 0.0
            bent += hush * (stays - bent)
        for added in (offset, *(value for value, _ in moves)):
            bent = _joined(bent, added)
        bent[_WIDES] *= 1.0 - bent[_BLINKS]
        # Beyond the rig's range nothing is added, and what the generator made there is left to it.
        return np.clip(bent, np.minimum(rig.LOW, latent), np.maximum(rig.HIGH, latent)).astype(np.float32)

    def _listen(self, latent: np.ndarray, frame: int, heard: bool) -> float:
        """How much the mouth speaks at a frame, 0 to 1, by its voice and by how its lips move."""
        gone = 1 if self._frame is None else max(frame - self._frame, 1)
        lips = latent[_LIPS]
        moved = 0.0 if self._lips is None else float(np.abs(lips - self._lips).max()) / gone
        self._lips, self._frame = lips.copy(), frame
        by_voice = min(1.0 if heard else 0.0, self._speaking + gone / _ATTACK[0])
        by_lips = min((moved - _STILL) / (_MOVES - _STILL), 1.0, self._speaking + gone / _ATTACK[1])
        self._speaking = max(self._speaking - gone / _RELEASE, by_voice, by_lips, 0.0)
        return smooth(self._speaking)


def sounding(frames: Sequence[np.ndarray | None], count: int) -> list[bool]:
    """For `Director.apply`: whether the voice sounds in each of the first `count` frames or soon after. frames: its samples, one
    array a frame from the first one on, as far as they are known; None for one that is not."""
    loud = [f is not None and len(f) > 0 and float(np.abs(f).max()) > SOUNDS for f in frames[: count + VOICE_AHEAD]]
    return [any(loud[i : i + VOICE_AHEAD + 1]) for i in range(count)]


def _joined(latent: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Sums of what goes both ways; of what goes one way the two share the room up to 1, and opposite movements give way."""
    left = np.where(_ONE_WAY, latent * (1.0 - np.minimum(np.maximum(offset, 0.0) @ _AGAINST, 1.0)), latent)
    room = np.where(_ONE_WAY & (offset > 0.0), np.clip(1.0 - left, 0.0, 1.0), 1.0)
    return left + offset * room
