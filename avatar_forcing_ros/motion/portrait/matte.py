"""Person and background of one photo: a soft mask of the person, and the background completed behind the head."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from avatar_forcing_ros.motion.tracking.models import SEGMENTATION, network

_GRAIN = 6.0  # grey levels; a chin's outline is no grain


def person_mask(image: np.ndarray, face_hull: np.ndarray, others: Sequence[np.ndarray] = ()) -> np.ndarray:
    """How much of each pixel is the person: (H, W) float32 in 0..1, its border following the picture's edges.

    image: (H, W, 3) uint8 RGB, head and shoulders. face_hull: (N, 2) pixels that surely are the person.
    others: hulls of other people's faces, who stay in the background.
    """
    coarse = _segmented(image)
    surely = np.zeros(image.shape[:2], np.uint8)
    cv2.fillConvexPoly(surely, cv2.convexHull(face_hull.astype(np.int32)), 1)
    for other in others:
        coarse *= _nearer(image.shape[:2], face_hull, other)
    coarse[surely > 0] = 1.0
    side = image.shape[0]
    refined = _guided(coarse, image.astype(np.float32) / 255.0, radius=max(2, side // 64), epsilon=2e-4)
    mask = np.clip((refined - 0.15) / 0.7, 0.0, 1.0)
    mask[surely > 0] = 1.0
    # Islands are furniture, holes are shine: keep what hangs together with the face.
    _, labels = cv2.connectedComponents((mask > 0.05).astype(np.uint8))
    cx, cy = face_hull.mean(axis=0).astype(int)
    mask = mask * (labels == labels[cy, cx])
    # Half-sure areas would let the completed background show: soft only within a narrow border.
    band = max(2, side // 100)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * band + 1,) * 2)
    solid = (mask > 0.5).astype(np.uint8)
    mask[cv2.erode(solid, kernel) > 0] = 1.0
    mask[cv2.dilate(solid, kernel) == 0] = 0.0
    for _ in range(2):
        mask = np.maximum(mask, _strands(image.astype(np.float32), mask, reach=side // 24))
    # A thin rim of background goes with the person: better than a rim of hair that stays behind.
    rim = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * (band // 2) + 1,) * 2))
    return np.where(rim > 0.01, cv2.GaussianBlur(rim, (0, 0), 0.8), 0.0).astype(np.float32)


def _segmented(image: np.ndarray) -> np.ndarray:
    """How much of each pixel a person is, (H, W) float32 in 0..1, as a network of 256 x 256 pixels sees it."""
    segment = network(SEGMENTATION)
    height, width = image.shape[:2]
    matrix = np.diag([width / segment.side, height / segment.side, 1.0])
    small = cv2.warpPerspective(
        image, matrix, (segment.side, segment.side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    mask = segment(np.multiply(small, np.float32(1 / 255), dtype=np.float32)[None])[0][0, :, :, 0]
    return cv2.resize(mask, (width, height))


def behind_person(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The photo (H, W, 3) uint8 with its person (mask (H, W) above 0) gone: what was behind is guessed.

    Colour is filled in smoothly from around; grain and texture are those of the background mirrored at the person's
    outline, so that the filled part is as sharp as what surrounds it.
    """
    hole = (mask > 0).astype(np.uint8)
    smooth = completed(photo.astype(np.float32), hole.astype(np.float32))
    if not hole.any() or hole.all():
        return np.clip(smooth + 0.5, 0, 255).astype(np.uint8)
    margin = max(2, photo.shape[0] // 128)  # the person's outline sheds a little light around it
    grown = cv2.dilate(hole, np.ones((2 * margin + 1,) * 2, np.uint8))
    if grown.all():
        grown = hole
    _, labels = cv2.distanceTransformWithLabels(grown, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    known = np.argwhere(grown == 0)
    nearest = known[labels - 1]  # (H, W, 2) rows, columns
    ys, xs = np.mgrid[0 : photo.shape[0], 0 : photo.shape[1]]
    reach = cv2.GaussianBlur((2.0 * nearest - np.dstack([ys, xs])).astype(np.float32), (0, 0), 1.5 * margin)
    soft = 0.04 * photo.shape[0]
    low = completed(photo.astype(np.float32), grown.astype(np.float32))
    texture = photo.astype(np.float32) - cv2.GaussianBlur(low, (0, 0), soft)
    mirrored = cv2.remap(texture, reach[..., 1], reach[..., 0], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    inside = cv2.remap(
        grown.astype(np.float32), reach[..., 1], reach[..., 0], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    filled = cv2.GaussianBlur(low, (0, 0), soft) + mirrored * (1.0 - inside)[..., None]
    share = cv2.GaussianBlur(grown.astype(np.float32), (0, 0), 0.5 * margin)
    share = np.where(hole > 0, np.maximum(share, hole), 0.0)[..., None]
    return np.clip(photo * (1 - share) + filled * share + 0.5, 0, 255).astype(np.uint8)


def continued(layer: np.ndarray, reach: int, pad: int, unit: float) -> np.ndarray:
    """A person's layer (H, W, 4) uint8 RGBA that goes on beyond the photo: `pad` pixels at each side, those of the border repeated.

    In the first `reach` pixels colour goes on ever softer, with the grain that the photo has on this side of its border: a border's
    pixels alone, drawn out as a raised chin draws them, are streaks. unit: D in the layer's pixels.
    """
    step = max(1, int(0.007 * unit))  # what is soft needs no fine pixels
    own = layer.astype(np.float32)
    own[..., :3] *= own[..., 3:] / 255.0  # what is not the person has no colour of its own
    less = tuple(-(-s // step) for s in layer.shape[1::-1])
    small = cv2.resize(own, less, interpolation=cv2.INTER_AREA)
    edge = -(-reach // step)
    wide = cv2.copyMakeBorder(small, *(edge,) * 4, cv2.BORDER_REPLICATE)
    inside = np.zeros(wide.shape[:2], np.uint8)
    inside[edge:-edge, edge:-edge] = 1
    distance = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    soft = wide.copy()
    for sigma in (0.015 * unit / step, 0.04 * unit / step, 0.10 * unit / step):
        soft += np.clip(distance / (1.5 * sigma), 0, 1)[..., None] * (cv2.GaussianBlur(wide, (0, 0), sigma) - soft)
    whole = cv2.copyMakeBorder(layer, *(reach,) * 4, cv2.BORDER_REPLICATE)
    height, width = whole.shape[:2]
    # Of the four sides alone: the corner's places in `soft`, and the layer's own grain there as in a mirror.
    low = cv2.GaussianBlur(small, (0, 0), 0.015 * unit / step)
    for rows, columns in (
        (slice(0, reach), slice(0, width)), (slice(height - reach, height), slice(0, width)),
        (slice(reach, height - reach), slice(0, reach)), (slice(reach, height - reach), slice(width - reach, width)),
    ):  # fmt: skip
        ys, xs = np.mgrid[rows, columns].astype(np.float32) - np.float32(reach)
        beyond = np.hypot(
            np.maximum(np.maximum(-xs, xs - (width - 2 * reach - 1)), 0),
            np.maximum(np.maximum(-ys, ys - (height - 2 * reach - 1)), 0),
        )
        share = np.clip(beyond / (0.02 * unit), 0, 1)[..., None]
        colour = _at(soft, (xs + 0.5) / step - 0.5 + edge, (ys + 0.5) / step - 0.5 + edge, cv2.BORDER_REPLICATE)
        seen = _at(own, xs, ys, cv2.BORDER_REFLECT_101)
        blurred = _at(low, (xs + 0.5) / step - 0.5, (ys + 0.5) / step - 0.5, cv2.BORDER_REFLECT_101)
        cover = seen[..., 3:] / 255.0
        grain = seen[..., :3] - cover * blurred[..., :3] * 255.0 / np.maximum(blurred[..., 3:], 1.0)
        goes_on = colour[..., :3] * 255.0 / np.maximum(colour[..., 3:], 1.0) + np.clip(grain, -_GRAIN, _GRAIN)
        view = whole[rows, columns, :3]
        view[:] = np.clip(view + share * (goes_on - view) + 0.5, 0, 255).astype(np.uint8)
    return cv2.copyMakeBorder(whole, *(pad - reach,) * 4, cv2.BORDER_REPLICATE)


def _at(image: np.ndarray, xs: np.ndarray, ys: np.ndarray, border: int) -> np.ndarray:
    return cv2.remap(image, xs, ys, cv2.INTER_LINEAR, borderMode=border)


def _nearer(shape: tuple[int, int], mine: np.ndarray, other: np.ndarray) -> np.ndarray:
    """1 where a pixel belongs to my face rather than to the other one, in faces' widths; bodies hang below faces."""
    ys, xs = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)

    def away(hull: np.ndarray) -> np.ndarray:
        (cx, cy), width = hull.mean(axis=0), float(np.ptp(hull[:, 0]))
        down = ys - cy
        return np.hypot(xs - cx, np.where(down > 0, 0.5 * down, down)) / width

    return (away(mine) < away(other)).astype(np.float32)


def _strands(photo: np.ndarray, mask: np.ndarray, reach: int) -> np.ndarray:
    """What stands out from a plain background within `reach` pixels of the person: loose hair. Zero where it is not plain."""
    near, far = (
        cv2.dilate((mask > 0).astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * r + 1,) * 2))
        for r in (reach, 2 * reach)
    )
    ring = (far > 0) & (near == 0)
    if not ring.any():
        return np.zeros_like(mask)
    unlike = np.abs(photo - completed(photo, far.astype(np.float32))).max(axis=2)
    # How well the background can be guessed where it is seen says how much a difference means.
    error = cv2.blur(np.where(ring, unlike, 0).astype(np.float32), (4 * reach + 1,) * 2)
    error = error / np.maximum(cv2.blur(ring.astype(np.float32), (4 * reach + 1,) * 2), 1e-3)
    unlike = np.abs(photo - completed(photo, near.astype(np.float32))).max(axis=2)
    plain = np.clip((14.0 - error) / 6.0, 0.0, 1.0)
    return (np.clip((unlike - 4.0 - 2.5 * error) / 12.0, 0.0, 1.0) * plain * near).astype(np.float32)


def _guided(mask: np.ndarray, guide: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """Guided filter (He, Sun, Tang 2013) with a grey guide: the mask's border moves to the guide's edges."""
    grey = cv2.cvtColor(guide, cv2.COLOR_RGB2GRAY)

    def mean(x: np.ndarray) -> np.ndarray:
        return cv2.blur(x, (2 * radius + 1,) * 2)

    mean_guide, mean_mask = mean(grey), mean(mask)
    slope = (mean(grey * mask) - mean_guide * mean_mask) / (mean(grey * grey) - mean_guide**2 + epsilon)
    return mean(slope) * grey + mean(mean_mask - slope * mean_guide)


def completed(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The image with its hole filled from around, coarse to fine (pull-push), smooth and without seams.

    image: (H, W, C) float32. hole: (H, W) float32 in 0..1, 1 where nothing is known.
    """
    height, width = image.shape[:2]
    weight = 1.0 - hole
    if height <= 4 or width <= 4:
        total = weight.sum()
        mean = (image * weight[..., None]).sum(axis=(0, 1)) / total if total > 1e-3 else image.mean(axis=(0, 1))
        return np.broadcast_to(mean, image.shape).astype(np.float32)
    half = (max(1, width // 2), max(1, height // 2))
    sum_weight = cv2.resize(weight, half, interpolation=cv2.INTER_AREA)
    sum_colour = cv2.resize(image * weight[..., None], half, interpolation=cv2.INTER_AREA)
    colour = sum_colour / np.maximum(sum_weight, 1e-4)[..., None]
    coarse = completed(colour, 1.0 - np.clip(sum_weight * 2.0, 0.0, 1.0))
    filled = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return image * weight[..., None] + filled * hole[..., None]
