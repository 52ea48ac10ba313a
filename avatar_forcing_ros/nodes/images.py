"""Image messages -> RGB arrays: plain and fast for the common encodings, cv_bridge for the rest where it is installed."""

from __future__ import annotations

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.images import to_rgb

try:
    from cv_bridge import CvBridge, CvBridgeError
except ImportError:  # not on a machine without apt ROS
    CvBridge = None


def message_to_rgb(message) -> np.ndarray:
    """sensor_msgs Image or CompressedImage -> (H, W, 3) uint8 RGB. Raises InputError naming encoding or size."""
    try:
        return to_rgb(message)
    except InputError:
        if CvBridge is None or not hasattr(message, "encoding"):
            raise
    try:
        return CvBridge().imgmsg_to_cv2(message, desired_encoding="rgb8")
    except (CvBridgeError, RuntimeError) as error:
        raise InputError(f"image with encoding '{message.encoding}' cannot be converted: {error}") from error
