"""The lips of an animated photo: where closed ones meet, where wide open ones end, and the line that closed ones make."""

from __future__ import annotations

import cv2
import numpy as np

from avatar_forcing_ros.motion.portrait.mesh import look
from avatar_forcing_ros.motion.tracking.mesh import (
    INNER_LIP_LOWER,
    INNER_LIP_UPPER,
    MESH_POINTS,
    OUTER_LIP_LOWER,
    OUTER_LIP_UPPER,
)

_WIDE = 0.20  # D between the inner lips; from here on the mesh, which knows few shouts, may lie inside the mouth
_SHOUT = 0.17, 0.25  # D between the inner lips; what a smile shows at most, and from where on a mouth is wide open
_SEARCH_UNIT = 110.0  # pixels per D at which the inside of the mouth is told from lips
_FARTHEST, _STEP = 0.12, 0.004  # D beyond the mesh's lips that the inside is looked for, and how finely
_SETTLED = 0.02  # D of lip that end the search
_THINNEST = 0.03  # D of lip that are left
_SOFT_SKIN = 0.16  # D; so far the skin around goes with a lip that is moved
_LINE, _LINE_SHADE = (
    0.012,
    0.42,
)  # D; width of the shadow on each lip where they meet, and what is left of the light there


def seam(photo: np.ndarray, upper: np.ndarray, lower: np.ndarray, axes: np.ndarray, unit: float) -> np.ndarray:
    """Where closed lips meet: near the middle of the inner contours, on the darkest line."""
    middle = (upper + lower) / 2
    grey = cv2.GaussianBlur(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), (0, 0), max(0.5, 0.006 * unit)).astype(np.float32)
    offsets = np.linspace(-0.04, 0.04, 33) * unit
    at = (middle[:, None, :2] + offsets[None, :, None] * axes[1, :2]).astype(np.float32)
    dark = look(grey, at)
    cost = dark + 25.0 * (offsets / (0.04 * unit)) ** 2
    best = offsets[cost.argmin(axis=1)]
    best = np.convolve(np.pad(best, 1, mode="edge"), (0.25, 0.5, 0.25), mode="valid")
    return middle + best[:, None] * axes[1]


def with_wide_mouth(photo: np.ndarray, points: np.ndarray, unit: float) -> np.ndarray:
    """The points (478, 3) with the lips of a wide open mouth where the picture (H, W, 3) has them.

    The mesh often draws a shout smaller than it is. What is left beyond its lips, darkness and teeth, would be taken for lip,
    and show where closed lips meet. unit: D in pixels.
    """
    gap = (points[INNER_LIP_LOWER, :2] - points[INNER_LIP_UPPER, :2])[:, 1].max()
    if gap < _WIDE * unit:
        return points
    found = _inside(photo, points, unit)
    if found is None:
        return points
    inside, corner, scale = found
    steps = np.arange(0.0, _FARTHEST + _SETTLED, _STEP) * unit
    moved = points.copy()
    for inner, outer, outer_goes in (
        (INNER_LIP_UPPER[1:-1], OUTER_LIP_UPPER[1:-1], False),
        (INNER_LIP_LOWER[1:-1], OUTER_LIP_LOWER[1:-1], True),
    ):
        way = points[outer, :2] - points[inner, :2]
        thick = np.linalg.norm(way, axis=1)
        way /= np.maximum(thick, 1e-6)[:, None]
        at = points[inner, None, :2] + steps[None, :, None] * way[:, None]
        is_lip = look(inside, (at - corner) * scale) < 0.5
        run = round(_SETTLED / _STEP)
        settled = np.array([[lip[k : k + run].all() for k in range(len(steps) - run + 1)] for lip in is_lip])
        beyond = np.where(settled.any(axis=1), steps[settled.argmax(axis=1)], 0.0)
        beyond = np.median(np.stack([np.pad(beyond, 1)[i : i + len(beyond)] for i in range(3)]), axis=0)
        beyond = np.convolve(np.pad(beyond, 1), (0.25, 0.5, 0.25), mode="valid")
        moved[inner, :2] += beyond[:, None] * way
        goes = beyond if outer_goes else np.maximum(beyond - np.maximum(thick - _THINNEST * unit, 0.0), 0.0)
        moved[outer, :2] += goes[:, None] * way
    lips = list(dict.fromkeys(INNER_LIP_UPPER + INNER_LIP_LOWER + OUTER_LIP_UPPER + OUTER_LIP_LOWER))
    rest = np.setdiff1d(np.arange(MESH_POINTS), lips)
    apart = np.linalg.norm(points[rest, None, :2] - points[None, lips, :2], axis=2) / (_SOFT_SKIN * unit)
    near = np.exp(-0.5 * (apart / 0.5) ** 2) * (apart < 2.0)
    share = near / np.maximum(near.sum(axis=1, keepdims=True), 1e-6) * near.max(axis=1, keepdims=True)
    moved[rest, :2] += share @ (moved[lips, :2] - points[lips, :2])
    return moved


def _inside(photo: np.ndarray, points: np.ndarray, unit: float) -> tuple[np.ndarray, np.ndarray, float] | None:
    """What of a picture lies between the lips: (a mask (h, w) float32, its corner in the picture, its pixels per pixel).

    GrabCut, told that the middle of the opening is inside and the skin around the lips is not; teeth are whiter than skin.
    """
    inner = points[INNER_LIP_UPPER + INNER_LIP_LOWER[::-1], :2]
    outer = points[OUTER_LIP_UPPER + OUTER_LIP_LOWER[::-1], :2]
    limit = np.array(photo.shape[1::-1])
    low = np.clip(np.floor(outer.min(axis=0) - 0.2 * unit), 0, limit).astype(int)
    high = np.clip(np.ceil(outer.max(axis=0) + 0.2 * unit), 0, limit).astype(int)
    if (high - low).min() < 8:
        return None
    scale = _SEARCH_UNIT / unit
    view = cv2.resize(
        photo[low[1] : high[1], low[0] : high[0]],
        None,
        fx=scale,
        fy=scale,
        interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC,
    )
    lab = cv2.cvtColor(view, cv2.COLOR_RGB2LAB)
    middle = inner.mean(axis=0)
    known = np.full(view.shape[:2], cv2.GC_BGD, np.uint8)

    def fill(contour: np.ndarray, value: int) -> None:
        cv2.fillPoly(known, [((contour + 0.5 - low) * scale).astype(np.int32)], value)

    fill(middle + (outer - middle) * 1.12, cv2.GC_PR_BGD)
    light, chroma = lab[..., 0].astype(np.float32), np.hypot(*(lab[..., k].astype(np.float32) - 128.0 for k in (1, 2)))
    skin = known == cv2.GC_BGD
    teeth = (light > 0.85 * np.median(light[skin])) & (chroma < 0.65 * np.median(chroma[skin])) & ~skin
    known[teeth] = cv2.GC_PR_FGD
    fill(inner, cv2.GC_PR_FGD)
    fill(middle + (inner - middle) * 0.72, cv2.GC_FGD)
    cv2.setRNGSeed(0)  # its first clusters are drawn by chance
    cv2.grabCut(lab, known, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    inside = (known == cv2.GC_FGD) | (known == cv2.GC_PR_FGD)
    return inside.astype(np.float32), low - 0.5 + 0.5 / scale, scale


def wide_open(gap: float) -> float:
    """0 for lips that smile over their teeth, to 1 for a shout. gap: between the inner lips, in D."""
    return float(np.interp(gap, _SHOUT, (0.0, 1.0)))


def with_line(person: np.ndarray, curves: list[np.ndarray], unit: float, amount: float) -> np.ndarray:
    """The picture (H, W, 3) float32 with a shadow along the curves (N, 2), in its pixels: the line that closed lips make.

    Lips that a photo has apart do not have it where they will meet. unit: D in the picture's pixels. amount: 0 to 1.
    """
    shade = np.zeros(person.shape[:2], np.float32)
    width = max(1, round(2 * _LINE * unit))
    for curve in curves:
        at = np.round(curve * 16).astype(int).tolist()
        for k, dark in enumerate(np.sin(np.linspace(0.0, np.pi, len(at) - 1)) ** 0.5):
            cv2.line(shade, at[k], at[k + 1], float(dark), width, cv2.LINE_8, 4)
    soft = cv2.GaussianBlur(shade, (0, 0), max(0.6, 0.7 * _LINE * unit))
    return person * (1 - amount * (1 - _LINE_SHADE) * soft[..., None])
