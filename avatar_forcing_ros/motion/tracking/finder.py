"""Finds faces, near and far, decides whose is followed, and follows its mesh from image to image.

While a face is followed an image costs one mesh; now and then a detector looks who else is there. While none is, each image costs two
looks: one for a near face in the whole image, one for a far face in a part of it, part after part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion.tracking import FOLLOW, landmarks
from avatar_forcing_ros.motion.tracking.detector import Detection, detect, overlap
from avatar_forcing_ros.motion.tracking.models import FULL_RANGE, MESH, SHORT_RANGE, network
from avatar_forcing_ros.motion.tracking.video_mesh import Square, cut, measure

_LEAST_PRESENCE = 0.5
_PART = (480, 720)  # pixels; least and greatest side of the parts that are searched for far faces
_SHARED = 160  # pixels that neighbouring parts have in common: no face lies in neither
_MARGIN = (
    0.12  # of a part, searched beyond the image's border: a face there is cut off, and found with some room around it
)
_NEAR_FRESH = 1.0  # seconds in which a lost face is looked for where it was
_OTHERS = 0.2  # seconds between two looks at who else is there; twice as long where nobody else would be followed
_NEAR, _WIDE, _FAR = range(3)  # looks: for near faces, for far ones in the whole image, and in a part of it
_SURELY_BETTER = 1.2  # how much larger another face has to be, or nearer to the middle, to be followed instead
_FINEST = 480  # pixels; a larger face is shrunk to half, a third ... of its size: the mesh looks at 192 of them
_TRIED = 3  # faces found that are looked at more closely in one image, at most
_SURE = 0.85  # a detector's score from which on nobody else is asked ...
_CONFIRMED = 0.75  # ... and what the near detector has to say else, looking closely: of faces it says 0.78 and more
_IN_FOCUS = (
    0.40,
    0.43,
)  # see `_in_focus`, of small faces and large ones; people have 0.44 and more, faces blurred by 4 % 0.37 at most
_LIKE = 0.12  # D; see `_like_a_head`
_FOCUS_SIDE = 75.0  # pixels of the square around a small face; a large one has twice as much
_MEAN_OVER_MEDIAN = 0.9 * 0.8 / 0.6745  # of the size of noise, a little less for what is detail
_DARK, _BRIGHT = 50.0, 90.0  # grey levels; a darker image is made as bright as this before it is looked at


@dataclass(frozen=True)
class Seen:
    """points: the mesh followed, (478, 3) pixels, x right, y down, z away; None where none is. faces: how many faces are in view.

    new: the face followed is not the one of the image before.
    """

    points: np.ndarray | None
    faces: int
    new: bool = False


@dataclass(frozen=True)
class _Other:
    """A face that is not followed, and the kind of look that showed it."""

    face: Detection
    look: int


class FaceFinder:
    """State of fixed size.

    faces: how many are counted, and chosen from; 1: nobody is looked for beside the one followed. follow: which of them is followed: "first" (the one followed is kept while it is
    seen, else the largest is taken), "largest", "middle" (of the image), or "topic" (the one nearest to `point`). dwell: seconds for which another
    face has to be the better one before it is followed.
    """

    def __init__(self, faces: int = 8, follow: str = "first", dwell: float = 1.0) -> None:
        if follow not in FOLLOW:
            raise InputError(f"follow is '{follow}': use one of {', '.join(FOLLOW)}")
        if not 0.0 <= dwell <= 60.0:
            raise InputError(f"dwell is {dwell}: give 0 to 60 seconds")
        for name in (SHORT_RANGE, FULL_RANGE, MESH):
            network(name)  # now, so that a missing one is told before there are images
        self._most, self._follow, self._dwell = faces, follow, dwell
        self._pause = 2 * _OTHERS if follow == "first" else _OTHERS
        self.point = (0.5, 0.5)  # of the image's width and height; for "topic"
        self.reset()

    def reset(self) -> None:
        self._square: Square | None = None  # of the face followed
        self._box: np.ndarray | None = None  # its mesh's, when it was last seen ...
        self._present = -math.inf  # ... and when that was
        self._others: list[_Other] = []
        self._looked = -math.inf  # when it was last looked who is there
        self._better_since = math.inf
        self._turn = 0

    def look(self, image: np.ndarray, time_s: float, patience: float) -> Seen:
        """The next image, (H, W, 3) uint8 RGB.

        patience: seconds for which the face followed is waited for, where others are seen and it is not.
        """
        points = self._measured(image, self._square) if self._square is not None else None
        new = False
        if points is None:
            self._others = self._search(image, time_s)
            points, new = self._find(image, time_s, patience)
        elif self._most > 1 and time_s - self._looked >= self._pause:
            self._look_around(image, points, time_s)
            better = self._better(image.shape, _box_of(points))
            self._better_since = min(self._better_since, time_s) if better else math.inf
            if better and time_s - self._better_since >= self._dwell:
                self._better_since = time_s
                other = self._first_true(image, better)
                if other is not None:
                    points, new, self._better_since = other, True, math.inf
        self._square = Square.of_mesh(points) if points is not None else None
        if points is None:
            return Seen(None, len(self._others))
        self._box, self._present = _box_of(points), time_s
        return Seen(points, 1 + len(self._others), new)

    # What is there

    def _measured(self, image: np.ndarray, square: Square) -> np.ndarray | None:
        """The mesh in a square where there is a face."""
        patch, shift, factor = _patch(image, square)
        seen = Square(
            (square.x - shift[0]) / factor, (square.y - shift[1]) / factor, square.side / factor, square.angle
        )
        points, presence = measure(patch, seen, _gain(image, square.box))
        if presence <= _LEAST_PRESENCE:
            return None
        points *= factor
        points[:, :2] += shift
        return points

    def _search(self, image: np.ndarray, time_s: float) -> list[_Other]:
        """One near and one far look."""
        self._looked, self._turn = time_s, self._turn + 1
        gain = _gain(image, np.array([0, 0, image.shape[1], image.shape[0]]))
        near = None
        if self._box is not None and time_s - self._present < _NEAR_FRESH and self._turn % 2:
            near = _around(self._box)
        parts = _parts(image.shape[1], image.shape[0])
        found = [_Other(d, _NEAR) for d in detect(image, SHORT_RANGE, window=near, gain=gain)]
        part = parts[self._turn % len(parts)]
        found += [_Other(d, _FAR) for d in detect(image, FULL_RANGE, window=part, gain=gain)]
        return _different(found)

    def _look_around(self, image: np.ndarray, points: np.ndarray, time_s: float) -> None:
        """Who else is there: in the whole image at one time, in a part of it at another."""
        self._looked, self._turn = time_s, self._turn + 1
        parts, mine = _parts(image.shape[1], image.shape[0]), _box_of(points)
        look = _FAR if self._turn % 2 else (_NEAR, _WIDE)[self._turn // 2 % 2]
        window = parts[self._turn // 2 % len(parts)] if look == _FAR else None
        gain = _gain(image, np.array([0, 0, image.shape[1], image.shape[0]]))
        model = SHORT_RANGE if look == _NEAR else FULL_RANGE
        found = [_Other(d, look) for d in detect(image, model, window=window, gain=gain)]
        # Whoever such a look has shown there before is seen again, or has gone; the others have not been looked for.
        kept = [o for o in self._others if o.look != look or (window is not None and not _lies_in(o.face.box, window))]
        others = [o for o in _different(found + kept) if not _same(mine, o.face.box)]
        others.sort(key=lambda o: -self._worth(image.shape, o.face.box))
        self._others = others[: self._most - 1]

    # Who is followed

    def _find(self, image: np.ndarray, time_s: float, patience: float) -> tuple[np.ndarray | None, bool]:
        """The face to follow among those just found."""
        found = list(self._others)
        if self._box is not None:
            mine = [o for o in found if _same(self._box, o.face.box)]
            if time_s - self._present < patience:
                found = mine  # another person: wait until the one followed is surely gone
            else:
                found.sort(key=lambda o: o not in mine)
        if self._box is None or time_s - self._present >= patience:
            found.sort(key=lambda o: -self._worth(image.shape, o.face.box))
        points = self._first_true(image, found)
        self._others = self._others[: self._most - (points is not None)]
        return points, points is not None and (self._box is None or not _same(self._box, _box_of(points)))

    def _first_true(self, image: np.ndarray, found: list[_Other]) -> np.ndarray | None:
        """The mesh of the first that is a face and in focus. Whoever was looked at is no other one any more."""
        for other in found[:_TRIED]:
            self._others = [o for o in self._others if o is not other]
            if not _confirmed(image, other.face):
                continue
            points = self._measured(image, Square.of_detection(other.face))
            if points is not None and _like_a_head(points) and _in_focus(image, points):  # not a picture at a wall
                return points
        return None

    def _worth(self, shape: tuple[int, ...], box: np.ndarray) -> float:
        """How much a face is the one to follow, above 0."""
        if self._follow in ("first", "largest"):
            return float(np.prod(box[2:] - box[:2])) ** 0.5
        height, width = shape[:2]
        aim = (0.5, 0.5) if self._follow == "middle" else self.point
        away = np.hypot(*((box[:2] + box[2:]) / 2 - (aim[0] * width, aim[1] * height)))
        return 1.0 / (1.0 + float(away) / (0.1 * width))

    def _better(self, shape: tuple[int, ...], mine: np.ndarray) -> list[_Other]:
        """Who is surely more the one to follow, the best first."""
        if self._follow == "first":
            return []
        (x, y), half = (mine[:2] + mine[2:]) / 2, 0.45 * (mine[3] - mine[1])  # as a detector draws its box
        own = np.array([x - half, y - half, x + half, y + half])
        least = _SURELY_BETTER * self._worth(shape, own)
        better = [o for o in self._others if self._worth(shape, o.face.box) > least]
        return sorted(better, key=lambda o: -self._worth(shape, o.face.box))


def _box_of(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points[:, :2].min(axis=0), points[:, :2].max(axis=0)])


def _same(mine: np.ndarray, box: np.ndarray) -> bool:
    """Whether a detector's box may be the face in a mesh's box: less than 0.6 of a face's width away or as much larger."""
    width = [max(b[2] - b[0], 1.0) for b in (mine, box)]
    shift = np.hypot(mine[0] + mine[2] - box[0] - box[2], mine[1] + mine[3] - box[1] - box[3]) / 2
    return float(shift / min(width) + abs(math.log(width[0] / width[1])) / math.log(2.0)) < 0.9


def _different(found: list[_Other]) -> list[_Other]:
    """Each face once, the surest first."""
    kept: list[_Other] = []
    for other in sorted(found, key=lambda o: -o.face.score):
        if not kept or overlap(other.face.box, np.array([k.face.box for k in kept])).max() < 0.3:
            kept.append(other)
    return kept


def _lies_in(box: np.ndarray, window: tuple[int, int, int, int]) -> bool:
    """Whether the box's middle does."""
    x, y = (box[:2] + box[2:]) / 2
    return bool(window[0] <= x <= window[2] and window[1] <= y <= window[3])


def _around(box: np.ndarray) -> tuple[int, int, int, int]:
    """The window of three times a face around where it was."""
    (x, y), half = (box[:2] + box[2:]) / 2, 1.5 * float((box[2:] - box[:2]).max())
    return int(x - half), int(y - half), int(x + half), int(y + half)


def _parts(width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Windows that cover an image and some room around it."""
    side = min(max(min(width, height), _PART[0]), _PART[1])
    room = int(_MARGIN * side)
    windows = []
    for top in _starts(height, side):
        for left in _starts(width, side):
            windows.append((left - room, top - room, left + side + room, top + side + room))
    return windows


def _starts(length: int, side: int) -> list[int]:
    if length <= side:
        return [(length - side) // 2]
    count = math.ceil((length - side) / (side - _SHARED)) + 1
    return [round(i * (length - side) / (count - 1)) for i in range(count)]


def _patch(image: np.ndarray, square: Square) -> tuple[np.ndarray, tuple[int, int], int]:
    """(image, where its corner lies, how often it is shrunk): of a large face what is around the square, smaller."""
    factor = int(square.side // (_FINEST / 2))
    if square.side < _FINEST:
        return image, (0, 0), 1
    half = 0.75 * square.side  # a turned square reaches beyond its own half
    x0, y0 = max(int(square.x - half), 0), max(int(square.y - half), 0)
    x1, y1 = min(int(square.x + half), image.shape[1]), min(int(square.y + half), image.shape[0])
    x1, y1 = x1 - (x1 - x0) % factor, y1 - (y1 - y0) % factor
    if x1 - x0 < factor or y1 - y0 < factor:
        return image, (0, 0), 1
    size = ((x1 - x0) // factor, (y1 - y0) // factor)
    return cv2.resize(image[y0:y1, x0:x1], size, interpolation=cv2.INTER_AREA), (x0, y0), factor


def _confirmed(image: np.ndarray, face: Detection) -> bool:
    """Whether a face that one detector is not sure of is one for the near detector, looking closely."""
    if face.score >= _SURE:
        return True
    closely = detect(image, SHORT_RANGE, window=_around(face.box), gain=_gain(image, face.box))
    return any(d.score >= _CONFIRMED and overlap(face.box, d.box[None])[0] > 0.3 for d in closely)


def _like_a_head(points: np.ndarray) -> bool:
    """Whether a mesh has the shape of a head, however it is turned: heads are 0.03 to 0.06 D from it, meshes of other things more."""
    return landmarks.fit_pose(points * (1, -1, -1)).residual < _LIKE


def _in_focus(image: np.ndarray, points: np.ndarray) -> bool:
    """Whether a face has the detail of 1/32 of it that goes with its detail of 1/16: a lens out of focus takes the finer away first.

    What the camera's noise adds to both is taken out, but for the dark, where little else is left.
    """
    square = Square.of_mesh(points)
    pixels = min(max(48 * math.ceil(square.side / 48), 192), 960)  # no fewer than the image's own: each counts
    face = cv2.cvtColor(cut(image, square, pixels), cv2.COLOR_RGB2GRAY)
    noise = 0.0 if _gain(image, square.box) > 1.0 else _noise(image, square)
    found = []
    for n, rows, columns in ((48, slice(10, 40), slice(10, 38)), (24, slice(5, 20), slice(5, 19))):
        small = cv2.resize(face, (n, n), interpolation=cv2.INTER_AREA).astype(np.float32)
        detail = float(np.abs(cv2.Laplacian(small, cv2.CV_32F))[rows, columns].mean())
        found.append(max(detail**2 - (noise * min(n / square.side, 1.0)) ** 2, 0.0) ** 0.5)
    small_face, large_face = _IN_FOCUS
    share = min(max(square.side / _FOCUS_SIDE - 1.0, 0.0), 1.0)
    return found[0] >= (small_face + share * (large_face - small_face)) * max(found[1], 0.05)


def _noise(image: np.ndarray, square: Square) -> float:
    """The mean size that a camera's noise gives to a pixel's Laplacian, from the smooth parts of a face, which are most of it."""
    x0, y0, x1, y1 = square.box + square.side * np.array([0.2, 0.2, -0.2, -0.15])
    part = image[max(int(y0), 0) : max(int(y1), 0), max(int(x0), 0) : max(int(x1), 0)]
    if min(part.shape[:2]) < 8:
        return 0.0
    grey = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY).astype(np.float32)
    return _MEAN_OVER_MEDIAN * float(np.median(np.abs(cv2.Laplacian(grey, cv2.CV_32F))))


def _gain(image: np.ndarray, box: np.ndarray) -> float:
    """How much brighter a part of an image has to be made to be seen well; 1 where it is bright enough."""
    x0, y0, x1, y1 = (max(int(v), 0) for v in box)
    part = image[y0:y1:8, x0:x1:8]
    light = float(part.mean()) if part.size else 255.0
    return min(_BRIGHT / max(light, 1.0), 8.0) if light < _DARK else 1.0
