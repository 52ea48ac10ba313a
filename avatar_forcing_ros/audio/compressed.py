"""Compressed sound that comes in pieces (topics of mp3, AAC, Opus ...), decoded through PyAV.

The pieces may be cut anywhere, but for bare packets of Opus, of which each message holds one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from avatar_forcing_ros.errors import InputError

# What a topic calls its coding -> what is done with it.
CODINGS = {
    "mp3": "mp3", "mpeg": "mp3", "mpga": "mp3", "audio/mpeg": "mp3",
    "aac": "aac", "adts": "aac", "audio/aac": "aac",
    "flac": "flac", "audio/flac": "flac",
    "opus": "opus", "audio/opus": "opus",
    "ogg": "ogg", "audio/ogg": "ogg", "vorbis": "ogg", "oga": "ogg",
}  # fmt: skip
_LONGEST_PAGES = 1 << 20  # bytes that wait for the end of an Ogg page


class CompressedSound:
    """Decodes one stream. coding: a value of CODINGS. skipped: packets that could not be decoded."""

    def __init__(self, coding: str, channels: int = 1) -> None:
        self.coding = coding
        self.skipped = 0
        self._channels = min(max(channels, 1), 2)
        self.reset()

    def reset(self) -> None:
        """What comes next does not continue what came before."""
        self._pages = _OggPages()
        self._context: Any = None if self.coding in ("ogg", "opus") else self._open(self.coding)
        self._headers: list[bytes] = []  # of Vorbis, until all three are there

    def push(self, data: bytes) -> list[tuple[np.ndarray, int]]:
        """((n, channels) float32 in [-1, 1], rate in Hz) of what these bytes complete. Damage is skipped and counted."""
        import av

        if self.coding == "ogg" or (self.coding == "opus" and (data[:4] == b"OggS" or self._pages.waiting)):
            packets = self._ogg(data)
        elif self.coding == "opus":
            self._context = self._context or self._open("opus", _opus_head(self._channels))
            packets = [data] if data else []
        else:
            try:
                packets = [bytes(p) for p in self._context.parse(data)] if data else []
            except (av.error.FFmpegError, ValueError):
                self.skipped += 1
                packets = []
        return [piece for packet in packets for piece in self._decode(packet)]

    def _open(self, codec: str, extradata: bytes = b"") -> Any:
        import av

        try:
            context = av.CodecContext.create(codec, "r")
        except (av.error.FFmpegError, ValueError) as error:
            raise InputError(f"sound of the coding {codec} cannot be decoded by this PyAV: {error}") from error
        context.thread_count = 1
        if extradata:
            context.extradata = extradata
        return context

    def _ogg(self, data: bytes) -> list[bytes]:
        """The packets of sound that these pages complete; heads of streams open the decoder."""
        sound = []
        for packet in self._pages.push(data):
            if packet[:8] == b"OpusHead":
                self._context = self._open("opus", packet)
            elif packet[:7] in (b"\x01vorbis", b"\x03vorbis", b"\x05vorbis"):
                self._headers = [packet] if packet[0] == 1 else [*self._headers, packet]
                if len(self._headers) == 3:
                    self._context = self._open("vorbis", _vorbis_head(self._headers))
            elif packet[:8] != b"OpusTags":
                if self._context is None:  # joined in the middle, or of a coding that is not read
                    self.skipped += 1
                else:
                    sound.append(packet)
        return sound

    def _decode(self, packet: bytes) -> list[tuple[np.ndarray, int]]:
        import av

        pieces = []
        try:
            for frame in self._context.decode(av.Packet(packet)):
                pieces.append((samples_of(frame), frame.sample_rate))
        except (av.error.FFmpegError, ValueError, MemoryError, EOFError):
            self.skipped += 1
        return [(samples, rate) for samples, rate in pieces if len(samples) and rate > 0]


def samples_of(frame: Any) -> np.ndarray:
    """A PyAV AudioFrame -> (n, channels) float32 in [-1, 1], an array of its own."""
    values = _wide(frame) if frame.format.name.startswith("s64") else frame.to_ndarray()
    channels = frame.layout.nb_channels
    values = values.T if frame.format.is_planar else values.reshape(-1, channels)
    if values.dtype.kind == "f":
        return np.clip(np.nan_to_num(values.astype(np.float32)), -1.0, 1.0)
    samples = values.astype(np.float32)
    if values.dtype.kind == "u":
        samples -= 128.0
    return samples * np.float32(2.0 ** (1 - 8 * values.dtype.itemsize))


def _wide(frame: Any) -> np.ndarray:
    """As PyAV's to_ndarray, which knows no integers of 64 bits."""
    count = frame.samples * (1 if frame.format.is_planar else frame.layout.nb_channels)
    return np.stack([np.frombuffer(bytes(plane), np.int64, count) for plane in frame.planes])


def coding_of(name: str, data: bytes = b"") -> str | None:
    """The value of CODINGS for what a topic calls its coding, or, where it says nothing, for what the bytes look like; else None."""
    if name:
        return CODINGS.get(name.strip().lower())
    if data[:4] == b"OggS":
        return "ogg"
    if data[:4] == b"fLaC":
        return "flac"
    if data[:3] == b"ID3" or _two_frames(data, _mp3_length):
        return "mp3"
    return "aac" if _two_frames(data, _adts_length) else None


class _OggPages:
    """Bytes of an Ogg stream -> its packets."""

    def __init__(self) -> None:
        self.waiting = b""
        self._begun = b""  # a packet that goes on in the next page

    def push(self, data: bytes) -> list[bytes]:
        data = (self.waiting + data)[-_LONGEST_PAGES:]
        packets: list[bytes] = []
        at = data.find(b"OggS")
        while at >= 0 and at + 27 <= len(data):
            count = data[at + 26]
            lengths = data[at + 27 : at + 27 + count]
            body, end = at + 27 + count, at + 27 + count + sum(lengths)
            if len(lengths) < count or end > len(data):
                break
            if not data[at + 5] & 1:  # a new packet begins here
                self._begun = b""
            for length in lengths:
                self._begun += data[body : body + length]
                body += length
                if length < 255:
                    packets.append(self._begun)
                    self._begun = b""
            at = data.find(b"OggS", end)
            if at < 0:
                data = data[max(end, len(data) - 3) :]
                at = -1
                break
        self.waiting = data[at:] if at >= 0 else data[-3:]
        self._begun = self._begun[-_LONGEST_PAGES:]
        return [p for p in packets if p]


def _opus_head(channels: int) -> bytes:
    return b"OpusHead" + struct.pack("<BBHIHB", 1, channels, 0, 48_000, 0, 0)


def _vorbis_head(headers: list[bytes]) -> bytes:
    def lace(length: int) -> bytes:
        return b"\xff" * (length // 255) + bytes([length % 255])

    return b"\x02" + lace(len(headers[0])) + lace(len(headers[1])) + b"".join(headers)


def _two_frames(data: bytes, length_of: Callable[[bytes], int]) -> bool:
    """Two frames follow each other, which plain samples do not do by chance."""
    length = length_of(data[:8])
    return bool(length) and len(data) >= length + 8 and bool(length_of(data[length : length + 8]))


def _mp3_length(head: bytes) -> int:
    """Bytes of the layer-3 frame that begins here; 0 where none does."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0 or head[1] & 6 != 2 or head[1] & 0x18 == 8:
        return 0
    rate, bits, mpeg1 = head[2] >> 2 & 3, head[2] >> 4, head[1] & 0x18 == 0x18
    if rate == 3 or bits in (0, 15):
        return 0
    kbits = ((0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320) if mpeg1
             else (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160))[bits]  # fmt: skip
    hertz = (44_100, 48_000, 32_000)[rate] // (1 if mpeg1 else 2 if head[1] & 0x18 == 0x10 else 4)
    return (144 if mpeg1 else 72) * kbits * 1000 // hertz + (head[2] >> 1 & 1)


def _adts_length(head: bytes) -> int:
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 15 > 12:
        return 0
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return length if length > 7 else 0
