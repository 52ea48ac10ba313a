"""Openings in the skin of an animated photo, and the eyeballs behind the lids (portrait/mouth.py: what lies behind the lips).

The skin's mesh has openings between the lids and between the lips. A layer is drawn into each with a smooth mask.
Directions: x to image right, y down; lengths in pixels where not told otherwise.
"""

from __future__ import annotations

import cv2
import numpy as np

from avatar_forcing_ros.motion.portrait.matte import completed
from avatar_forcing_ros.motion.portrait.mesh import ABOVE_LID
from avatar_forcing_ros.motion.tracking.mesh import LOWER_LID, UPPER_LID

_OVERSAMPLE = 4  # masks are drawn this much larger, then averaged: smooth borders
_NARROW = (0.19, 0.28)  # height of an opening over its width: below the first an eye shows next to nothing of its ball
_PALE = (
    0.16,
    0.24,
)  # standard deviation between the lids over the brightness around: below the first there is no white to be told from iris
_LID_SHADE = 0.92  # of the brightness of the skin below the eye
_CURVE_STEPS = 4  # points put between two landmarks of a lid or lip


def curve_matrix(count: int) -> np.ndarray:
    """(M, count) weights that put points on the Catmull-Rom curve through `count` points; the ends stay."""
    rows = []
    for i in range(count - 1):
        for t in np.arange(_CURVE_STEPS) / _CURVE_STEPS:
            row = np.zeros(count)
            weights = (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3)
            for offset, weight in zip((-1, 0, 1, 2), weights):
                row[min(max(i + offset, 0), count - 1)] += weight / 2
            rows.append(row)
    return np.array(rows + [np.eye(count)[-1]])


def opening_mask(upper: np.ndarray, lower: np.ndarray, shape: tuple[int, ...]) -> tuple[int, int, np.ndarray] | None:
    """Soft mask of the area between two curves (N, 2) that run from image left to right, upper above lower.

    Returns (x0, y0, mask (h, w) float32 in 0..1), or None where it is closed or outside an image of this shape.
    Where the gap is below one pixel the mask fades, so that opening and closing is smooth.
    """
    widest = float((lower[:, 1] - upper[:, 1]).max()) - 0.25
    if widest <= 0.0:
        return None
    points = np.concatenate([upper, lower[::-1]])
    x0, y0 = np.floor(points.min(axis=0)).astype(int) - 1
    x1, y1 = np.ceil(points.max(axis=0)).astype(int) + 2
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, shape[1]), min(y1, shape[0])
    if x1 <= x0 or y1 <= y0:
        return None
    mask = np.zeros(((y1 - y0) * _OVERSAMPLE, (x1 - x0) * _OVERSAMPLE), np.uint8)
    at = (points - (x0, y0) + 0.5) * _OVERSAMPLE - 0.5
    cv2.fillPoly(mask, [np.round(at * 16).astype(np.int32)], 255, cv2.LINE_8, 4)
    small = cv2.resize(mask, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    return x0, y0, small.astype(np.float32) * (min(widest, 1.0) / 255.0)


def blend(frame: np.ndarray, x0: int, y0: int, mask: np.ndarray, layer: np.ndarray) -> None:
    """Lay `layer` (h, w, 3) float32 over the frame (H, W, 3) uint8 at (x0, y0), in place."""
    view = frame[y0 : y0 + mask.shape[0], x0 : x0 + mask.shape[1]]
    weight = mask[..., None]
    view[:] = np.clip(view * (1.0 - weight) + layer * weight + 0.5, 0, 255).astype(np.uint8)


def unseen(image: np.ndarray, lids: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """How little of its balls a pair of eyes shows: 0 for white and iris, to 1 for shadow and lashes, or for a blur of one colour.

    image: (H, W, 3) uint8. lids: (upper, lower) curves (N, 2) of each eye.
    """
    heights, contrasts = [], []
    for upper, lower in lids:
        width = float(np.linalg.norm(upper[-1] - upper[0]))
        heights.append(float((lower - upper)[:, 1].max()) / width)
        found = opening_mask(upper, lower, image.shape)
        if found is not None and (found[2] > 0.5).any():
            x0, y0, mask = found
            margin = int(0.25 * width)
            around = image[
                max(y0 - margin, 0) : y0 + mask.shape[0] + margin, max(x0 - margin, 0) : x0 + mask.shape[1] + margin
            ]
            between = image[y0 : y0 + mask.shape[0], x0 : x0 + mask.shape[1]].mean(axis=2)[mask > 0.5]
            contrasts.append(float(between.std() / max(np.median(around), 1.0)))
    pale = float(np.interp(np.mean(contrasts), _PALE, (1.0, 0.0))) if contrasts else 1.0
    return max(pale, float(np.interp(np.mean(heights), _NARROW, (1.0, 0.0))))


def with_smooth_lids(person: np.ndarray, points: np.ndarray, unit: float, low: float, high: float) -> np.ndarray:
    """The picture (H, W, 3) float32 with plain skin between `low` and `high` (D) above the upper lids.

    Below glasses a closing lid stretches this strip alone: a lash or the edge of a frame in it would be drawn out to a smear.
    points: (468 or more, 2) of the face in the picture's pixels. unit: D in pixels.
    """
    for side, above in ABOVE_LID.items():
        lid = points[UPPER_LID[side][1:-1]]
        way = points[above] - lid
        way /= np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-6)
        strip = np.zeros(person.shape[:2], np.float32)
        outline = np.concatenate([lid + low * unit * way, (lid + high * unit * way)[::-1]])
        cv2.fillPoly(strip, [np.round(outline * 16).astype(np.int32)], 1.0, cv2.LINE_8, 4)
        share = cv2.GaussianBlur(strip, (0, 0), max(0.5, 0.004 * unit))[..., None]
        cheek = points[LOWER_LID[side][1:-1]] + 0.10 * unit * np.array([0.0, 1.0])
        xs, ys = (np.clip(np.round(cheek[:, k]).astype(int), 0, person.shape[1 - k] - 1) for k in (0, 1))
        person = person + share * (_LID_SHADE * np.median(person[ys, xs], axis=0) - person)
    return person


class Eye:
    """One eyeball, taken from the photo: the white completed behind iris and lids, the iris free to move.

    image: (H, W, 3) uint8. upper, lower: curves of the lids at rest (N, 2). iris: (5, 2), its centre first. guessed: 0 to 1, how much
    of the ball is as people's are, for the photo shows shadow and lashes alone.
    """

    def __init__(self, image: np.ndarray, upper: np.ndarray, lower: np.ndarray, iris: np.ndarray, guessed: float):
        self.width = float(np.linalg.norm(upper[-1] - upper[0]))
        margin = int(np.ceil(0.45 * self.width))
        points = np.concatenate([upper, lower])
        limit = np.array(image.shape[1::-1])
        x0, y0 = np.clip(np.floor(points.min(axis=0)).astype(int) - margin, 0, limit - 1)
        x1, y1 = np.clip(np.ceil(points.max(axis=0)).astype(int) + margin, 1, limit)
        self.origin = np.array([x0, y0], dtype=np.float64)
        photo = image[y0:y1, x0:x1].astype(np.float32)
        height, width = photo.shape[:2]
        opening = np.zeros((height, width), np.float32)
        found = opening_mask(upper - self.origin, lower - self.origin, (height, width))
        if found:
            mx, my, mask = found
            opening[my : my + mask.shape[0], mx : mx + mask.shape[1]] = mask
        ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
        centre = iris[0] - self.origin
        distance = np.hypot(xs - centre[0], ys - centre[1])
        inside = cv2.erode((opening > 0.5).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)
        beside = inside * (np.abs(ys - centre[1]) < 0.7 * np.abs(xs - centre[0]))
        radius = _iris_radius(photo, beside, distance, float(np.linalg.norm(iris[1:] - iris[0], axis=1).mean()))
        disc = np.clip((1.28 * radius - distance) / (0.16 * radius), 0, 1)
        white_known = inside * (distance > 1.2 * radius)
        usual_white, usual_iris = _usual_eye(photo, opening, inside, distance, radius)
        if white_known.sum() < 12:
            white = usual_white
        else:
            white = completed(photo, 1.0 - white_known)
            white += guessed * (usual_white - white)
        smooth = cv2.GaussianBlur(white, (0, 0), max(0.6, 0.12 * radius))
        white = white * white_known[..., None] + smooth * (1 - white_known[..., None])
        # Under the upper lid the ball lies in its shadow: what a widened eye uncovers is darker.
        above = np.clip((np.interp(xs[0], upper[:, 0] - x0, upper[:, 1] - y0)[None] - ys) / (0.12 * self.width), 0, 1)
        white *= 1.0 - (0.2 + 0.2 * guessed) * above[..., None]
        rings = self._whole_iris(photo, inside, distance, radius)
        rings += guessed * (usual_iris - rings)
        clean = cv2.GaussianBlur(cv2.erode(inside, np.ones((3, 3), np.uint8)), (0, 0), 0.8)[..., None]
        iris_colour = photo * clean + rings * (1 - clean)
        self._white = white.astype(np.float32)
        self._iris = ((iris_colour - white) * disc[..., None]).astype(np.float32)
        self._behind = np.maximum(disc, guessed)[..., None].astype(
            np.float32
        )  # an eye that looks elsewhere shows its ball
        near = cv2.dilate(opening, np.ones((5, 5), np.uint8)) > 0.1
        darkest = (
            photo[near][np.argsort(photo[near].mean(axis=1))[: max(1, int(near.sum()) // 12)]]
            if near.any()
            else photo[0, :1]
        )
        self._lash = darkest.mean(axis=0)
        self._gap = max(float((lower - upper)[:, 1].max()), 1e-6)
        # What is left, lashes and shadow at the lids' edge, belongs to lids that have not moved: with it the eye is the photo's,
        # its border too, of which only a part of each pixel is drawn.
        self._edge = ((photo - self._white - self._iris) * (opening > 0.0)[..., None]).astype(np.float32)

    @staticmethod
    def _whole_iris(photo: np.ndarray, inside: np.ndarray, distance: np.ndarray, radius: float) -> np.ndarray:
        """The iris as rings: each the mean colour of what the photo shows at that distance from the centre."""
        rings = np.linspace(0, 1.3 * radius, 14)
        spread = rings[1] - rings[0]
        colours, last = [], photo[inside > 0].mean(axis=0) if inside.any() else photo.mean(axis=(0, 1))
        for ring in rings:
            weight = inside * np.exp(-(((distance - ring) / spread) ** 2))
            if weight.sum() > 0.5:
                last = (photo * weight[..., None]).sum(axis=(0, 1)) / weight.sum()
            colours.append(last)
        table = np.array(colours)
        return np.stack([np.interp(distance, rings, table[:, c]) for c in range(3)], axis=-1).astype(np.float32)

    def draw(
        self,
        frame: np.ndarray,
        upper: np.ndarray,
        lower: np.ndarray,
        linear: np.ndarray,
        shift: np.ndarray,
        *,
        gaze: np.ndarray,
        lids_moved: float,
    ) -> None:
        """Into `frame`, between the lid curves.

        linear (2, 2), shift (2,): photo -> frame. gaze (2,): pixels on the photo. lids_moved: 0 as on the photo, 1 far.
        """
        found = opening_mask(upper, lower, frame.shape)
        if found is None:
            return
        x0, y0, mask = found
        if np.any(gaze):
            move = np.array([[1, 0, gaze[0]], [0, 1, gaze[1]]], dtype=np.float64)
            iris = cv2.warpAffine(self._iris, move, self._iris.shape[1::-1], flags=cv2.INTER_LINEAR)
        else:
            iris = self._iris
        looking = min(1.0, float(np.hypot(*gaze)) / (0.08 * self.width))
        ball = self._white + iris + self._edge * ((1.0 - lids_moved) * (1.0 - looking * self._behind))
        place = np.column_stack([linear, linear @ self.origin + shift - (x0, y0)])
        layer = cv2.warpAffine(ball, place, mask.shape[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        blend(frame, x0, y0, mask, layer)

    def draw_lashes(self, frame: np.ndarray, upper: np.ndarray, lower: np.ndarray, width: float) -> None:
        """The line that closed lids make: lashes, moved from where they stood apart, do not meet by themselves.

        width: of the line in pixels at its middle.
        """
        closed = 1.0 - float((lower - upper)[:, 1].max()) / self._gap
        share = 0.6 * min(max((closed - 0.55) / 0.4, 0.0), 1.0)
        if share == 0.0:
            return
        line = (upper + lower) / 2
        half = np.zeros_like(line)
        half[:, 1] = 0.5 * width * np.sin(np.linspace(0.0, np.pi, len(line))) ** 0.5
        found = opening_mask(line - half, line + half, frame.shape)
        if found is not None:
            x0, y0, mask = found
            blend(
                frame,
                x0,
                y0,
                cv2.GaussianBlur(mask, (0, 0), 0.6) * share,
                np.broadcast_to(self._lash, mask.shape + (3,)),
            )


def _usual_eye(
    photo: np.ndarray, opening: np.ndarray, inside: np.ndarray, distance: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """White and iris (H, W, 3) as people have them in this light: a pale grey with a hint of the skin around, and rings of the colour
    that the opening shows at the place of the iris, which is dark."""
    around = photo[cv2.dilate(opening, np.ones((5, 5), np.uint8)) < 0.05]
    skin = (around if len(around) else photo.reshape(-1, 3)).mean(axis=0)
    white = np.broadcast_to(0.4 * skin + 0.6 * skin.mean(), photo.shape).astype(np.float32)
    seen = photo[(inside > 0) & (distance < 0.9 * radius)]
    dark = seen.mean(axis=0) if len(seen) else 0.3 * skin
    dark = dark * min(1.0, 0.4 * skin.mean() / max(dark.mean(), 1.0))
    shade = np.interp(distance / radius, (0.35, 0.45, 0.8, 1.0), (0.35, 1.0, 1.1, 0.8))
    return white, (dark * shade[..., None]).astype(np.float32)


def _iris_radius(photo: np.ndarray, beside: np.ndarray, distance: np.ndarray, found: float) -> float:
    """Where iris turns to white on both sides of it, near the radius that the mesh found: the steepest rise of brightness."""
    rings = np.linspace(0.7, 1.6, 19) * found
    spread = max(0.08 * found, 0.7)
    grey = photo.mean(axis=2)
    brightness = []
    for ring in rings:
        weight = beside * np.exp(-(((distance - ring) / spread) ** 2))
        brightness.append((grey * weight).sum() / weight.sum() if weight.sum() > 1.0 else np.nan)
    rise = np.diff(brightness)
    if not np.isfinite(rise).any() or np.nanmax(rise) < 2.0:
        return found
    best = int(np.nanargmax(rise))
    return float((rings[best] + rings[best + 1]) / 2)
