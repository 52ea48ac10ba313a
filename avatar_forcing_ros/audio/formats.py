"""How samples of sound lie in bytes, in one table, under the names that GStreamer, ALSA, PortAudio and FFmpeg give them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from avatar_forcing_ros.errors import InputError

MAX_CHANNELS = 64
MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz
_NATIVE = "LE" if sys.byteorder == "little" else "BE"


@dataclass(frozen=True)
class SampleFormat:
    """size: bytes per sample. what: for people. read: bytes, whole samples -> (n,) float32 in [-1, 1], floats not yet limited."""

    size: int
    what: str
    read: Callable[[bytes], np.ndarray]


def _integers(kind: str) -> Callable[[bytes], np.ndarray]:
    dtype = np.dtype(kind)
    scale, middle = np.float32(2.0 ** (1 - 8 * dtype.itemsize)), np.float32(2.0 ** (8 * dtype.itemsize - 1))

    def read(data: bytes) -> np.ndarray:
        samples = np.frombuffer(data, dtype).astype(np.float32)
        return (samples - middle if dtype.kind == "u" else samples) * scale

    return read


def _floats(kind: str) -> Callable[[bytes], np.ndarray]:
    def read(data: bytes) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.frombuffer(data, kind).astype(np.float32)

    return read


def _packed_24(big: bool) -> Callable[[bytes], np.ndarray]:
    def read(data: bytes) -> np.ndarray:
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        (wide[:, :3] if big else wide[:, 1:])[:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return wide.view(">i4" if big else "<i4")[:, 0].astype(np.float32) * np.float32(2.0**-31)

    return read


def _low_24(kind: str) -> Callable[[bytes], np.ndarray]:
    """24 bits in the lower part of 32; whatever the upper byte holds is left out."""

    def read(data: bytes) -> np.ndarray:
        return (np.frombuffer(data, kind).astype(np.int32) << 8).astype(np.float32) * np.float32(2.0**-31)

    return read


def _companded(table: np.ndarray) -> Callable[[bytes], np.ndarray]:
    return lambda data: table[np.frombuffer(data, np.uint8)]


def _mu_law() -> np.ndarray:
    """The 256 values of G.711's mu-law."""
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    size = ((((code & 0x0F) << 3) + 0x84) << (code >> 4 & 7)) - 0x84
    return (np.where(code & 0x80, -size, size) / 32768.0).astype(np.float32)


def _a_law() -> np.ndarray:
    """The 256 values of G.711's A-law."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    exponent, mantissa = code >> 4 & 7, code & 0x0F
    size = np.where(exponent == 0, (mantissa << 4) + 8, ((mantissa << 4) + 0x108) << np.maximum(exponent - 1, 0))
    return (np.where(code & 0x80, size, -size) / 32768.0).astype(np.float32)


def _table() -> dict[str, SampleFormat]:
    table = {
        "S8": SampleFormat(1, "8 bits", _integers("i1")),
        "U8": SampleFormat(1, "8 bits, silence at 128", _integers("u1")),
        "MULAW": SampleFormat(1, "G.711 mu-law", _companded(_mu_law())),
        "ALAW": SampleFormat(1, "G.711 A-law", _companded(_a_law())),
    }
    for order, sign in (("LE", "<"), ("BE", ">")):
        table |= {
            f"S16{order}": SampleFormat(2, "16 bits", _integers(sign + "i2")),
            f"U16{order}": SampleFormat(2, "16 bits, silence at 32768", _integers(sign + "u2")),
            f"S24{order}": SampleFormat(3, "24 bits in three bytes", _packed_24(order == "BE")),
            f"S24_32{order}": SampleFormat(4, "24 bits in the lower part of 32", _low_24(sign + "i4")),
            f"S32{order}": SampleFormat(
                4, "32 bits; slots of I2S whose upper 18 to 24 bits are used", _integers(sign + "i4")
            ),
            f"F32{order}": SampleFormat(4, "float", _floats(sign + "f4")),
            f"F64{order}": SampleFormat(8, "double", _floats(sign + "f8")),
        }
    return table


SAMPLE_FORMATS = _table()
_ALIASES = {
    "UINT8": "U8", "INT8": "S8", "INT16": "S16", "INT24": "S24", "INT32": "S32", "FLOAT32": "F32", "FLOAT64": "F64", "FLOAT": "F32",
    "DOUBLE": "F64", "FLT": "F32", "DBL": "F64", "PCM16": "S16", "LINEAR16": "S16", "L16": "S16BE", "ULAW": "MULAW", "MU_LAW": "MULAW",
    "U_LAW": "MULAW", "PCMU": "MULAW", "A_LAW": "ALAW", "PCMA": "ALAW",
}  # fmt: skip


def sample_format_name(name: str) -> str:
    """The table's name of a sample format in any of the spellings; an unknown one comes back as it was.

    ALSA's S24_LE is 24 bits in 32 and its S24_3LE three bytes; GStreamer calls them S24_32LE and S24LE.
    """
    word = (
        name.strip()
        .upper()
        .removeprefix("SND_PCM_FORMAT_")
        .removeprefix("AUDIO_")
        .removeprefix("PCM_")
        .replace("-", "_")
    )
    order = next((o for o in ("LE", "BE") if word.endswith(o)), "")
    body = word[: len(word) - len(order)]
    if body == "S24_3":
        body = "S24"
    elif body == "S24_" and order:
        body = "S24_32"
    body = body.rstrip("_")
    body = _ALIASES.get(body, body)
    for candidate in (body, body + order, body + _NATIVE):
        if candidate in SAMPLE_FORMATS:
            return candidate
    return name


@dataclass(frozen=True)
class SoundFormat:
    """How samples lie in a message. sample_format: a key of SAMPLE_FORMATS, in any spelling; channels interleaved; rate in Hz.

    Raises InputError where it cannot be used.
    """

    sample_format: str = "S16LE"
    channels: int = 1
    rate: int = 16_000

    def __post_init__(self) -> None:
        object.__setattr__(self, "sample_format", sample_format_name(self.sample_format))
        if self.sample_format not in SAMPLE_FORMATS:
            shown = re.sub(r"[^ -~]", "?", self.sample_format[:30])
            raise InputError(f"sound has the unknown sample format '{shown}'; use one of {', '.join(SAMPLE_FORMATS)}")
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise InputError(f"sound has {self.channels} channels; 1 to {MAX_CHANNELS} can be used")
        if not MIN_RATE <= self.rate <= MAX_RATE:
            raise InputError(f"sound has a sample rate of {self.rate} Hz; {MIN_RATE} to {MAX_RATE} Hz can be used")

    @property
    def frame_size(self) -> int:
        """Bytes of one sample of all channels."""
        return SAMPLE_FORMATS[self.sample_format].size * self.channels

    def read(self, data: bytes) -> tuple[np.ndarray, int]:
        """Whole sample frames -> ((n, channels) float32 in [-1, 1], how many were NaN or infinite and became 0)."""
        samples = SAMPLE_FORMATS[self.sample_format].read(data)
        bad = 0
        if self.sample_format.startswith("F"):
            finite = np.isfinite(samples)
            bad = int(len(samples) - np.count_nonzero(finite))
            samples = np.clip(
                np.where(finite, samples, np.float32(0)) if bad else samples, np.float32(-1), np.float32(1)
            )
        return samples.reshape(-1, self.channels), bad
