"""The person of a photo, warped by a triangle mesh and laid over the still background.

Which triangle covers which pixel is found on the CPU on a coarse map; the pixels are then moved by OpenCV, or by
PyTorch's grid sampling on a GPU. Both give the same picture within rounding: OpenCV places samples at 1/32 pixel.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from avatar_forcing_ros.errors import InputError

_MAP_STEP = 2  # the warp is computed at every second pixel, then interpolated
_SLIVER = 0.5  # pixels; triangles flatter than this are left to their neighbours: their maps reach too far
_NOWHERE = -1e3  # pixels; where nothing is drawn the map leads far beyond this
_DRIVER = Path("/dev/nvidiactl")
_FOLD_BLUR, _FOLD_SIGMA = 5, 1.3  # pixels; the kernel that smooths the edge where one part hides another


class Warp:
    """Draws one person.

    person: (P, P, 4) uint8 RGBA, its border repeated outward. background: (S, S, 3) uint8.
    triangles: (T, 3) vertices. source: (T, 3, 2), where each triangle's corners lie on `person`.
    device: "cpu" (OpenCV), "cuda", "auto" (a GPU where torch has one), or "torch:cpu" (grid sampling without a GPU).
    Nothing is kept between frames.
    """

    def __init__(self, person: np.ndarray, background: np.ndarray, triangles: np.ndarray, source: np.ndarray, device: str = "cpu"):
        self._person, self._background = person, background
        shown = [_any_cover(person, corners) for corners in source]  # triangles of nothing but background are not drawn
        self._triangles, self._source = triangles[shown], source[shown]
        self._size = background.shape[0]
        self._gpu = None
        self.use(device)

    def use(self, device: str) -> None:
        """Draws on this device from now on."""
        device = _device(device)
        self._gpu = _TorchSampler(self._person, self._background, device) if device else None

    def draw(self, posed: np.ndarray) -> np.ndarray:
        """The picture (S, S, 3) uint8 with the mesh's vertices at `posed` (V, 3), pixels, z away from the viewer."""
        source = self._coarse_map(posed)
        folds = _folds(source)
        edge = _bounds(folds)
        if self._gpu is not None:
            return self._gpu.draw(source, folds if edge else None)
        picture = self._background.copy()
        where = _bounds(source[..., 0] > _NOWHERE)
        if where is None:
            return picture
        top, bottom, left, right = where
        frame = picture[top * _MAP_STEP : bottom * _MAP_STEP, left * _MAP_STEP : right * _MAP_STEP]  # a view: where the person is
        at = np.ascontiguousarray(source[top:bottom, left:right])
        at = cv2.resize(at, None, fx=_MAP_STEP, fy=_MAP_STEP, interpolation=cv2.INTER_LINEAR)[: frame.shape[0], : frame.shape[1]]
        drawn = cv2.remap(self._person, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
        cover = cv2.extractChannel(drawn, 3).astype(np.float32) * np.float32(1 / 255)
        frame[:] = cv2.blendLinear(cv2.cvtColor(drawn, cv2.COLOR_RGBA2RGB), np.ascontiguousarray(frame), cover, 1 - cover)
        if edge:  # where one part hides another the coarse map is jagged: smooth across the edge
            top, bottom, left, right = edge
            view = picture[top * _MAP_STEP : bottom * _MAP_STEP, left * _MAP_STEP : right * _MAP_STEP]
            share = cv2.resize(folds[top:bottom, left:right], None, fx=_MAP_STEP, fy=_MAP_STEP, interpolation=cv2.INTER_LINEAR)
            share = np.ascontiguousarray(share[: view.shape[0], : view.shape[1]])
            view[:] = cv2.blendLinear(cv2.GaussianBlur(view, (_FOLD_BLUR,) * 2, _FOLD_SIGMA), view, share, 1 - share)
        return picture

    def _coarse_map(self, posed: np.ndarray) -> np.ndarray:
        """Where every second pixel comes from on `person`: (side, side, 2) float32."""
        side = -(-self._size // _MAP_STEP)
        cells = np.zeros((side, side), np.int32)  # 0: nothing, else 1 + triangle
        at = posed[self._triangles]  # (T, 3, 3)
        flat = at[:, :, :2]
        maps, height = affine_maps(flat, self._source)
        seen = (flat.min(axis=1) < self._size).all(axis=1) & (flat.max(axis=1) > 0).all(axis=1) & (height > _SLIVER)
        order = np.argsort(-at[:, :, 2].sum(axis=1), kind="stable")
        coarse = np.round(((flat + 0.5) / _MAP_STEP - 0.5) * 16).astype(np.int32)
        fill = cv2.fillConvexPoly
        for i in order[seen[order]].tolist():
            fill(cells, coarse[i], i + 1, cv2.LINE_8, 4)
        x = (np.arange(side, dtype=np.float32) + 0.5) * _MAP_STEP - 0.5
        chosen = np.take(maps, cells.ravel(), axis=0).reshape(side, side, 6)
        source = np.empty((side, side, 2), np.float32)
        source[..., 0] = chosen[..., 0] * x + chosen[..., 1] * x[:, None] + chosen[..., 2]
        source[..., 1] = chosen[..., 3] * x + chosen[..., 4] * x[:, None] + chosen[..., 5]
        return source


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
    raise InputError(f"portrait: device '{name}' is not there: use auto or cpu")


class _TorchSampler:
    """The same sampling and blending by torch, on a device."""

    def __init__(self, person: np.ndarray, background: np.ndarray, device: str):
        import torch

        self._torch, self._device = torch, torch.device(device)
        self._person = self._planes(person)
        self._background = self._planes(background)
        kernel = cv2.getGaussianKernel(_FOLD_BLUR, _FOLD_SIGMA, cv2.CV_32F)
        self._kernel = torch.as_tensor(kernel @ kernel.T, device=self._device)[None, None].repeat(3, 1, 1, 1)

    def _planes(self, image: np.ndarray):
        return self._torch.as_tensor(image, device=self._device).permute(2, 0, 1)[None].float()

    def draw(self, source: np.ndarray, folds: np.ndarray | None) -> np.ndarray:
        functional = self._torch.nn.functional
        size = self._background.shape[-1]
        with self._torch.inference_mode():
            at = self._full(self._torch.as_tensor(source, device=self._device).permute(2, 0, 1)[None], size)
            grid = (at.permute(0, 2, 3, 1) + 0.5) * (2.0 / self._person.shape[-1]) - 1.0
            drawn = functional.grid_sample(self._person, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
            cover = drawn[:, 3:] / 255.0
            frame = drawn[:, :3] * cover + self._background * (1.0 - cover)
            if folds is not None:
                share = self._full(self._torch.as_tensor(folds, device=self._device)[None, None], size)
                around = functional.pad(frame, (_FOLD_BLUR // 2,) * 4, mode="reflect")
                blurred = functional.conv2d(around, self._kernel, groups=3)
                frame = blurred * share + frame * (1.0 - share)
            return (frame[0] + 0.5).clamp_(0, 255).byte().permute(1, 2, 0).contiguous().cpu().numpy()

    def _full(self, coarse, size: int):
        """A coarse map (1, C, side, side) at every pixel, edges repeated as OpenCV does."""
        functional = self._torch.nn.functional
        return functional.interpolate(coarse, scale_factor=_MAP_STEP, mode="bilinear", align_corners=False)[..., :size, :size]


def _any_cover(person: np.ndarray, corners: np.ndarray) -> bool:
    (x0, y0), (x1, y1) = np.floor(corners.min(axis=0)).astype(int) - 1, np.ceil(corners.max(axis=0)).astype(int) + 2
    return bool(person[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0), 3].any())


def affine_maps(goal: np.ndarray, source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps from the frame back to the photo, one per triangle, and the triangles' heights on the frame.

    goal, source: (T, 3, 2). Returns (T + 1, 6) float32, rows (a, b, c, d, e, f) with x' = a x + b y + c and
    y' = d x + e y + f, row 0 leading outside the photo; and the distance (T,) of the longest side from its corner.
    """
    u, v = goal[:, 1] - goal[:, 0], goal[:, 2] - goal[:, 0]
    p, q = source[:, 1] - source[:, 0], source[:, 2] - source[:, 0]
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    longest = np.sqrt(np.maximum((u**2).sum(axis=1), np.maximum((v**2).sum(axis=1), ((v - u) ** 2).sum(axis=1))))
    over = 1.0 / np.where(np.abs(area) < 1e-6, 1.0, area)
    maps = np.empty((len(goal) + 1, 6), np.float32)
    maps[0] = (0, 0, 10 * _NOWHERE, 0, 0, 10 * _NOWHERE)
    for k in (0, 1):
        a = (p[:, k] * v[:, 1] - q[:, k] * u[:, 1]) * over
        b = (q[:, k] * u[:, 0] - p[:, k] * v[:, 0]) * over
        maps[1:, 3 * k], maps[1:, 3 * k + 1] = a, b
        maps[1:, 3 * k + 2] = source[:, 0, k] - a * goal[:, 0, 0] - b * goal[:, 0, 1]
    return maps, np.abs(area) / np.maximum(longest, 1e-6)


def _folds(source: np.ndarray) -> np.ndarray:
    """Where neighbours of a coarse map (H, W, 2) come from far apart: (H, W) float32, 1 on such edges of the person."""
    jump = np.zeros(source.shape[:2], np.uint8)
    x, y = source[..., 0], source[..., 1]
    far = 4.0 * _MAP_STEP
    known = x > _NOWHERE
    across = (np.abs(x[:, 1:] - x[:, :-1]) + np.abs(y[:, 1:] - y[:, :-1]) > far) & known[:, 1:] & known[:, :-1]
    along = (np.abs(x[1:] - x[:-1]) + np.abs(y[1:] - y[:-1]) > far) & known[1:] & known[:-1]
    jump[:, 1:] |= across
    jump[:, :-1] |= across
    jump[1:] |= along
    jump[:-1] |= along
    return jump.astype(np.float32)


def _bounds(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """(top, bottom, left, right) of what is not zero and two cells around it, ends exclusive."""
    if not mask.any():
        return None
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = max(int(rows[0]) - 2, 0), max(int(columns[0]) - 2, 0)
    return top, min(int(rows[-1]) + 3, mask.shape[0]), left, min(int(columns[-1]) + 3, mask.shape[1])
