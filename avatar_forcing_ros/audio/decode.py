"""Sound of ROS messages -> float32 samples, for both message families that are called audio_common_msgs.

The messages are looked at by their fields, so nothing of ROS is imported:

- apt (ros-drivers): `AudioData {uint8[] data}`, `AudioDataStamped {header, audio}`, described by a separate
  `AudioInfo {channels, sample_rate, sample_format, bitrate, coding_format}`;
- source only (mgonzs13): `AudioData {float32_data, int32_data, int16_data, int8_data, uint8_data}`, `Audio {audio_data,
  info}`, `AudioStamped {header, audio}`, with `AudioInfo {format, channels, rate, chunk}` in every `Audio`.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from avatar_forcing_ros.audio.compressed import CODINGS, CompressedSound, coding_of
from avatar_forcing_ros.audio.formats import SAMPLE_FORMATS, SoundFormat, sample_format_name
from avatar_forcing_ros.audio.wave import WaveStream
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.timeline import NANOSECONDS

_PCM_CODINGS = ("", "wave", "wav", "raw", "pcm", "lpcm", "audio/x-raw", "audio/wav")
_TYPED_FIELDS = ("float32_data", "int32_data", "int16_data", "int8_data", "uint8_data")
# Sample formats of PortAudio's portaudio.h, as the mgonzs13 family numbers them.
_PORTAUDIO = {1: "F32", 2: "S32", 4: "S24", 8: "S16", 16: "S8", 32: "U8"}


def format_of_info(info: Any) -> tuple[SoundFormat, str | None]:
    """What an AudioInfo of either family describes: plain samples, and the coding where it is compressed (one of CODINGS' values).

    Raises InputError where it cannot be decoded.
    """
    if not hasattr(info, "coding_format"):
        if int(info.format) not in _PORTAUDIO:
            raise InputError(f"sound has the unknown PortAudio format {info.format}; known are {sorted(_PORTAUDIO)}")
        return SoundFormat(_PORTAUDIO[int(info.format)], int(info.channels), int(info.rate)), None
    coding = info.coding_format.strip().lower()
    if coding in _PCM_CODINGS:
        return SoundFormat(info.sample_format, int(info.channels), int(info.sample_rate)), None
    if sample_format_name(coding) in SAMPLE_FORMATS:  # mulaw, alaw, pcm_s16le
        return SoundFormat(coding, int(info.channels), int(info.sample_rate)), None
    compressed = coding_of(coding)
    if compressed is None:
        shown = re.sub(r"[^ -~]", "?", info.coding_format[:30])
        raise InputError(
            f"sound is coded as '{shown}', which is not read: send plain samples (format:=wave of audio_capture) "
            f"or {', '.join(sorted(set(CODINGS.values())))}"
        )
    return SoundFormat(channels=max(1, min(int(info.channels), 2))), compressed


def stamp_of(message: Any) -> int | None:
    """The message's header stamp in nanoseconds; None without a header or where the stamp was left at zero."""
    header = getattr(message, "header", None)
    if header is None:
        return None
    return header.stamp.sec * NANOSECONDS + header.stamp.nanosec or None


class AudioDecoder:
    """Decodes one topic's messages. Partial samples, partial sample frames and partial packets wait for the next message.

    default: the format of apt messages until an AudioInfo is given to `set_info`; messages of the other family bring their own.
    WAV headers in the stream are read and left out; compressed sound is known by its AudioInfo, or by its looks where there is none.
    `bad_samples` counts the NaN and infinite samples that were replaced by zero; `wave_headers` those headers; `skipped` packets
    that could not be decoded.
    """

    def __init__(self, default: SoundFormat | None = None, coding: str | None = None) -> None:
        self.format = default or SoundFormat()
        self.bad_samples = 0
        self._waves = WaveStream(self.format)
        self._rest = b""
        self._described = False
        self._compressed = CompressedSound(coding, self.format.channels) if coding else None
        self._skipped = 0

    @property
    def wave_headers(self) -> int:
        return self._waves.headers

    @property
    def skipped(self) -> int:
        return self._skipped + (self._compressed.skipped if self._compressed else 0)

    def set_info(self, info: Any) -> None:
        """Takes an AudioInfo of either family. Raises InputError and keeps the old format where it is of no use."""
        new, coding = format_of_info(info)
        self._described = True
        if coding != (self._compressed.coding if self._compressed else None):
            self._skipped = self.skipped
            self._compressed = CompressedSound(coding, new.channels) if coding else None
        if coding is None:
            self._use(new)

    def reset(self) -> None:
        """Forgets the partial sample that was kept: what comes next does not continue what came before."""
        self._rest = b""
        self._waves.reset()
        if self._compressed:
            self._compressed.reset()

    def decode(self, message: Any) -> np.ndarray:
        """The message's samples, (n, channels) float32 in [-1, 1]; n may be 0. Their format is in `self.format`.

        As `pieces`, of sound whose format does not change within a message: where it does, the newest piece.
        """
        pieces = self.pieces(message)
        if not pieces:
            return np.zeros((0, self.format.channels), np.float32)
        alike = [p for p, rate in pieces if rate == pieces[-1][1] and p.shape[1] == pieces[-1][0].shape[1]]
        return np.concatenate(alike) if len(alike) > 1 else alike[0]

    def pieces(self, message: Any) -> list[tuple[np.ndarray, int]]:
        """The message's sound: ((n, channels) float32 in [-1, 1], rate in Hz), usually one piece or none.

        message: AudioData, AudioDataStamped, Audio or AudioStamped of either family. Raises InputError on a
        format that cannot be decoded.
        """
        body = getattr(message, "audio", message)  # the stamped kinds wrap the sound
        if hasattr(body, "audio_data"):
            self._use(format_of_info(body.info)[0])
            packed = body.info.format == 4
            body = body.audio_data
        else:
            packed = False
        if hasattr(body, "data"):
            return self._bytes(_bytes(body.data, np.dtype("u1")))
        if not hasattr(body, "int16_data"):
            raise InputError(f"message of type {type(message).__name__} is not sound of audio_common_msgs")
        for field in _TYPED_FIELDS:
            data = getattr(body, field)
            if len(data):
                kind = np.dtype(field[:-5])
                name = (
                    "S24"
                    if packed and field == "uint8_data"
                    else f"{kind.kind.upper().replace('I', 'S')}{8 * kind.itemsize}"
                )
                self._use(SoundFormat(name, self.format.channels, self.format.rate))
                return self._samples(self.format, _bytes(data, kind))
        return []

    def _bytes(self, data: bytes) -> list[tuple[np.ndarray, int]]:
        if self._compressed is None and not self._described:
            coding = coding_of("", data)
            if coding:
                self._described = True
                self._compressed = CompressedSound(coding, self.format.channels)
        if self._compressed is not None:
            pieces = _joined(self._compressed.push(data))
            if pieces:
                self.format = SoundFormat("F32", pieces[-1][0].shape[1], pieces[-1][1])
            return pieces
        return [piece for new, part in self._waves.push(data) for piece in self._samples(new, part)]

    def _use(self, new: SoundFormat) -> None:
        if new != self.format:
            self.format, self._rest = new, b""
        self._waves.format = new

    def _samples(self, new: SoundFormat, data: bytes) -> list[tuple[np.ndarray, int]]:
        if new != self.format:  # a WAV header said so
            self.format, self._rest = new, b""
        data = self._rest + data if self._rest else data
        whole = len(data) - len(data) % new.frame_size
        self._rest = data[whole:]
        if not whole:
            return []
        samples, bad = new.read(data[:whole])
        self.bad_samples += bad
        return [(samples, new.rate)]


def _joined(pieces: list[tuple[np.ndarray, int]]) -> list[tuple[np.ndarray, int]]:
    """Neighbours of one rate and as many channels in one array."""
    out: list[tuple[np.ndarray, int]] = []
    for samples, rate in pieces:
        if out and out[-1][1] == rate and out[-1][0].shape[1] == samples.shape[1]:
            out[-1] = (np.concatenate([out[-1][0], samples]), rate)
        else:
            out.append((samples, rate))
    return out


def _bytes(data: Any, dtype: np.dtype) -> bytes:
    """The bytes of a message's array, whichever of array.array, ndarray, bytes or list carries it."""
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    return np.asarray(data, dtype).tobytes()
