"""What every source of images and sound gives: the items and the reader they come from."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple

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
    block until the next item and end only with `close()`. An iterator of a kind that the source lacks is empty.
    why_no_video: the reason where there are images that cannot be read.
    """

    source: str
    has_video = False
    has_audio = False
    duration: float | None = None
    live = False
    why_no_video = ""

    def video(self) -> Iterator[VideoFrame]:
        return iter(())

    def audio(self) -> Iterator[AudioChunk]:
        return iter(())

    def merged(self) -> Iterator[VideoFrame | AudioChunk]:
        """Both, in the order of their times."""
        return heapq.merge(self.video(), self.audio(), key=lambda item: item.time)

    def age(self, item: VideoFrame | AudioChunk) -> float:
        """Of a live source: seconds since the item was seen, or since its first sample was heard."""
        raise NotImplementedError

    def close(self) -> None:
        """Ends live iterators and frees the device; files close with their iterators."""

    def __enter__(self) -> MediaReader:
        return self

    def __exit__(self, *_) -> None:
        self.close()
