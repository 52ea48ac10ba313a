"""Camera image -> rig latent: what the face before the camera does, relative to the same face at rest.

MediaPipe's face mesh gives landmarks; a rigid fit removes the head's pose (landmarks.py); what remains is measured
in the units of rig.py against the person's neutral face, which is learned while we watch (expression.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import landmarks, rig
from avatar_forcing_ros.motion.expression import NeutralFace, NeutralLearner, expression_of
from avatar_forcing_ros.motion.mediapipe_start import open_face_mesh, restart
from avatar_forcing_ros.timeline import FRAME_RATE

_LARGEST_SIDE = 640  # pixels; the mesh looks at 192 x 192 of a face, more costs time and shows nothing
_SMALLEST_SIDE = 32
_HOLD = 0.3  # seconds that the last motion is held when the face is lost ...
_EASE = 0.7  # ... and in which it then returns to neutral
_RETURN = 0.3  # seconds in which the motion of a face that is found again takes over
_FORGET = 2.0  # seconds after which a returning face is taken for another person's
_CONFIDENCE_RATE = 4.0  # per second
_LONGEST_STEP = 0.2  # seconds; a longer gap between images is treated as this much
_BLINK_SPEED = 1.5  # per second, of lids half closed; a blink takes them from open to shut in 0.1 to 0.3 s


@dataclass(frozen=True)
class TrackedFace:
    """motion: (32,) float32 rig latent. confidence: 0 (no face) to 1. box: (x0, y0, x1, y1) in pixels of the given
    image, or None. faces: how many faces were seen, at most the tracker's `max_faces`."""

    motion: np.ndarray
    confidence: float
    box: tuple[float, float, float, float] | None
    faces: int


class FaceTracker:
    """Follows one face through a video, with bounded state.

    learn_seconds: how long the neutral face is learned (0: typical human ratios, then slow adaptation).
    max_faces: how many faces are looked for; the one followed is kept while it is seen, else the largest is taken.
    neutral: the person's face at rest, where it is known: an image, (H, W, 3) uint8 RGB, or what
        `FaceTracker.neutral_face` of an earlier session gave. Nothing is learned then, except where the head is.
    calm: share of the dead zones that hide the mesh's noise; less shows slighter movements of lips, lids and brows, and
        some noise with them. Lips are smoothed less as well, by half from 0.5 down.
    Raises InputError for an unusable parameter or a neutral image without a face.
    """

    def __init__(
        self, learn_seconds: float = 2.0, max_faces: int = 2, neutral: np.ndarray | NeutralFace | None = None, calm: float = 1.0
    ) -> None:
        if not 0.0 <= learn_seconds <= 60.0:
            raise InputError(f"learn_seconds is {learn_seconds}: give 0 to 60 seconds")
        if not 1 <= max_faces <= 8:
            raise InputError(f"max_faces is {max_faces}: give 1 to 8")
        if not 0.0 <= calm <= 1.0:
            raise InputError(f"calm is {calm}: give 0 to 1")
        self._calm = calm
        self._mesh = open_face_mesh(max_num_faces=max_faces, refine_landmarks=True)
        self._learner = NeutralLearner(learn_seconds)
        self._known: NeutralFace | None = None
        self._forget()
        if neutral is not None:
            self._known = neutral if isinstance(neutral, NeutralFace) else self._neutral_of(neutral)

    @property
    def neutral_face(self) -> NeutralFace | None:
        """The face at rest of the person followed, as known by now; None before the first face."""
        return self._learner.face if self._known is None else self._known

    def reset(self) -> None:
        """Forgets the person and the video: the next image is as the first one."""
        restart(self._mesh)
        self._forget()

    def _forget(self) -> None:
        self._learner.reset()
        self._shape: tuple[int, ...] | None = None
        self._time = -math.inf
        self._present = -math.inf  # when the followed face was last in the image ...
        self._seen = -math.inf  # ... and when it was last seen well enough to be measured
        self._found = -math.inf  # when it was found, after a time without
        self._box: np.ndarray | None = None
        self._filter = _OneEuro(self._calm)
        self._mouths: tuple[np.ndarray, np.ndarray] | None = None  # the lower face's measures, two frames back
        self._tremble = 0.0  # D per frame and frame
        self._closed = 0.0  # how far the lids were, in the image before
        self._frozen = rig.neutral()  # the motion shown when the face was last lost or found
        self._motion = rig.neutral()
        self._confidence = 0.0

    def close(self) -> None:
        """Releases the mesh; the tracker cannot be used afterwards."""
        if self._mesh is not None:
            self._mesh.close()
            self._mesh = None

    def track(self, image: np.ndarray, time_s: float) -> TrackedFace:
        """Measures the next image of the video.

        image: (H, W, 3) uint8 RGB; (H, W) and (H, W, 1) are taken as grey. time_s: the image's time; when it jumps
        back, or the image's size changes, the tracker starts anew. Raises InputError for anything else.
        """
        image = _checked(image)
        if not math.isfinite(time_s):
            raise InputError(f"the image's time is {time_s}: give seconds as a finite number")
        if time_s < self._time or (self._shape is not None and image.shape != self._shape):
            self.reset()
        first = self._shape is None
        self._shape = image.shape
        step = min(max(time_s - self._time, 1e-3), _LONGEST_STEP)
        self._time = time_s

        shrink, small = _shrunk(image)
        faces = self._landmarks(small)
        index = self._choose([_box_of(f) for f in faces], time_s)
        if index is None:
            self._lost(time_s, step)
            box = None
        else:
            points = faces[index]
            box = tuple(float(v) for v in _box_of(points) / shrink)
            self._follow(points, _visibility(points, small), time_s, step, first)
        return TrackedFace(self._motion.copy(), self._confidence, box, len(faces))

    def _landmarks(self, image: np.ndarray) -> list[np.ndarray]:
        """Each face's landmarks, (478, 3) float64: pixels, x right, y up, z toward the camera."""
        image.flags.writeable = False
        found = self._mesh.process(image).multi_face_landmarks or []
        height, width = image.shape[:2]
        faces = [np.array([(p.x * width, -p.y * height, -p.z * width) for p in f.landmark]) for f in found]
        return [f for f in faces if len(f) == landmarks.COUNT and np.isfinite(f).all()]

    def _choose(self, boxes: list[np.ndarray], time_s: float) -> int | None:
        """Which face to follow: the one followed, or the largest one where there is none to keep."""
        if not boxes:
            return None
        if self._box is not None:
            apart = [_apart(self._box, b) for b in boxes]
            nearest = int(np.argmin(apart))
            if apart[nearest] < 0.6:
                return nearest
            if time_s - self._present < _HOLD + _EASE:
                return None  # another person: wait until the followed one is surely gone
        self._learner.reset()
        self._known = None if self._box is not None else self._known
        return int(np.argmax([(b[2] - b[0]) * (b[3] - b[1]) for b in boxes]))

    def _follow(self, points: np.ndarray, visible: float, time_s: float, step: float, first: bool) -> None:
        if time_s - self._present > _FORGET:
            self._learner.reset()
        self._present = time_s
        self._box = _box_of(points)
        if time_s - self._seen > _HOLD:  # found (again): take over from what is shown
            self._frozen = self._motion
            # On the first image there is nothing to take over from, but the neutral face is a guess: show part of it.
            head_start = 0.0 if not first else 0.4 if self._known is None else 1.0
            self._found = time_s - head_start * _RETURN
            self._filter = _OneEuro(self._calm)
            self._mouths = None
        pose = landmarks.fit_pose(points)
        measures = landmarks.measure_face(points, pose)
        angles = pose.angles
        steady = self._steadiness(measures, step)
        facing = _falling(abs(angles[0]), 0.7, 1.2) * _falling(abs(angles[1]), 0.6, 1.0)
        certainty = (0.4 + 0.6 * steady) * visible * facing * _falling(pose.residual, 0.09, 0.16)
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
        measured[_MOUTH] = self._filter.value[_MOUTH] + (0.2 + 0.8 * steady) * (measured[_MOUTH] - self._filter.value[_MOUTH])
        measured = self._filter(rig.clamp(measured), step)
        share = _smooth((time_s - self._found) / _RETURN)
        self._motion = (self._frozen + share * (measured - self._frozen)).astype(np.float32)
        self._seen = time_s
        self._confidence = certainty if first else _toward(self._confidence, certainty, _CONFIDENCE_RATE * step)

    def _steadiness(self, measures: np.ndarray, step: float) -> float:
        """1 for a mouth that is seen, down to 0 where a hand covers it: the mesh then trembles as no speech does."""
        mouth = measures[_MOUTH_MEASURES]
        tremble = float(np.abs(mouth - 2 * self._mouths[1] + self._mouths[0]).mean()) if self._mouths is not None else 0.0
        self._mouths = (self._mouths[1], mouth) if self._mouths is not None else (mouth, mouth)
        change = min(tremble, 0.1) - self._tremble
        self._tremble += _share(1.0 if change > 0 else 0.4, step) * change  # quick to doubt, slow to trust again
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
        image = _checked(image)
        _, small = _shrunk(image)
        for _ in range(10):  # the mesh settles on its own earlier result
            faces = self._landmarks(small)
        restart(self._mesh)
        if not faces:
            raise InputError("no face in the neutral image: give one that shows a face from the front")
        points = max(faces, key=lambda f: np.ptp(f[:, 0]))
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
_MOUTH = [i for i, n in enumerate(rig.NAMES) if n.startswith(("mouth", "jaw"))]
_MOUTH_MEASURES = [i for n, i in landmarks.AT.items() if n.startswith(("corner", "upperLip", "lowerLip", "upperRed", "lowerRed", "chinUp"))]
_GAZE_X, _GAZE_Y = rig.INDEX["gazeX"], rig.INDEX["gazeY"]
_BLINKS = [rig.INDEX[n] for n in ("eyeBlinkLeft", "eyeBlinkRight")]


class _OneEuro:
    """The 1-euro filter (Casiez, Roussel, Vogel 2012) on a latent, with a limit to its speed.

    The cut-off rises with the speed, so that a still face is still and a blink is not smeared. The speed limit is
    above what a face does and stops what only a mesh does that has lost its face.
    """

    LOWEST = np.full(rig.DIM, 3.0)  # Hz
    RISE = np.full(rig.DIM, 2.0)  # Hz per unit per second
    FASTEST = np.full(rig.DIM, 12.0)  # units per second
    SPEED_CUTOFF = 5.0  # Hz, of the speed's own filter

    def __init__(self, calm: float = 1.0) -> None:
        self.value = rig.neutral()
        self._lowest = self.LOWEST.copy()
        self._lowest[_MOUTH] /= max(calm, 0.5)
        self._speed = rig.neutral()
        self._empty = True

    def __call__(self, measured: np.ndarray, step: float) -> np.ndarray:
        if self._empty:
            self._empty = False
            self.value = measured
            return measured
        reach = self.FASTEST * step
        measured = np.clip(measured, self.value - reach, self.value + reach)
        speed = (measured - self.value) / step
        self._speed = self._speed + _share(self.SPEED_CUTOFF, step) * (speed - self._speed)
        self.value = self.value + _share(self._lowest + self.RISE * np.abs(self._speed), step) * (measured - self.value)
        return self.value


for _name in ("headYaw", "headPitch", "headRoll", "headX", "headY", "headScale"):
    _OneEuro.LOWEST[rig.INDEX[_name]] = 2.0
    _OneEuro.RISE[rig.INDEX[_name]] = 12.0
    _OneEuro.FASTEST[rig.INDEX[_name]] = 8.0
for _name in rig.NAMES:
    if _name.startswith(("mouth", "brow", "eyeSquint", "jawX")):  # jawOpen is faster: speech
        _OneEuro.FASTEST[rig.INDEX[_name]] = 6.0
for _name in ("eyeBlinkLeft", "eyeBlinkRight"):
    _OneEuro.LOWEST[rig.INDEX[_name]] = 8.0
    _OneEuro.FASTEST[rig.INDEX[_name]] = 25.0


def _share(cutoff, step: float):
    """How much of a new value a first-order low pass takes in one step. cutoff in Hz."""
    return 1.0 - np.exp(-2.0 * math.pi * cutoff * step)


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
        raise InputError(f"the image has {image.shape[1]} x {image.shape[0]} pixels: give at least {_SMALLEST_SIDE} x {_SMALLEST_SIDE}")
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def _shrunk(image: np.ndarray) -> tuple[float, np.ndarray]:
    """(factor, image) with the longer side at most `_LARGEST_SIDE`; always a copy or contiguous."""
    height, width = image.shape[:2]
    factor = min(1.0, _LARGEST_SIDE / max(height, width))
    if factor == 1.0:
        return 1.0, np.ascontiguousarray(image).view()
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    return factor, cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _box_of(points: np.ndarray) -> np.ndarray:
    """(x0, y0, x1, y1) in pixels, y down, of landmarks whose y points up."""
    return np.array([points[:, 0].min(), -points[:, 1].max(), points[:, 0].max(), -points[:, 1].min()])


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    """How unlike two boxes are: 0 the same, 1 a face's width away or half as wide again."""
    width = [max(box[2] - box[0], 1.0) for box in (a, b)]
    shift = np.hypot(a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]) / 2
    return float(shift / min(width) + abs(math.log(width[0] / width[1])) / math.log(2.0))


def _visibility(points: np.ndarray, image: np.ndarray) -> float:
    """0 to 1: the face is inside the image, large enough and lit."""
    height, width = image.shape[:2]
    x, y = points[:, 0], -points[:, 1]
    inside = float(np.mean((x > 0) & (x < width) & (y > 0) & (y < height)))
    x0, y0, x1, y1 = (int(v) for v in _box_of(points))
    patch = image[max(y0, 0) : max(y1, 1), max(x0, 0) : max(x1, 1)][::4, ::4]
    light = float(patch.mean()) if patch.size else 0.0
    return (1 - _falling(inside, 0.6, 0.95)) * (1 - _falling(x1 - x0, 16, 40)) * (1 - _falling(light, 8, 25))


def _smooth(x: float) -> float:
    x = min(max(x, 0.0), 1.0)
    return x * x * (3.0 - 2.0 * x)


def _falling(x: float, start: float, end: float) -> float:
    """1 up to `start`, 0 from `end` on."""
    return 1.0 - _smooth((x - start) / (end - start))


def _toward(value: float, target: float, reach: float) -> float:
    return value + min(max(target - value, -reach), reach)
