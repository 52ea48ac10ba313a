"""Files that one thread owns: others hand it what to write, through a bounded queue, and ask it to finish."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.kept_file import WriteError


class Recording:
    """Calls `write` for every item that was put and at last `close`, all in one thread, which nobody else interrupts.

    length: items that may wait; `put` drops more in the open. patience_s: after `finish` so long is written what waits;
    the rest is dropped, so that the files are closed well on a machine that cannot keep up. dropped: how many items were not
    written. fault: why nothing more is written, such as a full disk, or why the files could not be closed; unusable: why the last
    item that could not be used was left out. Both are "" where all is well.
    """

    def __init__(
        self,
        write: Callable[[Any], None],
        close: Callable[[], None],
        *,
        length: int,
        patience_s: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write, self._close, self._clock = write, close, clock
        self._queue: queue.Queue = queue.Queue(length)
        self._patience_s = patience_s
        self._until: float | None = None  # on the clock, once it is to end
        self._broken = False
        self.dropped = 0
        self.fault = self.unusable = ""
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def put(self, item: Any) -> bool:
        """False where the queue is full, or nothing is written any more, and the item was dropped."""
        try:
            if self._broken or self._until is not None:
                raise queue.Full
            self._queue.put_nowait(item)
        except queue.Full:
            self.dropped += 1
            return False
        return True

    def finish(self, closing_s: float = 30.0) -> None:
        """Writes what waits, for a while, and closes. Returns when the files are closed, or says in `fault` that they are
        not, after patience and closing_s seconds. Calling it again does nothing."""
        if self._until is None:
            self._until = self._clock() + self._patience_s
        if self._thread.ident is None:  # it never began
            self._end()
            return
        self._thread.join(self._patience_s + closing_s)
        if self._thread.is_alive():
            self.fault = (
                f"not finished {self._patience_s + closing_s:.0f} s after the end; it can be played as far as it got"
            )

    def _run(self) -> None:
        while True:
            try:
                item = self._queue.get(timeout=0.1)
            except queue.Empty:
                if self._until is not None:
                    break
                continue
            if self._broken or (self._until is not None and self._clock() > self._until):
                self.dropped += 1
            else:
                self._take(item)
        self._end()

    def _take(self, item: Any) -> None:
        try:
            self._write(item)
        except WriteError as error:
            self._broken, self.fault = True, str(error)
        except InputError as error:
            self.unusable = str(error)
        except Exception as error:  # of the disk, or of a library: what is there is kept
            self._broken, self.fault = True, f"{type(error).__name__}: {error}"

    def _end(self) -> None:
        try:
            self._close()
        except InputError as error:
            self.fault = self.fault or str(error)
        except Exception as error:
            self.fault = self.fault or f"{type(error).__name__}: {error}"
