"""A drawn face for a robot's screen: rig latent -> picture, at any size.

Everything is drawn from curves in *face units*, x right, y up, the face's middle at (0, 0), its height about 2, so
no size is special. Each point lies on a rounded head; turning the head moves near points farther than far ones, so
that the flat screen shows a turn and a nod. Coefficients act as rig.py says, with the drawn face's own D.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.base import Avatar
from avatar_forcing_ros.motion.idle import breath
from avatar_forcing_ros.motion.screen.patch import Patch, window_of
from avatar_forcing_ros.motion.screen.theme import Theme
from avatar_forcing_ros.motion.tracking.landmarks import rotation_of

_SMALLEST, _LARGEST = 32, 8192  # pixels
_D = 1.15  # the drawn face's eye distance in face units, as it counts for movements of the lips and brows
_FACE_HEIGHT = 2.45  # face units that the shorter side of the screen shows
_COARSE = 4  # pixels; shades are drawn at so much less
_BRIGHTEST_GLOW = np.uint8(110)
_DEPTH, _NEARER = 0.75, 0.10  # of the head in face units; how much larger what is nearer by one of them is seen
_EYE_X, _EYE_Y = 0.43, 0.13
_BROW_Y = 0.57
_MOUTH_Y = -0.50
_BREATH = 0.012  # D; how far the face rises
_ARC = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 33))  # -1 to 1, denser at the ends, where curves bend


class ScreenFaceAvatar(Avatar):
    """Draws a face. Stateless: the same latent gives the same picture.

    size: pixels, a square's side or (width, height). theme: a name in assets/screen_faces, or a YAML file.
    Raises InputError for a size or theme that cannot be used.
    """

    _least_wrinkle = 0.1  # of a nose, that is drawn

    def __init__(self, size: int | tuple[int, int] = 512, theme: str | Path = "sunny") -> None:
        width, height = (size, size) if isinstance(size, (int, np.integer)) else size
        if not (_SMALLEST <= width <= _LARGEST and _SMALLEST <= height <= _LARGEST):
            raise InputError(f"screen face of {width} x {height} pixels: give {_SMALLEST} to {_LARGEST} each way")
        self.size = size
        self.width, self.height = int(width), int(height)
        self.theme = Theme.load(theme)
        self._colours = self.theme.colours()
        self._unit = min(self.width, self.height) / _FACE_HEIGHT  # pixels per face unit
        self._oversample = 3 if self._unit < 100 else 2 if self._unit < 260 else 1  # edges are smooth by themselves
        self._plain = np.empty((self.height, self.width, 3), np.uint8)
        self._plain[:] = self._colours["background"]
        self._shades, self._shades_at, self._outline = self._head_at_rest()
        self._blush = _soft_disc(max(int(0.34 * self._unit), 4))

    def render(self, motion: np.ndarray, frame: int | None = None) -> np.ndarray:
        """The picture, (height, width, 3) uint8 RGB, of one rig latent (32,); values beyond their ranges are limited.

        frame: the frame's index on the clock; given, the face breathes.
        Raises InputError for another shape or values that are not finite.
        """
        motion = np.asarray(motion, dtype=np.float32)
        if motion.shape != (rig.DIM,) or not np.isfinite(motion).all():
            raise InputError(f"a rig latent has {rig.DIM} finite values; got the shape {motion.shape}")
        value = dict(zip(rig.NAMES, rig.clamp(motion).tolist()))
        if frame is not None:
            value["headY"] += _BREATH * breath(frame)
        self._place(value)
        canvas = self._plain.copy()
        self._draw_head(canvas, self._head_motion(value))
        self._draw_cheeks(canvas, value)
        self._draw_nose(canvas, value)
        self._draw_mouth(canvas, value)
        for side, sign in (("Right", -1.0), ("Left", 1.0)):
            self._draw_eye(canvas, value, side, sign)
        for side, sign in (("Right", -1.0), ("Left", 1.0)):
            self._draw_brow(canvas, value, side, sign)
        return self._glow(canvas) if self.theme.glow > 0 else canvas

    # ---- from face units to pixels -------------------------------------------------------------------------------

    def _place(self, value: dict[str, float]) -> None:
        self._rotation = rotation_of(np.array([value["headYaw"], value["headPitch"], value["headRoll"]]))
        self._turn = self._rotation.tolist()
        self._zoom = self._unit * float(np.exp(value["headScale"]))
        self._centre = np.array(
            [self.width / 2 + value["headX"] * _D * self._unit, self.height / 2 - value["headY"] * _D * self._unit]
        )

    def _project(self, points: np.ndarray, lift: float = 0.0) -> np.ndarray:
        """Face units (N, 2) on the head's surface, raised by `lift`, to pixels (N, 2)."""
        x, y = points[:, 0], points[:, 1]
        depth = np.sqrt(np.maximum(_DEPTH**2 - x * x * (_DEPTH / 1.5) ** 2 - y * y * (_DEPTH / 1.6) ** 2, 0.0))
        if lift:
            depth += lift
        (a, b, c), (d, e, f), (g, h, i) = self._turn
        near = (g * x + h * y + i * depth + (1.0 / _NEARER - _DEPTH)) * (_NEARER * self._zoom)
        pixels = np.empty((len(x), 2))
        np.multiply(a * x + b * y + c * depth, near, out=pixels[:, 0])
        np.multiply(d * x + e * y + f * depth, -near, out=pixels[:, 1])
        pixels += self._centre
        return pixels

    def _head_motion(self, value: dict[str, float]) -> np.ndarray:
        """(2, 3) affine map of the head's picture: it tilts and moves with the face, and a little with its turn."""
        tilt = cv2.getRotationMatrix2D(
            (self.width / 2, self.height / 2), -np.degrees(value["headRoll"]), np.exp(value["headScale"])
        )
        stretch = 1.0 + 0.06 * value["jawOpen"]  # an open jaw makes the head longer, downward
        pixels = np.array(
            [[1.0, 0.0, 0.0], [0.0, stretch, (1.0 - stretch) * (self.height / 2 - self.theme.head_height * self._unit)]]
        )
        tilt = tilt @ np.vstack([pixels, [0.0, 0.0, 1.0]])
        lean = self._rotation[:2, 2] * 0.16 * self._zoom
        tilt[:, 2] += self._centre - (self.width / 2, self.height / 2) + lean * (1, -1)
        return tilt

    def _stroke(self, patch: Patch, points: np.ndarray, width: Any, colour: Any, lift: float = 0.0) -> None:
        """A line of face units (N, 2) with round ends; width in face units, a number or one per point."""
        pixels = self._project(points, lift)
        along = np.empty_like(pixels)
        along[1:-1] = pixels[2:] - pixels[:-2]
        along[0], along[-1] = pixels[1] - pixels[0], pixels[-1] - pixels[-2]
        radius = width * (self._zoom / 2) + np.zeros(len(pixels))
        along *= (radius / np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-6))[:, None]
        aside = along[:, ::-1] * (-1.0, 1.0)
        patch.fill(np.concatenate([pixels + aside, (pixels - aside)[::-1]]), colour)
        for end in (0, -1):
            patch.disc(pixels[end], radius[end], colour)

    def _patch(self, canvas: np.ndarray, points: np.ndarray, margin: float = 0.1) -> Patch | None:
        """The part of the canvas around points in face units, ready to be drawn on; None where it is off the screen."""
        pixels = self._project(points)
        beyond = margin * self._zoom + 2
        window = window_of(pixels.min(axis=0) - beyond, pixels.max(axis=0) + beyond, canvas.shape)
        return None if window is None else Patch(canvas, window, self._oversample)

    # ---- parts ---------------------------------------------------------------------------------------------------

    def _draw_head(self, canvas: np.ndarray, motion: np.ndarray) -> None:
        """motion: (2, 3), from the screen at rest to the screen. Its shades are smooth, and need no fine picture; its outline does."""
        outline = self._outline @ motion[:, :2].T + motion[:, 2]
        window = window_of(outline.min(axis=0) - 2, outline.max(axis=0) + 3, canvas.shape)
        if window is None:
            return
        place = motion.copy()
        place[:, 2] += motion[:, :2] @ self._shades_at - (window[1].start, window[0].start)
        # The same between the two pictures' own coarse pixels, whose middles lie half a pixel off.
        place[:, 2] = (place[:, 2] + (motion[:, :2] - np.eye(2)) @ np.full(2, (_COARSE - 1) / 2)) / _COARSE
        below = canvas[window]
        size = tuple(-(-n // _COARSE) for n in below.shape[1::-1])
        shades = cv2.warpAffine(self._shades, place, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        full = cv2.resize(shades, (size[0] * _COARSE, size[1] * _COARSE), interpolation=cv2.INTER_LINEAR)
        canvas[window] = full[: below.shape[0], : below.shape[1]]
        patch = Patch(canvas, window, 1)
        (top, bottom), (left, right) = ((s.start, s.stop) for s in window)
        frame = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float) - 0.5
        patch.fill_between(frame, outline, self._colours["background"])
        patch.put_back()

    def _head_at_rest(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The head's shades, (h, w, 3) uint8 of coarse pixels; the pixel (x, y) of the screen that they begin at; its outline (N, 2)."""
        theme = self.theme
        middle = np.array([self.width, self.height]) / 2
        half = np.array([theme.head_width, theme.head_height]) * self._unit
        low = np.floor(middle - half - _COARSE).astype(int)
        count = np.ceil((2 * half + 2 * _COARSE) / _COARSE).astype(int) + 1
        xs, ys = (
            (np.abs if axis == 0 else np.negative)((low[axis] + (np.arange(count[axis]) + 0.5) * _COARSE - middle[axis]) / half[axis])
            for axis in (0, 1)
        )  # fmt: skip
        power = theme.head_roundness
        # Distance from the outline in shares of the head; 1 on it.
        reach = (xs[None] ** power + np.abs(ys[:, None]) ** power) ** (1 / power)
        shade = np.clip((reach - 0.25) / 0.75, 0, 1) ** 2.2 + 0.10 * np.clip(-ys[:, None], 0, 1)
        shade = np.clip(shade, 0, 1)[..., None]
        shades = np.array(self._colours["head"]) * (1 - shade) + np.array(self._colours["head_edge"]) * shade
        along = np.linspace(0, 2 * np.pi, 160, endpoint=False)
        bend = np.column_stack([np.cos(along), -np.sin(along)])
        outline = middle - 0.5 + half * np.sign(bend) * np.abs(bend) ** (2 / power)
        return (shades + 0.5).astype(np.uint8), low, outline

    def _draw_cheeks(self, canvas: np.ndarray, value: dict[str, float]) -> None:
        if self.theme.cheek_strength <= 0:
            return
        for side, sign in (("Right", -1.0), ("Left", 1.0)):
            lift = 0.5 * value["mouthSmile" + side] + 0.5 * value["eyeSquint" + side]
            strength = self.theme.cheek_strength * (0.55 + 0.45 * lift) * (1.0 - 0.6 * value["mouthFrown" + side])
            middle = np.array([[sign * 0.64, -0.20 + 0.10 * lift]])
            corners = self._project(middle + np.array([[-0.24, 0.17], [0.24, 0.17], [-0.24, -0.17]]))
            size = self._blush.shape[0]
            place = cv2.getAffineTransform(
                np.array([[0, 0], [size, 0], [0, size]], np.float32), corners.astype(np.float32)
            )
            outline = np.concatenate([corners, corners[1:2] + corners[2:] - corners[:1]])
            window = window_of(outline.min(axis=0), outline.max(axis=0) + 1, canvas.shape)
            if window is None:
                continue
            place[:, 2] -= (window[1].start, window[0].start)
            below = canvas[window]
            cover = cv2.warpAffine(self._blush, place, below.shape[1::-1], flags=cv2.INTER_LINEAR) * np.float32(
                strength
            )
            colour = np.empty_like(below)
            cv2.rectangle(colour, (0, 0), colour.shape[1::-1], self._colours["cheek"], -1)
            canvas[window] = cv2.blendLinear(colour, below, cover, 1.0 - cover)

    def _draw_nose(self, canvas: np.ndarray, value: dict[str, float]) -> None:
        brows = 0.5 * (value["browDownLeft"] + value["browDownRight"])
        wrinkle = min(1.5 * value["mouthUpperUp"], 1.6 * brows, 1.0)  # disgust: the lip rises, the brows sink
        points = np.column_stack([0.085 * _ARC, -0.135 - 0.045 * (1 - _ARC**2)])
        patch = self._patch(canvas, points, margin=0.32 if wrinkle > self._least_wrinkle else 0.25)
        if patch is not None:
            self._stroke(patch, points, 0.012 + 0.030 * (1 - _ARC**2), self._colours["nose"], lift=0.16)
            if wrinkle > self._least_wrinkle:
                for sign in (-1.0, 1.0):
                    for y in (0.02, 0.10):
                        line = np.column_stack([sign * (0.055 + 0.035 * _ARC), y + 0.045 * _ARC - 0.02 * _ARC**2])
                        self._stroke(
                            patch, line, 0.030 * wrinkle * (1 - 0.6 * _ARC**2), self._colours["nose"], lift=0.12
                        )
            patch.put_back()

    def _draw_eye(self, canvas: np.ndarray, value: dict[str, float], side: str, sign: float) -> None:
        theme, colours = self.theme, self._colours
        half, tall = theme.eye_width, theme.eye_height
        upper = tall * (1.0 + value["eyeWide" + side])  # the whole gap, 2 tall, grows by half
        lower = -tall + tall * (0.55 * value["eyeSquint" + side] + 0.30 * value["mouthSmile" + side])
        closed = -0.55 * tall
        blink = value["eyeBlink" + side]
        upper = upper + (closed - upper) * blink
        lower = lower + (closed - lower) * blink if lower < closed or blink > 0.5 else lower
        lower = min(lower, upper)
        bow = (1.0 - np.abs(_ARC) ** theme.eye_roundness) ** (1 / theme.eye_roundness)
        inner = np.clip(-sign * _ARC * 0.5 + 0.5, 0, 1)
        # The lid's inner end follows a lowered brow, its outer end sinks where the brows rise in the middle alone: grief.
        grief = max(value["browInnerUp"] - value["browOuterUp" + side] - value["eyeWide" + side], 0.0)
        sinks = tall * (1.0 - blink) * (0.85 * value["browDown" + side] * inner + 0.60 * grief * (1.0 - inner))
        travel = theme.eye_travel * half * np.array([value["gazeX"], 0.5 * value["gazeY"]])
        centre_x, centre_y = sign * _EYE_X + travel[0], _EYE_Y + travel[1]
        x = centre_x + half * _ARC
        middle = closed * min(blink * 1.2, 1.0) * 0.5
        top = centre_y + middle + (upper - middle) * bow - sinks * bow
        bottom = centre_y + middle + (lower - middle) * bow
        top = np.maximum(top, bottom)
        outline = self._project(np.concatenate([np.column_stack([x, top]), np.column_stack([x, bottom])[::-1]]))

        look = np.array([centre_x + 0.5 * half * value["gazeX"], centre_y + 0.25 * half * value["gazeY"]])
        iris = self._project(look[None], lift=0.02)[0]
        radius = theme.iris_size * self._zoom * (1.0 - 0.22 * value["eyeWide" + side])  # small in a frightened eye
        across = self._project(look[None] + [[radius / self._zoom, 0.0]], lift=0.02)[0] - iris
        squeeze = min(float(np.linalg.norm(across)) / max(radius, 1e-6), 1.0)  # a turned eye is narrower
        shade = self._project(np.column_stack([x, top - 0.10 * tall]))

        patch = self._patch(canvas, np.concatenate([np.column_stack([x, top]), np.column_stack([x, bottom])]))
        if patch is None:
            return

        def paint(ball: Patch) -> None:
            ball.flood(colours["eye_white"])
            ball.fill(
                np.concatenate([self._project(np.column_stack([x, top + 0.3])), shade[::-1]]), colours["eye_shade"]
            )
            if theme.iris_size == 0.0:
                return
            for share, colour, shift in (
                (1.0, "iris_edge", 0.0), (0.90, "iris", 0.0), (0.66, "iris_light", 0.17), (0.62, "iris", 0.05), (0.50, "pupil", 0.0),
            ):  # fmt: skip
                oval = share * radius * np.column_stack([squeeze * np.cos(_RING), np.sin(_RING)])
                ball.fill(iris + (0, shift * radius) + oval, colours[colour])
            ball.disc(iris + (-0.34 * radius * squeeze, -0.36 * radius), 0.25 * radius, colours["highlight"])
            ball.disc(iris + (0.36 * radius * squeeze, 0.38 * radius), 0.12 * radius, colours["highlight"])

        if (top - bottom).max() * self._zoom > 0.3:
            patch.inside(outline, paint)
        self._stroke(patch, np.column_stack([x, bottom])[6:-6], 0.014 * bow[6:-6], colours["lid"])
        self._stroke(patch, np.column_stack([x, top]), theme.lash_width * (0.25 + 0.75 * bow), colours["lash"])
        crease = top + (0.06 + 0.10 * blink) * tall * bow + 0.05 * tall
        self._stroke(patch, np.column_stack([x, crease])[7:-7], 0.012, colours["lid"])
        patch.put_back()

    def _draw_brow(self, canvas: np.ndarray, value: dict[str, float], side: str, sign: float) -> None:
        down, wide = value["browDown" + side], 0.08 * value["eyeWide" + side]
        rise, tail = value["browInnerUp"], value["browOuterUp" + side]
        inner = _D * (0.15 * rise - 0.17 * down) + wide
        outer = _D * (0.13 * tail - 0.02 * down - 0.05 * max(rise - tail, 0.0)) + wide
        t = (_ARC + 1) / 2  # 0 inner end, 1 outer end
        lift = inner * (1 - t) ** 1.2 + outer * t**1.2 + (inner + outer) * 0.35 * t * (1 - t)
        x = sign * (0.20 + 0.46 * t - 0.04 * down * (1 - t))
        y = _BROW_Y + 0.11 * np.sin(np.pi * (0.12 + 0.72 * t)) + lift
        width = self.theme.brow_width * (1.15 - 0.65 * t**1.5)
        points = np.column_stack([x, y])
        patch = self._patch(canvas, points)
        if patch is not None:
            self._stroke(patch, points, width, self._colours["brow"], lift=0.05)
            patch.put_back()

    def _draw_mouth(self, canvas: np.ndarray, value: dict[str, float]) -> None:
        theme, colours = self.theme, self._colours
        jaw, aside = value["jawOpen"], 0.10 * _D * value["jawX"]
        round_, pout, press = value["mouthFunnel"], value["mouthPucker"], value["mouthPress"]
        corner, at_rest = {}, []
        for side, sign in (("Right", -1.0), ("Left", 1.0)):
            smile, stretch = value["mouthSmile" + side], value["mouthStretch" + side]
            out = theme.mouth_width + _D * (0.10 * smile + 0.12 * stretch - 0.12 * pout - 0.13 * round_ - 0.03 * jaw)
            frown = value["mouthFrown" + side]
            out -= 0.05 * frown
            # The smile of the drawing at rest goes with what no smiling mouth does, so that a mouth turned down reads as one.
            rest = theme.smile_at_rest * max(
                1.0 - 1.2 * frown - 0.7 * press - 0.8 * stretch - 0.8 * value["mouthUpperUp"] - 1.5 * round_, 0.0
            )
            up = _D * (0.10 * smile - 0.12 * frown - 0.08 * jaw - 0.25 * jaw * round_)
            corner[side] = np.array([sign * max(out, 0.06) + 0.4 * aside, _MOUTH_Y + 0.6 * rest + up])
            at_rest.append(rest)
        left, right = corner["Left"], corner["Right"]
        share = (_ARC + 1) / 2
        chord = right + np.outer(share, left - right)
        bow = 1.0 - _ARC**2
        frown = min(value["mouthFrownRight"], value["mouthFrownLeft"])
        middle = _MOUTH_Y - 0.2 * sum(at_rest) + 0.05 * frown  # sunk corners read as such only below the middle
        top = middle + _D * (0.08 * value["mouthUpperUp"] + 0.08 * round_ + 0.045 * jaw)
        bottom = middle - _D * (0.08 * value["mouthLowerDown"] + 0.06 * round_ + 0.36 * jaw)
        squarer = bow ** (1 - 0.35 * min(jaw + round_ + 0.5 * pout, 1.0))
        mean = (left[1] + right[1]) / 2
        shift = aside * np.column_stack([bow, 0 * bow])
        upper = chord + np.column_stack([0 * bow, (top - mean) * bow]) + 0.5 * shift
        lower = chord + np.column_stack([0 * bow, (bottom - mean) * (squarer if bottom < mean else bow)]) + shift
        lower[:, 1] = np.minimum(lower[:, 1], upper[:, 1])
        gap = float((upper[:, 1] - lower[:, 1]).max())

        chin = np.column_stack([0.13 * _ARC + aside, min(bottom, middle) - 0.20 + 0.03 * jaw - 0.02 * bow])
        patch = self._patch(canvas, np.concatenate([upper, lower, chin]))
        if patch is None:
            return

        def paint(cavity: Patch) -> None:
            cavity.flood(colours["mouth_inside"])
            tongue = np.column_stack([aside + 0.20 * np.cos(_RING), bottom - 0.04 + 0.10 * jaw + 0.13 * np.sin(_RING)])
            cavity.fill(self._project(tongue), colours["tongue"])
            # Teeth follow the lips, so that a smile shows them along its curve.
            show = slice(6, -6)
            edge = (1 - np.abs(_ARC) ** 3)[:, None] * (0.0, 1.0)
            bite = upper - edge * (0.055 + _D * 0.09 * value["mouthUpperUp"] + 0.04 * jaw)
            cavity.fill(self._project(np.concatenate([upper[show] + (0, 0.2), bite[show][::-1]])), colours["teeth"])
            if value["mouthLowerDown"] > 0:
                bite = lower + edge * _D * 0.09 * value["mouthLowerDown"]
                cavity.fill(self._project(np.concatenate([bite[show], lower[show][::-1] - (0, 0.2)])), colours["teeth"])

        gap = float((upper[:, 1] - lower[:, 1]).max())
        if gap * self._zoom > 0.3:
            patch.inside(self._project(np.concatenate([upper, lower[::-1]])), paint)
        full = theme.lip_width * (1.0 + 0.45 * pout + 0.25 * round_) * (1.0 - 0.5 * press)
        taper, forward = 0.35 + 0.65 * bow**0.5, 0.03 + 0.05 * pout
        offset = np.column_stack([0 * bow, full * bow])
        self._stroke(patch, lower - 0.30 * offset, full * taper, colours["lip"], forward)
        self._stroke(patch, upper + 0.20 * offset, 0.8 * full * taper, colours["lip"], forward)
        parted = min(gap / 0.03, 1.0)  # the line where closed lips meet thins out as they part
        if parted < 1.0:
            self._stroke(patch, (upper + lower) / 2, 0.020 * taper * (1.0 - parted), colours["lip_line"], forward)
        self._stroke(patch, chin, 0.010 + 0.012 * bow, colours["nose"], lift=0.05)
        patch.put_back()

    def _glow(self, canvas: np.ndarray) -> np.ndarray:
        small = cv2.resize(canvas, (max(self.width // 8, 4), max(self.height // 8, 4)), interpolation=cv2.INTER_AREA)
        dark = np.array(self._colours["head"], np.uint8).reshape(1, 1, 3)
        light = cv2.subtract(small, np.broadcast_to(dark, small.shape).copy())
        light = cv2.GaussianBlur(np.minimum(light, _BRIGHTEST_GLOW), (0, 0), 0.075 * self._unit / 8 + 0.5)
        light = cv2.convertScaleAbs(light, alpha=self.theme.glow)
        rows, columns = (np.flatnonzero(cv2.reduce(light, axis, cv2.REDUCE_MAX).any(axis=-1)) for axis in (1, 0))
        if not len(rows):
            return canvas
        # Only where there is light, and two cells around it.
        top, left = max(int(rows[0]) - 2, 0), max(int(columns[0]) - 2, 0)
        part = light[top : rows[-1] + 3, left : columns[-1] + 3]
        scale = np.array([self.width / light.shape[1], self.height / light.shape[0]])
        (x0, y0), (x1, y1) = (
            np.rint(scale * corner).astype(int) for corner in ((left, top), (left + part.shape[1], top + part.shape[0]))
        )
        bright = cv2.resize(part, (int(x1 - x0), int(y1 - y0)), interpolation=cv2.INTER_LINEAR)
        view = canvas[y0:y1, x0:x1]
        cv2.add(view, bright, dst=view)
        return canvas


_RING = np.linspace(0, 2 * np.pi, 48, endpoint=False)


def _soft_disc(size: int) -> np.ndarray:
    """(size, size) float32: 1 in the middle, 0 at the border, smooth."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    reach = np.clip(1 - (axis[None] ** 2 + axis[:, None] ** 2), 0, 1)
    return reach * reach * (3 - 2 * reach)
