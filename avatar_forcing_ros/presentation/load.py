"""What the graph measures of itself, second by second; the governor decides by it."""

from __future__ import annotations

import threading

from avatar_forcing_ros.presentation.governor import IdleMeter, Load
from avatar_forcing_ros.presentation.pacing import Recent

_JUMP_FRAMES = 50  # more frames than that are not left out: time has jumped, or the renderer was started again


class LoadWindow:
    """Counts until `take` is called. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock, self._idle = threading.Lock(), IdleMeter()
        self._step_ms, self._render_ms = Recent(50), Recent(50)
        self._frame: int | None = None  # the newest that was shown
        self._clear()

    def _clear(self) -> None:
        self._images = self._skipped = self._steps = self._late = self._tracked = self._dropped = 0

    def image(self, frame: int, render_ms: float) -> None:
        """Frame `frame` was shown; frames between it and the one before were left out."""
        with self._lock:
            between = 0 if self._frame is None else frame - self._frame - 1
            if 0 < between < _JUMP_FRAMES:
                self._skipped += between
            self._frame = frame
            self._images += 1
            self._render_ms.add(render_ms)

    def step(self, ms: float, late: bool) -> None:
        """A step of the generator took so long; late: its motion came after it was needed."""
        with self._lock:
            self._steps += 1
            self._late += late
            self._step_ms.add(ms)

    def camera(self, dropped: int) -> None:
        """A camera image was followed, `dropped` before it were not for want of time."""
        with self._lock:
            self._tracked += 1
            self._dropped += dropped

    def take(self, now_s: float) -> Load:
        """What was counted since the last call."""
        idle = self._idle.cores(now_s)
        with self._lock:
            load = Load(
                images=self._images, skipped=self._skipped, steps=self._steps, late_steps=self._late, tracked=self._tracked,
                dropped=self._dropped, step_ms=self._step_ms.quantile(50), render_ms=self._render_ms.quantile(50), idle_cores=idle,
            )  # fmt: skip
            self._clear()
        return load
