"""A clip as the camera of a headless browser, and a sound as its microphone."""

from __future__ import annotations

import wave
from pathlib import Path

import cv2
import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.grid import audio_16k, video_on_grid
from avatar_forcing_ros.media.open import open_media
from avatar_forcing_ros.timeline import FRAME_RATE, SAMPLE_RATE

WIDTH, HEIGHT = 640, 480
LONGEST_S = 20  # of the camera's clip, which the browser repeats; half a megabyte a frame


def write_camera(clip: str, out: Path, longest_s: float = LONGEST_S) -> None:
    """A .y4m of 640x480 at 25 fps: the clip's middle, as large as fits, no longer than told. Raises InputError where it has no images."""
    with open_media(clip) as reader, open(out, "wb") as file:
        if not reader.has_video:
            raise InputError(f"{clip}: has no video; give a clip for the browser's camera")
        file.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{FRAME_RATE}:1 Ip A1:1 C420jpeg\n".encode())
        for index, image in video_on_grid(reader, FRAME_RATE):
            if index >= longest_s * FRAME_RATE:
                break
            file.write(b"FRAME\n" + cv2.cvtColor(_filling(image), cv2.COLOR_RGB2YUV_I420).tobytes())


def write_microphone(sound: str, out: Path) -> None:
    """A .wav of 16 kHz. Silence where the source has no sound."""
    with open_media(sound) as reader:
        chunks = list(audio_16k(reader)) if reader.has_audio else []
    samples = np.concatenate(chunks) if chunks else np.zeros(SAMPLE_RATE, np.float32)
    with wave.open(str(out), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def _filling(image: np.ndarray) -> np.ndarray:
    """The image scaled and cut to 640x480."""
    scale = max(WIDTH / image.shape[1], HEIGHT / image.shape[0])
    size = (max(round(image.shape[1] * scale), WIDTH), max(round(image.shape[0] * scale), HEIGHT))
    large = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    top, left = (large.shape[0] - HEIGHT) // 2, (large.shape[1] - WIDTH) // 2
    return np.ascontiguousarray(large[top : top + HEIGHT, left : left + WIDTH])
