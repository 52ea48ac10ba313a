"""Sound of ROS messages -> float32 samples, for both message families that are called audio_common_msgs.

The messages are looked at by their fields, so nothing of ROS is imported:

- apt (ros-drivers): `AudioData {uint8[] data}`, `AudioDataStamped {header, audio}`, described by a separate
  `AudioInfo {channels, sample_rate, sample_format, bitrate, coding_format}`;
- source only (mgonzs13): `AudioData {float32_data, int32_data, int16_data, int8_data, uint8_data}`, `Audio {audio_data,
  info}`, `AudioStamped {header, audio}`, with `AudioInfo {format, channels, rate, chunk}` in every `Audio`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.timeline import NANOSECONDS

MAX_CHANNELS = 64
_PCM_CODINGS = ("", "wave", "wav", "raw", "pcm")
_TYPED_FIELDS = ("float32_data", "int32_data", "int16_data", "int8_data", "uint8_data")
# Sample formats of PortAudio's portaudio.h, as the mgonzs13 family numbers them.
_PORTAUDIO = {1: "F32", 2: "S32", 8: "S16", 16: "S8", 32: "U8"}
_SAMPLE_TYPES = {
    "S8": "i1", "U8": "u1",
    "S16": "=i2", "S16LE": "<i2", "S16BE": ">i2",
    "S32": "=i4", "S32LE": "<i4", "S32BE": ">i4",
    "F32": "=f4", "F32LE": "<f4", "F32BE": ">f4",
    "F64": "=f8", "F64LE": "<f8", "F64BE": ">f8",
}  # fmt: skip


@dataclass(frozen=True)
class SoundFormat:
    """How samples lie in a message. `sample_format`: a key such as S16LE; channels interleaved; rate in Hz."""

    sample_format: str = "S16LE"
    channels: int = 1
    rate: int = 16_000

    def __post_init__(self) -> None:
        if self.sample_format not in _SAMPLE_TYPES:
            raise InputError(
                f"sound has the unknown sample format '{self.sample_format}'; use one of {', '.join(_SAMPLE_TYPES)}"
            )
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise InputError(f"sound has {self.channels} channels; 1 to {MAX_CHANNELS} can be used")
        if not 1_000 <= self.rate <= 768_000:
            raise InputError(f"sound has a sample rate of {self.rate} Hz; 1000 to 768000 Hz can be used")

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(_SAMPLE_TYPES[self.sample_format])

    @classmethod
    def from_info(cls, info) -> SoundFormat:
        """The format that an AudioInfo of either family describes. Raises InputError where it cannot be decoded."""
        if hasattr(info, "coding_format"):
            coding = info.coding_format.lower()
            if coding not in _PCM_CODINGS:
                raise InputError(
                    f"sound is coded as '{info.coding_format}', only plain samples can be used: "
                    "set the parameter format:=wave of audio_capture"
                )
            return cls(info.sample_format.upper(), int(info.channels), int(info.sample_rate))
        if int(info.format) not in _PORTAUDIO:
            raise InputError(f"sound has the unknown PortAudio format {info.format}; known are {sorted(_PORTAUDIO)}")
        return cls(_PORTAUDIO[int(info.format)], int(info.channels), int(info.rate))


def stamp_of(message) -> int | None:
    """The message's header stamp in nanoseconds; None without a header or where the stamp was left at zero."""
    header = getattr(message, "header", None)
    if header is None:
        return None
    return header.stamp.sec * NANOSECONDS + header.stamp.nanosec or None


class AudioDecoder:
    """Decodes one topic's messages. Partial samples and partial sample frames wait for the next message.

    default: the format of apt messages until an AudioInfo is given to `set_info`; messages of the other
    family bring their own.
    `bad_samples` counts the NaN and infinite samples that were replaced by zero.
    """

    def __init__(self, default: SoundFormat | None = None) -> None:
        self.format = default or SoundFormat()
        self.bad_samples = 0
        self._rest = b""

    def set_info(self, info) -> None:
        """Takes an AudioInfo of either family. Raises InputError and keeps the old format where it is of no use."""
        self._use(SoundFormat.from_info(info))

    def reset(self) -> None:
        """Forgets the partial sample that was kept: what comes next does not continue what came before."""
        self._rest = b""

    def decode(self, message) -> np.ndarray:
        """The message's samples, (n, channels) float32 in [-1, 1]; n may be 0. Their format is in `self.format`.

        message: AudioData, AudioDataStamped, Audio or AudioStamped of either family. Raises InputError on a
        format that cannot be decoded.
        """
        body = getattr(message, "audio", message)  # the stamped kinds wrap the sound
        if hasattr(body, "audio_data"):
            self._use(SoundFormat.from_info(body.info))
            body = body.audio_data
        if hasattr(body, "data"):
            return self._samples(_bytes(body.data, np.dtype("u1")))
        if not hasattr(body, "int16_data"):
            raise InputError(f"message of type {type(message).__name__} is not sound of audio_common_msgs")
        for field in _TYPED_FIELDS:
            data = getattr(body, field)
            if len(data):
                name = {"float32": "F32", "int32": "S32", "int16": "S16", "int8": "S8", "uint8": "U8"}[field[:-5]]
                self._use(SoundFormat(name, self.format.channels, self.format.rate))
                return self._samples(_bytes(data, self.format.dtype))
        return np.zeros((0, self.format.channels), np.float32)

    def _use(self, new: SoundFormat) -> None:
        if new != self.format:
            self.format, self._rest = new, b""

    def _samples(self, data: bytes) -> np.ndarray:
        dtype, channels = self.format.dtype, self.format.channels
        data = self._rest + data if self._rest else data
        whole = len(data) - len(data) % (dtype.itemsize * channels)
        self._rest = data[whole:]
        raw = np.frombuffer(data, dtype, whole // dtype.itemsize)
        if dtype.kind == "f":
            bad = ~np.isfinite(raw)
            count = int(bad.sum())
            samples = np.clip(raw, -1.0, 1.0).astype(np.float32)
            if count:
                self.bad_samples += count
                samples[bad] = 0.0
        else:
            samples = raw.astype(np.float32)
            if dtype.kind == "u":
                samples -= 128.0
            samples *= 2.0 ** (1 - 8 * dtype.itemsize)
        return samples.reshape(-1, channels)


def _bytes(data, dtype: np.dtype) -> bytes:
    """The bytes of a message's array, whichever of array.array, ndarray, bytes or list carries it."""
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    return np.asarray(data, dtype).tobytes()
