"""What the face does, frame by frame, for those who draw it elsewhere: its own motion, the operator's, and the way from one to
the other."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.presentation.playout import REJOIN_FRAMES, MotionPlayout
from avatar_forcing_ros.timeline import FRAME_NS, FRAME_RATE, NANOSECONDS, frame_at, presentation_time, time_of

HANDOVER_FRAMES = 15  # 0.6 s from one face to the other
_MAX_BEHIND_NS = NANOSECONDS // 2  # further behind, frames are left out
_JUMP_NS = 2 * NANOSECONDS
_GRACE_NS = 60_000_000  # so long a frame is waited for beyond its time; then the last one is held
_TIMES_KEPT = 4 * FRAME_RATE
_OPERATOR_KEPT = 4 * FRAME_RATE
_OPERATOR_HOLD_NS = 300_000_000  # the operator's motion is held for so long, then the face is its own again


@dataclass(frozen=True)
class FrameOut:
    """latent (32,) float32, as it is to be drawn. time_ns: when. operator: the operator's share in it, 0 to 1."""

    frame: int
    time_ns: int
    latent: np.ndarray
    operator: float
    first: bool  # the first one after a start or a jump of time: what came before means nothing


class FaceMotion:
    """The face's own motion and the operator's tracked motion in, frames out in order, as early as they are known.

    All times are ROS time in ns. operator_buffer_ns: by how much later than on the face's clock the operator's motion comes, so
    that it and his voice have arrived. Not thread-safe.
    """

    def __init__(self, operator_buffer_ns: int = 150_000_000) -> None:
        self._own = MotionPlayout(rig.neutral())
        self._buffer_ns = operator_buffer_ns
        self._delay_ns = 200_000_000  # from a frame's time to its showing, of the newest frame
        self.held_frames = 0  # for which no motion came
        self.live = False  # the operator has taken the face
        self.reset()

    def reset(self) -> None:
        """Time has jumped: what was gathered belongs to another time."""
        self._own.reset()
        self._times: dict[int, int] = {}  # when a frame is shown
        self._operator: deque[tuple[int, np.ndarray | None]] = deque(
            maxlen=_OPERATOR_KEPT
        )  # (time on the clock, motion or no face)
        self._weight = 0.0  # of the operator
        self._theirs: np.ndarray | None = None  # the operator's motion as it was last used
        self._rejoin = 0
        self._next: int | None = None
        self._begins = True

    def put(self, frame: int, latent: np.ndarray, time_ns: int) -> None:
        """The face's own motion (32,) of a frame that is shown at `time_ns`."""
        self._own.put(frame, latent[None], 0, np.zeros((1, 2), np.int64))
        self._times[frame] = time_ns
        self._delay_ns = time_ns - time_of(frame)
        while len(self._times) > _TIMES_KEPT:
            del self._times[min(self._times)]

    def put_operator(self, captured_ns: int, latent: np.ndarray | None) -> None:
        """What the operator's face did at `captured_ns`; None where it was not seen. Older than the newest: ignored."""
        at = captured_ns + self._buffer_ns
        if not self._operator or at > self._operator[-1][0]:
            self._operator.append((at, None if latent is None else rig.clamp(np.asarray(latent, np.float32))))

    def take(self, now_ns: int) -> list[FrameOut]:
        """The frames that are known and have not been taken yet, and those that have to be shown all the same."""
        if self._next is not None and abs(now_ns - self._due(self._next)) > _JUMP_NS:
            self.reset()
        if self._next is None:
            self._next = frame_at(now_ns - self._delay_ns) + 1
        elif now_ns - self._due(self._next) > _MAX_BEHIND_NS:
            self._next = frame_at(now_ns - self._delay_ns)
        frames: list[FrameOut] = []
        while True:
            due = self._due(self._next)
            if due - now_ns > NANOSECONDS or not self._ready(self._next, now_ns - due):
                return frames
            frames.append(self._frame(self._next, due))
            self._next += 1

    def _due(self, frame: int) -> int:
        return self._times.get(frame) or presentation_time(frame, self._delay_ns)

    def _ready(self, frame: int, late_ns: int) -> bool:
        """Nothing better is to be expected for this frame, or there is no time to wait for it."""
        if late_ns >= _GRACE_NS:
            return True
        operator = not self.live or (bool(self._operator) and self._operator[-1][0] >= time_of(frame))
        return self._own.has(frame) and (operator or late_ns >= 0)

    def _frame(self, frame: int, due: int) -> FrameOut:
        played = self._own.frame_at(frame)
        self.held_frames += played.held
        latent = played.latent
        theirs = self._operator_at(time_of(frame)) if self.live or self._weight else None
        towards = 1.0 if self.live and theirs is not None else 0.0
        step = 1.0 / HANDOVER_FRAMES
        self._weight = min(max(self._weight + np.clip(towards - self._weight, -step, step), 0.0), 1.0)
        if theirs is None:
            self._rejoin = REJOIN_FRAMES
        elif self._theirs is None or not self._weight:
            self._theirs = theirs
        else:  # after a gap the face glides to where the operator's is now
            self._theirs = self._theirs + (theirs - self._theirs) / np.float32(self._rejoin + 1)
            self._rejoin = max(self._rejoin - 1, 0)
        share = self._weight * self._weight * (3.0 - 2.0 * self._weight)  # begins and ends softly
        if share and self._theirs is not None:
            latent = latent + np.float32(share) * (self._theirs - latent)
        first, self._begins = self._begins, False
        return FrameOut(frame, due, latent.astype(np.float32), share, first)

    def _operator_at(self, at_ns: int) -> np.ndarray | None:
        """The operator's motion at a time of the clock, between two that were tracked; None where he is not seen."""
        before = after = None
        for entry in self._operator:
            if entry[0] <= at_ns:
                before = entry
            else:
                after = entry
                break
        if before is None or before[1] is None:
            return None
        if after is None or after[1] is None:
            return before[1] if at_ns - before[0] <= _OPERATOR_HOLD_NS else None
        if after[0] - before[0] > _OPERATOR_HOLD_NS + FRAME_NS:
            return None
        share = (at_ns - before[0]) / (after[0] - before[0])
        return before[1] + np.float32(share) * (after[1] - before[1])
