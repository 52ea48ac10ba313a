"""rosbag2 (sqlite3 and MCAP) through rosbags: no ROS needed. Signatures are settled, bodies follow."""

from __future__ import annotations

import numpy as np


class BagWriter:
    """A rosbag2 folder with the avatar's images, its speech and the latents. storage: 'sqlite3' or 'mcap'."""

    def __init__(self, path: str, storage: str = "mcap", sample_rate: int = 16_000) -> None:
        raise NotImplementedError

    def write_image(self, stamp_ns: int, rgb: np.ndarray) -> None:
        """Topic `image_raw/compressed`: CompressedImage, JPEG."""
        raise NotImplementedError

    def write_speech(self, stamp_ns: int, samples: np.ndarray) -> None:
        """Topic `speech_stamped`: AudioDataStamped S16LE mono (`speech_info` once)."""
        raise NotImplementedError

    def write_latents(
        self, stamp_ns: int, sequence: int, first_frame: int, latents: np.ndarray, space: str, model: str, fallback: bool
    ) -> None:
        """Topic `motion_latents`: MotionLatentBlock of latents (n, dim)."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError
