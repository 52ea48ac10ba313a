"""Camera messages -> RGB arrays, without cv_bridge and without work per element; RGB arrays -> what goes out."""

from __future__ import annotations

import array
from dataclasses import dataclass

import cv2
import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.camera.encodings import MAX_PIXELS, Range, encoding_of, raw_to_rgb
from avatar_forcing_ros.media.camera.headers import KINDS, check_header, plain_png
from avatar_forcing_ros.media.camera.packets import PacketDecoder, codec_of
from avatar_forcing_ros.timeline import NANOSECONDS


@dataclass(frozen=True)
class ImageLimits:
    """What may come in. max_pixels: width times height of the largest image. kinds: compressed images that are decoded: of the kinds
    beside jpeg, png and webp those that Pillow knows. grey_range: the values of black and white in mono16, 16UC1, 32FC1 and the
    like; None: those of the table in encodings.py."""

    max_pixels: int = MAX_PIXELS
    kinds: tuple[str, ...] = KINDS
    grey_range: Range | None = None


class CameraDecoder:
    """One camera's messages, of any of the three types, to images. It keeps what packets of video need of those before them.

    skipped_packets: packets of video that were damaged, or came before the first key frame.
    """

    def __init__(self, limits: ImageLimits | None = None) -> None:
        self._limits = limits or ImageLimits()
        self._packets = PacketDecoder(self._limits.max_pixels)

    @property
    def skipped_packets(self) -> int:
        return self._packets.skipped

    def reset(self) -> None:
        """What comes next does not continue what came before."""
        self._packets.reset()

    def decode(self, message) -> list[tuple[int, np.ndarray]]:
        """An Image, a CompressedImage or an FFMPEGPacket -> (stamp in ns, (H, W, 3) uint8 RGB) of each image that became whole:
        one, or of packets of video none or some. Raises InputError where the message cannot be used, and nothing else."""
        try:
            return self._decode(message)
        except InputError:
            raise
        except Exception as error:  # a fault of a decoder that nobody has met yet: the next good image is used
            raise InputError(f"image cannot be decoded: {type(error).__name__}: {str(error)[:200]}") from error

    def _decode(self, message) -> list[tuple[int, np.ndarray]]:
        stamp = message.header.stamp.sec * NANOSECONDS + message.header.stamp.nanosec
        codec = codec_of(message.encoding if hasattr(message, "pts") else getattr(message, "format", ""))
        if hasattr(message, "pts") or codec:
            return self._packets.decode(codec, _flat(message.data).tobytes(), stamp)
        return [(stamp, to_rgb(message, self._limits))]


def to_rgb(message, limits: ImageLimits | None = None) -> np.ndarray:
    """An Image or a CompressedImage message -> (H, W, 3) uint8 RGB, an array of its own.

    Raises InputError on an encoding or a kind that is not read, on an image above the limits, and where the data are damaged.
    """
    limits = limits or ImageLimits()
    if hasattr(message, "encoding"):
        return raw_to_rgb(
            _flat(message.data), message.width, message.height, message.encoding, message.step,
            big_endian=bool(getattr(message, "is_bigendian", False)), grey_range=limits.grey_range,
            max_pixels=limits.max_pixels,
        )  # fmt: skip
    original, _, coding = getattr(message, "format", "").partition(";")
    if "compresseddepth" in coding.replace(" ", "").lower():
        raise InputError(
            f"compressed image of format '{message.format[:60]}' is of a depth camera: read the colour camera's topic"
        )
    return decode_image(message.data, limits, original if coding else "")


def decode_image(data: np.ndarray | bytes, limits: ImageLimits | None = None, original: str = "") -> np.ndarray:
    """JPEG, PNG or WebP bytes -> (H, W, 3) uint8 RGB, upright.

    original: the encoding before it was compressed, as image_transport tells it; a mosaic of colours or grey of 16 bits is then
    taken for what it is. Raises InputError.
    """
    limits = limits or ImageLimits()
    raw = _flat(data).tobytes()
    header = check_header(raw, limits.max_pixels, limits.kinds)
    if header.kind not in KINDS:
        return _by_pillow(raw, header.kind, limits.max_pixels)
    numbers = original.strip().lower()
    as_it_is = numbers.startswith("bayer_") or numbers in ("mono16", "16uc1")
    if header.kind == "png":
        raw = plain_png(raw)
    elif not header.whole:  # some cameras leave the mark of the end out
        raw += b"\xff\xd9"
    try:
        decoded = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED if as_it_is else cv2.IMREAD_COLOR)
    except (cv2.error, MemoryError) as error:
        raise InputError(
            f"compressed image of {len(raw)} bytes cannot be decoded: {getattr(error, 'err', error)}"
        ) from error
    if decoded is None or 0 in decoded.shape:
        raise InputError(f"compressed image of {len(raw)} bytes cannot be decoded: the {header.kind} is damaged")
    if not header.whole and _is_cut(decoded):
        raise InputError(f"compressed image of {len(raw)} bytes cannot be decoded: the {header.kind} ends early")
    if as_it_is and decoded.ndim == 2:
        bits = decoded.dtype.itemsize * 8
        name = (
            numbers.rstrip("0123456789") + str(bits)
            if "bayer" in numbers
            else "mono8"
            if bits == 8
            else encoding_of(numbers).names[0]
        )
        flat = np.ascontiguousarray(decoded).view(np.uint8).reshape(-1)
        return raw_to_rgb(
            flat, decoded.shape[1], decoded.shape[0], name, grey_range=limits.grey_range, max_pixels=limits.max_pixels
        )
    if as_it_is:
        decoded = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None  # the same bytes were decoded above
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


def _by_pillow(raw: bytes, kind: str, max_pixels: int) -> np.ndarray:
    """A kind that the user has allowed beside those that everybody uses."""
    import io

    from PIL import Image

    try:
        with Image.open(io.BytesIO(raw)) as picture:
            if picture.width * picture.height > max_pixels:
                raise InputError(
                    f"compressed image says it is {picture.width}x{picture.height}, {max_pixels / 1e6:g} million pixels are allowed"
                )
            return np.array(picture.convert("RGB"))
    except InputError:
        raise
    except Exception as error:  # whatever a rare decoder raises
        raise InputError(f"compressed image of kind {kind} cannot be decoded: {error}") from error


def _is_cut(decoded: np.ndarray) -> bool:
    """The last block of a JPEG without an end is flat: the decoder ran out of data before it."""
    return bool(np.ptp(decoded[-8:, -8:].reshape(-1, *decoded.shape[2:]), axis=0).max() == 0)


def encode_jpeg(rgb: np.ndarray, quality: int = 85) -> bytes:
    """(H, W, 3) uint8 RGB -> JPEG bytes, for a CompressedImage with format 'jpeg'. Raises InputError."""
    _check_rgb(rgb)
    return cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def rgb_bytes(rgb: np.ndarray) -> array.array:
    """(H, W, 3) uint8 -> array.array('B') for the data of an rgb8 Image: rclpy takes it without looking at each byte."""
    _check_rgb(rgb)
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(rgb).data.cast("B"))
    return data


def _flat(data) -> np.ndarray:
    """The message's bytes as (n,) uint8, copied only where they come as a list."""
    if isinstance(data, list):
        return np.array(data, np.uint8)
    return np.frombuffer(data, np.uint8) if len(data) else np.zeros(0, np.uint8)


def _check_rgb(rgb: np.ndarray) -> None:
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
        raise InputError(f"image must be (H, W, 3) uint8 RGB, not {rgb.shape} {rgb.dtype}")
