"""camera_info, which belongs to an image topic: readers of both get one for every image."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import CameraInfo


def uncalibrated(image: np.ndarray) -> CameraInfo:
    """Of an image (H, W, ...): its size. No camera was measured, so all matrices are zero, as REP 104 has it; the header is the
    image's."""
    return CameraInfo(height=image.shape[0], width=image.shape[1])
