"""What a run leaves: its figures (JSON) and a timeline plot. Memory does not grow with the session's length."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import OrderedDict, deque
from pathlib import Path

import numpy as np

from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.tracking import A_FACE
from avatar_forcing_ros.timeline import BLOCK_FRAMES, FRAME_NS, FRAME_RATE, NANOSECONDS

TIMELINE_SECONDS = 60  # the plot shows the last minute


class Histogram:
    """Percentiles of a stream of values in milliseconds, to 0.25 ms, in constant memory. Values below 0 count as 0."""

    STEP, BINS = 0.25, 20_000  # up to 5 s

    def __init__(self) -> None:
        self._counts = np.zeros(self.BINS, dtype=np.int64)
        self.count, self.max = 0, 0.0

    def add(self, value: float) -> None:
        self._counts[int(np.clip(value / self.STEP, 0, self.BINS - 1))] += 1
        self.count += 1
        self.max = max(self.max, value)

    def percentile(self, p: float) -> float | None:
        """The value below which p percent lie; None while empty."""
        if not self.count:
            return None
        bin_ = int(np.searchsorted(np.cumsum(self._counts), p / 100 * self.count))
        return round(min((bin_ + 0.5) * self.STEP, self.max), 2)

    def summary(self) -> dict[str, float | None]:
        return {
            "p50": self.percentile(50),
            "p95": self.percentile(95),
            "max": round(self.max, 2) if self.count else None,
        }


class ReactionLatency:
    """From each input (a camera frame, a frame of the user's sound) to the first image that used it or a later one.

    `came(stamp)` is told of every input, `used(newest, published)` of every image, in whatever order the two arrive.
    """

    KEPT = 4 * FRAME_RATE  # inputs and images that wait for each other

    def __init__(self) -> None:
        self.histogram = Histogram()
        self.track: deque = deque(maxlen=TIMELINE_SECONDS * FRAME_RATE)  # (seconds, ms)
        self._waiting: deque = deque(maxlen=self.KEPT)  # stamps of inputs that no image has used yet, in order
        self._newest: deque = deque(maxlen=self.KEPT)  # newest input that an image used, rising ...
        self._published: deque = deque(maxlen=self.KEPT)  # ... and when the first such image left

    def came(self, stamp_ns: int) -> None:
        if self._newest and stamp_ns <= self._newest[-1]:
            self._add(stamp_ns, self._published[bisect_left(self._newest, stamp_ns)])
        else:
            self._waiting.append(stamp_ns)

    def used(self, newest_ns: int, published_ns: int) -> None:
        if self._newest and newest_ns < self._newest[-1] - NANOSECONDS:  # time has jumped back
            for kept in (self._waiting, self._newest, self._published):
                kept.clear()
        if self._newest and newest_ns <= self._newest[-1]:
            return
        self._newest.append(newest_ns)
        self._published.append(published_ns)
        while self._waiting and self._waiting[0] <= newest_ns:
            self._add(self._waiting.popleft(), published_ns)

    def _add(self, stamp_ns: int, published_ns: int) -> None:
        latency = (published_ns - stamp_ns) / 1e6
        self.histogram.add(latency)
        self.track.append((stamp_ns / NANOSECONDS, latency))


class RunStatistics:
    """Gathers a run's figures from what its nodes publish."""

    def __init__(self) -> None:
        self.frames = 0
        self.compute, self.render = Histogram(), Histogram()
        self.skew, self.interval_error, self.delay = Histogram(), Histogram(), Histogram()
        self.camera_latency, self.sound_latency = ReactionLatency(), ReactionLatency()
        self.first_delay_ms: float | None = None  # the presentation delay at the start
        self.unheard_blocks = self.late_blocks_after_10_s = 0
        self.held_frames = self.late_blocks = self.lost_blocks = self.blocks = 0
        self.user_frames = self.user_frames_with_face = 0
        self._first_published: int | None = None
        self._last_published: int | None = None
        self._last_block_held: int | None = None
        self._last_sequence: int | None = None
        self._last_heard: int | None = None
        self._block_frames = BLOCK_FRAMES
        self._arrivals: OrderedDict[int, tuple[str, int]] = OrderedDict()
        kept = TIMELINE_SECONDS * FRAME_RATE
        self.user_track: deque = deque(maxlen=kept)  # (seconds, latent)
        self.avatar_track: deque = deque(maxlen=kept)

    def add_user_motion(
        self, stamp_ns: int, latent: np.ndarray, confidence: float, dropped_ns: tuple[int, ...] = ()
    ) -> None:
        """A camera frame that was tracked; dropped_ns: stamps of those before it that were not."""
        for stamp in (*dropped_ns, stamp_ns):
            self.camera_latency.came(stamp)
        self.user_frames += 1
        self.user_frames_with_face += confidence > A_FACE
        if len(latent) == rig.DIM:
            self.user_track.append((stamp_ns / NANOSECONDS, latent))

    def add_block(
        self, sequence: int, first_stamp_ns: int, latents: np.ndarray, compute_ms: float, unheard: bool = False
    ) -> None:
        """A block of latents (n, dim). unheard: it had to start before all of its speech had come."""
        self.blocks += 1
        self.unheard_blocks += unheard
        self._block_frames = len(latents)
        self.compute.add(compute_ms)
        if self._last_sequence is not None and sequence > self._last_sequence + 1:
            self.lost_blocks += sequence - self._last_sequence - 1
        self._last_sequence = sequence
        if latents.shape[1] == rig.DIM:
            for i, latent in enumerate(latents):
                self.avatar_track.append((first_stamp_ns / NANOSECONDS + i / FRAME_RATE, latent))

    def add_image(
        self,
        frame: int,
        published_ns: int,
        *,
        camera_stamp_ns: int,
        render_ms: float,
        held: bool,
        user_audio_stamp_ns: int = 0,
        delay_ns: int = 0,
    ) -> None:
        """One published image: the newest camera frame and frame of the user's sound that it used (0: none), and its
        presentation delay. Held frames before the first block are the calm face at the start, not lateness."""
        if delay_ns:  # in lockstep there is none
            self.delay.add(delay_ns / 1e6)
            self.first_delay_ms = self.first_delay_ms or delay_ns / 1e6
        if self.blocks and held:
            self.held_frames += 1
            block = frame // self._block_frames
            late = block != self._last_block_held
            self.late_blocks += late
            self.late_blocks_after_10_s += (
                late and published_ns - (self._first_published or published_ns) > 10 * NANOSECONDS
            )
            self._last_block_held = block
        if self._last_published is not None:
            interval = (published_ns - self._last_published) / 1e6
            self.interval_error.add(abs(interval - 1000 / FRAME_RATE))
        if self._first_published is None:
            self._first_published = published_ns
        self._last_published = published_ns
        self.frames += 1
        self.render.add(render_ms)
        if not held:
            self.add_used(published_ns, camera_stamp_ns, user_audio_stamp_ns)

    def add_used(self, published_ns: int, camera_stamp_ns: int, user_audio_stamp_ns: int) -> None:
        """What an image with motion of its own has used of the user; for images that count in no other figure."""
        if camera_stamp_ns:
            self.camera_latency.used(camera_stamp_ns, published_ns)
        if user_audio_stamp_ns:
            self._add_heard(user_audio_stamp_ns)
            self.sound_latency.used(user_audio_stamp_ns, published_ns)

    def _add_heard(self, newest_ns: int) -> None:
        """The user's sound comes frame after frame: all up to the newest one used have come."""
        last = self._last_heard
        if last is None or not 0 <= newest_ns - last < NANOSECONDS:
            last = newest_ns - FRAME_NS
        for stamp in range(last + FRAME_NS, newest_ns + 1, FRAME_NS):
            self.sound_latency.came(stamp)
        self._last_heard = newest_ns

    def add_arrival(self, kind: str, stamp_ns: int, arrived_ns: int) -> None:
        """kind 'image' or 'sound' with presentation stamp `stamp_ns` reached the viewer; pairs give the A/V skew."""
        other = self._arrivals.pop(stamp_ns, None)
        if other is None or other[0] == kind:
            self._arrivals[stamp_ns] = (kind, arrived_ns)
            while len(self._arrivals) > FRAME_RATE:
                self._arrivals.popitem(last=False)
        else:
            self.skew.add(abs(arrived_ns - other[1]) / 1e6)

    def summary(self) -> dict:
        """The figures of interfaces: frames, fps, late_blocks, times in ms as p50, p95, max."""
        span = ((self._last_published or 0) - (self._first_published or 0)) / NANOSECONDS if self.frames > 1 else 0
        return {
            "frames": self.frames,
            "fps": round((self.frames - 1) / span, 3) if span else None,
            "blocks": self.blocks,
            "late_blocks": self.late_blocks,
            "late_blocks_after_10_s": self.late_blocks_after_10_s,
            "lost_blocks": self.lost_blocks,
            "held_frames": self.held_frames,
            "unheard_blocks": self.unheard_blocks,
            "block_compute_ms": self.compute.summary(),
            "render_ms": self.render.summary(),
            "reaction_latency_ms": self.camera_latency.histogram.summary(),
            "sound_reaction_latency_ms": self.sound_latency.histogram.summary(),
            "presentation_delay_ms": {"start": self.first_delay_ms, **self.delay.summary()},
            "av_skew_ms": self.skew.summary(),
            "frame_interval_error_ms": {**self.interval_error.summary(), "p99": self.interval_error.percentile(99)},
            "user_frames": self.user_frames,
            "user_face_share": round(self.user_frames_with_face / self.user_frames, 3) if self.user_frames else None,
        }


def write_json(path: Path, figures: dict) -> None:
    path.write_text(json.dumps(figures, indent=2) + "\n")
