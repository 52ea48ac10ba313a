"""Webcam (OpenCV) and microphone (PortAudio through sounddevice) as media readers."""

from __future__ import annotations

import queue
import time
from typing import Iterator

import cv2
import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.reader import AudioChunk, MediaReader, VideoFrame

_MAX_WAITING_CHUNKS = 100  # of 20 ms; the oldest is dropped where nobody reads
_NO_IMAGE_SECONDS = 5.0


class WebcamReader(MediaReader):
    """`webcam:0`: the camera with that number, at 30 fps where it can, up to 1280x720."""

    live = True
    has_video = True

    def __init__(self, source: str) -> None:
        self.source = source
        number = source.removeprefix("webcam:") or "0"
        if not number.isdigit():
            raise InputError(f"a webcam is given as webcam:NUMBER, not {source}")
        self._camera = cv2.VideoCapture(int(number))
        if not self._camera.isOpened():
            raise InputError(f"webcam {number} cannot be opened: is it plugged in, free, and may you read /dev/video*?")
        self._camera.set(cv2.CAP_PROP_FRAME_WIDTH, 1280)
        self._camera.set(cv2.CAP_PROP_FRAME_HEIGHT, 720)
        self._camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._start = time.monotonic()

    def video(self) -> Iterator[VideoFrame]:
        last = time.monotonic()
        while self._camera is not None:
            good, image = self._camera.read()
            now = time.monotonic()
            if good:
                last = now
                yield VideoFrame(now - self._start, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
            elif now - last > _NO_IMAGE_SECONDS:
                raise InputError(f"{self.source} gave no image for {_NO_IMAGE_SECONDS:.0f} s")
            else:
                time.sleep(0.01)

    def close(self) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.release()


class MicrophoneReader(MediaReader):
    """`mic:`: the default microphone; `mic:NAME`: the one whose name contains NAME. 16 kHz or the device's rate, mono."""

    live = True
    has_audio = True

    def __init__(self, source: str) -> None:
        self.source = source
        try:
            import sounddevice
        except OSError as error:
            raise InputError("no PortAudio library for the microphone: apt-get install libportaudio2") from error
        name = source.removeprefix("mic:") or None
        self._chunks: queue.Queue[AudioChunk | None] = queue.Queue(_MAX_WAITING_CHUNKS)
        self.dropped_chunks = 0
        self._samples = 0
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
        while (chunk := self._chunks.get()) is not None:
            yield chunk
        self._chunks.put(None)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
            self._put(None)

    def _take(self, samples: np.ndarray, frames: int, _times, _status) -> None:
        self._put(AudioChunk(self._samples / self._rate, samples.copy(), self._rate))
        self._samples += frames

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
