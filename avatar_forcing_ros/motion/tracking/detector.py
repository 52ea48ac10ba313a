"""Where faces are in an image: BlazeFace (Bazarevsky et al. 2019), as MediaPipe runs it.

Two models look: one for faces up to some two metres from a camera, one for those farther away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from avatar_forcing_ros.motion.tracking.models import FULL_RANGE, SHORT_RANGE, network

LEAST_SCORE = {SHORT_RANGE: 0.5, FULL_RANGE: 0.6}  # MediaPipe's
_SAME_FACE = 0.3  # overlap of two boxes of one face
_GRIDS = {SHORT_RANGE: ((8, 2), (16, 6)), FULL_RANGE: ((4, 1),)}  # (pixels between anchors, anchors at a place)


@dataclass(frozen=True)
class Detection:
    """box: (x0, y0, x1, y1) pixels, from the brows to the chin. points: (6, 2) pixels: both eyes (the person's right one first), nose,
    mouth, both ears. score: 0 to 1."""

    box: np.ndarray
    points: np.ndarray
    score: float


@lru_cache
def _anchors(model: str, side: int) -> np.ndarray:
    """(n, 2): where each of the model's answers looks, 0 to 1 across and down."""
    parts = []
    for step, count in _GRIDS[model]:
        cells = side // step
        down, across = np.mgrid[0:cells, 0:cells]
        parts.append(np.repeat((np.stack([across, down], axis=-1).reshape(-1, 2) + 0.5) / cells, count, axis=0))
    return np.concatenate(parts).astype(np.float32)


def detect(
    image: np.ndarray,
    model: str = SHORT_RANGE,
    least: float | None = None,
    window: tuple[int, int, int, int] | None = None,
    gain: float = 1.0,
) -> list[Detection]:
    """Faces, the surest first, in pixels of the image.

    image: (H, W, 3) uint8 RGB. least: score below which a face is none (left out: the model's own). window: (x0, y0, x1, y1), the part to look
    at; it may reach beyond the image, where all is black. gain: how much brighter a dark image is made.
    """
    detector, least = network(model), LEAST_SCORE[model] if least is None else least
    x0, y0, x1, y1 = window or (0, 0, image.shape[1], image.shape[0])
    half = max(x1 - x0, y1 - y0) / 2  # the model's square holds the whole window
    left, top, scale = (x0 + x1) / 2 - half, (y0 + y1) / 2 - half, 2 * half / detector.side
    matrix = np.array([[scale, 0, left], [0, scale, top], [0, 0, 1]])
    seen = cv2.warpPerspective(
        image, matrix, (detector.side, detector.side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_CONSTANT
    )  # fmt: skip
    values = np.multiply(seen, np.float32(2 * gain / 255), dtype=np.float32) - np.float32(1)
    regressors, logits = detector((values if gain == 1.0 else np.minimum(values, np.float32(1)))[None])
    logits = logits[0, :, 0]
    likely = np.flatnonzero(logits >= np.log(least / (1 - least)))
    if not len(likely):
        return []
    likely = likely[np.argsort(-logits[likely], kind="stable")]
    scores = 1 / (1 + np.exp(-np.clip(logits[likely], -100, 100)))
    values = regressors[0, likely] / detector.side
    anchors = _anchors(model, detector.side)[likely]
    places = np.empty((len(likely), 8, 2), np.float32)  # upper left, lower right, then the points
    centre, extent = values[:, :2] + anchors, values[:, 2:4]
    places[:, 0], places[:, 1] = centre - extent / 2, centre + extent / 2
    places[:, 2:] = values[:, 4:].reshape(-1, 6, 2) + anchors[:, None]
    found = []
    for place, score in _joined(places, scores):
        place = place * (2 * half) + (left, top)
        found.append(Detection(place[:2].reshape(4), place[2:], float(score)))
    return found


def _joined(places: np.ndarray, scores: np.ndarray) -> Iterator[tuple[np.ndarray, float]]:
    """One face for all that overlap the surest of them: their mean, weighted by score. places: (n, 8, 2), the surest first."""
    while len(places):
        same = overlap(places[0, :2].reshape(4), places[:, :2].reshape(-1, 4)) > _SAME_FACE
        if not same.any():  # a box without extent
            places, scores = places[1:], scores[1:]
            continue
        weights = scores[same] / scores[same].sum()
        yield np.tensordot(weights, places[same], axes=1), scores[0]
        places, scores = places[~same], scores[~same]


def overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """What a box (4,) and each of boxes (n, 4) have in common, over what they cover together."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=1)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(box[2:] - box[:2]) - common
    return common / np.maximum(area, 1e-12)
