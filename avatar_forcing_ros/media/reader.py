"""Video files, sound files, bags, webcams and microphones behind one interface. Signatures are settled, bodies follow."""

from __future__ import annotations

from typing import Iterator, NamedTuple

import numpy as np


class VideoFrame(NamedTuple):
    """time: seconds from the source's start; image: (H, W, 3) uint8 RGB."""

    time: float
    image: np.ndarray


class AudioChunk(NamedTuple):
    """time: seconds from the source's start; samples: (n, channels) float32 in [-1, 1]; rate in Hz."""

    time: float
    samples: np.ndarray
    rate: int


class MediaReader:
    """What `open_media` gives. A context manager. Each iterator decodes as a stream and starts at the beginning.

    source: as given; has_video, has_audio; duration: seconds or None; live: a webcam or a microphone, whose iterators
    block until the next item and end only with `close()`.
    """

    source: str
    has_video: bool
    has_audio: bool
    duration: float | None
    live: bool

    def video(self) -> Iterator[VideoFrame]:
        raise NotImplementedError

    def audio(self) -> Iterator[AudioChunk]:
        raise NotImplementedError

    def merged(self) -> Iterator[VideoFrame | AudioChunk]:
        """Both, in the order of their times."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def open_media(source: str, camera_topic: str | None = None, audio_topic: str | None = None) -> MediaReader:
    """Opens a video file, a sound file, a rosbag2 (folder, .db3 or .mcap), `webcam:0`, `mic:` or `mic:NAME`.

    The topics choose inside a bag. Raises InputError in one line where it cannot be used.
    """
    raise NotImplementedError


def video_on_grid(reader: MediaReader, frame_rate: int = 25) -> Iterator[tuple[int, np.ndarray]]:
    """(index, image) for index 0, 1, 2 ...: the newest image at time index / frame_rate, as a camera would give."""
    raise NotImplementedError


def audio_16k(reader: MediaReader, channel: int | None = None) -> Iterator[np.ndarray]:
    """All sound as 16 kHz mono chunks (n,) float32, from the source's time 0 without holes (gaps are zeros)."""
    raise NotImplementedError
