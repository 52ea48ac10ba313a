"""What a compressed image says of itself: kind and size, read from its first bytes before any decoder sees it."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from avatar_forcing_ros.errors import InputError

KINDS = ("jpeg", "png", "webp")  # whose decoders are used every day by everybody
_MOST_SCANS = 100  # of a progressive JPEG; each costs a pass over the whole image
_LEAST_BYTES_PER_PIXEL = 1 / 1000  # of a JPEG; the emptiest real one has 1 / 400
_DEFLATE_RATIO = 1032  # the most that deflate can shrink
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_OTHERS = (
    (b"BM", "bmp"), (b"GIF8", "gif"), (b"II*\0", "tiff"), (b"MM\0*", "tiff"), (b"\0\0\0\x0cjP", "jpeg 2000"), (b"\xff\x4f\xff\x51", "jpeg 2000"),
    (b"\x76\x2f\x31\x01", "openexr"), (b"#?RADIANCE", "hdr"), (b"qoif", "qoi"), (b"\xff\x0a", "jpeg xl"), (b"\0\0\0\x0cJXL", "jpeg xl"),
    (b"P1", "pnm"), (b"P2", "pnm"), (b"P3", "pnm"), (b"P4", "pnm"), (b"P5", "pnm"), (b"P6", "pnm"), (b"\x59\xa6\x6a\x95", "sun raster"),
    (b"\0\0\0\1", "video"), (b"\0\0\1", "video"),
)  # fmt: skip


class ImageHeader(NamedTuple):
    """kind: 'jpeg', 'png', 'webp', or the name of another kind with width and height 0; '' for no image. Pixels as the file has
    them, before it is turned upright. whole: its end is there."""

    kind: str
    width: int = 0
    height: int = 0
    whole: bool = True


def read_header(data: bytes) -> ImageHeader:
    """Kind and size of a compressed image. Raises InputError where the header of a known kind is damaged."""
    if data[:2] == b"\xff\xd8":
        return _jpeg(data)
    if data[:8] == _PNG:
        return _png(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    if data[4:8] == b"ftyp":
        return ImageHeader({b"avif": "avif", b"avis": "avif"}.get(data[8:12], "heic"))
    return ImageHeader(next((kind for magic, kind in _OTHERS if data.startswith(magic)), ""))


def check_header(data: bytes, max_pixels: int, kinds: tuple[str, ...] = KINDS) -> ImageHeader:
    """The header, where the image is of one of `kinds` and has at most `max_pixels`; else InputError with the mend."""
    header = read_header(data)
    if not header.kind:
        raise InputError(
            f"compressed image of {len(data)} bytes cannot be decoded: it is {'no image' if data else 'empty'}"
        )
    if header.kind == "video":
        raise InputError("compressed image cannot be decoded: it is a packet of video; read it with transport:=ffmpeg")
    if header.kind not in kinds:
        raise InputError(
            f"compressed image is {header.kind}, which is not read: let the camera send {', '.join(KINDS)}"
        )
    if header.kind in KINDS and not 0 < header.width * header.height <= max_pixels:
        raise InputError(
            f"compressed image says it is {header.width}x{header.height}, {max_pixels / 1e6:g} million pixels are allowed: "
            "raise max_pixels if the camera is that large"
        )
    return header


def plain_png(data: bytes) -> bytes:
    """A PNG of only what its pixels need, each part's checksum looked at: animation, profiles and texts do not reach the decoder.

    Raises InputError where a part is damaged, or where the data cannot hold the size that the header says.
    """
    kept, at, packed = [_PNG], 8, 0
    header = read_header(data)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 12 + length
        if end > len(data):
            break
        if kind in _PNG_KEPT:
            if zlib.crc32(data[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
                raise InputError("compressed image cannot be decoded: the PNG is damaged (a checksum is wrong)")
            kept.append(data[at:end])
            packed += length if kind == b"IDAT" else 0
        at = end
        if kind == b"IEND":
            break
    else:
        kind = b""
    if kind != b"IEND":
        raise InputError("compressed image cannot be decoded: the PNG ends early")
    depth, colour = data[24], data[25]
    if header.height * (1 + header.width * _PNG_CHANNELS[colour] * depth // 8) > _DEFLATE_RATIO * packed + 64:
        raise InputError(
            f"compressed image says it is {header.width}x{header.height}, but holds {packed} bytes: its header is wrong"
        )
    return b"".join(kept)


def _jpeg(data: bytes) -> ImageHeader:
    at, size, end = 2, None, len(data)
    while at + 4 <= end:
        if data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in (0x01, 0xD8) or 0xD0 <= marker <= 0xD7:
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if at + 9 > end or size is not None:
                break
            height, width = struct.unpack_from(">HH", data, at + 5)
            size = (width, height)
        if marker in (0xDA, 0xD9):
            break
        at += 2 + max(length, 2)
    if size is None:
        raise InputError("compressed image cannot be decoded: the JPEG says no size")
    if data.count(b"\xff\xda") > _MOST_SCANS:
        raise InputError(f"compressed image cannot be decoded: the JPEG has more than {_MOST_SCANS} scans")
    if size[0] * size[1] * _LEAST_BYTES_PER_PIXEL > end:
        raise InputError(f"compressed image says it is {size[0]}x{size[1]}, but holds {end} bytes: its header is wrong")
    return ImageHeader("jpeg", *size, data.rfind(b"\xff\xd9") > at)


def _png(data: bytes) -> ImageHeader:
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise InputError("compressed image cannot be decoded: the PNG has no header")
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    if depth not in _PNG_DEPTHS.get(colour, ()):
        raise InputError("compressed image cannot be decoded: the PNG's header is damaged")
    return ImageHeader("png", width, height)


def _webp(data: bytes) -> ImageHeader:
    kind = data[12:16]
    if len(data) < 30:
        raise InputError("compressed image cannot be decoded: the WebP has no header")
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    elif kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width, height = (v & 0x3FFF for v in struct.unpack_from("<HH", data, 26))
    else:
        raise InputError("compressed image cannot be decoded: the WebP's header is damaged")
    return ImageHeader("webp", width, height, len(data) >= 8 + int.from_bytes(data[4:8], "little"))
