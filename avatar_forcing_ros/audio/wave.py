"""A stream of plain samples in which WAV headers may stand: at its beginning, in its middle, with sizes that are wrong.

Servers of synthetic speech send a header before each sentence, write sizes of 0 or 0xFFFFFFFF because they do not know the length
yet, and glue such files together. Whatever is a header is read and left out; everything else is sound.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from avatar_forcing_ros.audio.formats import SoundFormat
from avatar_forcing_ros.errors import InputError

_HEADER = 12  # "RIFF", a size, "WAVE"
_LONGEST_HEADER = 65_536  # with pictures or notes before the sound; more is no header
_BELIEVED = 1_000_000_000  # bytes; a larger size is one that a stream writes because it does not know better
_SIDE_CHUNKS = (
    b"LIST",
    b"INFO",
    b"fact",
    b"cue ",
    b"bext",
    b"PAD ",
    b"JUNK",
    b"id3 ",
    b"ID3 ",
    b"smpl",
    b"inst",
    b"iXML",
    b"_PMX",
    b"PEAK",
)
_CODES = {
    (1, 8): "U8",
    (1, 16): "S16LE",
    (1, 24): "S24LE",
    (1, 32): "S32LE",
    (3, 32): "F32LE",
    (3, 64): "F64LE",
    (6, 8): "ALAW",
    (7, 8): "MULAW",
}


class WaveStream:
    """Bytes in, (format, bytes of sound) out. format: until a header says another one.

    headers: how many were read; skipped: bytes left out that were neither a header nor sound.
    """

    def __init__(self, format: SoundFormat) -> None:
        self.format = format
        self.headers = self.skipped = 0
        self.reset()

    def reset(self) -> None:
        """What comes next does not continue what came before; the format stays."""
        self._waiting = b""  # bytes that cannot be told apart yet
        self._in_header = False
        self._left: int | None = None  # bytes of sound until the chunk's end, where its size is believed
        self._leave_out = 0  # bytes of another chunk that are still to come
        self._refused = False  # the sound behind the newest header cannot be read

    def push(self, data: bytes) -> list[tuple[SoundFormat, bytes]]:
        """The stretches of sound in these bytes, each with its format. A few bytes may wait for those after them.

        Raises InputError for a header whose sound is not plain samples; what follows is left out up to the next header.
        """
        data, self._waiting = self._waiting + data, b""
        out: list[tuple[SoundFormat, bytes]] = []
        at = 0
        while at < len(data):
            step = self._step(data, at, out)
            if step is None:
                self._waiting = data[at:]
                break
            at = step
        return out

    def finish(self) -> list[tuple[SoundFormat, bytes]]:
        """What waited for more bytes, at the end of the stream."""
        rest, in_header = self._waiting, self._in_header
        self.reset()
        return [(self.format, rest)] if rest and not in_header else []

    def _step(self, data: bytes, at: int, out: list) -> int | None:
        """Reads on from `at`; how far it came, None where more bytes are needed."""
        if self._in_header:
            return self._read_header(data, at)
        if self._leave_out:
            count = min(self._leave_out, len(data) - at)
            self._leave_out -= count
            self.skipped += count
            return at + count
        if self._left == 0:  # behind the sound: other chunks, the next file, or more sound where the size was wrong
            pad = int(data[at] == 0 and data[at + 1 : at + 5] in _SIDE_CHUNKS)
            if data[at + pad : at + pad + 4] in _SIDE_CHUNKS and len(data) >= at + pad + 8:
                (size,) = struct.unpack_from("<I", data, at + pad + 4)
                self._leave_out = pad + 8 + (size + size % 2 if size <= _LONGEST_HEADER else 0)
                return at
            if len(data) - at < 9 and _may_be_chunk(data[at:]):
                return None
            self._left = None
        stop = len(data) if self._left is None else min(len(data), at + self._left)
        riff = _find_header(data, at)
        if riff == at:
            self._in_header = len(data) - at >= _HEADER
            return at if self._in_header else None
        if riff is not None:
            stop = min(stop, riff)
        if self._refused:
            self.skipped += stop - at
        else:
            out.append((self.format, data[at:stop]))
        if self._left is not None:
            self._left -= stop - at
        return stop

    def _read_header(self, data: bytes, at: int) -> int | None:
        """Where the sound behind the header at `at` begins; None: more bytes are needed."""
        place, found = at + _HEADER, None
        while True:
            if place + 8 > len(data):
                break
            kind, (size,) = data[place : place + 4], struct.unpack_from("<I", data, place + 4)
            if kind == b"data":
                self._in_header, self._refused = False, False
                self.headers += 1
                self.format = found or self.format
                self._left = size if 0 < size < _BELIEVED else None
                return place + 8
            if kind == b"fmt " and size >= 16:
                if place + 24 > len(data) or (size >= 26 and place + 34 > len(data)):
                    break
                found = _format_of(data, place + 8, size, self._leave)
            place += 8 + size + size % 2
            if place - at > _LONGEST_HEADER:  # no header after all
                break
        if len(data) - at > _LONGEST_HEADER or place - at > _LONGEST_HEADER:
            self._in_header, self._left = False, None
            self.skipped += _HEADER
            return at + _HEADER
        return None

    def _leave(self) -> None:
        self._in_header, self._left, self._refused = False, None, True


def _format_of(data: bytes, at: int, size: int, leave: Callable[[], None]) -> SoundFormat:
    code, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", data, at)
    if code == 0xFFFE and size >= 26:  # the true code is the first part of a long name
        (code,) = struct.unpack_from("<H", data, at + 24)
    name = _CODES.get((code, bits))
    try:
        if name is None:
            raise InputError(
                f"sound has a WAV header of the coding {code} with {bits} bits: send plain samples, mu-law or A-law"
            )
        return SoundFormat(name, channels, rate)
    except InputError:
        leave()
        raise


def _find_header(data: bytes, at: int) -> int | None:
    """Where "RIFF....WAVE" begins, or what may be its beginning at the very end."""
    end = len(data)
    place = data.find(b"RIFF", at, end)
    while place >= 0:
        if b"WAVE".startswith(data[place + 8 : place + 12]):
            return place
        place = data.find(b"RIFF", place + 1, end)
    for length in (3, 2, 1):
        if end - length >= at and data[end - length : end] == b"RIFF"[:length]:
            return end - length
    return None


def _may_be_chunk(data: bytes) -> bool:
    return any(
        kind.startswith(data[:4]) or kind.startswith(data[1:5]) and data[0] == 0 for kind in (*_SIDE_CHUNKS, b"RIFF")
    )
