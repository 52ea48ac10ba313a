"""The person of a photo, warped by a triangle mesh and laid over the still background.

Which triangle covers which pixel is found on the CPU on a coarse map; the pixels are then moved by OpenCV, or by
PyTorch's grid sampling on a GPU. Both give the same picture within rounding: OpenCV places samples at 1/32 pixel.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from avatar_forcing_ros.errors import InputError

_MAP_STEP = 2  # the warp is computed at every second pixel, then interpolated
_SLIVER = (
    0.5  # pixels; triangles flatter than this lie behind all others and are of one place: their maps reach too far
)
_TOUCH = np.float32(0.3)  # cells; so far triangles reach beyond their edges, that no gap is left between them
_NOWHERE = -1e3  # pixels; where nothing is drawn the map leads far beyond this
_MARGIN = 2  # cells around a fold that its smoothing reaches
_NO_SECOND_MAP: Any = None  # OpenCV's stubs ask for one
_DRIVER = Path("/dev/nvidiactl")
_FOLD_BLUR, _FOLD_SIGMA = 5, 1.3  # pixels; the kernel that smooths the edge where one part hides another


class Warp:
    """Draws one person.

    person: (P, Q, 4) uint8 RGBA, its border repeated outward. background: (H, W, 3) uint8.
    triangles: (T, 3) vertices. source: (T, 3, 2), where each triangle's corners lie on `person`.
    device: "cpu" (OpenCV), "cuda", "auto" (a GPU where torch has one), or "torch:cpu" (grid sampling without a GPU).
    Nothing is kept between frames.
    """

    def __init__(
        self, person: np.ndarray, background: np.ndarray, triangles: np.ndarray, source: np.ndarray, device: str = "cpu"
    ):
        self._person, self._background = person, background
        shown = [_any_cover(person, corners) for corners in source]  # triangles of nothing but background are not drawn
        self._triangles = np.ascontiguousarray(triangles[shown].T)
        self._source = np.ascontiguousarray(source[shown].transpose(1, 0, 2))
        self._height, self._width = background.shape[:2]
        self._gpu: _TorchSampler | None = None
        self.use(device)

    def use(self, device: str) -> None:
        """Draws on this device from now on."""
        device = _device(device)
        self._gpu = _TorchSampler(self._person, self._background, device) if device else None

    def draw(self, posed: np.ndarray) -> np.ndarray:
        """The picture (H, W, 3) uint8 with the mesh's vertices at `posed` (V, 3), pixels, z away from the viewer."""
        source = self._coarse_map(posed)
        folds = _folds(*cv2.split(source))
        if self._gpu is not None:
            return self._gpu.draw(source, folds.astype(np.float32) if folds.any() else None)
        picture = self._person_over_background(source)
        boxes = [(box, _smoothed(picture, folds, box)) for box in _boxes(folds)]
        for (top, bottom, left, right), smooth in boxes:
            picture[top * _MAP_STEP : bottom * _MAP_STEP, left * _MAP_STEP : right * _MAP_STEP] = smooth
        return picture

    def _person_over_background(self, source: np.ndarray) -> np.ndarray:
        """source: the coarse map."""
        at = cv2.resize(source, None, fx=_MAP_STEP, fy=_MAP_STEP, interpolation=cv2.INTER_LINEAR)
        at = at[: self._height, : self._width]
        drawn = cv2.remap(
            self._person, at, _NO_SECOND_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0
        )
        cover = cv2.cvtColor(cv2.extractChannel(drawn, 3), cv2.COLOR_GRAY2RGB)
        own = cv2.multiply(cv2.cvtColor(drawn, cv2.COLOR_RGBA2RGB), cover, scale=1 / 255)
        return cv2.add(own, cv2.multiply(self._background, cv2.bitwise_not(cover), scale=1 / 255))

    def _coarse_map(self, posed: np.ndarray) -> np.ndarray:
        """Where every second pixel comes from on `person`: (rows, columns, 2) float32."""
        rows, columns = -(-self._height // _MAP_STEP), -(-self._width // _MAP_STEP)
        xs, ys = posed[:, 0][self._triangles], posed[:, 1][self._triangles]  # (3, T) each
        (x0, x1, x2), (y0, y1, y2) = xs, ys
        maps, height = affine_maps(xs, ys, self._source)
        seen = np.minimum(np.minimum(x0, x1), x2) < self._width
        seen &= np.minimum(np.minimum(y0, y1), y2) < self._height
        seen &= (np.maximum(np.maximum(x0, x1), x2) > 0) & (np.maximum(np.maximum(y0, y1), y2) > 0)
        far = posed[:, 2][self._triangles].sum(axis=0)
        slivers = height < _SLIVER
        far[slivers] = np.inf
        maps[:, slivers] = 0.0
        maps[2::3, slivers] = self._source[0, slivers].T
        order = np.argsort(-far, kind="stable")
        order = order[seen[order]]
        corners = np.stack([xs[:, order], ys[:, order]]).astype(np.float32)
        corners = (corners + np.float32(0.5)) * np.float32(1 / _MAP_STEP) - np.float32(0.5)
        triangle, row, first, count = _spans(corners, rows, columns)
        # On a row of a triangle the map is linear in x: slope and start of each span, then all its cells at once. Both
        # coordinates are one complex number, x + iy, and so are computed and put down together.
        a, b, c, d, e, f = maps[:, order[triangle]]
        y = (row.astype(np.float32) + np.float32(0.5)) * np.float32(_MAP_STEP) - np.float32(0.5)
        line = np.stack([a, d, b * y + c, e * y + f], axis=1).view(np.complex64)  # (n, 2)
        line = np.repeat(line, count, axis=0)
        ends = np.cumsum(count, dtype=np.int32)
        place = np.arange(ends[-1] if len(ends) else 0, dtype=np.int32)
        column = place - np.repeat(ends - count - first, count)
        cell = place + np.repeat(row * columns + first - (ends - count), count)
        x = (column.astype(np.float32) + np.float32(0.5)) * np.float32(_MAP_STEP) - np.float32(0.5)
        source = np.full(rows * columns, complex(10 * _NOWHERE, 10 * _NOWHERE), np.complex64)
        source[cell] = line[:, 0] * x + line[:, 1]  # the nearest triangle comes last and stays
        return source.view(np.float32).reshape(rows, columns, 2)


def _device(name: str) -> str:
    """The torch device to draw on; empty for OpenCV. Raises InputError for one that is not there."""
    if name == "cpu" or (name == "auto" and not _DRIVER.exists()):  # torch is not loaded where it has nothing to find
        return ""
    import torch

    if name == "torch:cpu":
        return "cpu"
    if name == "auto" or name.startswith("cuda"):
        if torch.cuda.is_available():
            return "cuda" if name == "auto" else name
        if name == "auto":
            return ""
    raise InputError(f"portrait: device '{name}' does not exist here: use auto or cpu")


class _TorchSampler:
    """The same sampling and blending by torch, on a device."""

    def __init__(self, person: np.ndarray, background: np.ndarray, device: str):
        import torch

        self._torch, self._device = torch, torch.device(device)
        self._person = self._planes(person)
        self._background = self._planes(background)
        kernel = cv2.getGaussianKernel(_FOLD_BLUR, _FOLD_SIGMA, cv2.CV_32F)
        self._kernel = torch.as_tensor(kernel @ kernel.T, device=self._device)[None, None].repeat(3, 1, 1, 1)

    def _planes(self, image: np.ndarray) -> Any:
        return self._torch.as_tensor(image, device=self._device).permute(2, 0, 1)[None].float()

    def draw(self, source: np.ndarray, folds: np.ndarray | None) -> np.ndarray:
        functional = self._torch.nn.functional
        size = self._background.shape[-2:]
        with self._torch.inference_mode():
            at = self._full(self._torch.as_tensor(source, device=self._device).permute(2, 0, 1)[None], size)
            extent = self._torch.tensor(self._person.shape[:-3:-1], device=self._device)
            grid = (at.permute(0, 2, 3, 1) + 0.5) * (2.0 / extent) - 1.0
            drawn = functional.grid_sample(
                self._person, grid, mode="bilinear", padding_mode="zeros", align_corners=False
            )
            cover = drawn[:, 3:] / 255.0
            frame = drawn[:, :3] * cover + self._background * (1.0 - cover)
            if folds is not None:
                share = self._full(self._torch.as_tensor(folds, device=self._device)[None, None], size)
                around = functional.pad(frame, (_FOLD_BLUR // 2,) * 4, mode="reflect")
                blurred = functional.conv2d(around, self._kernel, groups=3)
                frame = blurred * share + frame * (1.0 - share)
            return (frame[0] + 0.5).clamp_(0, 255).byte().permute(1, 2, 0).contiguous().cpu().numpy()

    def _full(self, coarse: Any, size: tuple[int, int]) -> Any:
        """A coarse map (1, C, side, side) at every pixel, edges repeated as OpenCV does."""
        functional = self._torch.nn.functional
        return functional.interpolate(coarse, scale_factor=_MAP_STEP, mode="bilinear", align_corners=False)[
            ..., : size[0], : size[1]
        ]


def _any_cover(person: np.ndarray, corners: np.ndarray) -> bool:
    (x0, y0), (x1, y1) = np.floor(corners.min(axis=0)).astype(int) - 1, np.ceil(corners.max(axis=0)).astype(int) + 2
    return bool(person[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0), 3].any())


def affine_maps(xs: np.ndarray, ys: np.ndarray, source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps from the frame back to the photo, one per triangle, and the triangles' heights on the frame.

    xs, ys: (3, T) corners on the frame; source: (3, T, 2) on the photo. Returns (6, T) float32, rows a, b, c, d, e, f with
    x' = a x + b y + c and y' = d x + e y + f; and the distance (T,) of the longest side from its corner.
    """
    ux, uy, vx, vy = xs[1] - xs[0], ys[1] - ys[0], xs[2] - xs[0], ys[2] - ys[0]
    area = ux * vy - uy * vx
    longest = np.sqrt(np.maximum(np.maximum(ux**2 + uy**2, vx**2 + vy**2), (vx - ux) ** 2 + (vy - uy) ** 2))
    over = 1.0 / np.where(np.abs(area) < 1e-6, 1.0, area)
    maps = []
    for corner, p, q in zip(source[0].T, (source[1] - source[0]).T, (source[2] - source[0]).T):
        a, b = (p * vy - q * uy) * over, (q * ux - p * vx) * over
        maps += [a, b, corner - a * xs[0] - b * ys[0]]
    return np.array(maps, np.float32), np.abs(area) / np.maximum(longest, 1e-6)


def _spans(corners: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The rows of cells that triangles cover: which triangle, which row, the first cell in it, and how many, each (n,) int32.

    corners: (2, 3, T) float32, x and y in cells; a cell belongs to a triangle that its middle lies in or close to. Spans come in
    the triangles' order.
    """
    by_height = np.argsort(corners[1], axis=0)
    (x0, x1, x2), (y0, y1, y2) = (np.take_along_axis(c, by_height, axis=0) for c in corners)
    low = np.maximum(np.ceil(y0 - _TOUCH), 0).astype(np.int32)
    count = np.maximum(np.minimum(np.floor(y2 + _TOUCH), rows - 1).astype(np.int32) - low + 1, 0)
    triangle = np.repeat(np.arange(len(count), dtype=np.int32), count)
    row = np.arange(len(triangle), dtype=np.int32) - np.repeat(np.cumsum(count, dtype=np.int32) - count - low, count)

    def along(xa: np.ndarray, ya: np.ndarray, xb: np.ndarray, yb: np.ndarray) -> np.ndarray:
        return (xb - xa) / np.maximum(yb - ya, np.float32(1e-6))

    edges = np.stack([x0, y0, y1, y2, x1, along(x0, y0, x2, y2), along(x0, y0, x1, y1), along(x1, y1, x2, y2)], axis=1)
    x0, y0, y1, y2, x1, whole, upper, lower = np.ascontiguousarray(edges[triangle].T)
    y = np.minimum(np.maximum(row.astype(np.float32), y0), y2)
    one = x0 + (y - y0) * whole
    other = np.where(y < y1, x0 + (y - y0) * upper, x1 + (y - y1) * lower)
    first = np.maximum(np.ceil(np.minimum(one, other) - _TOUCH), 0).astype(np.int32)
    last = np.minimum(np.floor(np.maximum(one, other) + _TOUCH), columns - 1).astype(np.int32)
    return triangle, row, first, np.maximum(last - first + 1, 0)


def _folds(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Where neighbours of a coarse map, x and y (H, W), come from far apart: (H, W) uint8, 1 on such edges of the person."""
    jump = np.zeros(x.shape, np.uint8)
    known = x > _NOWHERE
    for a, b in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])):
        far = cv2.add(cv2.absdiff(x[a], x[b]), cv2.absdiff(y[a], y[b])) > 4.0 * _MAP_STEP
        far &= known[a]
        far &= known[b]
        jump[a] |= far
        jump[b] |= far
    return jump


def _boxes(mask: np.ndarray) -> list[tuple[int, int, int, int]]:
    """(top, bottom, left, right), ends exclusive, around what is not zero and two cells around it: one for each stretch of columns."""
    columns = np.flatnonzero(mask.any(axis=0))
    boxes = []
    for run in np.split(columns, np.flatnonzero(np.diff(columns) > 2 * _MARGIN) + 1) if len(columns) else ():
        rows = np.flatnonzero(mask[:, run[0] : run[-1] + 1].any(axis=1))
        top, left = max(int(rows[0]) - _MARGIN, 0), max(int(run[0]) - _MARGIN, 0)
        boxes.append(
            (top, min(int(rows[-1]) + _MARGIN + 1, mask.shape[0]), left, min(int(run[-1]) + _MARGIN + 1, mask.shape[1]))
        )
    return boxes


def _smoothed(picture: np.ndarray, folds: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """A box of the picture, in cells, smoothed where one part hides another: there the coarse map is jagged."""
    top, bottom, left, right = box
    view = picture[top * _MAP_STEP : bottom * _MAP_STEP, left * _MAP_STEP : right * _MAP_STEP]
    share = folds[top:bottom, left:right].astype(np.float32)
    fine = cv2.resize(share, None, fx=_MAP_STEP, fy=_MAP_STEP, interpolation=cv2.INTER_LINEAR)
    share = np.ascontiguousarray(fine[: view.shape[0], : view.shape[1]])
    blurred = cv2.GaussianBlur(view, (_FOLD_BLUR,) * 2, _FOLD_SIGMA)
    return cv2.blendLinear(blurred, np.ascontiguousarray(view), share, 1 - share)
