"""Image messages of sensor_msgs <-> RGB arrays, without cv_bridge and without work per element."""

from __future__ import annotations

import array

import cv2
import numpy as np

from avatar_forcing_ros.errors import InputError

# Encoding -> (bytes per pixel, what turns it into RGB).
_ENCODINGS = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
}


def to_rgb(message) -> np.ndarray:
    """An Image or a CompressedImage message -> (H, W, 3) uint8 RGB, an array of its own.

    Image: encodings rgb8, bgr8, mono8, rgba8, bgra8; rows may be padded (step). CompressedImage: whatever OpenCV
    decodes. Raises InputError on another encoding, or where data and size do not agree.
    """
    if not hasattr(message, "encoding"):
        return decode_image(_flat(message.data))
    if message.encoding not in _ENCODINGS:
        raise InputError(f"image has the encoding '{message.encoding}'; use one of {', '.join(_ENCODINGS)}")
    pixel, conversion = _ENCODINGS[message.encoding]
    height, width = message.height, message.width
    step = message.step or width * pixel
    data = _flat(message.data)
    if height < 1 or width < 1 or step < width * pixel or len(data) < step * (height - 1) + width * pixel:
        raise InputError(
            f"image of {width}x{height} {message.encoding} with step {step} cannot have {len(data)} bytes of data"
        )
    if len(data) < step * height:  # the last row's padding may be missing
        data = np.pad(data, (0, step * height - len(data)))
    rows = data[: step * height].reshape(height, step)[:, : width * pixel].reshape(height, width, pixel)
    return rows.copy() if conversion is None else cv2.cvtColor(np.ascontiguousarray(rows), conversion)


def decode_image(data: np.ndarray | bytes) -> np.ndarray:
    """JPEG, PNG ... bytes -> (H, W, 3) uint8 RGB. Raises InputError."""
    flat = _flat(data)
    decoded = cv2.imdecode(flat, cv2.IMREAD_COLOR) if len(flat) else None
    if decoded is None:
        raise InputError(f"compressed image of {len(flat)} bytes cannot be decoded")
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


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
