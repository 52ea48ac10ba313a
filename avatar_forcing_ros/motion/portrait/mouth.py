"""What lies behind the lips of an animated photo: the photo's own teeth where it shows them, drawn ones, tongue, darkness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from avatar_forcing_ros.motion.portrait.openings import blend, opening_mask

# Of the teeth from the middle outward: widths as seen from the front, heights, how much shorter they end; in D (D is about 90 mm).
_UPPER_TEETH = (
    (0.094, 0.118, 0.0), (0.074, 0.102, 0.006), (0.070, 0.110, 0.002), (0.050, 0.092, 0.006), (0.038, 0.080, 0.007), (0.030, 0.066, 0.008),
)  # fmt: skip
_LOWER_TEETH = (
    (0.060, 0.095, 0.0), (0.064, 0.098, 0.0), (0.064, 0.100, 0.0), (0.052, 0.086, 0.0), (0.042, 0.074, 0.0), (0.034, 0.06, 0.0),
)  # fmt: skip
_MILK_WIDTH, _MILK_HEIGHT = 0.88, 0.70  # of a child's teeth to an adult's, each in its own D
_MILK_GAP = 0.10  # of a milk tooth's half width; they stand apart
_ARCH = 2.0  # D of depth per D squared from the middle: the row bends back around the jaw
_MOST_LEAN = 0.55  # beyond it the front teeth would hide the far ones, and leave a hole beside them
_FAR_HALF = 0.4  # of the narrowing there would be: the mesh puts the far corner of a mouth farther out than it is
_ARC = 0.07  # D; the biting edge of the upper row rises so far to the sides
_ENAMEL, _GUM = np.array([236, 228, 212], np.float32), np.array([196, 124, 116], np.float32)
_WHOLE_TOOTH = 0.135  # D; what of a photo's row is no gum yet
_BEHIND_LIP, _UNDER_LIP = 0.16, 0.02  # D; teeth of the photo that its upper lip hides, and that lie in its shadow


class Mouth:
    """Cavity, teeth and tongue, drawn in the photo's light.

    eye_distance: D in pixels. light: (3,) RGB 0..1 of white. photo_teeth: what the photo itself shows of the upper teeth.
    colour: 1 as nature has it, 0 grey as the photo. axes: the face's (3, 3), rows right, down, away, on the photo: teeth of a turned
    face are seen from its side. child: 0 for an adult's teeth, to 1 for milk teeth.
    """

    def __init__(
        self, eye_distance: float, light: np.ndarray, photo_teeth: PhotoTeeth | None = None, colour: float = 1.0,
        axes: np.ndarray | None = None, child: float = 0.0,
    ):  # fmt: skip
        self._unit, self._child = eye_distance, child
        axes = np.eye(3) if axes is None else axes
        lean = np.linalg.solve(
            axes[:2, :2].T, axes[2, :2]
        )  # where a step away from the viewer goes, in the face's plane
        self._lean = np.clip(lean, -_MOST_LEAN, _MOST_LEAN)
        self._colour = colour
        self._light = light.astype(np.float32)
        self._photo_teeth = photo_teeth
        self._half_width, self._above, self._below = 0.40, 0.24, 0.30  # canvas, in D around its origin
        self._upper = self._teeth(_UPPER_TEETH, hang=True)
        if photo_teeth is not None:  # drawn teeth continue the photo's where those end
            rgb, cover = self._upper[..., :3], self._upper[..., 3:]
            self._upper[..., :3] = np.minimum(rgb * (photo_teeth.colour / (_ENAMEL * self._light)), 255 * cover)
        self._lower = self._teeth(_LOWER_TEETH, hang=False)
        self._tongue = self._tongue_layer()

    def _tint(self, *rgb: float) -> np.ndarray:
        colour = np.array(rgb, np.float32)
        return colour.mean() + self._colour * (colour - colour.mean())

    def _grid(self, oversample: int = 1) -> tuple[np.ndarray, ...]:
        unit = self._unit * oversample
        width, height = int(2 * self._half_width * unit), int((self._above + self._below) * unit)
        xs = (np.arange(width, dtype=np.float32) + 0.5) / unit - self._half_width
        ys = (np.arange(height, dtype=np.float32) + 0.5) / unit - self._above
        return np.meshgrid(xs, ys)

    def _shrunk(self, rgba: np.ndarray) -> np.ndarray:
        rgba[..., :3] *= rgba[..., 3:]  # premultiplied
        xs, _ = self._grid()
        return cv2.resize(rgba, xs.shape[::-1], interpolation=cv2.INTER_AREA)

    def _teeth(self, row: Any, hang: bool) -> np.ndarray:
        """Premultiplied RGBA float32 of one row; y = 0 is the biting edge of the middle teeth."""
        wide, high = (1 + self._child * (milk - 1) for milk in (_MILK_WIDTH, _MILK_HEIGHT))
        total = wide * sum(width for width, _, _ in row)
        xs, ys = self._around_the_arch(self._grid(4), total)
        up = -ys if hang else ys  # from the biting edge toward the gum
        rgba = np.zeros(xs.shape + (4,), np.float32)
        curve = (_ARC if hang else 0.035) * (np.abs(xs) / total) ** 2  # its edge rises to the sides
        gum = np.clip((up - curve) / 0.02 + 0.5, 0, 1) * (np.abs(xs) < total)
        depth = 1 - 0.75 * np.clip(np.abs(xs) / total, 0, 1) ** 2.2  # and lies in shadow there
        rgba[..., :3] = self._tint(*_GUM) * (self._light * depth[..., None])
        rgba[..., 3] = gum
        start = 0.0
        for k, (width, height, shorter) in enumerate(row):
            width, height = wide * width, high * height
            u = (np.abs(xs) - start - width / 2) / (width / 2)  # -1..1 across the tooth
            v = (up - curve - shorter) / height  # 0 at the edge, 1 at the gum
            corner = (0.16 + 0.10 * self._child) * np.abs(u) ** 4 + (
                0.05 * (1 + u * (1 if k else 0)) if k >= 2 else 0.0
            )
            top = 1.0 - 0.22 * u**2
            soft = 0.05
            shape = (
                np.clip((v - corner) / soft, 0, 1)
                * np.clip((top - v) / soft, 0, 1)
                * np.clip((1.0 - self._child * _MILK_GAP - np.abs(u)) / 0.05, 0, 1)
            )
            enamel = self._tint(*_ENAMEL) - np.clip(v, 0, 1)[..., None] * self._tint(10, 18, 34)
            tone = (1 - 0.16 * np.abs(u) ** 3) * depth * (0.93 + 0.07 * np.clip(v / 0.2, 0, 1))
            colour = enamel * (self._light * tone[..., None])
            shape = shape[..., None]
            between = (
                np.clip((1.04 - np.abs(u)) / 0.05, 0, 1)
                * np.clip((v - corner) / soft, 0, 1)
                * np.clip((top - v) / soft, 0, 1)
            )
            rgba[..., :3] *= 1 - 0.6 * between[..., None] * (1 - shape)
            rgba[..., 3] = np.maximum(rgba[..., 3], between * 0.9)
            rgba[..., :3] = rgba[..., :3] * (1 - shape) + colour * shape
            rgba[..., 3] = np.maximum(rgba[..., 3], shape[..., 0])
            start += width
        return self._shrunk(rgba)

    def _around_the_arch(self, places: Sequence[np.ndarray], total: float) -> tuple[np.ndarray, np.ndarray]:
        """Places on a row as seen from the front, for places of the canvas, x and y (h, w): on a turned face its far half is narrower."""
        xs, ys = places
        along = np.linspace(-1.3 * total, 1.3 * total, 261)
        aside = self._lean[0] * _ARCH * along**2
        aside *= np.where(aside * along < 0.0, _FAR_HALF, 1.0)
        columns = np.interp(xs[0], along + aside, along).astype(np.float32)
        return np.broadcast_to(columns, xs.shape), ys - np.float32(self._lean[1]) * np.float32(_ARCH) * columns**2

    def _tongue_layer(self) -> np.ndarray:
        xs, ys = self._grid(2)
        rgba = np.zeros(xs.shape + (4,), np.float32)
        r = np.hypot(xs / 0.27, (ys - 0.07) / 0.17)
        groove = 1 - 0.18 * np.exp(-((xs / 0.02) ** 2)) * np.clip((ys + 0.02) / 0.1, 0, 1)
        shade = np.clip(1.08 - 0.55 * r, 0.3, 1) * groove
        rgba[..., :3] = self._tint(176, 88, 86) * (self._light * shade[..., None])
        rgba[..., 3] = np.clip((1 - r) / 0.10, 0, 1)
        return self._shrunk(rgba)

    def draw(
        self,
        frame: np.ndarray,
        upper: np.ndarray,
        lower: np.ndarray,
        pose: np.ndarray,
        *,
        skull: np.ndarray,
        jaw: np.ndarray,
        face_axes: np.ndarray,
    ) -> None:
        """Into `frame`, between the lip curves.

        pose (2, 3): photo -> frame at the depth of the teeth. face_axes (2, 2): the face's right and down on the photo,
        as columns. skull, jaw (2,): where on the frame the biting edge of the upper teeth, and the lower ones, lie.
        """
        found = opening_mask(upper, lower, frame.shape)
        if found is None:
            return
        x0, y0, mask = found
        size, corner = mask.shape[::-1], np.array([x0, y0])
        turned = pose[:, :2] @ face_axes
        reach = self._unit * float(np.sqrt(abs(np.linalg.det(turned))))
        inward = cv2.GaussianBlur(mask, (0, 0), max(0.8, 0.035 * reach))  # lips shade what lies close behind them
        ys = np.arange(mask.shape[0], dtype=np.float32)[:, None] + y0
        throat = np.exp(
            -(((ys - float(skull[1]) - 0.10 * reach) / (0.16 * reach)) ** 2)
        )  # darkest behind the upper teeth
        layer = self._tint(96, 38, 36) * self._light * (1.0 - 0.78 * throat)[..., None]
        layer = np.broadcast_to(layer, mask.shape + (3,)).copy()
        dim = np.clip(inward * 1.35 - 0.2, 0.15, 1.0)[..., None]
        lit = np.clip(inward * 0.9 + 0.30, 0.45, 1.0)[..., None]
        origin = np.array([self._half_width, self._above]) * self._unit - 0.5
        for rgba, at, shade in ((self._tongue, jaw, dim), (self._lower, jaw, lit), (self._upper, skull, lit)):
            place = np.column_stack([turned, at - turned @ origin - corner])
            drawn = cv2.warpAffine(rgba, place, size, flags=cv2.INTER_LINEAR)
            layer *= 1 - drawn[..., 3:]
            layer += drawn[..., :3] * shade
        if self._photo_teeth is not None:
            place = np.column_stack([pose[:, :2], pose[:, :2] @ self._photo_teeth.origin + pose[:, 2] - corner])
            drawn = cv2.warpAffine(self._photo_teeth.layer, place, size, flags=cv2.INTER_LINEAR)
            layer *= 1 - drawn[..., 3:]
            layer += drawn[..., :3] * np.clip(inward * 0.9 + 0.55, 0.7, 1.0)[..., None]
        blend(frame, x0, y0, mask, layer)


class PhotoTeeth:
    """The upper teeth as the photo shows them between parted lips.

    Attributes: layer (h, w, 4) float32, premultiplied RGBA; origin (2,), where it lies on the photo; colour (3,) of enamel; edge,
    how far their biting edge lies below the upper lip, in pixels.
    """

    def __init__(self, layer: np.ndarray, origin: np.ndarray, colour: np.ndarray, edge: float):
        self.layer, self.origin, self.colour, self.edge = layer, origin, colour, edge

    @classmethod
    def of(
        cls, photo: np.ndarray, upper: np.ndarray, lower: np.ndarray, unit: float, skin: np.ndarray
    ) -> PhotoTeeth | None:
        """Takes them from a photo (H, W, 3) uint8; None where the lips show something else, as dark as a cavity.

        upper, lower: curves of the inner lips (N, 2). unit: D in pixels. skin: (3,) bright skin, 0..255.
        """
        found = opening_mask(upper, lower, photo.shape)
        if found is None:
            return None
        x0, y0, mask = found
        if min(mask.shape) < 4:
            return None
        inside = photo[y0 : y0 + mask.shape[0], x0 : x0 + mask.shape[1]].astype(np.float32)
        xs, ys = np.arange(mask.shape[1]) + x0, np.arange(mask.shape[0], dtype=np.float32)[:, None] + y0
        top = np.interp(xs, upper[:, 0], upper[:, 1])[None]
        gap = float((lower[:, 1] - upper[:, 1]).max())
        height = min(gap, 0.15 * unit)  # of what can be upper teeth
        share = (ys - top) / height
        grey = inside.mean(axis=2)
        middle = np.abs(xs - xs.mean())[None] < 0.25 * len(xs)
        probe = (mask > 0.9) & (share > 0.25) & (share < 0.7) & middle
        if probe.sum() < 6 or np.median(grey[probe]) < 0.55 * float(skin.mean()):
            return None
        cover = cv2.GaussianBlur(mask, (0, 0), max(0.6, 0.008 * unit)) * mask
        cover = cover * np.clip((1.12 - share) / 0.3, 0.0, 1.0)
        bright = grey > np.percentile(grey[probe], 40)
        colour = inside[probe & bright].mean(axis=0)
        # Dark columns at the sides are no teeth: the drawn row shows there.
        rows = (mask > 0.5) & (share > 0.15) & (share < 0.75)
        light = (grey * rows).sum(axis=0) / np.maximum(rows.sum(axis=0), 1)
        light = cv2.blur(light[None].astype(np.float32), (max(1, int(0.03 * unit)) | 1, 1))
        cover = cover * np.clip((light / max(float(colour.mean()), 1.0) - 0.45) / 0.25, 0.0, 1.0)
        # Where each column's teeth begin and end, and by the middle ones' ends the edge they bite with.
        tooth = (grey > 0.7 * float(colour.mean())) & (mask > 0.5) & (ys > top + _UNDER_LIP * unit) & (share < 1.0)
        has = tooth.sum(axis=0) > 0.03 * unit
        first, last = tooth.argmax(axis=0), len(tooth) - 1 - tooth[::-1].argmax(axis=0)
        least = np.ceil(top[0] - y0 + _UNDER_LIP * unit)
        begins = np.maximum(least, np.median(first[has] - least[has]) + least if has.any() else least)
        front = has & middle[0]
        edge = float(np.median((last - top[0] + y0)[front])) if front.any() else height
        # Behind the lip they go on: as the photo's teeth to the height of a tooth, then as gum. A lip that rises shows it.
        more = int(_BEHIND_LIP * unit)
        rows_from = np.arange(-more, len(inside))[:, None]
        from_top = np.clip(np.maximum(rows_from, begins), 0, len(inside) - 1).astype(int)
        columns = np.broadcast_to(np.arange(mask.shape[1]), from_top.shape)
        shown = inside[from_top, columns]
        gum = np.clip(
            (top - y0 + min(edge - _WHOLE_TOOTH * unit, -_UNDER_LIP * unit) - rows_from) / (0.02 * unit) + 0.5, 0, 1
        )
        shown += gum[..., None] * (colour * (_GUM / _ENAMEL) - shown)
        cover = cover[from_top, columns][..., None]
        layer = np.dstack([shown * cover, cover]).astype(np.float32)
        return cls(layer, np.array([x0, y0 - more], float), colour, edge)
