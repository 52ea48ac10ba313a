"""Video files, sound files, bags, webcams and microphones behind one interface, decoded as a stream."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import av
import numpy as np

from avatar_forcing_ros.audio.compressed import samples_of
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.base import AudioChunk, MediaReader, VideoFrame

_LOG = logging.getLogger(__name__)
_GLUED_S = 0.1  # by which the time of sound may step back before the file is taken for several, glued together
_CHUNKS_PER_SECOND = 50  # sound of files comes in pieces of at most 20 ms, as from a microphone, so nobody waits for it


class FileReader(MediaReader):
    """A video or sound file, through PyAV."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._told: set[int] = set()  # streams whose damage was told
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
        end: float | None = None
        for time, frame in self._decode(self._audio_index):
            samples, rate = samples_of(frame), frame.sample_rate
            if end is not None and time < end - _GLUED_S:  # files glued together count their time afresh
                time = end
            step = max(1, rate // _CHUNKS_PER_SECOND)
            for at in range(0, len(samples), step):
                yield AudioChunk(time + at / rate, samples[at : at + step], rate)
            end = time + len(samples) / rate

    def _decode(self, index: int | None) -> Iterator[tuple[float, av.VideoFrame | av.AudioFrame]]:
        """(time, frame) of one stream; each call has its own container, so iterators do not disturb each other.

        Packets that cannot be decoded are left out, and told once. Raises InputError where nothing can be.
        """
        if index is None:
            return
        damaged, first, reason, given = 0, 0.0, "", 0
        with self._open() as container:
            stream = container.streams[index]
            stream.thread_type = "AUTO"
            time = 0.0
            packets = container.demux(stream)
            while True:
                try:
                    packet = next(packets, None)
                except (
                    av.error.FFmpegError,
                    ValueError,
                ) as error:  # the container itself is damaged: nothing more comes
                    damaged, first, reason = damaged + 1, first or time, _reason(error)
                    break
                if packet is None:
                    break
                try:
                    frames = packet.decode()
                except (av.error.FFmpegError, ValueError) as error:
                    damaged, first, reason = damaged + 1, first or time, _reason(error)
                    continue
                for frame in frames:
                    if frame.time is not None:
                        time = frame.time - self._start
                    given += 1
                    yield time, frame
                    if isinstance(frame, av.AudioFrame):  # where the next frame is, if it does not say
                        time += frame.samples / frame.sample_rate
        if damaged and not given:
            raise InputError(f"{self.source} is damaged, nothing of it can be decoded: {reason}")
        if damaged and index not in self._told:
            self._told.add(index)
            _LOG.warning(
                f"{self.source} is damaged at {first:.2f} s: {damaged} pieces are left out ({reason}), the rest is used"
            )

    def _open(self) -> av.container.InputContainer:
        try:
            return av.open(self.source, metadata_errors="replace")
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise InputError(f"cannot read {self.source} as video or sound: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
