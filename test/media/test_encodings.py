"""Raw images: every row of the table against an image that is packed here, byte by byte, from the row's own description."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.camera.encodings import ENCODINGS, encoding_of, raw_to_rgb


def scene(width: int, height: int) -> np.ndarray:
    """A smooth picture (H, W, 3) uint8 with strong, slowly changing colours: half the colour's resolution loses nothing."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return np.stack([60 + 120 * x, 70 + 90 * y, 180 - 110 * x * y], axis=2).astype(np.uint8)


def narrow_yuv(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """BT.601 with 16 to 235, from its own definition."""
    r, g, b = (rgb[..., i].astype(float) for i in range(3))
    y = 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255
    u = 128 + (-37.797 * r - 74.203 * g + 112.0 * b) / 255
    v = 128 + (112.0 * r - 93.786 * g - 18.214 * b) / 255
    return tuple(np.rint(p).astype(np.uint8) for p in (y, u, v))


def padded(rows: np.ndarray, padding: int) -> bytes:
    return np.pad(rows.reshape(len(rows), -1), ((0, 0), (0, padding)), constant_values=255).tobytes()


def packed(rgb: np.ndarray, name: str, padding: int = 0) -> tuple[bytes, int]:
    """(data, step) of the picture in an encoding, by that encoding's name alone."""
    height, width = rgb.shape[:2]
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    alpha = np.full((height, width, 1), 77, np.uint8)
    bgr = rgb[..., ::-1]
    colours = {
        "rgb8": rgb,
        "bgr8": bgr,
        "8uc3": bgr,
        "rgba8": np.dstack([rgb, alpha]),
        "bgra8": np.dstack([bgr, alpha]),
        "8uc4": np.dstack([bgr, alpha]),
    }
    wide = {
        "rgb16": rgb,
        "bgr16": bgr,
        "16uc3": bgr,
        "rgba16": np.dstack([rgb, alpha]),
        "bgra16": np.dstack([bgr, alpha]),
        "16uc4": np.dstack([bgr, alpha]),
    }
    if name in colours:
        rows = colours[name]
    elif name in wide:
        rows = np.ascontiguousarray(wide[name].astype("<u2") * 257).view(np.uint8)
    elif name == "32fc3":
        rows = np.ascontiguousarray(bgr.astype("<f4") / 255).view(np.uint8)
    elif name in ("mono8", "8uc1"):
        rows = grey
    elif name in ("mono16", "16uc1"):
        rows = (grey.astype("<u2") * 257).view(np.uint8)
    elif name == "16sc1":
        rows = np.ascontiguousarray(np.rint(grey * (32767 / 255)).astype("<i2")).view(np.uint8)
    elif name in ("32fc1", "64fc1"):
        rows = np.ascontiguousarray(grey.astype("<f4" if "32" in name else "<f8") / 255).view(np.uint8)
    elif name.startswith("bayer_"):
        order, bits = name[6:10], name[10:]
        mosaic = np.empty((height, width), np.uint8)
        for k, colour in enumerate(order):
            mosaic[k // 2 :: 2, k % 2 :: 2] = rgb[k // 2 :: 2, k % 2 :: 2, "rgb".index(colour)]
        rows = mosaic if bits == "8" else (mosaic.astype("<u2") * 257).view(np.uint8)
    else:
        return packed_yuv(rgb, name, padding)
    data = padded(rows, padding)
    return data, len(data) // height


def packed_yuv(rgb: np.ndarray, name: str, padding: int) -> tuple[bytes, int]:
    height, width = rgb.shape[:2]
    y, u, v = narrow_yuv(rgb)
    orders = {"yuv422_yuy2": "yuyv", "yuv422": "uyvy", "yvyu": "yvyu"}
    if name in orders:
        pairs = -(-width // 2)
        rows = np.zeros((height, pairs, 4), np.uint8)
        at = 0
        for k, sample in enumerate(orders[name]):
            if sample == "y":
                column = y[:, at::2]
                rows[:, : column.shape[1], k] = column
                at += 1
            else:
                rows[..., k] = {"u": u, "v": v}[sample][:, ::2]
        data = padded(rows, padding)
        return data, len(data) // height
    down, across = {
        "nv12": (2, 2),
        "nv21": (2, 2),
        "yuv420": (2, 2),
        "yv12": (2, 2),
        "nv16": (1, 2),
        "nv61": (1, 2),
        "yuv422p": (1, 2),
    }.get(name, (1, 1))
    small = [u[::down, ::across], v[::down, ::across]]
    if name in ("nv21", "nv61", "nv42", "yv12"):
        small.reverse()
    interleaved = name.startswith("nv")
    step = width + padding + (width % 2 if padding else 0)  # nobody pads to an odd number
    parts = [padded(y, step - width)]
    for plane in [np.dstack(small)] if interleaved else small:
        rows = plane.reshape(len(plane), -1)
        wanted = step * (2 if interleaved else 1) // across if padding else rows.shape[1]
        parts.append(padded(rows, wanted - rows.shape[1]))
    return b"".join(parts), step


def is_grey(name: str) -> bool:
    return encoding_of(name).group == "grey"


def expected(rgb: np.ndarray, name: str) -> np.ndarray:
    return np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2) if is_grey(name) else rgb


ALL = [row.names[0] for row in ENCODINGS] + ["8uc3", "8uc1", "8uc4"]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("size", [(48, 32), (47, 33)])
@pytest.mark.parametrize("padding", [0, 16])
def test_each_encoding_gives_the_picture(name, size, padding):
    rgb = scene(*size)
    data, step = packed(rgb, name, padding)
    image = raw_to_rgb(np.frombuffer(data, np.uint8), *size, name.upper(), step)
    assert image.shape == rgb.shape and image.dtype == np.uint8 and image.flags.c_contiguous and image.flags.writeable
    error = np.abs(image.astype(int) - expected(rgb, name))
    assert error.mean() < 2 and np.quantile(error, 0.99) < 8


@pytest.mark.parametrize("name", ["rgb16", "mono16", "bayer_grbg16", "32fc1"])
def test_big_endian(name):
    rgb = scene(48, 32)
    data, step = packed(rgb, name)
    item = np.dtype(encoding_of(name).dtype).itemsize
    swapped = np.frombuffer(data, f"u{item}").byteswap().view(np.uint8)
    np.testing.assert_array_equal(
        raw_to_rgb(swapped, 48, 32, name, step, big_endian=True),
        raw_to_rgb(np.frombuffer(data, np.uint8), 48, 32, name, step),
    )


def test_grey_range_says_what_is_black_and_white():
    values = np.linspace(500, 1500, 48 * 32).astype("<u2").view(np.uint8)
    image = raw_to_rgb(values, 48, 32, "16UC1", 96, grey_range=(500.0, 1500.0))
    assert image[0, 0, 0] == 0 and image[-1, -1, 0] >= 254
    with pytest.raises(InputError, match="grey_range"):
        raw_to_rgb(values, 48, 32, "16UC1", 96, grey_range=(5.0, 5.0))


def test_depth_without_a_value_is_black():
    values = np.full(48 * 32, np.nan, "<f4")
    values[:48] = np.inf
    image = raw_to_rgb(values.view(np.uint8), 48, 32, "32FC1", 192)
    assert (image[0] == 255).all() and (image[1:] == 0).all()


def test_planes_whose_driver_counts_all_rows_or_no_padding():
    rgb = scene(48, 32)
    data, _ = packed(rgb, "nv12")
    flat = np.frombuffer(data, np.uint8)
    plain = raw_to_rgb(flat, 48, 32, "nv12", 48)
    np.testing.assert_array_equal(raw_to_rgb(flat, 48, 48, "nv12", 48), plain)  # height of both planes together
    np.testing.assert_array_equal(raw_to_rgb(flat, 48, 32, "nv12", 72), plain)  # step of both planes together
    np.testing.assert_array_equal(raw_to_rgb(flat, 48, 32, "nv12"), plain)


@pytest.mark.parametrize(
    "name, words",
    [
        ("vendor_raw12", "vendor_raw12.*rgb8"),
        ("jpeg", "compressed:=true"),
        ("8UC2", "8UC2"),
        ("", "encoding ''"),
        ("h264", "transport:=ffmpeg"),
    ],
)
def test_what_cannot_be_read_is_named_with_the_mend(name, words):
    with pytest.raises(InputError, match=words):
        raw_to_rgb(np.zeros(4096, np.uint8), 16, 16, name, 16)


def test_sizes_are_checked_before_memory_is_taken():
    with pytest.raises(InputError, match="max_pixels"):
        raw_to_rgb(np.zeros(100, np.uint8), 2**31, 2**31, "mono8", 2**31)
    image = raw_to_rgb(np.zeros(793, np.uint8), 41, 1, "rgba16", 2_980_446_486)  # 3 GB from row to row, and one row
    assert image.shape == (1, 41, 3)
    for name in ALL:
        with pytest.raises(InputError, match="bytes"):
            raw_to_rgb(np.zeros(100, np.uint8), 4000, 4000, name, 0)


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from([n for row in ENCODINGS for n in row.names]),
    width=st.integers(0, 70),
    height=st.integers(0, 70),
    step=st.one_of(st.just(0), st.integers(0, 700)),
    length=st.integers(0, 30_000),
    big=st.booleans(),
)
def test_any_size_is_an_image_or_one_clear_error(name, width, height, step, length, big):
    data = np.arange(length, dtype=np.uint64).astype(np.uint8)
    try:
        image = raw_to_rgb(data, width, height, name, step, big_endian=big)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert (
            image.shape[1:] == (width, 3)
            and image.dtype == np.uint8
            and image.shape[0] in (height, *range(1, height + 1))
        )
