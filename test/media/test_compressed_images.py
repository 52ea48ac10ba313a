"""Compressed images as image_transport writes them, and headers that lie."""

import io
import struct
import zlib
from types import SimpleNamespace as Message

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.camera.headers import check_header, plain_png, read_header
from avatar_forcing_ros.media.images import CameraDecoder, ImageLimits, decode_image, to_rgb

X, Y = np.meshgrid(np.linspace(0, 1, 160), np.linspace(0, 1, 120))
RGB = np.stack([60 + 120 * X, 70 + 90 * Y, 180 - 110 * X * Y], axis=2).astype(np.uint8)
GREY = cv2.cvtColor(RGB, cv2.COLOR_RGB2GRAY)
STAMP = Message(sec=12, nanosec=34)


def coded(image: np.ndarray, kind: str = ".jpg", *flags: int) -> bytes:
    return cv2.imencode(kind, image[..., ::-1] if image.ndim == 3 else image, list(flags))[1].tobytes()


def compressed(data: bytes, form: str = "jpeg") -> Message:
    return Message(header=Message(stamp=STAMP), format=form, data=data)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, body: bytes, *extra: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", zlib.compress(body, 9)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "form",
    ["jpeg", "JPEG", "jpg", "", "rgb8; jpeg compressed bgr8", "bgr8; jpeg compressed bgr8", "8UC3; jpeg compressed"],
)
def test_jpeg_whatever_the_format_says(form):
    image = to_rgb(compressed(coded(RGB, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 95), form))
    assert image.shape == RGB.shape and np.abs(image.astype(int) - RGB).mean() < 3


@pytest.mark.parametrize("kind, tolerance", [(".png", 0), (".webp", 3)])
def test_png_and_webp(kind, tolerance):
    image = to_rgb(compressed(coded(RGB, kind), "bgr8; png compressed bgr8"))
    assert np.abs(image.astype(int) - RGB).mean() <= tolerance


def test_png_with_transparency_palette_and_sixteen_bits():
    clear = cv2.imencode(".png", np.dstack([RGB[..., ::-1], np.full(GREY.shape, 128, np.uint8)]))[1].tobytes()
    np.testing.assert_array_equal(decode_image(clear), RGB)
    sixteen = cv2.imencode(".png", GREY.astype(np.uint16) * 257)[1].tobytes()
    np.testing.assert_array_equal(to_rgb(compressed(sixteen, "mono16; png compressed "))[..., 1], GREY)
    file = io.BytesIO()
    Pillow.fromarray(RGB).quantize(64).save(file, "PNG")
    assert np.abs(decode_image(file.getvalue()).astype(int) - RGB).mean() < 8


def test_infrared_of_sixteen_bits_is_stretched_as_the_range_says():
    data = cv2.imencode(".png", GREY.astype(np.uint16) * 4)[1].tobytes()
    image = to_rgb(compressed(data, "16UC1; png compressed "), ImageLimits(grey_range=(0.0, 1020.0)))
    assert np.abs(image[..., 0].astype(int) - GREY).max() <= 1


@pytest.mark.parametrize("order, bits", [("rggb", 8), ("bggr", 8), ("gbrg", 8), ("grbg", 16)])
def test_a_compressed_mosaic_is_given_its_colours(order, bits):
    mosaic = np.empty(GREY.shape, np.uint8)
    for k, colour in enumerate(order):
        mosaic[k // 2 :: 2, k % 2 :: 2] = RGB[k // 2 :: 2, k % 2 :: 2, "rgb".index(colour)]
    image = to_rgb(
        compressed(
            coded(mosaic if bits == 8 else mosaic.astype(np.uint16) * 257, ".png"),
            f"bayer_{order}{bits}; png compressed ",
        )
    )
    assert np.abs(image[2:-2, 2:-2].astype(int) - RGB[2:-2, 2:-2]).mean() < 2


def test_grey_jpeg_of_a_colour_camera():
    image = to_rgb(compressed(coded(GREY), "yuv422_yuy2; jpeg compressed mono8"))
    assert np.abs(image.astype(int) - GREY[..., None]).mean() < 3


def test_depth_is_refused_with_the_mend():
    data = bytes(12) + cv2.imencode(".png", GREY.astype(np.uint16))[1].tobytes()
    for form in ("16UC1; compressedDepth png", "32FC1; compressedDepth", "16UC1; compressedDepth rvl"):
        with pytest.raises(InputError, match="colour camera"):
            to_rgb(compressed(data, form))


def test_a_jpeg_that_is_cut_is_refused_and_one_that_only_lacks_the_mark_of_its_end_is_not():
    noisy = cv2.resize(
        np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC
    )
    whole = coded(noisy, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 95)
    ((stamp, image),) = CameraDecoder().decode(compressed(whole))
    assert stamp == 12_000_000_034
    np.testing.assert_array_equal(decode_image(whole[:-2]), image)
    np.testing.assert_array_equal(decode_image(whole + bytes(300)), image)  # a buffer of fixed size
    for kept in (0.3, 0.6, 0.9):
        with pytest.raises(InputError, match="ends early|size"):
            decode_image(whole[: int(len(whole) * kept)])


def test_a_photo_that_stands_on_its_head_by_exif_is_turned():
    file = io.BytesIO()
    exif = Pillow.Exif()
    exif[0x0112] = 3
    Pillow.fromarray(RGB[::-1, ::-1].copy()).save(file, "JPEG", quality=95, exif=exif)
    assert np.abs(decode_image(file.getvalue()).astype(int) - RGB).mean() < 3


def lying_jpeg(width: int, height: int) -> bytes:
    data = bytearray(coded(RGB))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def lying_webp(width: int) -> bytes:
    data = bytearray(coded(RGB, ".webp", cv2.IMWRITE_WEBP_QUALITY, 80))
    at = data.index(b"VP8 ")
    data[at + 14 : at + 18] = struct.pack("<HH", width, width)
    return bytes(data)


@pytest.mark.parametrize(
    "data, words",
    [
        (png(30_000, 30_000, bytes(4_000_000)), "30000x30000.*max_pixels"),
        (png(6_000, 6_000, bytes(100_000)), "header is wrong"),
        (png(2**31 - 1, 2**31 - 1, b""), "max_pixels"),
        (png(0, 5, b""), "0x5"),
        (lying_jpeg(65_000, 65_000), "header is wrong"),
        (lying_jpeg(6_000, 6_000), "header is wrong"),
        (lying_webp(16_383), "16383x16383.*max_pixels"),
        (coded(RGB)[:100] + b"\xff\xda\0\2" * 200, "size|scans"),
        (coded(RGB, ".bmp"), "bmp.*jpeg, png, webp"),
        (coded(RGB, ".tiff"), "tiff"),
        (coded(RGB, ".ppm"), "pnm"),
        (coded(RGB, ".jp2"), "jpeg 2000"),
        (b"\0\0\0\1\x67" + bytes(200), "packet of video"),
        (b"\0\0\0\x18ftypheic" + bytes(50), "heic"),
        (b"GIF89a" + bytes(50), "gif"),
        (b"", "empty"),
        (b"\xff\xd8", "size"),
        (b"\x89PNG\r\n\x1a\n", "header"),
        (b"RIFF\0\0\0\0WEBP", "header"),
        (b"nothing at all", "no image"),
    ],
)
def test_headers_that_lie_and_kinds_that_are_not_read(data, words):
    with pytest.raises(InputError, match=words):
        to_rgb(compressed(data))


def test_bmp_that_is_allowed_is_read_and_still_measured():
    limits = ImageLimits(kinds=("jpeg", "bmp"))
    np.testing.assert_array_equal(decode_image(coded(RGB, ".bmp"), limits), RGB)
    wide = bytearray(coded(RGB, ".bmp"))
    wide[18:22] = struct.pack("<i", 2**30)
    with pytest.raises(InputError, match="1073741824x120|cannot be decoded"):
        decode_image(bytes(wide), limits)
    with pytest.raises(InputError, match="png, which is not read"):
        decode_image(coded(RGB, ".png"), limits)


def test_the_limit_is_a_parameter():
    with pytest.raises(InputError, match="max_pixels"):
        decode_image(coded(RGB), ImageLimits(max_pixels=160 * 120 - 1))
    assert decode_image(coded(RGB), ImageLimits(max_pixels=160 * 120)).shape == RGB.shape


def test_only_what_pixels_need_reaches_the_png_decoder():
    data = png(4, 4, bytes(4 * 13), chunk(b"acTL", struct.pack(">II", 9, 0)), chunk(b"iCCP", b"x" * 40))
    kept = plain_png(data)
    assert b"acTL" not in kept and b"iCCP" not in kept and decode_image(data).shape == (4, 4, 3)
    damaged = bytearray(data)
    damaged[data.index(b"IDAT") + 6] ^= 1
    with pytest.raises(InputError, match="checksum"):
        decode_image(bytes(damaged))
    with pytest.raises(InputError, match="ends early"):
        decode_image(data[:-12])


@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp"])
def test_headers_are_read_as_the_decoder_sees_them(kind):
    header = read_header(coded(RGB, kind))
    assert (header.width, header.height, header.whole) == (160, 120, True)
    assert check_header(coded(RGB, kind), 10**6).kind == {".jpg": "jpeg"}.get(kind, kind[1:])
