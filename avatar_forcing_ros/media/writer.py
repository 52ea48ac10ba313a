"""Images and sound -> mp4. Signatures are settled, bodies follow."""

from __future__ import annotations

import numpy as np


class VideoWriter:
    """mp4, H.264 yuv420p + AAC. A context manager. size: (width, height), by default the first image's."""

    def __init__(self, path: str, fps: int = 25, size: tuple[int, int] | None = None, sample_rate: int = 16_000) -> None:
        raise NotImplementedError

    def write_frame(self, index: int, rgb: np.ndarray) -> None:
        """Image of frame `index` (0 is the file's start); missing indices repeat the image before, late ones are dropped."""
        raise NotImplementedError

    def write_audio(self, first_sample: int, samples: np.ndarray) -> None:
        """Mono float32 samples from sample `first_sample` of the file on; holes are silent, overlaps dropped."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError
