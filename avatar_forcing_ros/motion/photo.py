"""The photo that an avatar is made of: reading a picture of any kind, and the square view around its face."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import face_mesh
from avatar_forcing_ros.motion.face_mesh import EYE_OUTER_LEFT, EYE_OUTER_RIGHT, FACE_OVAL

_CROP_SIDE = 3.8  # D; head and shoulders
_TIGHTEST_CROP = 2.2  # D; a face that fills its photo gets at least this much, the border repeated
_CROP_EYES = 0.45  # height of the eyes in the crop, from its top
_FINEST = 1.5  # the view's pixels per pixel of the avatar's pictures, at most


def read_picture(path: str | Path) -> np.ndarray:
    """A picture file as (H, W, 3) uint8 RGB, upright; what is transparent becomes light grey. Raises InputError."""
    path = Path(path)
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise InputError(f"{path}: cannot read the picture: {error.strerror or error}") from None
    try:
        raw = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
        if raw is not None and raw.ndim == 3 and raw.shape[2] == 4:
            scale = 255.0 / (65535.0 if raw.dtype == np.uint16 else 255.0)
            raw = raw.astype(np.float32) * scale
            cover = raw[..., 3:] / 255.0
            bgr = np.clip(raw[..., :3] * cover + 205.0 * (1 - cover) + 0.5, 0, 255).astype(np.uint8)
        else:
            bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if raw is not None else None
    except cv2.error:  # too large a picture, or damaged inside
        bgr = None
    if bgr is None:
        raise InputError(f"{path}: not a picture that can be read: use JPEG, PNG or WebP")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def crop_face(image: np.ndarray, faces: list[np.ndarray], size: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Square head-and-shoulders view of the first face, and all faces' points in it, the first found again at that scale.

    image: (H, W, 3) uint8 RGB. faces: each (478, 3), pixels of the image. size: of the avatar's pictures.
    Returns the view (T, T, 3), T between size and 1.5 size as the image allows, and the faces in pixels of a view of
    `size`.
    """
    points = faces[0]
    height, width = image.shape[:2]
    unit = float(np.linalg.norm(points[EYE_OUTER_LEFT] - points[EYE_OUTER_RIGHT]))
    side = min(_CROP_SIDE * unit, max(min(height, width), _TIGHTEST_CROP * unit))
    eyes = (points[EYE_OUTER_LEFT] + points[EYE_OUTER_RIGHT])[:2] / 2
    corner = np.array([points[FACE_OVAL, 0].mean() - side / 2, eyes[1] - _CROP_EYES * side])
    for axis, length in ((0, width), (1, height)):
        corner[axis] = np.clip(corner[axis], 0.0, length - side) if side <= length else (length - side) / 2
    texels = round(size * min(max(side / size, 1.0), _FINEST))
    scale = texels / side
    shrunk = image
    if scale < 0.5:  # area averaging first: a plain resampling would alias
        shrunk = cv2.resize(image, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
    # Centre u of a pixel of the view lies at (u + 0.5) / scale + corner - 0.5 in the image.
    ratio = np.array([shrunk.shape[1] / width, shrunk.shape[0] / height])
    step, start = ratio / scale, (0.5 / scale + corner) * ratio - 0.5
    place = np.array([[step[0], 0, start[0]], [0, step[1], start[1]]])
    view = cv2.warpAffine(
        shrunk, place, (texels, texels), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    seen = [np.column_stack([(f[:, :2] + 0.5 - corner) * scale - 0.5, f[:, 2] * scale]) for f in faces]
    try:
        again = face_mesh.find_faces(view)
    except InputError:
        again = []
    for face in again:
        if np.linalg.norm(face[:, :2] - seen[0][:, :2], axis=1).mean() < 0.25 * unit * scale:  # the same face
            seen[0] = face
            break
    shrink = size / texels
    return view, [np.column_stack([(f[:, :2] + 0.5) * shrink - 0.5, f[:, 2] * shrink]) for f in seen]


def sampled(skin: np.ndarray, size: int) -> np.ndarray:
    """The skin (T, T, 3) as a picture of `size`, sampled as the unmoved face is."""
    at = ((np.arange(size, dtype=np.float32) + 0.5) * (skin.shape[0] / size) - 0.5).astype(np.float32)
    x, y = np.meshgrid(at, at)
    return cv2.remap(skin, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
