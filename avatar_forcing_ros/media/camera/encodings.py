"""The pixel formats of raw camera images, in one table, and what turns each into RGB.

Everything ends in one of OpenCV's own conversions. YUV is taken as BT.601 with the narrow range (16 to 235), as cameras send it.
Names are those of ROS's image_encodings, of video4linux and of the `8UC3` kind that OpenCV users publish (BGR order); case does
not matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from avatar_forcing_ros.errors import InputError

MAX_PIXELS = 40_000_000  # an image of 8K (33 million) passes
_NV12, _NV21 = cv2.COLOR_YUV2RGB_NV12, cv2.COLOR_YUV2RGB_NV21
_YUY2, _YVYU, _UYVY = cv2.COLOR_YUV2RGB_YUY2, cv2.COLOR_YUV2RGB_YVYU, cv2.COLOR_YUV2RGB_UYVY

Planes = list[np.ndarray]
Range = tuple[float, float]


@dataclass(frozen=True)
class Plane:
    """One plane of an image: its rows and columns are the image's, divided and rounded up; `samples` lie at each place."""

    samples: int = 1
    rows: int = 1
    columns: int = 1


@dataclass(frozen=True)
class Encoding:
    """names: all spellings, lower case, the usual one first. what: for people. convert: planes, each (rows, columns, samples) of
    `dtype` -> (H, W, 3) uint8 RGB. range: of grey values, from black to white, where the numbers alone do not say it."""

    names: tuple[str, ...]
    what: str
    convert: Callable[[Planes], np.ndarray]
    planes: tuple[Plane, ...] = (Plane(),)
    dtype: str = "u1"
    range: Range | None = None
    group: str = "colour"

    @property
    def depth_like(self) -> bool:
        """Used for distances far more often than for pictures."""
        return self.range is not None and "mono16" not in self.names


def _colour(code: int | None) -> Callable[[Planes], np.ndarray]:
    def convert(planes: Planes) -> np.ndarray:
        pixels = _eight_bits(planes[0])
        return np.array(pixels) if code is None else cv2.cvtColor(np.ascontiguousarray(pixels), code)

    return convert


def _bayer(code: int) -> Callable[[Planes], np.ndarray]:
    def convert(planes: Planes) -> np.ndarray:
        return _eight_bits(cv2.cvtColor(np.ascontiguousarray(planes[0][..., 0]), code))

    return convert


def _packed(code: int) -> Callable[[Planes], np.ndarray]:
    """4:2:2 in groups of four bytes for two pixels."""

    def convert(planes: Planes) -> np.ndarray:
        groups = planes[0]
        return cv2.cvtColor(np.ascontiguousarray(groups).reshape(groups.shape[0], -1, 2), code)

    return convert


def _two_planes(code: int) -> Callable[[Planes], np.ndarray]:
    """4:2:0 with U and V side by side."""
    return lambda planes: _half_chroma(planes[0], planes[1], code)


def _three_planes(planes: Planes) -> np.ndarray:
    """4:2:0 with a plane for U and one for V."""
    return _half_chroma(planes[0], np.concatenate(planes[1:], axis=2), _NV12)


def _half_chroma(luma: np.ndarray, chroma: np.ndarray, code: int) -> np.ndarray:
    height, width = luma.shape[:2]
    even = (
        np.pad(luma[..., 0], ((0, height % 2), (0, width % 2)), mode="edge")
        if height % 2 or width % 2
        else luma[..., 0]
    )
    rgb = cv2.cvtColorTwoPlane(np.ascontiguousarray(even), np.ascontiguousarray(chroma), code)
    return rgb[:height, :width]


def _wide_chroma(code: int) -> Callable[[Planes], np.ndarray]:
    """4:2:2 in planes, as the packed order that OpenCV takes."""

    def convert(planes: Planes) -> np.ndarray:
        luma, chroma = planes[0], np.concatenate(planes[1:], axis=2)
        pairs = chroma.reshape(luma.shape[0], -1, 1)[:, : luma.shape[1]]
        if luma.shape[1] % 2:
            luma = np.pad(luma, ((0, 0), (0, 1), (0, 0)), mode="edge")
            pairs = chroma.reshape(luma.shape[0], -1, 1)
        return cv2.cvtColor(np.concatenate([luma, pairs], axis=2), code)

    return convert


def _full_chroma(code: int) -> Callable[[Planes], np.ndarray]:
    """4:4:4 in planes: every second colour is enough for a face, and keeps one range for all of YUV."""
    return lambda planes: _half_chroma(planes[0], np.concatenate(planes[1:], axis=2)[::2, ::2], code)


def _eight_bits(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype == np.uint16:
        return (pixels >> 8).astype(np.uint8)
    if pixels.dtype.kind == "f":  # colours from 0 to 1
        return _stretched(pixels, (0.0, 1.0))
    return pixels


def _stretched(values: np.ndarray, grey_range: Range) -> np.ndarray:
    """Numbers -> 0 to 255, as the range says; what is no number is black."""
    low, high = grey_range
    with np.errstate(over="ignore", invalid="ignore"):  # a pixel may hold any number
        scaled = (values.astype(np.float32) - np.float32(low)) * np.float32(255.0 / (high - low))
    return np.clip(np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0), 0, 255).astype(np.uint8)


def _table() -> tuple[Encoding, ...]:
    grey = _colour(cv2.COLOR_GRAY2RGB)
    three, four = (Plane(3),), (Plane(4),)
    semi = (Plane(), Plane(2, 2, 2))
    planar = (Plane(), Plane(1, 2, 2), Plane(1, 2, 2))
    planar_swapped = lambda planes: _three_planes([planes[0], planes[2], planes[1]])  # noqa: E731
    rows = [
        Encoding(("rgb8", "rgb", "rgb888", "rgb24"), "red, green, blue", _colour(None), three),
        Encoding(("bgr8", "8uc3", "bgr", "bgr888", "bgr24"), "blue, green, red", _colour(cv2.COLOR_BGR2RGB), three),
        Encoding(("rgba8", "rgba"), "with transparency, which is left out", _colour(cv2.COLOR_RGBA2RGB), four),
        Encoding(("bgra8", "8uc4", "bgra"), "with transparency, which is left out", _colour(cv2.COLOR_BGRA2RGB), four),
        Encoding(("rgb16",), "16 bits", _colour(None), three, "u2"),
        Encoding(("bgr16", "16uc3"), "16 bits", _colour(cv2.COLOR_BGR2RGB), three, "u2"),
        Encoding(("rgba16",), "16 bits", _colour(cv2.COLOR_RGBA2RGB), four, "u2"),
        Encoding(("bgra16", "16uc4"), "16 bits", _colour(cv2.COLOR_BGRA2RGB), four, "u2"),
        Encoding(("32fc3",), "blue, green, red from 0 to 1", _colour(cv2.COLOR_BGR2RGB), three, "f4"),
        Encoding(("mono8", "8uc1", "grey8", "gray8", "grey", "gray", "y8", "l8"), "grey", grey, group="grey"),
        Encoding(("mono16", "y16", "grey16", "gray16"), "grey", grey, dtype="u2", range=(0.0, 65535.0), group="grey"),
        Encoding(
            ("16uc1",), "grey; a depth camera's distances too", grey, dtype="u2", range=(0.0, 65535.0), group="grey"
        ),
        Encoding(("16sc1",), "grey", grey, dtype="i2", range=(0.0, 32767.0), group="grey"),
        Encoding(("32fc1",), "grey; a depth camera's distances too", grey, dtype="f4", range=(0.0, 1.0), group="grey"),
        Encoding(("64fc1",), "grey", grey, dtype="f8", range=(0.0, 1.0), group="grey"),
        Encoding(
            ("yuv422_yuy2", "yuyv", "yuy2", "yuyv422", "yuv422_yuyv"),
            "4:2:2 packed, Y U Y V",
            _packed(_YUY2),
            (Plane(4, 1, 2),),
            group="YUV",
        ),
        Encoding(
            ("yuv422", "uyvy", "uyvy422", "yuv422_uyvy"),
            "4:2:2 packed, U Y V Y",
            _packed(_UYVY),
            (Plane(4, 1, 2),),
            group="YUV",
        ),
        Encoding(("yvyu", "yvyu422"), "4:2:2 packed, Y V Y U", _packed(_YVYU), (Plane(4, 1, 2),), group="YUV"),
        Encoding(("nv12",), "4:2:0, a plane Y and one of U, V", _two_planes(_NV12), semi, group="YUV"),
        Encoding(("nv21",), "4:2:0, a plane Y and one of V, U", _two_planes(_NV21), semi, group="YUV"),
        Encoding(
            ("nv16",), "4:2:2, a plane Y and one of U, V", _wide_chroma(_YUY2), (Plane(), Plane(2, 1, 2)), group="YUV"
        ),
        Encoding(
            ("nv61",), "4:2:2, a plane Y and one of V, U", _wide_chroma(_YVYU), (Plane(), Plane(2, 1, 2)), group="YUV"
        ),
        Encoding(("nv24",), "4:4:4, a plane Y and one of U, V", _full_chroma(_NV12), (Plane(), Plane(2)), group="YUV"),
        Encoding(("nv42",), "4:4:4, a plane Y and one of V, U", _full_chroma(_NV21), (Plane(), Plane(2)), group="YUV"),
        Encoding(
            ("yuv420", "i420", "yuv420p", "iyuv", "yu12"), "4:2:0, planes Y, U, V", _three_planes, planar, group="YUV"
        ),
        Encoding(("yv12", "yvu420"), "4:2:0, planes Y, V, U", planar_swapped, planar, group="YUV"),
        Encoding(
            ("yuv422p", "i422"),
            "4:2:2, planes Y, U, V",
            _wide_chroma(_YUY2),
            (Plane(), Plane(1, 1, 2), Plane(1, 1, 2)),
            group="YUV",
        ),
        Encoding(
            ("yuv444p", "i444"), "4:4:4, planes Y, U, V", _full_chroma(_NV12), (Plane(), Plane(), Plane()), group="YUV"
        ),
    ]
    # OpenCV names a mosaic by its second row's second and third pixel.
    for order, code in (("rggb", cv2.COLOR_BayerBG2RGB), ("bggr", cv2.COLOR_BayerRG2RGB),
                        ("gbrg", cv2.COLOR_BayerGR2RGB), ("grbg", cv2.COLOR_BayerGB2RGB)):  # fmt: skip
        short = order[:2]
        rows.append(
            Encoding(
                (f"bayer_{order}8", f"bayer_{order}", f"bayer_{short}8"), "colour mosaic", _bayer(code), group="mosaic"
            )
        )
        rows.append(
            Encoding(
                (f"bayer_{order}16", f"bayer_{short}16"),
                "colour mosaic, 16 bits",
                _bayer(code),
                dtype="u2",
                group="mosaic",
            )
        )
    return tuple(rows)


ENCODINGS = _table()
_BY_NAME = {name: row for row in ENCODINGS for name in row.names}
_MENDS = {
    "jpeg": "read the camera's compressed topic instead (compressed:=true)",
    "jpg": "read the camera's compressed topic instead (compressed:=true)",
    "mjpeg": "read the camera's compressed topic instead (compressed:=true)",
    "h264": "read the camera's ffmpeg topic instead (transport:=ffmpeg)",
}


def encoding_of(name: str) -> Encoding:
    """The table's row for a name in any case. Raises InputError with the mend."""
    row = _BY_NAME.get(name.strip().lower())
    if row is None:
        mend = _MENDS.get(
            name.strip().lower(), "let the driver publish rgb8, yuv422_yuy2 or another one of docs/inputs.md"
        )
        raise InputError(f"image has the encoding '{name[:40]}', which cannot be read: {mend}")
    return row


def raw_to_rgb(
    data: np.ndarray,
    width: int,
    height: int,
    encoding: str,
    step: int = 0,
    *,
    big_endian: bool = False,
    grey_range: Range | None = None,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """The bytes (n,) uint8 of a raw image -> (H, W, 3) uint8 RGB, an array of its own.

    step: bytes from row to row of the first plane, 0: rows follow each other at once. Rows may be padded, the last one's padding
    may be missing. big_endian: of encodings with more than 8 bits. grey_range: which value is black and which white, of mono16,
    16UC1, 32FC1 and the like; None: the table's. Raises InputError on an unknown encoding, more than `max_pixels`, or where data
    and size do not agree.
    """
    row = encoding_of(encoding)
    size = f"image of {width}x{height} {encoding[:40]}"
    if width < 1 or height < 1 or len(data) == 0:
        raise InputError(f"{size} brings {len(data)} bytes: it is empty")
    if width * height > max_pixels:
        raise InputError(
            f"{size} is larger than {max_pixels / 1e6:g} million pixels: raise max_pixels if the camera is that large"
        )
    dtype = np.dtype(row.dtype).newbyteorder(">" if big_endian else "<")
    shapes, height = _fit(row, dtype.itemsize, width, height, step, length=len(data), size=size)
    planes, at = [], 0
    for plane, (rows, used, stride) in zip(row.planes, shapes):
        part = data[at : at + rows * stride]
        if len(part) < rows * stride:  # the last row's padding is missing
            part = np.pad(part, (0, rows * stride - len(part)))
        pixels = np.ascontiguousarray(part.reshape(rows, stride)[:, :used]).view(dtype).reshape(rows, -1, plane.samples)
        planes.append(pixels.astype(dtype.newbyteorder("="), copy=False))
        at += rows * stride
    if row.range is not None:
        planes = [_stretched(planes[0], _checked_range(grey_range) or row.range)]
    try:
        rgb = row.convert(planes)[:height, :width]
    except cv2.error as error:  # a size that a conversion does not take
        raise InputError(f"{size} cannot be converted: {error.err or error}") from error
    if rgb.shape[1] < width:  # the last column's colour was cut off
        rgb = np.pad(rgb, ((0, 0), (0, width - rgb.shape[1]), (0, 0)), mode="edge")
    return np.ascontiguousarray(rgb)


def _checked_range(grey_range: Range | None) -> Range | None:
    if grey_range is not None and not grey_range[1] > grey_range[0]:
        raise InputError(
            f"grey_range is {grey_range[0]:g} to {grey_range[1]:g}: give the value of black and the larger one of white"
        )
    return grey_range


def _fit(
    row: Encoding, item: int, width: int, height: int, step: int, *, length: int, size: str
) -> tuple[list[tuple[int, int, int]], int]:
    """(rows, bytes used of a row, bytes from row to row) of each plane, and the image's height.

    Drivers do not agree on what `step` and `height` are where there are several planes: the length of the data decides.
    """
    first = row.planes[0]
    tight = -(-width // first.columns) * first.samples * item
    planar = len(row.planes) > 1
    if not planar and step and first.columns > 1 and step < tight:  # an odd width whose last group is cut
        width = step // (item * first.samples) * first.columns if step >= item * first.samples else width
        tight = -(-width // first.columns) * first.samples * item
    tries = [(height, step)] if step >= tight else []
    if planar or not step:
        tries.append((height, tight))
        if planar:  # the height of all planes together
            whole = sum(1.0 / (p.rows * p.columns) * p.samples for p in row.planes)
            tries.append((round(height / whole), tight))
    for tall, stride in tries:
        if tall < 1:
            continue
        shapes = []
        for plane in row.planes:
            rows = -(-tall // plane.rows)
            used = -(-width // plane.columns) * plane.samples * item
            ratio = plane.samples * first.columns, first.samples * plane.columns
            pitch = used if stride == tight else max(used, stride * ratio[0] // ratio[1])
            shapes.append((rows, used, pitch))
        if shapes[-1][0] == 1:  # padding behind the only row is never there, whatever its size is said to be
            shapes[-1] = (1, shapes[-1][1], shapes[-1][1])
        needed = sum(rows * pitch for rows, _, pitch in shapes) - (shapes[-1][2] - shapes[-1][1])
        if needed <= length:
            return shapes, tall
    raise InputError(f"{size} with step {step} cannot have {length} bytes of data")
