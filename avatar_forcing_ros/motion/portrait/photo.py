"""The photo that an avatar is made of: reading a picture of any kind, turning it upright, and the view around its face."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import cv2
import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion.tracking import mesh as face_mesh
from avatar_forcing_ros.motion.tracking.detector import detect
from avatar_forcing_ros.motion.tracking.mesh import EYE_OUTER_LEFT, EYE_OUTER_RIGHT, FACE_OVAL
from avatar_forcing_ros.motion.tracking.models import FULL_RANGE, SHORT_RANGE

_CROP_SIDE = 3.8  # D; head and shoulders
_TIGHTEST_CROP = 2.2  # D; a face that fills its photo gets at least this much, the border repeated
_CROP_EYES = 0.45  # height of the eyes in the crop, from its top
_TALL_EYES = 0.40  # the same in a view that is taller than wide
_TURNING_SIDE = 640  # pixels; a picture is tried in four turns at this size
_LEAST_SURE = 0.35
_HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_FINEST = 1.5  # the view's pixels per pixel of the avatar's pictures, at most


def read_picture(path: str | Path) -> np.ndarray:
    """A picture file as (H, W, 3) uint8 RGB, upright as its file says; what is transparent becomes light grey.

    JPEG and WebP are read by OpenCV; all others (PNG, TIFF, GIF, BMP, AVIF, and HEIC with pillow-heif) by Pillow. Raises InputError.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot read the picture: {error.strerror or error}") from None
    usual = data.startswith(b"\xff\xd8") or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")
    try:
        if usual:
            _check_size(path, data)
        picture = _by_opencv(data) if usual else _by_pillow(path, data)
    except (
        cv2.error,
        OSError,
        SyntaxError,
        ValueError,
        TypeError,
        IndexError,
        KeyError,
        ZeroDivisionError,
        EOFError,
        struct.error,
    ):
        picture = None  # too large a picture, or damaged inside
    if picture is None:
        raise InputError(f"{path}: not a picture that can be read: use JPEG, PNG or WebP")
    return picture


def _check_size(path: Path, data: bytes) -> None:
    """Reads the header alone: one that lies must not take memory or time."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            Image.open(io.BytesIO(data)).close()
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            raise _too_large(path) from None


def _too_large(path: Path) -> InputError:
    from PIL import Image

    return InputError(
        f"{path}: the picture is too large: make it smaller than {(Image.MAX_IMAGE_PIXELS or 0) // 10**6} megapixels"
    )


def _by_opencv(data: bytes) -> np.ndarray | None:
    encoded = np.frombuffer(data, np.uint8)
    raw = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    if raw is None:
        return None
    if raw.ndim == 3 and raw.shape[2] == 4:
        scale = 255.0 / (65535.0 if raw.dtype == np.uint16 else 255.0)
        return _on_grey(raw[..., [2, 1, 0, 3]].astype(np.float32) * scale)
    bgr = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return None if bgr is None else cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def _by_pillow(path: Path, data: bytes) -> np.ndarray | None:
    from PIL import Image, ImageOps

    if data[4:8] == b"ftyp" and data[8:12] in _HEIC:
        try:
            import pillow_heif
        except ImportError:
            raise InputError(
                f"{path}: HEIC pictures need pillow-heif: pip install 'avatar_forcing_ros[heic]', or save it as JPEG"
            ) from None
        pillow_heif.register_heif_opener()
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # as large as the memory, by a lying header
        try:
            with Image.open(io.BytesIO(data)) as opened:
                opened.load()
                image = ImageOps.exif_transpose(opened)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            raise _too_large(path) from None
    if image.mode.startswith(("I", "F")):  # 16 bits and more of grey
        grey = np.asarray(image, dtype=np.float64)
        top = 65535.0 if grey.max() > 255 else 255.0
        return np.repeat(np.clip(grey * (255.0 / top) + 0.5, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    if "A" in image.mode or "transparency" in image.info:
        return _on_grey(np.asarray(image.convert("RGBA"), dtype=np.float32))
    return np.asarray(image.convert("RGB")).copy()


def _on_grey(rgba: np.ndarray) -> np.ndarray:
    """(H, W, 4) of 0 to 255, over light grey."""
    cover = rgba[..., 3:] / 255.0
    return np.clip(rgba[..., :3] * cover + 205.0 * (1 - cover) + 0.5, 0, 255).astype(np.uint8)


def upright(image: np.ndarray) -> tuple[np.ndarray, int]:
    """(the picture turned so that its face stands upright, degrees clockwise by which it was turned: 0, 90, 180 or 270).

    A photo without EXIF may lie on its side or stand on its head. Of four turns the one is taken in which a detector is surest of a face
    with its eyes above its mouth; a picture that is upright by less than half a right angle stays as it is.
    """
    shrink = min(1.0, _TURNING_SIDE / max(image.shape[:2]))
    small = image if shrink == 1.0 else cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    sure = [_surely_upright(np.ascontiguousarray(np.rot90(small, -turn))) for turn in range(4)]
    best = int(np.argmax(sure))
    if sure[best] < _LEAST_SURE or sure[0] > 0.85 * sure[best]:
        return image, 0
    return np.ascontiguousarray(np.rot90(image, -best)), 90 * best


def turned_note(degrees: int) -> str:
    lies = "stands on its head" if degrees == 180 else "lies on its side"
    return f"the face {lies}: the picture was turned by {degrees} degrees clockwise"


def group_note(image: np.ndarray, faces: list[np.ndarray]) -> str:
    x, y = faces[0][FACE_OVAL, :2].mean(axis=0) / image.shape[1::-1]
    where = ("left", "middle", "right")[int(min(max(x, 0.0) * 3, 2))]
    return f"{len(faces)} faces: the largest was taken, at the {where} of the picture ({100 * x:.0f} % across, {100 * y:.0f} % down)"


def _surely_upright(image: np.ndarray) -> float:
    """How sure a detector is of a face that stands upright, 0 to 1; that of the largest face."""
    found = [d for model in (SHORT_RANGE, FULL_RANGE) for d in detect(image, model)]
    best, largest = 0.0, 0.0
    for face in found:
        eyes, mouth = face.points[:2], face.points[3]
        down = mouth - eyes.mean(axis=0)
        across = eyes[1] - eyes[0]  # the person's right eye is at image left
        straight = min(down[1] / max(np.hypot(*down), 1e-6), across[0] / max(np.hypot(*across), 1e-6))
        area = float(np.prod(face.box[2:] - face.box[:2]))
        if straight > 0.7 and area > 0.5 * largest:
            best = max(face.score * straight, best if area < 2 * largest else 0.0)
            largest = max(largest, area)
    return best


def crop_face(
    image: np.ndarray, faces: list[np.ndarray], size: tuple[int, int]
) -> tuple[np.ndarray, list[np.ndarray], tuple[int, int, int, int]]:
    """Head-and-shoulders view of the first face, and all faces' points in it, the first found again at that scale.

    image: (H, W, 3) uint8 RGB. faces: each (478, 3), pixels of the image. size: (width, height) of the avatar's pictures.
    Returns the view, between `size` and 1.5 times as fine as the image allows; the faces in pixels of a view of `size`; and how
    many pixels at left, top, right and bottom of that view lie beyond the photo. A square view stays in the photo as far as it
    can; a wider or taller one has the same square in it, below its middle where the photo shows no more of the body.
    """
    points, square = faces[0], min(size)
    height, width = image.shape[:2]
    unit = float(np.linalg.norm(points[EYE_OUTER_LEFT] - points[EYE_OUTER_RIGHT]))
    side = min(_CROP_SIDE * unit, max(min(height, width), _TIGHTEST_CROP * unit))
    eyes = (points[EYE_OUTER_LEFT] + points[EYE_OUTER_RIGHT])[:2] / 2
    corner = np.array([points[FACE_OVAL, 0].mean() - side / 2, eyes[1] - _CROP_EYES * side])
    for axis, length in ((0, width), (1, height)):
        corner[axis] = np.clip(corner[axis], 0.0, length - side) if side <= length else (length - side) / 2
    wide, tall = (side * s / square for s in size)
    lowest = max(float(height), corner[1] + side)
    if tall > side:
        corner[1] = min(eyes[1] - _TALL_EYES * tall, lowest - tall)
    corner[0] -= (wide - side) / 2
    fine = min(max(side / square, 1.0), _FINEST)
    texels = tuple(round(s * fine) for s in size)
    scale = texels[0] / wide
    shrunk = image
    if scale < 0.5:  # area averaging first: a plain resampling would alias
        shrunk = cv2.resize(image, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
    # Centre u of a pixel of the view lies at (u + 0.5) / scale + corner - 0.5 in the image.
    ratio = np.array([shrunk.shape[1] / width, shrunk.shape[0] / height])
    step, start = ratio / scale, (0.5 / scale + corner) * ratio - 0.5
    place = np.array([[step[0], 0, start[0]], [0, step[1], start[1]]])
    view = cv2.warpAffine(
        shrunk, place, texels, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    beyond = (0, 0, 0, 0)
    if wide != tall:
        low, high = -corner * square / side, (corner + (wide, tall) - (width, height)) * square / side
        left, top, right, bottom = (int(max(np.ceil(v), 0)) for v in (*low, *high))
        beyond = (left, top, right, bottom)
    seen = [np.column_stack([(f[:, :2] + 0.5 - corner) * scale - 0.5, f[:, 2] * scale]) for f in faces]
    try:
        again = face_mesh.find_faces(view)
    except InputError:
        again = []
    for face in again:
        if np.linalg.norm(face[:, :2] - seen[0][:, :2], axis=1).mean() < 0.25 * unit * scale:  # the same face
            seen[0] = face
            break
    shrink = size[0] / texels[0]
    return view, [np.column_stack([(f[:, :2] + 0.5) * shrink - 0.5, f[:, 2] * shrink]) for f in seen], beyond


def sampled(skin: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The skin as a picture of `size` (width, height), sampled as the unmoved face is."""
    x, y = np.meshgrid(
        *(
            ((np.arange(count, dtype=np.float32) + 0.5) * (texels / count) - 0.5).astype(np.float32)
            for count, texels in zip(size, skin.shape[1::-1])
        )
    )
    return cv2.remap(skin, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
