"""How long after its own time a frame is shown, and how that changes without a jump that could be seen or heard.

The avatar's speech and motion are shown `delay` after their time on the frame clock. The delay has to cover the speech of
the frames that a step commits, the step, the drawing and a reserve. It is measured on every block, and follows by
moving the times of single frames by a millisecond or two, and only while the avatar is silent: no image is dropped or
doubled, and the sound is made longer or shorter where there is none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from avatar_forcing_ros.timeline import FRAME_RATE, presentation_time

MILLISECOND = 1_000_000
_PINNED_FRAMES = 2 * FRAME_RATE  # frames whose delay is remembered
_NEEDS = 250  # blocks that the delay is chosen by
_NEED_QUANTILE = 99.0
_UP, _DOWN = 2 * MILLISECOND, 1 * MILLISECOND  # at most so much per frame: 5 % slower, 2.5 % faster
_LOWER_BY = 8 * MILLISECOND  # a smaller gain is not worth a change
_GAPS = 8  # between messages, by which the next one is expected ...
_OVERDUE = 0.25  # ... and how much later than that it may be, as a share of a gap
_MARGIN_MOST, _MARGIN_BACK = 500 * MILLISECOND, MILLISECOND // 2
_LEARN_BLOCKS = 25  # before the delay is lowered; and so many after the start do not count, a machine being busy then


class Recent:
    """Quantiles of the last `size` values."""

    def __init__(self, size: int) -> None:
        self._values: deque[float] = deque(maxlen=size)

    def __len__(self) -> int:
        return len(self._values)

    def add(self, value: float) -> None:
        self._values.append(value)

    def clear(self) -> None:
        self._values.clear()

    @property
    def newest(self) -> float:
        """0 while empty."""
        return self._values[-1] if self._values else 0.0

    def quantile(self, percent: float) -> float:
        """Between two values it goes straight; 0 while empty. (NumPy's takes twenty times as long for so few.)"""
        if not self._values:
            return 0.0
        ordered = sorted(self._values)
        whole, part = divmod(percent / 100 * (len(ordered) - 1), 1)
        below, above = ordered[int(whole)], ordered[min(int(whole) + 1, len(ordered) - 1)]
        return below + part * (above - below)


class Rhythm:
    """When the next message of a source comes that sends regularly, by the latest ones. Times in ns."""

    def __init__(self) -> None:
        self._gaps = Recent(_GAPS)
        self.reset()

    def reset(self) -> None:
        """Time has jumped."""
        self._gaps.clear()
        self._newest: int | None = None

    def came(self, now: int) -> None:
        if self._newest is not None:
            self._gaps.add(now - self._newest)
        self._newest = now

    def soon(self, now: int, limit: int) -> bool:
        """Whether the next one is worth waiting for: it is due by `limit`, and not overdue."""
        if self._newest is None or len(self._gaps) < _GAPS:
            return False
        gap = self._gaps.quantile(50)
        due = self._newest + gap
        return due <= limit and now <= due + _OVERDUE * gap


class Margin:
    """Time that is left free before a deadline, in ns: twice as much after each one that was missed, and then slowly less."""

    def __init__(self, least: int) -> None:
        self._least, self.ns = least, least

    def met(self, in_time: bool) -> None:
        self.ns = max(self._least, self.ns - _MARGIN_BACK) if in_time else min(2 * self.ns, _MARGIN_MOST)


class PresentationClock:
    """Frame -> the time at which it is shown. Whole milliseconds, so that sound is cut at whole samples.

    delay_ns: the delay; fixed for good unless `automatic`, which then starts from it and stays within low_ns .. high_ns.
    reserve_ns: what is kept over the delay that blocks have needed. Not thread-safe: the owner locks.
    """

    def __init__(self, delay_ns: int, automatic: bool, low_ns: int, high_ns: int, reserve_ns: int) -> None:
        self.automatic, self._reserve = automatic, reserve_ns
        self._low, self._high = low_ns, high_ns
        self.delay_ns = self._bounded(delay_ns) if automatic else delay_ns
        self._needs = Recent(_NEEDS)
        self._beginning = False
        self.reset()

    def reset(self) -> None:
        """Time has jumped: the frames' times are decided anew, the delay stays."""
        self._newest: int | None = None  # the newest frame whose delay has been decided
        self._delays: deque[int] = deque(maxlen=_PINNED_FRAMES)  # of the frames up to it

    def due(self, frame: int, calm: Callable[[], bool] = lambda: False) -> int:
        """Presentation time of `frame` in ns. The first who asks decides it, for good; frames are to be asked for in order.

        calm: asked where the delay wants to change: whether the avatar is silent in the frame before this one.
        """
        if self._newest is not None and frame <= self._newest:
            age = min(self._newest - frame, len(self._delays) - 1)
            return presentation_time(frame, self._delays[-1 - age])
        if self._newest is not None and frame == self._newest + 1:
            step = self._wanted_step()
            if step and calm():
                self.delay_ns += step
        self._newest = frame
        self._delays.append(self.delay_ns)
        return presentation_time(frame, self.delay_ns)

    def begin(self, needed_ns: int) -> None:
        """The first block has come and nobody has seen motion yet: the delay may jump."""
        if self.automatic:
            self.delay_ns = self._bounded(needed_ns + self._reserve)
            self._needs.clear()
            self._beginning = True
        self.observe(needed_ns)

    def observe(self, needed_ns: int) -> None:
        """The smallest delay with which a block would still have been in time."""
        if self._beginning and len(self._needs) >= _LEARN_BLOCKS:
            self._needs.clear()
            self._beginning = False
        self._needs.add(needed_ns)

    @property
    def wanted_ns(self) -> int:
        """The delay that the latest blocks ask for."""
        if not self.automatic or not len(self._needs):
            return self.delay_ns
        return self._bounded(round(self._needs.quantile(_NEED_QUANTILE)) + self._reserve)

    def _wanted_step(self) -> int:
        if not self.automatic:
            return 0
        missing = self.wanted_ns - self.delay_ns
        if missing > 0:
            return min(missing, _UP)
        if missing < -_LOWER_BY and len(self._needs) >= _LEARN_BLOCKS:
            return -_DOWN
        return 0

    def _bounded(self, delay_ns: int) -> int:
        return -(-min(max(delay_ns, self._low), self._high) // MILLISECOND) * MILLISECOND
