"""How much a face may cost: what the graph gives up where the machine cannot keep up, and takes back when it can.

Lips stay in step with the sound and 25 images a second are shown as long as anything else can give: first camera images that
are tracked, then the size of the drawn image, at last the length of a step. A governor is told once a second what the graph
has measured of itself. It falls within two or three seconds and rises slowly, and more slowly each time that a rise was
too much. Plain Python: the time is what it is told.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from avatar_forcing_ros.timeline import FRAME_RATE

MODES = ("auto", "full", "low")

STRAINED, HEAVY = 0.08, 0.35  # shares of what came too late: from here on something has to give; two levels at once
_LOOKED_AT = 3  # windows, of which ...
_MEANS_IT = 2  # ... so many have to be strained
_PATIENCE_S, _PATIENCE_MAX_S = 6.0, 120.0  # calm before a rise; it doubles when a rise was too much
_PROVEN_S = 30.0  # a level that has held so long was not too much
RESERVE_CORES = 0.15  # of the processors' idle time, not spent on a rise
_TRACK_MS = 8.0  # of a camera image: face and iris on a usual processor


@dataclass(frozen=True)
class Quality:
    """What a level gives. commit_frames: frames per step of the generator; camera_rate: camera images per second that are tracked;
    image_scale: of the drawn image's side, which is shown at its full size all the same."""

    commit_frames: int
    camera_rate: float = float(FRAME_RATE)
    image_scale: float = 1.0


@dataclass(frozen=True)
class Load:
    """What the graph has measured of itself over the last second.

    images, skipped: images that were shown, and left out. steps, late_steps: of the generator, and those whose motion came too
    late. tracked, dropped: camera images that were followed, and those that there was no time for. step_ms, render_ms: what a
    step and an image take. idle_cores: processors' idle time per second; None where it is not known.
    """

    images: int = FRAME_RATE
    skipped: int = 0
    steps: int = 1
    late_steps: int = 0
    tracked: int = 0
    dropped: int = 0
    step_ms: float = 0.0
    render_ms: float = 0.0
    idle_cores: float | None = None

    @property
    def strain(self) -> float:
        """The largest share of what came too late. A tenth of the camera's images may be dropped by chance."""
        camera = self.tracked + self.dropped
        return max(
            self.skipped / max(self.images + self.skipped, 1),
            self.late_steps / max(self.steps, 1),
            self.dropped / camera - 0.1 if camera else 0.0,
        )


def levels(commit_frames: int, longest: int = 10) -> tuple[Quality, ...]:
    """From full quality to the least. commit_frames: of a step at full quality; longest: what the back end may commit."""

    def at_least(count: int) -> int:
        return max(commit_frames, min(count, longest))

    found = [
        Quality(commit_frames),
        Quality(at_least(2)),
        Quality(at_least(2), 12.5),
        Quality(at_least(2), 12.5, 0.75),
        Quality(at_least(2), 12.5, 0.5),
        Quality(at_least(5), 12.5, 0.5),
        Quality(at_least(10), 8.0, 0.5),
    ]
    return tuple(dict.fromkeys(found))  # without those that are alike


def level_for(cores: int, count: int) -> int:
    """Where to begin: with one processor in the middle, so that the first seconds are smooth too."""
    return 0 if cores > 1 else min(3, count - 1)


class Governor:
    """Chooses a level. mode: "auto", or "full" and "low", which never change. `priority`: whether threads may run before others."""

    def __init__(self, choices: Sequence[Quality], mode: str = "auto", start: int = 0) -> None:
        self.choices, self.mode = tuple(choices), mode
        fixed = {"full": 0, "low": len(self.choices) - 1}
        self.level = fixed.get(mode, start)
        self.priority = True
        self.reason = "as asked" if mode in fixed else "at the start"
        self._strains: deque[float] = deque(maxlen=_LOOKED_AT)
        self._calm_since: float | None = None
        self._patience = _PATIENCE_S
        self._rose_at: float | None = None

    @property
    def quality(self) -> Quality:
        return self.choices[self.level]

    def observe(self, load: Load, now_s: float) -> bool:
        """Once a second. Returns whether the level or the priority has changed."""
        before = (self.level, self.priority)
        self._strains.append(load.strain)
        if load.strain < STRAINED:
            self._calm_since = now_s if self._calm_since is None else self._calm_since
        else:
            self._calm_since = None
        if sum(strain >= STRAINED for strain in self._strains) >= _MEANS_IT:
            self.priority = False  # who runs first under overload starves the others, and itself of what they send
            self._fall(load, now_s)
        elif self._calm_since is not None and now_s - self._calm_since >= self._patience:
            self.priority = True
            self._rise(load, now_s)
        if self._rose_at is not None and now_s - self._rose_at >= _PROVEN_S:
            self._rose_at, self._patience = None, _PATIENCE_S
        return before != (self.level, self.priority)

    def _fall(self, load: Load, now_s: float) -> None:
        self._strains.clear()
        if self.mode != "auto" or self.level == len(self.choices) - 1:
            return
        if self._rose_at is not None:
            self._patience, self._rose_at = min(2 * self._patience, _PATIENCE_MAX_S), None
        self.level = min(self.level + (2 if load.strain >= HEAVY else 1), len(self.choices) - 1)
        self.reason = (
            f"{load.skipped} images, {load.late_steps} steps, {load.dropped} camera images too late in a second"
        )

    def _rise(self, load: Load, now_s: float) -> None:
        if self.mode != "auto" or not self.level:
            return
        more = self._cores(self.choices[self.level - 1], load) - self._cores(self.quality, load)
        if load.idle_cores is not None and load.idle_cores - more < RESERVE_CORES:
            return
        self.level -= 1
        self._calm_since, self._rose_at = now_s, now_s
        self.reason = f"calm for {self._patience:.0f} s"

    def _cores(self, quality: Quality, load: Load) -> float:
        """What a level would use of the processors, by what the present one takes."""
        pixels = (quality.image_scale / self.quality.image_scale) ** 2
        per_second = FRAME_RATE / quality.commit_frames * load.step_ms + FRAME_RATE * pixels * load.render_ms
        return (per_second + quality.camera_rate * _TRACK_MS) / 1000


class Thinned:
    """Which images of a camera are tracked, so that `rate` per second remain, evenly."""

    def __init__(self) -> None:
        self.rate = float(FRAME_RATE)
        self._last = -1

    def takes(self, stamp_ns: int) -> bool:
        """Whether the image of this time is tracked. At full quality all are, whatever the camera's rate."""
        if self.rate >= FRAME_RATE:
            return True
        slot = stamp_ns * round(1000 * self.rate) // 1_000_000_000_000
        taken, self._last = slot != self._last, slot
        return taken


class IdleMeter:
    """Idle time of the processors that this process may use."""

    def __init__(self) -> None:
        self._before: tuple[float, float] | None = None

    def cores(self, now_s: float) -> float | None:
        """Processors' idle seconds per second since the last call; None at the first, and where the system does not tell."""
        import psutil

        try:
            allowed = os.sched_getaffinity(0)
            times = psutil.cpu_times(percpu=True)
            idle = sum(times[i].idle for i in allowed if i < len(times))
        except (AttributeError, OSError):
            return None
        before, self._before = self._before, (now_s, idle)
        if before is None or now_s <= before[0]:
            return None
        return (idle - before[1]) / (now_s - before[0])


def cores_allowed() -> int:
    """Processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
