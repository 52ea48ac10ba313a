"""Node: signals in, blocks of motion latents out, at block cadence. The back end runs in a thread of its own."""

from __future__ import annotations

import array
import threading
import time

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.time import Time

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.generators import GENERATORS, make_generator
from avatar_forcing_ros.generators.signals import SignalBuffer
from avatar_forcing_ros.motion.photo import read_picture
from avatar_forcing_ros.msg import AudioFrames, MotionLatent, MotionLatentBlock
from avatar_forcing_ros.nodes import qos
from avatar_forcing_ros.nodes.base import AvatarNode, run_node
from avatar_forcing_ros.nodes.unpack import motion_of, nanoseconds, sound_of
from avatar_forcing_ros.timeline import (
    BLOCK_FRAMES,
    FRAME_NS,
    FRAME_RATE,
    NANOSECONDS,
    block_start,
    frame_at,
    next_block_start,
    seconds_to_ns,
    time_of,
)


class MotionGenerator(AvatarNode):
    """Reads `user/audio_frames`, `user/motion`, `speech/audio_frames`; publishes `motion_blocks`.

    The block of frames [t, t + 10) is made as soon as its inputs are complete, and at the latest `input_wait` after
    its last frame has ended, with what has arrived: a missing or late input never holds the face.
    """

    def __init__(self) -> None:
        super().__init__("motion_generator")
        self.declare("generator", "reflex", "the back end", choices=GENERATORS)
        self.declare("portrait", "", "image file of the face, for a network that is told whose face it moves; empty: the one in the box")
        self.declare_network()
        self.declare("compile", "none", "how the network is sped up on a GPU", choices=("none", "compile", "graph"))
        self.declare("steps", 10, "network passes per block, as the release counts them", 3, 200)
        self.declare("audio_guidance", 2.0, "guidance scale of the avatar's speech", 0.0, 10.0)
        self.declare("user_guidance", 1.0, "guidance scale of the user's voice and face", 0.0, 10.0)
        self.declare("anchor", True, "hold the slow mean pose near the portrait's; false: the published stream, which drifts")
        self.declare("anchor_time_constant", 4.0, "seconds of the slow mean", 0.1, 60.0)
        self.declare("anchor_dead_band", 1.0, "distance of the mean that is left alone", 0.0, 100.0)
        self.declare("anchor_gain", 0.3, "share of the excess taken back per block", 0.0, 1.0)
        self.declare("anchor_slew", 0.02, "largest correction per frame", 0.0, 1.0)
        self.declare("seed", 0, "seed of what is random in the motion", 0, 2**31 - 1)
        self.declare("input_wait", 0.08, "seconds after a block's end to wait for inputs that are late", 0.0, 0.4)
        self._lock = threading.Condition()

    def setup(self) -> None:
        name = self.param("generator")
        if GENERATORS.get(name) == "lia512":
            self._generator = make_generator(name, self.param("weights"), self._network_options())
            portrait = read_picture(self.param("portrait") or str(DEFAULT_PORTRAIT))
        else:
            self._generator, portrait = make_generator(name), None
        self._stream = self._generator.open(portrait, self.param("seed"))
        self._buffer = SignalBuffer(self._generator.dim)
        self._publisher = self.create_publisher(MotionLatentBlock, "motion_blocks", qos.reliable(20))
        self._sequence, self._compute_ms, self._restart = 0, 0.0, False

    def _network_options(self) -> dict:
        from avatar_forcing_ros.models import Anchor  # PyTorch only where a network runs

        names = ("device", "precision", "compile", "steps", "audio_guidance", "user_guidance")
        anchor = Anchor(*(self.param(f"anchor_{n}") for n in ("time_constant", "dead_band", "gain", "slew")))
        return {**{n: self.param(n) for n in names}, "anchor": anchor if self.param("anchor") else None}

    def start(self) -> None:
        profile = qos.reliable(100)
        self.create_subscription(AudioFrames, "user/audio_frames", self._on_user_audio, profile)
        self.create_subscription(AudioFrames, "speech/audio_frames", self._on_speech, profile)
        self.create_subscription(MotionLatent, "user/motion", self._on_motion, profile)
        self.run_thread(self._generate)

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

    def _generate(self) -> None:
        first = next_block_start(frame_at(self.now_ns()))
        while self.active:
            end = time_of(first + BLOCK_FRAMES)
            late = self.now_ns() - end
            if self._restart or late < -2 * NANOSECONDS:  # time jumped: what was gathered belongs to another time
                with self._lock:
                    self._restart = False
                    self._buffer.reset()
                self._stream.reset()
                first = next_block_start(frame_at(self.now_ns()))
                self.count("restarts")
                continue
            if late > 2 * BLOCK_FRAMES * FRAME_NS:  # too slow for real time: leave out blocks rather than fall behind
                latest = block_start(frame_at(self.now_ns())) - BLOCK_FRAMES
                self.count("skipped blocks", (latest - first) // BLOCK_FRAMES)
                first = latest
                continue
            if not self.wait_until(end):
                continue
            missing = self._wait_for_inputs(first, end)
            with self._lock:
                signals, stamps = self._buffer.block(first, BLOCK_FRAMES)
            started = time.perf_counter()
            latents = self._stream.step(signals)
            self._compute_ms = 1000 * (time.perf_counter() - started)
            self._publish(first, latents, stamps, fallback=bool(missing))
            for name in missing:
                self.count(f"blocks without all {name}")
            first += BLOCK_FRAMES

    def _wait_for_inputs(self, first: int, end: int) -> list[str]:
        """Until the block's inputs are there or the wait is over; the names of those still missing."""
        deadline = end + seconds_to_ns(self.param("input_wait"))
        with self._lock:
            while True:
                missing = self._buffer.missing(first, BLOCK_FRAMES)
                remaining = deadline - self.now_ns()
                if not missing or remaining <= 0 or not self.active or self._restart:
                    return missing
                self._lock.wait(min(remaining / NANOSECONDS, 0.01))

    def _publish(self, first: int, latents: np.ndarray, stamps: np.ndarray, fallback: bool) -> None:
        message = MotionLatentBlock(
            sequence=self._sequence,
            first_frame=first,
            frame_count=latents.shape[0],
            latent_dim=latents.shape[1],
            frame_rate=float(FRAME_RATE),
            space=self._generator.space,
            model=self._generator.name,
            fallback=fallback,
            compute_ms=self._compute_ms,
        )
        message.header.stamp = Time(nanoseconds=time_of(first)).to_msg()
        message.camera_stamps = [Time(nanoseconds=int(s)).to_msg() for s in stamps]
        message.data = array.array("f", np.ascontiguousarray(latents, np.float32).tobytes())
        self._publisher.publish(message)
        self._sequence += 1
        self.count("blocks")

    def report(self):
        if not self.active:
            return super().report()
        budget_ms = 1000 * BLOCK_FRAMES / FRAME_RATE
        values = {"back end": self._generator.name, "compute ms": self._compute_ms,
                  "real-time factor": self._compute_ms / budget_ms}  # fmt: skip
        if self.unusable:
            return DiagnosticStatus.ERROR, self.unusable, values
        if self._compute_ms > budget_ms:
            return DiagnosticStatus.WARN, "slower than real time", values
        return DiagnosticStatus.OK, "generating", values


def main() -> int:
    return run_node(MotionGenerator)
