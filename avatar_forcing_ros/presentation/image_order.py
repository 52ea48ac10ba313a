"""Times of a camera's images: in order, and without the jitter of their stamps.

Two things happen to stamps that arrivals do not show. A driver that stamps when it finds the time gives true images with times that
stray: those are drawn to the pace of the arrivals. A driver with several threads gives true times, but hands the images over in
another order: those are sorted, at the price of the wait for the image that comes late. Sorted stamps that are even tell the one from the
other.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from statistics import median
from typing import Any

from avatar_forcing_ros.timeline import NANOSECONDS

_MILLISECOND = NANOSECONDS // 1000
_JITTER_NS = 6 * _MILLISECOND  # of a camera's stamps that is left alone
_LATE_IMAGE_NS = 60 * _MILLISECOND  # before the newest image: not jitter any more
_WINDOW = 32  # images that are looked back on
_OFTEN, _SELDOM = (
    5,
    2,
)  # late ones among them from which on waiting for them is worth its delay, and below which it no longer is
_EVEN = 0.2  # of the period: how far sorted times may be from even ones ...
_EVEN_SHARE = 0.9  # ... and how many of them have to be that near
_RESTART_NS = NANOSECONDS  # back in time: a video that begins again
_LONGEST_WAIT_NS = 100 * _MILLISECOND  # that sorting may cost


class FrameOrder:
    """Times of one camera's images, in order and without jitter.

    Times pass as they are, unless they stray where the arrivals do not: then they are drawn toward the pace of the arrivals.
    An image from before the newest one is late: it is dropped and counted. Going back by `restart_ns` or more is a new beginning.
    """

    def __init__(self, restart_ns: int = 2 * NANOSECONDS) -> None:
        self._restart_ns = restart_ns
        self.late = 0
        self.reset()

    def reset(self) -> None:
        self._raw: deque[tuple[int, int]] = deque(maxlen=_WINDOW)  # newest times as they came, and when they came
        self._last: tuple[int, int] | None = None  # newest time that was given, and its arrival

    def place(self, time_ns: int, arrived_ns: int | None = None) -> int | None:
        """The image's time; None: it is late, leave it out. arrived_ns: when it came, None: nobody knows."""
        arrived_ns = time_ns if arrived_ns is None else arrived_ns
        if self._last is not None and time_ns <= self._last[0] - self._restart_ns:
            self.reset()
        self._raw.append((time_ns, arrived_ns))
        placed = time_ns
        if self._last is not None:
            jitter, of_arrivals, apart = self._jitter()
            if jitter > max(_JITTER_NS, of_arrivals) and apart > 0.7 * jitter:
                even = self._last[0] + arrived_ns - self._last[1]
                share = min(max(1.0 - (jitter - _JITTER_NS) / _JITTER_NS, 0.1), 1.0)
                placed = round(even + share * (time_ns - even))
            if placed <= self._last[0] or time_ns < self._last[0] - _LATE_IMAGE_NS:
                self.late += 1
                return None
        self._last = placed, arrived_ns
        return placed

    def _jitter(self) -> tuple[float, float, float]:
        """In ns, in the middle: how far the newest steps of the times stray, those of the arrivals, and both from each other."""
        if len(self._raw) < 6:
            return 0.0, 0.0, 0.0
        steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(self._raw)]
        strays = []
        for which in (0, 1):
            middle = median(s[which] for s in steps)
            strays.append(float(median(abs(s[which] - middle) for s in steps)))
        return strays[0], strays[1], float(median(abs(s[0] - s[1]) for s in steps))


class ImageSorter:
    """One camera's images in the order of their times, where they come in another one again and again.

    Images pass at once until several of the newest ones have come late. Each then waits until as many have come after it as overtook
    the late ones, at most 3 and for 100 ms; one that comes later still is passed on as it comes, for others to leave out. State of
    fixed size.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """What comes next does not continue what came before."""
        self._times: deque[int] = deque(maxlen=_WINDOW)
        self._waiting: list[tuple[int, Any]] = []
        self._sorts = False

    def put(self, time_ns: int, item: Any) -> list[tuple[int, Any]]:
        """Takes the next image as it comes; gives those that are next in order, with their times."""
        before: list[tuple[int, Any]] = []
        if self._times and time_ns < max(self._times) - _RESTART_NS:
            before = self.rest()
            self.reset()
        self._times.append(time_ns)
        self._waiting.append((time_ns, item))
        self._waiting.sort(key=lambda w: w[0])
        depth = self._depth()
        self._sorts = depth > 0
        ready = max(len(self._waiting) - depth, 0)
        out, self._waiting = self._waiting[:ready], self._waiting[ready:]
        return before + out

    def rest(self) -> list[tuple[int, Any]]:
        """What waits still, where nothing comes any more."""
        out, self._waiting = self._waiting, []
        return out

    def _depth(self) -> int:
        """How many images wait."""
        late, deepest, newest = 0, 0, None
        for at, time in enumerate(self._times):
            if newest is not None and time < newest:
                late += 1
                deepest = max(deepest, sum(t > time for t in list(self._times)[:at]))
            newest = time if newest is None else max(newest, time)
        if late < (_SELDOM if self._sorts else _OFTEN):
            return 0
        steps = [b - a for a, b in pairwise(sorted(self._times))]
        period = median(steps)
        if period <= 0 or deepest * period > _LONGEST_WAIT_NS:
            return 0
        even = sum(abs(s - period * max(round(s / period), 1)) < _EVEN * period for s in steps)
        return deepest if even >= _EVEN_SHARE * len(steps) else 0
