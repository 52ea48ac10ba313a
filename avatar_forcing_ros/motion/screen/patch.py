"""A part of a picture that curves are drawn on with smooth edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

_FRACTION = 4  # bits of a pixel that curves are drawn with
_FAR = 1 << 20  # beyond any screen, within OpenCV's range

Colour = tuple[int, ...]  # RGB, 0 to 255


class Patch:
    """A part of the canvas, enlarged to draw smooth edges on it; coordinates are pixels of the whole canvas.

    Enlarging repeats pixels and `put_back` averages them, so that what is not drawn on stays exactly as it was.
    """

    def __init__(self, canvas: np.ndarray, window: tuple[slice, slice], oversample: int) -> None:
        self._canvas, self._window, self._factor = canvas, window, oversample
        self._origin = np.array([window[1].start, window[0].start], dtype=float)
        below = canvas[window]
        size = (below.shape[1] * oversample, below.shape[0] * oversample)
        self.image = cv2.resize(below, size, interpolation=cv2.INTER_NEAREST) if oversample > 1 else below.copy()

    def flood(self, colour: Colour) -> None:
        cv2.rectangle(self.image, (0, 0), self.image.shape[1::-1], colour, -1)

    def fill(self, pixels: np.ndarray, colour: Colour) -> None:
        cv2.fillPoly(self.image, [self._fixed(pixels)], colour, cv2.LINE_AA, _FRACTION)

    def fill_between(self, outer: np.ndarray, inner: np.ndarray, colour: Colour) -> None:
        """What lies inside `outer` and outside `inner`."""
        cv2.fillPoly(self.image, [self._fixed(outer), self._fixed(inner)], colour, cv2.LINE_AA, _FRACTION)

    def disc(self, centre: np.ndarray, radius: float, colour: Colour) -> None:
        scale, half = self._factor * (1 << _FRACTION), 0.5 * (1 << _FRACTION)
        x, y = ((float(v) + 0.5 - o) * scale - half for v, o in zip(centre, self._origin.tolist()))
        size = round(float(radius) * scale)
        if size > 0 and max(abs(x), abs(y)) < _FAR:
            cv2.circle(self.image, (round(x), round(y)), size, colour, -1, cv2.LINE_AA, _FRACTION)

    def inside(self, outline: np.ndarray, paint: Callable[[Patch], object]) -> None:
        """Calls paint(copy of this patch) and keeps of it what lies inside the outline."""
        at = self._fixed(outline) >> _FRACTION
        window = window_of(at.min(axis=0) - 2, at.max(axis=0) + 3, self.image.shape)
        if window is None:
            return
        inner = object.__new__(Patch)
        inner._canvas, inner._window, inner._factor = self.image, window, self._factor
        inner._origin = self._origin + np.array([window[1].start, window[0].start]) / self._factor
        below = self.image[window]
        inner.image = below.copy()
        paint(inner)
        mask = np.zeros(below.shape[:2], np.uint8)
        if self._factor > 1:  # averaged when it is put back
            cv2.fillPoly(mask, [inner._fixed(outline)], 255, cv2.LINE_8, _FRACTION)
            cv2.copyTo(inner.image, mask, below)
        else:
            cv2.fillPoly(mask, [inner._fixed(outline)], 255, cv2.LINE_AA, _FRACTION)
            cover = mask * np.float32(1 / 255)
            below[:] = cv2.blendLinear(inner.image, np.ascontiguousarray(below), cover, 1 - cover)

    def put_back(self) -> None:
        height, width = (s.stop - s.start for s in self._window)
        done = cv2.resize(self.image, (width, height), interpolation=cv2.INTER_AREA) if self._factor > 1 else self.image
        self._canvas[self._window] = done

    def _fixed(self, pixels: np.ndarray) -> np.ndarray:
        scale = self._factor * (1 << _FRACTION)
        at = pixels * scale + ((0.5 - self._origin) * scale - 0.5 * (1 << _FRACTION))
        return np.minimum(np.maximum(np.rint(at, out=at), -_FAR, out=at), _FAR, out=at).astype(np.int32)


def window_of(low: Any, high: Any, shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    """Rows and columns from `low` to `high` (x, y) that an image of this shape has, or None."""
    x0, y0 = (max(int(np.floor(v)), 0) for v in low)
    x1, y1 = min(int(np.ceil(high[0])), shape[1]), min(int(np.ceil(high[1])), shape[0])
    return (slice(y0, y1), slice(x0, x1)) if x1 > x0 and y1 > y0 else None
