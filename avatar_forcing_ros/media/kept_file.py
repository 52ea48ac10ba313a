"""A file to write that keeps what it has where the disk is full: the first refused write is the last one."""

from __future__ import annotations

import os
from pathlib import Path

from avatar_forcing_ros.errors import InputError


class WriteError(InputError):
    """Nothing more can be written to a file."""


class KeptFile:
    """What PyAV writes to: `write`, `seek`, `tell`. After a failure `error` says why, and nothing is written any more.

    A muxer that goes on after a failure would change what it wrote before (the head of an mp4 is made to fit the whole
    file), and a film that could be played up to there could not be played at all.
    """

    def __init__(self, path: str | Path) -> None:
        self._file = open(path, "wb", buffering=0)
        self.name = str(path)
        self.error: OSError | None = None

    def write(self, data) -> int:
        view = memoryview(data)
        try:
            while self.error is None and len(view):
                view = view[self._file.write(view) :]
        except OSError as error:
            self.error = error
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence) if self.error is None else 0

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
