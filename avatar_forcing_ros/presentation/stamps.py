"""A source's stamps -> ROS time: the one place that knows what clocks of cameras and microphones do.

A stamp says when something was seen or heard. It is believed while it lies at most `late_ns` before its arrival and not after it,
for then it is of our clock and the rest is the way here. Other stamps are of another clock: of a host without NTP, of a machine's
start, of a bag that was recorded years ago. Such a clock is mapped: a constant is added that makes its stamps arrive as those of a
good source do, and it follows the clock's drift. One strange stamp among good ones changes nothing; what it stamps is placed by its
arrival.
"""

from __future__ import annotations

from collections import deque
from statistics import median

from avatar_forcing_ros.timeline import NANOSECONDS

MILLISECOND = NANOSECONDS // 1000
LATE_NS = NANOSECONDS // 2  # longer on the way is another clock
AHEAD_NS = NANOSECONDS // 10  # a simulated clock is told ten times a second, so stamps may be this much before it
USUAL_NS = 30 * MILLISECOND  # how long things are on the way, where the clock does not say
_FAR_NS = 10 * NANOSECONDS  # off by this much is believed sooner
_CONFIRM = 8  # strange stamps in a row ...
_CONFIRM_NS = NANOSECONDS  # ... and over this time before a clock is believed to have changed
_STEPS = 50  # of the generator that are looked back on
_WINDOW = 31  # delays that the middle one is taken of
_FOLLOW = 0.05  # of a mapped clock's error, taken out per stamp
_CHAOS_NS = 2 * NANOSECONDS  # strange stamps that differ among themselves by this are of no clock
_STILL_NS = 5 * MILLISECOND  # between arrivals, in which a clock has to move
_TOLD_LATE_NS = NANOSECONDS // 4
_BOOT_NS = 400_000_000 * NANOSECONDS  # 1982: a clock that counts from a machine's start is before it


class StampClock:
    """The clock of one source. State of fixed size.

    late_ns: how long a thing may be on the way. ahead_ns: how far a stamp may be after its arrival (of speech that is sent before
    its time, as long as its queue). A topic whose stamps stay zero is timed by arrival.
    """

    def __init__(self, late_ns: int = LATE_NS, ahead_ns: int = AHEAD_NS) -> None:
        self._late_ns, self._ahead_ns = late_ns, ahead_ns
        self.strange_stamps = 0  # placed by their arrival, in all
        self.reset()

    def reset(self) -> None:
        """Forgets the clock: ROS time has jumped, or the source has gone."""
        self.offset_ns = 0  # added to the stamps; 0: they are believed
        self._started = False
        self._unstamped = 0  # things without a stamp, in a row
        self._strange: deque[int] = deque(maxlen=_WINDOW)  # delays of stamps that do not fit, in a row
        self._strange_since = 0
        self._delays: deque[int] = deque(maxlen=_WINDOW)  # of those that fit, after mapping
        self._newest_stamp = self._newest_arrival = 0
        self._still = 0  # stamps that stand still while time goes on, in a row
        self._chaos = False

    @property
    def delay_ns(self) -> int:
        """How long after its time a thing arrives, in the middle of the newest ones."""
        return int(median(self._delays)) if self._delays else 0

    def map(self, stamp_ns: int | None, now_ns: int) -> int:
        """As `place`; what the stamp does not say is taken from the arrival."""
        time = self.place(stamp_ns, now_ns)
        return max(0, time if time is not None else now_ns - (USUAL_NS if stamp_ns else 0))  # ROS time has no minus

    def place(self, stamp_ns: int | None, now_ns: int) -> int | None:
        """The ROS time that is meant by a stamp that arrives at `now_ns`; None where it says nothing: it is absent, or it fits
        neither our clock nor the source's. Never later than `ahead_ns` after now.

        stamp_ns: None or 0 where the source has none. now_ns: of sound, when its first sample can have been heard at the latest: the
        arrival less the chunk's length.
        """
        if not stamp_ns:
            self._unstamped += 1
            return None
        self._unstamped = 0
        advance, waited = stamp_ns - self._newest_stamp, now_ns - self._newest_arrival
        self._newest_stamp, self._newest_arrival = stamp_ns, now_ns
        if self._started and waited > _STILL_NS and 0 <= advance < waited // 20:
            self._still += 1
            self.strange_stamps += 1
            return None
        self._still = 0
        raw = now_ns - stamp_ns
        if not self._started:
            self._started = True
            # What cannot be a way is not waited for; a first thing that is merely late may have lain in a queue.
            if raw < -self._ahead_ns or raw > _FAR_NS:
                self._anchor(raw)
        delay = raw - self.offset_ns
        if -self._ahead_ns <= delay <= self._late_ns:
            self._strange.clear()
            self._chaos = False
            self._delays.append(delay)
            if self.offset_ns:
                self._follow(raw)
            return stamp_ns + self.offset_ns
        if not self._strange:
            self._strange_since = now_ns
        self._strange.append(raw)
        if self._confirmed(delay, now_ns):
            middle = int(median(self._strange))
            self._chaos = int(median(abs(d - middle) for d in self._strange)) > _CHAOS_NS
            if not self._chaos:
                self._anchor(middle)
                self._strange.clear()
                return min(stamp_ns + self.offset_ns, now_ns + self._ahead_ns)
        self.strange_stamps += 1
        return None

    def _confirmed(self, delay: int, now_ns: int) -> bool:
        enough = len(self._strange) >= _CONFIRM
        return enough and (abs(delay) > _FAR_NS or delay < 0 or now_ns - self._strange_since >= _CONFIRM_NS)

    def _anchor(self, raw: int) -> None:
        """Takes the clock as one whose stamps arrive `raw` after what they say."""
        believed = -self._ahead_ns <= raw <= self._late_ns
        self.offset_ns = 0 if believed else raw - USUAL_NS
        self._delays.clear()

    def _follow(self, raw: int) -> None:
        """A mapped clock's drift, and back to its own stamps once it has been set right."""
        error = self.delay_ns - USUAL_NS
        self.offset_ns += round(_FOLLOW * error)
        if abs(self.offset_ns) < MILLISECOND:
            self.offset_ns = 0

    # What people are told

    @property
    def state(self) -> str:
        """'' (good), 'unstamped', 'boot' (counts from a machine's start), 'shifted', 'late', 'still' or 'chaos'."""
        if self._unstamped >= _CONFIRM or (self._unstamped and not self._started):
            return "unstamped"
        if self._still >= _CONFIRM:
            return "still"
        if self._chaos:
            return "chaos"
        if self.offset_ns:
            return "boot" if self._newest_stamp < _BOOT_NS < self._newest_stamp + self.offset_ns else "shifted"
        return "late" if len(self._delays) >= _CONFIRM and self.delay_ns > _TOLD_LATE_NS else ""

    def line(self, what: str) -> str:
        """One line on the state, with its size and the mend; '' where all is well. what: 'images', 'sound' ..."""
        state = self.state
        if state == "unstamped":
            return f"{what} without stamps: timed by arrival; let the driver stamp them"
        if state == "still":
            return f"{what} with stamps that stand still: timed by arrival; mend the driver's stamps"
        if state == "chaos":
            return (
                f"{what} with stamps of no clock, seconds apart at random: timed by arrival; mend the driver's stamps"
            )
        if state == "boot":
            return f"{what} stamped with the time since a machine's start: mapped to our time; let the driver stamp with ROS time"
        if state == "shifted":
            seconds = self.offset_ns / NANOSECONDS
            side = "behind" if seconds > 0 else "ahead of"
            return (
                f"{what} stamped {_span(abs(seconds))} {side} our clock: mapped to our time; set both machines' clocks (chrony or ntpd), "
                "or replay the bag with --clock and use_sim_time"
            )
        if state == "late":
            return f"{what} come {self.delay_ns / NANOSECONDS:.2f} s late: the face answers as much later; shorten their way (network, queues)"
        return ""


class Lateness:
    """Which inputs come after the step that needed them has begun, and how many steps went without. State of fixed size."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._late: dict[str, deque[float]] = {}  # of each input's newest arrivals
        self._steps: deque[tuple[str, ...]] = deque(maxlen=_STEPS)  # what each was without

    def note(self, name: str, late_s: float) -> None:
        """One arrival of the input: by how much it missed the newest step, in seconds; 0 or less: it was in time."""
        self._late.setdefault(name, deque(maxlen=_WINDOW)).append(late_s)

    def step(self, missing: list[str]) -> None:
        """One step was made without all of these inputs."""
        self._steps.append(tuple(missing))

    def line(self) -> str:
        """One line where most of the newest steps were made without an input, or it came too late; '' else."""
        without = {name: sum(name in step for step in self._steps) for step in self._steps for name in step}
        for name in sorted(without, key=lambda n: -without[n]):
            if without[name] > len(self._steps) // 2 and len(self._steps) >= _CONFIRM:
                late = [v for v in self._late.get(name, ()) if v > 0]
                why = f"it comes {median(late):.2f} s too late" if late else "it comes late or with gaps"
                return f"{without[name]} of {len(self._steps)} steps were made without all of {name}: {why}; shorten its way (network, queues)"
        return ""


def _span(seconds: float) -> str:
    for size, unit in ((31_557_600, "years"), (86_400, "days"), (3600, "hours")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
