"""Video files, sound files, bags, webcams and microphones behind one interface, decoded as a stream."""

from __future__ import annotations

import heapq
from pathlib import Path
from typing import Iterable, Iterator, NamedTuple

import av
import numpy as np

from avatar_forcing_ros.audio.resample import Resampler
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.timeline import NANOSECONDS, SAMPLE_RATE

_CHUNKS_PER_SECOND = 50  # sound of files comes in pieces of at most 20 ms, as from a microphone, so nobody waits for it
_GRID_SLACK = 1e-3  # seconds: time stamps of files are rounded
_SOUND_SLACK = SAMPLE_RATE // 25  # 40 ms: a smaller hole between chunks is rounding, not silence
_MAX_HOLE_SECONDS = 3600.0
_SILENT = 10 ** (-70 / 20)


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
    """

    source: str
    has_video = False
    has_audio = False
    duration: float | None = None
    live = False

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


def is_live(source: str) -> bool:
    """A webcam or a microphone, by its name."""
    return source.startswith(("webcam:", "mic:"))


def open_media(source: str, camera_topic: str | None = None, audio_topic: str | None = None) -> MediaReader:
    """Opens a video file, a sound file, a rosbag2 (folder, .db3 or .mcap), `webcam:0`, `mic:` or `mic:NAME`.

    The topics choose inside a bag; without them the first camera and the first sound are taken. Raises InputError in
    one line where the source is missing, cannot be read, or holds neither images nor sound.
    """
    source = str(source)
    if source.startswith("webcam:"):
        from avatar_forcing_ros.media.devices import WebcamReader

        return WebcamReader(source)
    if source.startswith("mic:"):
        from avatar_forcing_ros.media.devices import MicrophoneReader

        return MicrophoneReader(source)
    path = Path(source)
    if not path.exists():
        raise InputError(f"there is no file {source}")
    if path.is_dir() or path.suffix in (".db3", ".mcap"):
        from avatar_forcing_ros.media.bag import BagReader

        return BagReader(source, camera_topic, audio_topic)
    return FileReader(source)


class FileReader(MediaReader):
    """A video or sound file, through PyAV."""

    def __init__(self, source: str) -> None:
        self.source = source
        with self._open() as container:
            # A cover picture of a sound file is a stream of video, but not a video.
            pictures = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
            self._video_index = pictures[0].index if pictures else None
            self._audio_index = container.streams.audio[0].index if container.streams.audio else None
            starts = [s.start_time * s.time_base for s in container.streams if s.start_time is not None]
            self._start = float(max(0, min(starts))) if starts else 0.0
            self.duration = container.duration / av.time_base if container.duration is not None else None
        if self._video_index is None and self._audio_index is None:
            raise InputError(f"{source} holds neither images nor sound")
        self.has_video = self._video_index is not None
        self.has_audio = self._audio_index is not None
        # A track may be announced and yet be empty: look at its first frame now, not in the middle of a run.
        if self.has_video and next(self.video(), None) is None:
            raise InputError(f"the video track of {source} has no images")
        if self.has_audio and next(self.audio(), None) is None:
            raise InputError(f"the sound of {source} is empty")

    def video(self) -> Iterator[VideoFrame]:
        for time, frame in self._decode(self._video_index):
            image = frame.to_ndarray(format="rgb24")
            turns = round(frame.rotation / 90) % 4
            yield VideoFrame(time, np.ascontiguousarray(np.rot90(image, turns)) if turns else image)

    def audio(self) -> Iterator[AudioChunk]:
        resampler = None
        for time, frame in self._decode(self._audio_index):
            shape = (frame.format.name, frame.layout.name, frame.sample_rate)
            if resampler is None or resampler[0] != shape:  # a stream may change in the middle
                resampler = (shape, av.AudioResampler("flt", frame.layout.name, frame.sample_rate))
            for piece in resampler[1].resample(frame):
                samples = np.clip(np.nan_to_num(piece.to_ndarray().reshape(piece.samples, -1)), -1.0, 1.0)
                rate = frame.sample_rate
                step = max(1, rate // _CHUNKS_PER_SECOND)
                for at in range(0, len(samples), step):
                    yield AudioChunk(time + at / rate, samples[at : at + step], rate)

    def _decode(self, index: int | None) -> Iterator[tuple[float, av.VideoFrame | av.AudioFrame]]:
        """(time, frame) of one stream; each call has its own container, so iterators do not disturb each other."""
        if index is None:
            return
        with self._open() as container:
            stream = container.streams[index]
            stream.thread_type = "AUTO"
            time = 0.0
            frames = container.decode(stream)
            while True:
                try:
                    frame = next(frames, None)
                except (av.error.FFmpegError, ValueError) as error:
                    raise InputError(f"{self.source} is damaged at {time:.2f} s: {_reason(error)}") from error
                if frame is None:
                    return
                if frame.time is not None:
                    time = frame.time - self._start
                yield time, frame
                if isinstance(frame, av.AudioFrame):  # where the next frame is, if it does not say
                    time += frame.samples / frame.sample_rate

    def _open(self) -> av.container.InputContainer:
        try:
            return av.open(self.source, metadata_errors="replace")
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise InputError(f"cannot read {self.source} as video or sound: {_reason(error)}") from error


def video_on_grid(reader: MediaReader, frame_rate: int = 25) -> Iterator[tuple[int, np.ndarray]]:
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
    resampler = Resampler(channel)
    position = 0

    def place(stretches):
        nonlocal position
        for samples, stamp in stretches:
            wanted = stamp * SAMPLE_RATE // NANOSECONDS
            if abs(wanted - position) > _SOUND_SLACK:
                if wanted > position:
                    if wanted - position > _MAX_HOLE_SECONDS * SAMPLE_RATE:
                        raise InputError(f"{reader.source} has a hole of more than an hour in its sound")
                    yield np.zeros(wanted - position, np.float32)
                    position = wanted
                else:
                    samples = samples[position - wanted :]
            if len(samples):
                position += len(samples)
                yield samples

    for chunk in reader.audio():
        yield from place(resampler.push(chunk.samples, chunk.rate, round(chunk.time * NANOSECONDS)))
    yield from place(resampler.flush())


def in_pieces(chunks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Sound in chunks of any length -> pieces of `size` samples; the last one is filled up with silence."""
    rest = np.zeros(0, np.float32)
    for chunk in chunks:
        rest = np.concatenate([rest, chunk])
        while len(rest) >= size:
            yield rest[:size]
            rest = rest[size:]
    if len(rest):
        yield np.pad(rest, (0, size - len(rest)))


def check_sound(reader: MediaReader) -> None:
    """Raises InputError where the source has no sound, or nothing but silence (no sample above -70 dB)."""
    if not reader.has_audio:
        raise InputError(f"{reader.source} has no sound")
    if not any(np.abs(chunk.samples).max(initial=0.0) > _SILENT for chunk in reader.audio()):
        raise InputError(f"the sound of {reader.source} is silent throughout: give a track with speech, or leave it out")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
