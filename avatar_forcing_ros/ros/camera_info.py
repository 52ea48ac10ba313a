"""Images as topics, and the camera_info that belongs to them: readers of both get one for every image."""

from __future__ import annotations

import numpy as np
from rclpy.publisher import Publisher
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image

from avatar_forcing_ros.media.images import rgb_bytes


def uncalibrated(image: np.ndarray) -> CameraInfo:
    """Of an image (H, W, ...): its size. No camera was measured, so all matrices are zero, as REP 104 has it; the header is the
    image's."""
    return CameraInfo(height=image.shape[0], width=image.shape[1])


def rgb_message(image: np.ndarray) -> Image:
    """Of an image (H, W, 3) uint8 RGB; its header is still empty."""
    message = Image(height=image.shape[0], width=image.shape[1], encoding="rgb8", step=3 * image.shape[1])
    message.data = rgb_bytes(image)
    return message


def publish_camera(images: Publisher, infos: Publisher, image: np.ndarray, stamp_ns: int, frame_id: str) -> None:
    """A camera's image (H, W, 3) uint8 RGB, and its camera_info where somebody reads it."""
    message = rgb_message(image)
    message.header.stamp = Time(nanoseconds=stamp_ns).to_msg()
    message.header.frame_id = frame_id
    images.publish(message)
    if infos.get_subscription_count():
        info = uncalibrated(image)
        info.header = message.header
        infos.publish(info)
