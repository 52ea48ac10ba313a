"""Node: signals in, motion latents out, just in time. The back end runs in a thread of its own."""

from __future__ import annotations

import array
import threading
import time
from dataclasses import dataclass, replace

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.time import Time

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.generators import GENERATORS, make_generator
from avatar_forcing_ros.generators.base import LOOK_AHEAD, MAX_SEED
from avatar_forcing_ros.generators.signals import AVATAR_AUDIO, SignalBuffer, UsedInput
from avatar_forcing_ros.motion.photo import read_picture
from avatar_forcing_ros.msg import AudioFrames, AvatarFrame, MotionLatent, MotionLatentBlock
from avatar_forcing_ros.nodes import qos
from avatar_forcing_ros.nodes.base import JUMP_FORWARD_NS, AvatarNode, run_node
from avatar_forcing_ros.nodes.unpack import motion_of, nanoseconds, sound_of
from avatar_forcing_ros.pacing import MILLISECOND, Recent
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

_BEHIND_NS = NANOSECONDS // 2  # further behind, steps are left out
_RENDERER_SILENT_NS = NANOSECONDS  # after so long its presentation times are not known any more
_TRANSPORT_NS = 2 * MILLISECOND  # of a message from node to node
_ONE_CORE = ("reflex", "embedded")  # back ends whose step computes on one core, for some ten ms
_ANCHOR = ("time_constant", "dead_band", "gain", "slew")


@dataclass(frozen=True)
class Shown:
    """What the renderer last told: frame f is shown at time(f) + delay, and its motion is needed `lead` before."""

    delay_ns: int
    lead_ns: int
    at_ns: int


class MotionGenerator(AvatarNode):
    """Reads `user/audio_frames`, `user/motion`, `speech/audio_frames`, and `avatar_frame` for the presentation times;
    publishes `motion_blocks`.

    A step commits the frames [t, t + commit_frames). It starts as soon as the avatar's speech of these frames and of
    `look_ahead` more has come, and at the latest when frame t can still be shown in time. The user's signals are taken as
    far as they came, up to the end of the back end's block: a missing or late input never holds the face.
    """

    def __init__(self) -> None:
        super().__init__("motion_generator")
        self.declare("generator", "embedded", "the back end", choices=GENERATORS)
        self.declare("portrait", "", "image file of the face, for a network that is told whose face it moves; empty: the one in the box")
        self.declare_network()
        self.declare("commit_frames", 0, "frames that a step commits, the next one begins behind them; 0: as the back end has it", 0, BLOCK_FRAMES)
        self.declare("look_ahead", -1, "frames of the avatar's speech to wait for beyond those of the step; -1: as the back end needs", -1, BLOCK_FRAMES)
        self.declare("compile", "none", "how the network is sped up on a GPU", choices=("none", "compile", "graph"))
        self.declare("steps", 0, "network passes per block, as the release counts them; 0: as the back end has it", 0, 200)
        self.declare("audio_guidance", -1.0, "guidance scale of the avatar's speech; -1: as the back end has it", -1.0, 10.0)
        self.declare("user_guidance", -1.0, "guidance scale of the user's voice and face; -1: as the back end has it", -1.0, 10.0)
        self.declare("anchor", True, "hold the slow mean pose near the portrait's; false: it may drift")
        self.declare("anchor_time_constant", -1.0, "seconds of the slow mean; -1: as the back end has it", -1.0, 60.0)
        self.declare("anchor_dead_band", -1.0, "distance of the mean that is left alone; -1: as the back end has it", -1.0, 100.0)
        self.declare("anchor_gain", -1.0, "share of the excess taken back per block; -1: as the back end has it", -1.0, 1.0)
        self.declare("anchor_slew", -1.0, "largest correction per frame; -1: as the back end has it", -1.0, 1.0)
        self.declare("seed", 0, "seed of what is random in the motion", 0, MAX_SEED)
        self.declare("input_wait", 0.08, "seconds to wait for late speech while no renderer tells when images are due", 0.0, 0.4)
        self.declare("realtime_priority", 1, "of the thread that makes motion, with a back end that needs one core and the system's leave; 0: as any", 0, 50)
        self._lock = threading.Condition()

    def setup(self) -> None:
        name, portrait = self.param("generator"), None
        if name == "reflex":
            self._generator = make_generator(name)
        else:
            self._generator = make_generator(name, self.param("weights"), self._network_options(name))
            portrait = read_picture(self.param("portrait") or str(DEFAULT_PORTRAIT))
        self._stream = self._generator.open(portrait, self.param("seed"), self.param("commit_frames") or None)
        self._commit = self._stream.commit_frames
        rolling = not self._stream.frame_causal and self._commit < self._stream.block_frames
        asked = self.param("look_ahead")
        self._look_ahead = asked if asked >= 0 else LOOK_AHEAD if rolling else 0
        self._buffer = SignalBuffer(self._generator.dim)
        self._publisher = self.create_publisher(MotionLatentBlock, "motion_blocks", qos.reliable(20))
        self._sequence, self._restart = 0, False
        self._compute_ms = Recent(64)
        self._shown: Shown | None = None
        self._first = 0  # of the step that comes next

    def _network_options(self, name: str) -> dict:
        """What differs from the back end's own choice."""
        if name == "embedded":
            import torch

            from avatar_forcing_ros.generators.embedded import DEFAULTS as defaults

            torch.set_num_threads(1)  # so small a network gains nothing from more, and the other nodes need the cores
        else:
            from avatar_forcing_ros.generators.network import NetworkOptions

            defaults = NetworkOptions()
        options = {n: self.param(n) for n in ("device", "precision", "compile")}
        options |= {n: self.param(n) for n in ("steps",) if self.param(n)}
        options |= {n: self.param(n) for n in ("audio_guidance", "user_guidance") if self.param(n) >= 0}
        given = {n: self.param(f"anchor_{n}") for n in _ANCHOR if self.param(f"anchor_{n}") >= 0}
        return options | {"anchor": replace(defaults.anchor, **given) if self.param("anchor") else None}

    def start(self) -> None:
        profile = qos.reliable(100)
        self.create_subscription(AudioFrames, "user/audio_frames", self._on_user_audio, profile)
        self.create_subscription(AudioFrames, "speech/audio_frames", self._on_speech, profile)
        self.create_subscription(MotionLatent, "user/motion", self._on_motion, profile)
        self.create_subscription(AvatarFrame, "avatar_frame", self._on_shown, qos.reliable(10))
        # A step that other nodes interrupt is late; one that keeps all cores for seconds must not run before them.
        small = self._generator.name in _ONE_CORE
        self.run_thread(self._generate, self.param("realtime_priority") if small else 0)

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
            with self._lock:
                self._buffer.put_user_audio(message.first_frame, samples, known)
                self._lock.notify()

    def _on_speech(self, message: AudioFrames) -> None:
        with self.usable():
            samples, known = sound_of(message)
            with self._lock:
                self._buffer.put_avatar_audio(message.first_frame, samples, known)
                self._lock.notify()

    def _on_motion(self, message: MotionLatent) -> None:
        with self.usable():
            latent = motion_of(message, self._generator.space, self._generator.dim)
            with self._lock:
                self._buffer.put_user_motion(message.frame, nanoseconds(message.header.stamp), latent, message.confidence)
                self._lock.notify()

    def _on_shown(self, message: AvatarFrame) -> None:
        if not message.held:  # a face that waits for motion has not chosen its delay yet
            delay = nanoseconds(message.header.stamp) - time_of(message.frame)
            self._shown = Shown(delay, round(message.lead_ms * MILLISECOND), self.now_ns())

    def _generate(self) -> None:
        first = self._next_step()
        while self.active:
            self._first = first
            last = first + self._commit - 1 + self._look_ahead
            late = self.now_ns() - time_of(last + 1)
            if self._restart or late < -JUMP_FORWARD_NS:  # time jumped: what was gathered belongs to another time
                with self._lock:
                    self._restart, self._shown = False, None
                    self._buffer.reset()
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
            for name in missing:
                self.count(f"blocks without all {name}")
            first += self._commit

    def _next_step(self) -> int:
        """First frame of the first step that can still hear all of its speech."""
        return next_block_start(frame_at(self.now_ns()), self._commit)

    def _wait_for_inputs(self, first: int, last: int) -> bool:
        """Until the step's inputs are there, or it has to start without; False when the node stops or time has jumped."""
        before = self.now_ns()
        with self._lock:
            while self.active and not self._restart:
                now = self.now_ns()
                if now - before > JUMP_FORWARD_NS or time_of(last + 1) - now > JUMP_FORWARD_NS:
                    return False  # the clock may be seen to jump before the jump is told
                before = now
                start = self._latest_start(first, last, now)
                if now >= start or self._complete(last, now):
                    return True
                self.wait_notified(self._lock, start - now)
        return False

    def _latest_start(self, first: int, last: int, now: int) -> int:
        """The moment at which the step has to start for frame `first` to be shown in time, but not before the step's speech
        can have been spoken; a delay too short for that is the renderer's to mend."""
        spoken, shown = time_of(last + 1), self._shown
        if shown is None or now - shown.at_ns > _RENDERER_SILENT_NS:
            return spoken + seconds_to_ns(self.param("input_wait"))
        compute = round(self._compute_ms.quantile(90) * MILLISECOND) + _TRANSPORT_NS
        return max(spoken, time_of(first) + shown.delay_ns - shown.lead_ns - compute)

    def _complete(self, last: int, now: int) -> bool:
        """The avatar's speech has come. Where there is no speech at all the step is for the user, whose signals then count."""
        alive = self._buffer.alive(last)
        if not alive:
            return now >= time_of(last + 1)
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
            compute_ms=compute_ms,
        )
        message.header.stamp = Time(nanoseconds=time_of(first)).to_msg()
        message.camera_stamps = [Time(nanoseconds=int(s)).to_msg() for s in used.camera_stamps]
        message.user_audio_stamps = [Time(nanoseconds=int(s)).to_msg() for s in used.user_audio_stamps]
        message.data = array.array("f", np.ascontiguousarray(latents, np.float32).tobytes())
        self._publisher.publish(message)
        self._sequence += 1
        self.count("blocks")

    def report(self):
        if not self.active:
            return super().report()
        budget_ms = 1000 * self._commit / FRAME_RATE
        compute_ms = self._compute_ms.quantile(50)
        values = {"back end": self._generator.name, "commit frames": self._commit, "compute ms": compute_ms,
                  "real-time factor": compute_ms / budget_ms, "queued speech frames": self._queued_speech(),
                  "real-time priority": self.realtime_priority}  # fmt: skip
        if self.unusable:
            return DiagnosticStatus.ERROR, self.unusable, values
        if compute_ms > budget_ms:
            return DiagnosticStatus.WARN, "slower than real time", values
        return DiagnosticStatus.OK, "generating", values

    def _queued_speech(self) -> int:
        """Frames of the avatar's speech that have come and wait for a step."""
        with self._lock:
            return self._buffer.speech_after(self._first)


def main() -> int:
    return run_node(MotionGenerator)
