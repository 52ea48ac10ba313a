"""WAV files of plain samples, also several glued into one, with sizes that are wrong, cut, or with other things between the sound."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from avatar_forcing_ros.audio.formats import SoundFormat
from avatar_forcing_ros.audio.wave import WaveStream
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.base import AudioChunk, MediaReader

_LOG = logging.getLogger(__name__)
_PIECE = 1 << 16  # bytes that are read at once
_CHUNKS_PER_SECOND = 50


def is_plain_wave(path: Path) -> bool:
    """A WAV file whose first header says plain samples, mu-law or A-law."""
    with open(path, "rb") as file:
        head = file.read(_PIECE)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return False
    stream = WaveStream(SoundFormat())
    try:
        stream.push(head)
    except InputError:  # another coding: PyAV reads many
        return False
    return stream.headers > 0


class WaveFileReader(MediaReader):
    """Every sample that the file holds, whatever its headers say. What is left out is told in a warning."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.has_audio = True
        self._told = False
        self.duration = self._seconds()
        if next(self.audio(), None) is None:
            raise InputError(f"the sound of {source} is empty")

    def audio(self) -> Iterator[AudioChunk]:
        stream, time, bad = WaveStream(SoundFormat()), 0.0, 0
        for form, data in self._parts(stream):
            step = max(1, form.rate // _CHUNKS_PER_SECOND) * form.frame_size
            for at in range(0, len(data), step):
                samples, wrong = form.read(data[at : at + step])
                bad += wrong
                yield AudioChunk(time, samples, form.rate)
                time += len(samples) / form.rate
        if not self._told and (stream.headers > 1 or bad or stream.skipped > _PIECE):
            self._told = True
            words = [f"holds {stream.headers} WAV files, read as one"] if stream.headers > 1 else []
            words += [f"{bad} samples were no numbers and are silent"] if bad else []
            words += [f"{stream.skipped} bytes between the sound are left out"] if stream.skipped > _PIECE else []
            _LOG.warning(f"{self.source}: {'; '.join(words)}")

    def _parts(self, stream: WaveStream) -> Iterator[tuple[SoundFormat, bytes]]:
        """Whole sample frames, each stretch with its format."""
        form, rest = None, b""
        try:
            with open(self.source, "rb") as file:
                while True:
                    data = file.read(_PIECE)
                    for new, part in stream.push(data) if data else stream.finish():
                        rest = rest + part if new == form else part
                        form = new
                        whole = len(rest) - len(rest) % form.frame_size
                        if whole:
                            yield form, rest[:whole]
                            rest = rest[whole:]
                    if not data:
                        return
        except (OSError, InputError) as error:
            raise InputError(f"cannot read {self.source}: {error}") from error

    def _seconds(self) -> float:
        return sum(len(data) / form.frame_size / form.rate for form, data in self._parts(WaveStream(SoundFormat())))
