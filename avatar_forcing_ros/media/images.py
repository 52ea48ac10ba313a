"""Image messages <-> RGB arrays. Signatures are settled, bodies follow."""

from __future__ import annotations

import numpy as np


def to_rgb(message) -> np.ndarray:
    """sensor_msgs Image (rgb8, bgr8, mono8, rgba8, bgra8) or CompressedImage -> (H, W, 3) uint8 RGB. InputError."""
    raise NotImplementedError


def encode_jpeg(rgb: np.ndarray, quality: int = 85) -> bytes:
    """(H, W, 3) uint8 RGB -> JPEG bytes, for CompressedImage with format 'jpeg'."""
    raise NotImplementedError


def rgb_bytes(rgb: np.ndarray) -> "array.array":
    """(H, W, 3) uint8 -> array.array('B') for Image.data with encoding rgb8: what rclpy takes without element checks."""
    raise NotImplementedError
