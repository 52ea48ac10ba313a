"""Node: signals in, motion latents out, just in time. The back end runs in a thread of its own."""

from __future__ import annotations

import array
import threading
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.duration import Duration
from rclpy.time import Time

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators import back_end, make_generator
from avatar_forcing_ros.generators.base import frames_known
from avatar_forcing_ros.generators.network import NetworkOptions
from avatar_forcing_ros.generators.signals import AVATAR_AUDIO, USER_AUDIO, USER_MOTION, SignalBuffer, UsedInput
from avatar_forcing_ros.models.config import Anchor
from avatar_forcing_ros.motion.portrait.photo import read_picture
from avatar_forcing_ros.msg import (
    AudioFrames,
    MotionLatent,
    MotionLatentBlock,
    MotionSpace,
    PresentationState,
)
from avatar_forcing_ros.nodes.base import JUMP_FORWARD_NS, AvatarNode
from avatar_forcing_ros.nodes.running import run_node
from avatar_forcing_ros.presentation.governor import Governor, cores_allowed, level_for, levels
from avatar_forcing_ros.presentation.load import LoadWindow
from avatar_forcing_ros.presentation.pacing import MILLISECOND, Margin, Recent, Rhythm
from avatar_forcing_ros.presentation.stamps import Lateness
from avatar_forcing_ros.ros import qos
from avatar_forcing_ros.ros.messages import motion_of, nanoseconds, sound_of, space_message
from avatar_forcing_ros.ros.quality import QualityPublisher
from avatar_forcing_ros.ros.settings import MotionGeneratorSettings, RendererSettings
from avatar_forcing_ros.timeline import (
    BLOCK_FRAMES,
    FRAME_NS,
    FRAME_RATE,
    NANOSECONDS,
    frame_at,
    next_block_start,
    seconds_to_ns,
    time_of,
)

_AHEAD_FRAMES = 2 * FRAME_RATE  # an input further ahead is of another clock
_BEHIND_NS = NANOSECONDS // 2  # further behind, steps are left out
_RENDERER_SILENT_NS = NANOSECONDS  # after so long its presentation times are not known any more
_TRANSPORT_NS = 2 * MILLISECOND  # of a message from node to node
_LATE_NS = 10 * MILLISECOND  # motion that comes so much later than it was needed by; less is made up for by the reserve
# Left to steps that are late when the user's signals are waited for: the renderer's reserve, and what steps differ by.
_RESERVE_NS = seconds_to_ns(RendererSettings.presentation_reserve) + 5 * MILLISECOND
_NETWORK = ("provider", "device", "precision", "compile", "passes", "audio_guidance", "user_guidance")
_ANCHOR = ("time_constant", "dead_band", "gain", "slew")


@dataclass(frozen=True)
class Shown:
    """What the renderer last told: frame f is shown at time(f) + delay, and its motion is needed `lead` before."""

    delay_ns: int
    lead_ns: int
    at_ns: int


class MotionGenerator(AvatarNode):
    """Reads `user/audio_frames`, `user/motion`, `speech/audio_frames`, and `presentation` for the times at which frames are
    shown; publishes `motion_blocks`, and `motion_space` (latched).

    A step commits the frames [t, t + commit_frames). It starts when the avatar's speech of these frames and of `look_ahead`
    more has come, and at the latest when frame t can still be shown in time. Where the user's next image or sound is due
    before that, it waits for it. The user's signals are taken as far as they came, up to the end of the back end's block: a
    missing or late input never holds the face.
    """

    SETTINGS = MotionGeneratorSettings
    settings: MotionGeneratorSettings

    def __init__(self, arguments: list[str] | None = None) -> None:
        super().__init__("motion_generator", arguments)
        self._lock = threading.Condition()

    def setup(self) -> None:
        self._back_end, portrait, options = back_end(self.settings.generator), None, {}
        if self._back_end.defaults is not None:
            options = self._network_options(self._back_end.defaults())
            portrait = read_picture(self.settings.portrait or str(DEFAULT_PORTRAIT))
        self._generator = make_generator(self._back_end.name, self.settings.weights or "", options)
        self._stream = self._generator.open(portrait, self.settings.seed, self.settings.commit_frames)
        self._commit = self._stream.commit_frames
        longest = self._commit if self.settings.compile == "graph" else BLOCK_FRAMES  # a CUDA graph is of one length
        choices = levels(self._commit, longest)
        start = level_for(cores_allowed(), len(choices)) if self.settings.quality == "auto" else 0
        self._governor, self._load = Governor(choices, self.settings.quality, start), LoadWindow()
        self._quality = QualityPublisher(self, self._governor)
        self._governed_at = 0
        self._buffer = SignalBuffer(self._generator.dim)
        self._lateness = Lateness()
        self._publisher = self.create_publisher(MotionLatentBlock, "motion_blocks", qos.reliable(20))
        self._space_out = self.create_publisher(MotionSpace, "motion_space", qos.latched())
        self._space_out.publish(space_message(self._generator.space))
        self._sequence, self._restart = 0, False
        self._compute_ms = Recent(64)
        self._margin = Margin(_RESERVE_NS)
        self._rhythms = {USER_MOTION: Rhythm(), USER_AUDIO: Rhythm()}
        self._shown: Shown | None = None
        self._first = 0  # of the step that comes next
        self._waited_ns = 0  # for the user, by the step that was begun last

    def _network_options(self, defaults: NetworkOptions) -> dict:
        """What differs from the back end's own choice."""
        options = {n: value for n in _NETWORK if (value := getattr(self.settings, n)) is not None}
        anchor, held = self.settings.anchor, defaults.anchor or Anchor()
        given = {n: value for n in _ANCHOR if (value := getattr(anchor, n)) is not None}
        return options | {"anchor": replace(held, **given) if anchor.enabled else None}

    def start(self) -> None:
        profile = qos.reliable(100)
        self.create_subscription(AudioFrames, "user/audio_frames", self._on_user_audio, profile)
        self.create_subscription(AudioFrames, "speech/audio_frames", self._on_speech, profile)
        self.create_subscription(MotionLatent, "user/motion", self._on_motion, profile)
        self.create_subscription(PresentationState, "presentation", self._on_presentation, qos.reliable(10))
        # A step that other nodes interrupt is late; one that keeps all cores for seconds must not run before them.
        self.run_thread(self._generate, self.settings.realtime_priority if self._back_end.one_core else 0)
        self.create_timer(0.25, self._govern)

    def stop(self) -> None:
        with self._lock:
            self._lock.notify_all()
        self.join_threads()

    def on_time_jump(self) -> None:
        with self._lock:
            self._restart = True

    def _on_user_audio(self, message: AudioFrames) -> None:
        with self.usable():
            samples, known = sound_of(message)
            self._arrived(USER_AUDIO, message.first_frame + len(known) - 1)
            with self._lock:
                self._buffer.put_user_audio(message.first_frame, samples, known)
                self._lock.notify()

    def _on_speech(self, message: AudioFrames) -> None:
        with self.usable():
            samples, known = sound_of(message)
            self._arrived(AVATAR_AUDIO, message.first_frame + len(known) - 1)
            with self._lock:
                self._buffer.put_avatar_audio(message.first_frame, samples, known)
                self._lock.notify()

    def _on_motion(self, message: MotionLatent) -> None:
        with self.usable():
            latent = motion_of(message, self._generator.space, self._generator.dim)
            self._arrived(USER_MOTION, message.frame)
            with self._lock:
                self._buffer.put_user_motion(
                    message.frame, nanoseconds(message.header.stamp), latent, message.confidence
                )
                self._lock.notify()
            self._load.camera(len(message.dropped_stamps))

    def _arrived(self, name: str, frame: int) -> None:
        """Takes note of an input's newest frame. Raises InputError where it is of a time that has not come."""
        ahead = frame - frame_at(self.now_ns())
        if ahead > _AHEAD_FRAMES:
            raise InputError(
                f"{name} is {ahead / FRAME_RATE:.1f} s ahead of our clock and left out: let face_ingest or audio_ingest of this "
                "package make it, and set both machines' clocks"
            )
        self._lateness.note(name, (self._first - frame) / FRAME_RATE)
        if name in self._rhythms:
            self._rhythms[name].came(self.now_ns())

    def _on_presentation(self, message: PresentationState) -> None:
        self._load.image(message.frame, nanoseconds(message.render_time) / MILLISECOND)
        if message.settled:
            self._shown = Shown(nanoseconds(message.delay), nanoseconds(message.lead), self.now_ns())

    def _govern(self) -> None:
        """Once a second, as soon as the face is seen to move."""
        now = self.now_ns()
        if not 0 <= now - self._governed_at < NANOSECONDS:
            self._governed_at = now
            load = self._load.take(now / NANOSECONDS)
            if self._shown is not None and self._governor.observe(load, now / NANOSECONDS):
                self._quality.publish()
                self.allow_priority(self._governor.priority)
                self.get_logger().info(
                    f"quality {self._governor.level}: {self._governor.quality} ({self._governor.reason})"
                )

    @property
    def _look_ahead(self) -> int:
        """Frames of the avatar's speech that a step waits for beyond its own."""
        needed = 0 if self._stream.frame_causal else frames_known(self._stream, self._commit) - self._commit
        return needed if self.settings.look_ahead is None else self.settings.look_ahead

    def _take_length(self) -> None:
        """The length of a step that the governor wants. A longer one waits until the renderer's delay covers it."""
        wanted, before = self._governor.quality.commit_frames, self._commit
        if wanted == before:
            return
        self._commit = self._stream.commit_frames = wanted
        shown, needed = self._shown, (wanted + self._look_ahead) * FRAME_NS + self._compute_ns()
        if wanted > before and shown is not None and shown.delay_ns - shown.lead_ns < needed:
            self._commit = self._stream.commit_frames = before

    def _generate(self) -> None:
        first = self._next_step()
        while self.active:
            self._first = first
            self._take_length()
            last = first + self._commit - 1 + self._look_ahead
            late = self.now_ns() - time_of(last + 1)
            if self._restart or late < -JUMP_FORWARD_NS:  # time jumped: what was gathered belongs to another time
                with self._lock:
                    self._restart, self._shown = False, None
                    self._lateness.reset()
                    self._buffer.reset()
                    for rhythm in self._rhythms.values():
                        rhythm.reset()
                self._stream.reset()
                first = self._next_step()
                self.count("restarts")
                continue
            if late > max(_BEHIND_NS, 2 * self._commit * FRAME_NS):  # too slow for real time: leave out steps
                skipped = late // (self._commit * FRAME_NS)
                self.count("skipped blocks", skipped)
                first += skipped * self._commit
                continue
            if not self._wait_for_inputs(first, last):
                continue
            with self._lock:
                missing = self._buffer.missing(last)
                signals, used = self._buffer.block(first, self._stream.block_frames)
            used = used.of_step(self._commit, self._stream.frame_causal)
            started = time.perf_counter()
            latents = self._stream.step(signals)
            compute_ms = 1000 * (time.perf_counter() - started)
            self._compute_ms.add(compute_ms)
            self._publish(first, latents, used, missing, compute_ms)
            shown = self._shown
            behind = 0 if shown is None else self.now_ns() - self._needed_at(first, shown)
            self._load.step(compute_ms, behind > _LATE_NS)
            self._margin.met(behind <= 0)
            self._lateness.step(missing)
            for name in missing:
                self.count(f"blocks without all {name}")
            first += self._commit

    def _next_step(self) -> int:
        """First frame of the first step that can still hear all of its speech."""
        return next_block_start(frame_at(self.now_ns()), self._commit)

    def _wait_for_inputs(self, first: int, last: int) -> bool:
        """Until the step's inputs are there, or it has to start without; False when the node stops or time has jumped."""
        before, complete = self.now_ns(), None
        self._waited_ns = 0
        with self._lock:
            while self.active and not self._restart:
                now = self.now_ns()
                if now - before > JUMP_FORWARD_NS or time_of(last + 1) - now > JUMP_FORWARD_NS:
                    return False  # the clock may be seen to jump before the jump is told
                before = now
                until = self._latest_start(first, last, now)
                self._waited_ns = 0 if complete is None else now - complete
                if now >= until:
                    return True
                if self._complete(last, now):
                    complete = now if complete is None else complete
                    until -= self._margin.ns
                    if now >= until or not self._user_soon(now, until):
                        return True
                self.wait_notified(self._lock, until - now)
        return False

    def _user_soon(self, now: int, until: int) -> bool:
        """Whether a step that waits a little will know more of the user. A machine that has to give something up has no time for it."""
        if self._stream.frame_causal or self._governor.level:
            return False
        return any(rhythm.soon(now, until) for rhythm in self._rhythms.values())

    def _latest_start(self, first: int, last: int, now: int) -> int:
        """The moment at which the step has to start for frame `first` to be shown in time, but not before the step's speech
        can have been spoken; a delay too short for that is the renderer's to mend."""
        spoken, shown = time_of(last + 1), self._shown
        if shown is None or now - shown.at_ns > _RENDERER_SILENT_NS:
            return spoken + seconds_to_ns(self.settings.input_wait)
        return max(spoken, self._needed_at(first, shown) - self._compute_ns())

    def _compute_ns(self) -> int:
        """From the start of a step to its motion at the renderer."""
        return round(self._compute_ms.quantile(90) * MILLISECOND) + _TRANSPORT_NS

    @staticmethod
    def _needed_at(first: int, shown: Shown) -> int:
        """When the motion of frame `first` has to be at the renderer."""
        return time_of(first) + shown.delay_ns - shown.lead_ns

    def _complete(self, last: int, now: int) -> bool:
        """The avatar's speech has come. Where there is no speech at all the step is for the user, whose signals then count."""
        if now < time_of(last + 1):  # whatever stamps say: nothing runs ahead of the clock
            return False
        alive = self._buffer.alive(last)
        if not alive:
            return True
        missing = self._buffer.missing(last)
        return AVATAR_AUDIO not in missing if AVATAR_AUDIO in alive else not missing

    def _publish(self, first: int, latents: np.ndarray, used: UsedInput, missing: list[str], compute_ms: float) -> None:
        message = MotionLatentBlock(
            sequence=self._sequence,
            first_frame=first,
            frame_count=latents.shape[0],
            latent_dim=latents.shape[1],
            frame_rate=float(FRAME_RATE),
            space=self._generator.space,
            model=self._generator.name,
            fallback=bool(missing),
            missing=missing,
        )
        message.header.stamp = Time(nanoseconds=time_of(first)).to_msg()
        message.compute_time = Duration(nanoseconds=round(compute_ms * MILLISECOND)).to_msg()
        message.waited = Duration(nanoseconds=self._waited_ns).to_msg()
        message.camera_stamps = [Time(nanoseconds=int(s)).to_msg() for s in used.camera_stamps]
        message.user_audio_stamps = [Time(nanoseconds=int(s)).to_msg() for s in used.user_audio_stamps]
        message.data = array.array("f", np.ascontiguousarray(latents, np.float32).tobytes())
        self._publisher.publish(message)
        self._sequence += 1
        self.count("blocks")

    def report(self) -> tuple[int, str, dict[str, Any]]:
        if not self.active:
            return super().report()
        budget_ms = self._budget_ms()
        compute_ms = self._compute_ms.quantile(50)
        values = {"back end": self._generator.name, "commit frames": self._commit, "compute ms": compute_ms,
                  "real-time factor": compute_ms / budget_ms, "queued speech frames": self._queued_speech(),
                  "real-time priority": self.realtime_priority, "quality level": self._governor.level,
                  "quality": str(self._governor.quality), "quality since": self._governor.reason}  # fmt: skip
        if self.unusable:
            return DiagnosticStatus.ERROR, self.unusable, values
        if compute_ms > budget_ms:
            return DiagnosticStatus.WARN, "slower than real time", values
        line = self._lateness.line()
        if line:
            return DiagnosticStatus.WARN, line, values
        return DiagnosticStatus.OK, "generating", values

    def measured(self) -> dict[str, Any]:
        factor = self._compute_ms.quantile(50) / self._budget_ms()
        return {"real_time_factor": factor, "queued_speech": float(self._queued_speech())}

    def _budget_ms(self) -> float:
        """The time that a step may take."""
        return 1000 * self._commit / FRAME_RATE

    def _queued_speech(self) -> int:
        """Frames of the avatar's speech that have come and wait for a step."""
        with self._lock:
            return self._buffer.speech_after(self._first)


def main() -> int:
    return run_node(MotionGenerator)
