"""Webcam (OpenCV) and microphone (PortAudio through sounddevice) as media readers."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.base import AudioChunk, MediaReader, VideoFrame

_MAX_WAITING_CHUNKS = 100  # of 20 ms; the oldest is dropped where nobody reads
_SILENT_DEVICE_SECONDS = 5.0  # without an item a device is taken for unplugged


class LiveReader(MediaReader):
    """Items have the host's time at which they were seen or heard, since the device was opened."""

    live = True

    def __init__(self, source: str) -> None:
        self.source = source
        self._start = time.monotonic()

    def running(self) -> float:
        """Seconds since the device was opened."""
        return time.monotonic() - self._start

    def age(self, item: VideoFrame | AudioChunk) -> float:
        return self.running() - item.time


class WebcamReader(LiveReader):
    """`webcam:0`: the camera with that number, at 30 fps where it can, up to 1280x720."""

    has_video = True

    def __init__(self, source: str) -> None:
        super().__init__(source)
        number = source.removeprefix("webcam:") or "0"
        if not number.isdigit():
            raise InputError(f"a webcam is given as webcam:NUMBER, not {source}")
        self._camera: Any = cv2.VideoCapture(int(number))  # None once it is closed
        if not self._camera.isOpened():
            raise InputError(f"webcam {number} cannot be opened: is it plugged in, free, and may you read /dev/video*?")
        self._camera.set(cv2.CAP_PROP_FRAME_WIDTH, 1280)
        self._camera.set(cv2.CAP_PROP_FRAME_HEIGHT, 720)
        self._camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)

    def video(self) -> Iterator[VideoFrame]:
        self._camera.grab()  # what waits there was seen long ago
        last = self.running()
        while (camera := self._camera) is not None:
            good, image = camera.read()
            now = self.running()
            if good:
                last = now
                yield VideoFrame(now, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
            elif self._camera is None:
                return
            elif now - last > _SILENT_DEVICE_SECONDS:
                raise InputError(
                    f"{self.source} gave no image for {_SILENT_DEVICE_SECONDS:.0f} s: is it still plugged in?"
                )
            else:
                time.sleep(0.01)

    def close(self) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.release()


class MicrophoneReader(LiveReader):
    """`mic:`: the default microphone; `mic:NAME`: the one whose name contains NAME. The device's rate, mono."""

    has_audio = True

    def __init__(self, source: str) -> None:
        super().__init__(source)
        try:
            import sounddevice
        except OSError as error:
            raise InputError("no PortAudio library for the microphone: apt-get install libportaudio2") from error
        name = source.removeprefix("mic:") or None
        self._chunks: queue.Queue[AudioChunk | None] = queue.Queue(_MAX_WAITING_CHUNKS)
        self.dropped_chunks = 0
        try:
            device = sounddevice.query_devices(name, "input")
            self._rate = int(device["default_samplerate"])
            self._stream = sounddevice.InputStream(
                samplerate=self._rate,
                device=device["index"],
                channels=1,
                dtype="float32",
                blocksize=self._rate // 50,
                callback=self._take,
            )
            self._stream.start()
        except (sounddevice.PortAudioError, ValueError) as error:
            raise InputError(f"microphone '{name or 'default'}' cannot be opened: {error}") from error

    def audio(self) -> Iterator[AudioChunk]:
        try:
            while (chunk := self._chunks.get(timeout=_SILENT_DEVICE_SECONDS)) is not None:
                yield chunk
        except queue.Empty:
            raise InputError(
                f"{self.source} gave no sound for {_SILENT_DEVICE_SECONDS:.0f} s: is it still plugged in?"
            ) from None

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
            self._put(None)

    def _take(self, samples: np.ndarray, frames: int, _times, _status) -> None:
        self._put(AudioChunk(self.running() - frames / self._rate, samples.copy(), self._rate))

    def _put(self, chunk: AudioChunk | None) -> None:
        while True:
            try:
                return self._chunks.put_nowait(chunk)
            except queue.Full:
                self.dropped_chunks += 1
                try:
                    self._chunks.get_nowait()
                except queue.Empty:
                    pass
