"""A source's images and sound on the frame clock."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator

import numpy as np

from avatar_forcing_ros.audio.resample import Resampler
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.base import MediaReader, VideoFrame
from avatar_forcing_ros.timeline import NANOSECONDS, SAMPLE_RATE

_GRID_SLACK = 1e-3  # seconds: time stamps of files are rounded
_SOUND_SLACK_S = 0.04  # a smaller hole between chunks is rounding, not silence
_MAX_HOLE_SECONDS = 3600.0


def video_on_grid(reader: MediaReader, frame_rate: int = 25) -> Generator[tuple[int, np.ndarray], None, None]:
    """(index, image) for index 0, 1, 2 ...: the newest image at time index / frame_rate, as a camera would give it.

    Before a video's first image that image is shown; the last one lasts as long as the one before it.
    """
    current: VideoFrame | None = None
    index = 0
    lasts = 1.0 / frame_rate
    for frame in reader.video():
        if current is not None:
            while index / frame_rate < frame.time - _GRID_SLACK:
                yield index, current.image
                index += 1
            lasts = frame.time - current.time if frame.time > current.time else lasts
        current = frame
    if current is not None:
        while index == 0 or index / frame_rate < current.time + min(lasts, 1.0) - _GRID_SLACK:
            yield index, current.image
            index += 1


def audio_16k(reader: MediaReader, channel: int | None = None) -> Iterator[np.ndarray]:
    """All sound as 16 kHz mono chunks (n,) float32, from the source's time 0 on without holes (gaps are zeros).

    channel: one of the source's channels (0 is the first); None mixes them.
    """
    return _without_holes(reader, Resampler(channel), SAMPLE_RATE)


def audio_stereo(reader: MediaReader, rate: int) -> Iterator[np.ndarray]:
    """All sound as stereo chunks (n, 2) float32 at `rate` Hz, from the source's time 0 on without holes."""
    return _without_holes(reader, Resampler(wanted=rate, stereo=True), rate)


def _without_holes(reader: MediaReader, resampler: Resampler, rate: int) -> Iterator[np.ndarray]:
    position = 0

    def place(stretches):
        nonlocal position
        for samples, stamp in stretches:
            wanted = stamp * rate // NANOSECONDS
            if abs(wanted - position) > _SOUND_SLACK_S * rate:
                if wanted > position:
                    if wanted - position > _MAX_HOLE_SECONDS * rate:
                        raise InputError(f"{reader.source} has a hole of more than an hour in its sound")
                    yield np.zeros((wanted - position, *samples.shape[1:]), np.float32)
                    position = wanted
                else:
                    samples = samples[position - wanted :]
            if len(samples):
                position += len(samples)
                yield samples

    for chunk in reader.audio():
        yield from place(resampler.push(chunk.samples, chunk.rate, round(chunk.time * NANOSECONDS)))
    yield from place(resampler.flush())


def in_pieces(chunks: Iterable[np.ndarray], size: int) -> Generator[np.ndarray, None, None]:
    """Sound in chunks of any length -> pieces of `size` samples; the last one is filled up with silence."""
    rest: np.ndarray | None = None
    for chunk in chunks:
        rest = chunk if rest is None else np.concatenate([rest, chunk])
        while len(rest) >= size:
            yield rest[:size]
            rest = rest[size:]
    if rest is not None and len(rest):
        yield np.concatenate([rest, np.zeros((size - len(rest), *rest.shape[1:]), np.float32)])
