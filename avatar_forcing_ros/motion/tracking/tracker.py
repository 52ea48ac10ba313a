"""Camera image -> rig latent: what the face before the camera does, relative to the same face at rest.

The face mesh gives landmarks (finder.py); a rigid fit removes the head's pose (landmarks.py); what remains is measured
in the units of rig.py against the person's neutral face, which is learned while we watch (neutral.py).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.tracking import A_FACE, landmarks
from avatar_forcing_ros.motion.tracking.expression import expression_of
from avatar_forcing_ros.motion.tracking.finder import FaceFinder
from avatar_forcing_ros.motion.tracking.neutral import NeutralFace, NeutralLearner
from avatar_forcing_ros.motion.tracking.one_euro import OneEuro, share_of
from avatar_forcing_ros.timeline import FRAME_RATE

_SMALLEST_SIDE = 32
_HOLD = 0.3  # seconds that the last motion is held when the face is lost ...
_EASE = 0.7  # ... and in which it then returns to neutral
_RETURN = 0.3  # seconds in which the motion of a face that is found again takes over
_FORGET = 2.0  # seconds after which a returning face is taken for another person's
_CONFIDENCE_RATE = 4.0  # per second
_LONGEST_STEP = 0.5  # seconds; a longer gap between images is treated as this much
DOUBTS = ("small", "dark", "cut off", "turned", "covered", "unlike")
_LATE = 2.0  # seconds; an image that much older than the one before belongs to a video that starts again
_FIRST_STEP = 0.04  # seconds, of an image that has none before it
_APART = 0.03  # seconds; trembling is measured on images at least that far apart ...
_TREMBLE_STEP = (
    0.04  # ... and as it would be this far apart: a mouth that speaks moves more between two images of a slower camera
)
_BLINK_SPEED = 1.5  # per second, of lids half closed; a blink takes them from open to shut in 0.1 to 0.3 s


@dataclass(frozen=True)
class TrackedFace:
    """motion: (32,) float32 rig latent. confidence: 0 (no face) to 1. box: (x0, y0, x1, y1) in pixels of the given
    image, or None. faces: how many faces were seen, at most the tracker's `max_faces`. late: the image was older than the one before, and
    was not looked at; all else is that one's. doubt: what makes a face in view doubtful, of `DOUBTS`; empty where nothing does."""

    motion: np.ndarray
    confidence: float
    box: tuple[float, float, float, float] | None
    faces: int
    late: bool = False
    doubt: str = ""


class FaceTracker:
    """Follows one face through a video, with bounded state.

    learn_seconds: how long the neutral face is learned (0: typical human ratios, then slow adaptation).
    max_faces: how many faces are counted and chosen from. follow, dwell: which of them is followed (see `FaceFinder`).
    neutral: the person's face at rest, where it is known: an image, (H, W, 3) uint8 RGB, or what
        `FaceTracker.neutral_face` of an earlier session gave. Nothing is learned then, except where the head is.
    calm: share of the dead zones that hide the mesh's noise; less shows slighter movements of lips, lids and brows, and
        some noise with them. Lips are smoothed less as well, by half from 0.5 down.
    Raises InputError for an unusable parameter or a neutral image without a face.
    """

    def __init__(
        self,
        learn_seconds: float = 3.0,
        max_faces: int = 8,
        neutral: np.ndarray | NeutralFace | None = None,
        calm: float = 1.0,
        *,
        follow: str = "first",
        dwell: float = 1.0,
    ) -> None:
        if not 0.0 <= learn_seconds <= 60.0:
            raise InputError(f"learn_seconds is {learn_seconds}: give 0 to 60 seconds")
        if not 1 <= max_faces <= 8:
            raise InputError(f"max_faces is {max_faces}: give 1 to 8")
        if not 0.0 <= calm <= 1.0:
            raise InputError(f"calm is {calm}: give 0 to 1")
        self._calm = calm
        self._finder = FaceFinder(max_faces, follow, dwell)
        self._learner = NeutralLearner(learn_seconds)
        self._known: NeutralFace | None = None
        self._forget()
        if neutral is not None:
            self._known = neutral if isinstance(neutral, NeutralFace) else self._neutral_of(neutral)

    @property
    def neutral_face(self) -> NeutralFace | None:
        """The face at rest of the person followed, as known by now; None before the first face."""
        return self._learner.face if self._known is None else self._known

    @property
    def point(self) -> tuple[float, float]:
        """Where the face to follow is, in parts of the image's width and height; for `follow="topic"`."""
        return self._finder.point

    @point.setter
    def point(self, place: tuple[float, float]) -> None:
        self._finder.point = place

    def reset(self) -> None:
        """Forgets the person and the video: the next image is as the first one."""
        self._forget()

    def _forget(self) -> None:
        self._learner.reset()
        self._shape: tuple[int, ...] | None = None
        self._now = 0.0  # seconds of video seen; stamps may jump, this does not
        self._motion = rig.neutral()
        self._confidence = 0.0
        self._found = -math.inf  # when the face was found, after a time without
        self._face = TrackedFace(self._motion, 0.0, None, 0)
        self._restart()

    def _restart(self) -> None:
        """The next image continues no video; who was before the camera is known still."""
        self._finder.reset()
        self._time = -math.inf  # the stamp of the image before
        self._present = self._now if self._shape else -math.inf  # when the followed face was last in the image ...
        self._seen = -math.inf  # ... and when it was last seen well enough to be measured
        self._filter = OneEuro(self._calm)
        self._mouths: deque[tuple[float, np.ndarray]] = deque(maxlen=12)  # the lower face's measures, and when
        self._tremble = 0.0  # D in `_TREMBLE_STEP`
        self._closed = 0.0  # how far the lids were, in the image before
        self._frozen = self._motion  # the motion shown when the face was last lost or found

    def close(self) -> None:
        """Nothing to release; the tracker may be used on."""

    def track(self, image: np.ndarray, time_s: float) -> TrackedFace:
        """Measures the next image of the video.

        image: (H, W, 3) uint8 RGB; (H, W) and (H, W, 1) are taken as grey. time_s: the image's time. An image up to 2 s older than the
        one before comes late and is left out. When the time jumps farther back, or the image's size changes, the video starts
        anew, with the same person. Raises InputError for anything else.
        """
        image = _checked(image)
        if not math.isfinite(time_s):
            raise InputError(f"the image's time is {time_s}: give seconds as a finite number")
        if time_s <= self._time and self._time - time_s <= _LATE and image.shape == self._shape:
            return replace(self._face, late=True)
        first = self._shape is None
        if self._shape is not None and (time_s < self._time or image.shape != self._shape):
            self._learner.scale(image.shape[1] / self._shape[1])
            self._restart()
        self._shape = image.shape
        step = min(max(time_s - self._time, 1e-3), _LONGEST_STEP) if math.isfinite(self._time) else _FIRST_STEP
        self._now, self._time = self._now + step, time_s

        seen = self._finder.look(image, self._now, _HOLD + _EASE)
        box: tuple[float, float, float, float] | None = None
        self._doubt = ""
        if seen.points is None:
            self._lost(self._now, step)
        else:
            if seen.new and not first:
                self._learner.reset()
                self._known = None
                self._seen = -math.inf
            (left, top), (right, bottom) = seen.points[:, :2].min(axis=0), seen.points[:, :2].max(axis=0)
            box = (float(left), float(top), float(right), float(bottom))
            points = seen.points * (1, -1, -1)
            pose = landmarks.fit_pose(points)
            visible = _visibility(box, seen.points, image)
            self._follow(pose, landmarks.measure_face(points, pose), visible, self._now, step, first)
        self._face = TrackedFace(self._motion.copy(), self._confidence, box, seen.faces, doubt=self._doubt)
        return self._face

    def _follow(
        self,
        pose: landmarks.Pose,
        measures: np.ndarray,
        visible: dict[str, float],
        time_s: float,
        step: float,
        first: bool,
    ) -> None:
        if time_s - self._present > _FORGET:
            self._learner.reset()
        self._present = time_s
        if time_s - self._seen > max(_HOLD, 1.5 * step):  # found (again): take over from what is shown
            self._frozen = self._motion
            # On the first image there is nothing to take over from, but the neutral face is a guess: show part of it.
            head_start = 0.0 if not first else 0.4 if self._known is None else 1.0
            self._found = time_s - head_start * _RETURN
            self._filter = OneEuro(self._calm)
            self._mouths.clear()
        angles = pose.angles
        steady = self._steadiness(measures, step)
        doubts = dict(visible)
        doubts["covered"] = 0.4 + 0.6 * steady
        doubts["turned"] = _falling(abs(angles[0]), 0.7, 1.2) * _falling(abs(angles[1]), 0.6, 1.0)
        doubts["unlike"] = doubts.get("unlike", 1.0) * _falling(pose.residual, 0.09, 0.16)
        certainty = math.prod(doubts.values())
        self._doubt = min(doubts, key=doubts.__getitem__) if certainty <= A_FACE else ""
        if certainty < 0.2 and not first:
            self._lost(time_s, step)
            return
        rest = self._learner.observe(measures, angles, pose.centre, pose.scale, step)
        if self._known is not None:
            rest = NeutralFace(self._known.measures, self._known.angles, rest.centre, rest.scale)
        measured = expression_of(measures, rest.measures, angles[0], self._calm)
        distance = rest.scale * rest.measures[landmarks.AT["eyeDistance"]]  # D in pixels
        measured[_HEAD_ANGLES] = landmarks.angles_of(pose.rotation @ landmarks.rotation_of(rest.angles).T)
        measured[_HEAD_SHIFT] = (pose.centre - rest.centre) / distance
        measured[_HEAD_SCALE] = math.log(pose.scale / rest.scale)
        hidden = self._hidden_gaze(measured[_BLINKS], step)  # there the eyes look where they looked
        measured[hidden] = self._filter.value[hidden]
        measured[rig.MOUTH] = self._filter.value[rig.MOUTH] + (1.0 - (0.8 - 0.8 * steady) ** (step / _TREMBLE_STEP)) * (
            measured[rig.MOUTH] - self._filter.value[rig.MOUTH]
        )
        measured = self._filter(rig.clamp(measured), step)
        share = _smooth((time_s - self._found) / _RETURN)
        self._motion = (self._frozen + share * (measured - self._frozen)).astype(np.float32)
        self._seen = time_s
        self._confidence = certainty if first else _toward(self._confidence, certainty, _CONFIDENCE_RATE * step)

    def _steadiness(self, measures: np.ndarray, step: float) -> float:
        """1 for a mouth that is seen, down to 0 where a hand covers it: the mesh then trembles as no speech does."""
        mouth, now = measures[_MOUTH_MEASURES], self._now
        last = next((m for m in reversed(self._mouths) if now - m[0] >= _APART), None)
        before = next((m for m in reversed(self._mouths) if last and last[0] - m[0] >= _APART), None)
        self._mouths.append((now, mouth))
        if last is None or before is None:
            return _falling(self._tremble, 0.016, 0.035)
        after, ago = now - last[0], last[0] - before[0]
        tremble = float(np.abs(mouth - last[1] - (last[1] - before[1]) * (after / ago)).mean())
        tremble /= max((after + ago) / (2 * _TREMBLE_STEP), 1.0)
        change = min(tremble, 0.1) - self._tremble
        self._tremble += share_of(1.0 if change > 0 else 0.4, step) * change  # quick to doubt, slow to trust again
        return _falling(self._tremble, 0.016, 0.035)

    def _hidden_gaze(self, lids: np.ndarray, step: float) -> list[int]:
        """lids: (2,), how far each eye is closed. Where both are, they hide the irises. Half closed ones press them down in a blink,
        which is quick; slower ones are of eyes that look down."""
        closed = float(lids.max())
        speed, self._closed = abs(closed - self._closed) / step, closed
        if lids.min() > 0.6:
            return [_GAZE_X, _GAZE_Y]
        return [_GAZE_Y] if closed > 0.4 and speed > _BLINK_SPEED else []

    def _lost(self, time_s: float, step: float) -> None:
        """No usable face: hold the motion, then ease to neutral."""
        self._confidence = _toward(self._confidence, 0.0, _CONFIDENCE_RATE * step)
        gone = time_s - self._seen
        if gone <= _HOLD:
            self._frozen = self._motion
        else:
            self._motion = (self._frozen * (1.0 - _smooth((gone - _HOLD) / _EASE))).astype(np.float32)

    def _neutral_of(self, image: np.ndarray) -> NeutralFace:
        image, finder = _checked(image), FaceFinder(1)
        for turn in range(10):  # the mesh settles on its own earlier result
            points = finder.look(image, float(turn), 0.0).points
        if points is None:
            raise InputError("no face in the neutral image: give one that shows a face from the front")
        points = points * (1, -1, -1)
        pose = landmarks.fit_pose(points)
        return NeutralFace(landmarks.measure_face(points, pose), pose.angles, pose.centre, pose.scale)


def face_at_rest(images: Iterable[np.ndarray]) -> NeutralFace | None:
    """The face at rest of the person in a recording's images, (H, W, 3) uint8 RGB each at 25 Hz; None where none is seen.

    Whoever measures the recording against it (`FaceTracker(neutral=...)`) sees no shift while the rest is being learned.
    """
    tracker = FaceTracker()
    for index, image in enumerate(images):
        tracker.track(image, index / FRAME_RATE)
    tracker.close()
    return tracker.neutral_face


_HEAD_ANGLES = [rig.INDEX[n] for n in ("headYaw", "headPitch", "headRoll")]
_HEAD_SHIFT = [rig.INDEX[n] for n in ("headX", "headY")]
_HEAD_SCALE = rig.INDEX["headScale"]
_MOUTH_MEASURES = [
    i
    for n, i in landmarks.AT.items()
    if n.startswith(("corner", "upperLip", "lowerLip", "upperRed", "lowerRed", "chinUp"))
]
_GAZE_X, _GAZE_Y = rig.INDEX["gazeX"], rig.INDEX["gazeY"]
_BLINKS = [rig.INDEX[n] for n in ("eyeBlinkLeft", "eyeBlinkRight")]


def _checked(image: np.ndarray) -> np.ndarray:
    """The image as (H, W, 3) uint8, or InputError."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = getattr(image, "dtype", type(image).__name__)
        raise InputError(f"the image is of type {kind}: give a uint8 array with values 0 to 255")
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3):
        raise InputError(f"the image has the shape {image.shape}: give (height, width, 3) RGB or (height, width) grey")
    if min(image.shape[:2]) < _SMALLEST_SIDE:
        raise InputError(
            f"the image has {image.shape[1]} x {image.shape[0]} pixels: give at least {_SMALLEST_SIDE} x {_SMALLEST_SIDE}"
        )
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def _visibility(box: tuple[float, ...], points: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """0 to 1 each, by what is wrong where it is less: the face is inside the image, large enough and lit."""
    height, width = image.shape[:2]
    x, y = points[:, 0], points[:, 1]
    inside = float(np.mean((x > 0) & (x < width) & (y > 0) & (y < height)))
    x0, y0, x1, y1 = (int(v) for v in box)
    coarse = max((x1 - x0) // 24, 1)
    patch = image[max(y0, 0) : max(y1, 1), max(x0, 0) : max(x1, 1)][::coarse, ::coarse]
    light = float(patch.mean()) if patch.size else 0.0
    return {
        "cut off": 1 - _falling(inside, 0.5, 0.85),
        "small": 1 - _falling(x1 - x0, 16, 40),
        "dark": 1 - _falling(light, 5, 10),
    }


def _smooth(x: float) -> float:
    x = min(max(x, 0.0), 1.0)
    return x * x * (3.0 - 2.0 * x)


def _falling(x: float, start: float, end: float) -> float:
    """1 up to `start`, 0 from `end` on."""
    return 1.0 - _smooth((x - start) / (end - start))


def _toward(value: float, target: float, reach: float) -> float:
    return value + min(max(target - value, -reach), reach)
