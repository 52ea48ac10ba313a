"""Node: motion blocks and speech in; images and the same speech out, together, at their presentation time."""

from __future__ import annotations

import array
import threading
import time
from collections import OrderedDict, deque

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image

from avatar_forcing_ros.media.images import encode_jpeg, rgb_bytes
from avatar_forcing_ros.motion import AVATARS, make_avatar, rest_of
from avatar_forcing_ros.motion.idle import shown
from avatar_forcing_ros.motion.playout import MotionPlayout, PlayedFrame
from avatar_forcing_ros.msg import AudioFrames, AvatarFrame, MotionLatentBlock
from avatar_forcing_ros.nodes import qos
from avatar_forcing_ros.nodes.base import AvatarNode, run_node
from avatar_forcing_ros.nodes.sound import SoundPublisher
from avatar_forcing_ros.nodes.unpack import block_of, sound_of
from avatar_forcing_ros.timeline import (
    BLOCK_FRAMES,
    FRAME_RATE,
    NANOSECONDS,
    SAMPLE_RATE,
    SAMPLES_PER_FRAME,
    frame_at,
    presentation_time,
    seconds_to_ns,
)

KEPT_SPEECH_FRAMES = 8 * FRAME_RATE


class Renderer(AvatarNode):
    """Reads `motion_blocks` and `speech/audio_frames`; publishes `image_raw`, `image_raw/compressed`,
    `spoken/audio_stamped` and `avatar_frame`.

    Frame f and its sound leave at time(f) + presentation_delay. An image is drawn ahead of that moment; a block that
    is late holds the face and then eases it to rest, and the clock goes on.
    """

    def __init__(self) -> None:
        super().__init__("renderer")
        self.declare("avatar", "portrait", "the face", choices=AVATARS)
        self.declare("portrait", "", "image file of a face; empty: the one in the box")
        self.declare_network()
        self.declare("theme", "", "theme of the screen face; empty: the first one")
        self.declare("size", 512, "side of the images in pixels (the neural face has its weights' own)", 128, 2160)
        self.declare("presentation_delay", 0.56, "seconds from a frame's time to its showing; a block takes 0.4", 0.1, 5.0)
        self.declare("jpeg_quality", 85, "of image_raw/compressed", 10, 100)
        self.declare("frame_id", "avatar", "frame_id of the images")
        self._lock = threading.Lock()

    def setup(self) -> None:
        self._avatar = make_avatar(
            self.param("avatar"), self.param("portrait"), self.param("size"), self.param("theme"), self.network()
        )
        rest = rest_of(self._avatar)
        self._dim = len(rest)
        self._draws_blocks = hasattr(self._avatar, "render_block")
        self._delay = seconds_to_ns(self.param("presentation_delay"))
        self._playout = MotionPlayout(rest)
        self._speech: OrderedDict[int, np.ndarray] = OrderedDict()
        self._started = False  # a first block has come
        self._render_ms, self._restart = 0.0, False
        for _ in range(2):  # the first images cost the most
            self._render(0, [PlayedFrame(rest, -1, 0, held=True)] * BLOCK_FRAMES)
        self._raw = self.create_publisher(Image, "image_raw", qos.reliable(4))
        self._compressed = self.create_publisher(CompressedImage, "image_raw/compressed", qos.reliable(4))
        self._info = self.create_publisher(AvatarFrame, "avatar_frame", qos.reliable(50))
        self._sound = SoundPublisher(self, "spoken/")

    def start(self) -> None:
        self.create_subscription(MotionLatentBlock, "motion_blocks", self._on_block, qos.reliable(20))
        self.create_subscription(AudioFrames, "speech/audio_frames", self._on_speech, qos.reliable(100))
        self.run_thread(self._speak)
        self.run_thread(self._present)

    def stop(self) -> None:
        self.join_threads()

    def on_time_jump(self) -> None:
        self._restart = True

    def _on_block(self, message: MotionLatentBlock) -> None:
        with self.usable():
            latents, stamps = block_of(message, self._avatar.space, self._dim)
            with self._lock:
                self._playout.put(message.first_frame, latents, message.sequence, stamps)
                self._started = True

    def _on_speech(self, message: AudioFrames) -> None:
        with self.usable():
            samples, _ = sound_of(message)
            with self._lock:
                for i, frame in enumerate(samples.reshape(-1, SAMPLES_PER_FRAME)):
                    self._speech[message.first_frame + i] = frame
                while len(self._speech) > KEPT_SPEECH_FRAMES:
                    self._speech.popitem(last=False)

    def _speak(self) -> None:
        """The speech of every frame at its presentation time, whatever the images do."""
        frame = self._frame_now() + 1
        while self.active:
            if not -FRAME_RATE < self._frame_now() - frame < FRAME_RATE:
                frame = self._frame_now() + 1  # time has jumped
            due = presentation_time(frame, self._delay)
            if self.wait_until(due):
                self._publish_speech(frame, due)
                frame += 1

    def _present(self) -> None:
        """The image of every frame at its presentation time. A machine that cannot keep up leaves out images."""
        frame = self._frame_now() + 1
        drawn: deque[tuple[PlayedFrame, np.ndarray]] = deque()  # of the frames from `frame` on
        while self.active:
            behind = self._frame_now() - frame
            if self._restart or behind < -2 * FRAME_RATE:
                self._restart = False
                drawn.clear()
                with self._lock:
                    self._playout.reset()
                    self._speech.clear()
                frame = self._frame_now() + 1
                continue
            if behind > 0:  # skip to the frame that is due, but show the newest image that has been drawn
                skipped = min(behind, len(drawn) - 1) if drawn else behind
                for _ in range(min(skipped, len(drawn))):
                    drawn.popleft()
                frame += skipped
                self.count("skipped images", skipped)
            due = presentation_time(frame, self._delay)
            if not drawn:
                self._wait_for_motion(frame, due)
                drawn.extend(self._draw(frame))
            if not self.wait_until(due):
                continue
            played, image = drawn.popleft()
            self._publish_image(image, due)
            self._publish_info(frame, due, played)
            if played.held and self._started:
                self.count("held frames")
            frame += 1

    def _frame_now(self) -> int:
        """The frame whose presentation time has come."""
        return frame_at(self.now_ns() - self._delay)

    def _draw(self, frame: int) -> list[tuple[PlayedFrame, np.ndarray]]:
        """The image of `frame`; a face that draws blocks at once gives those that follow as well, as far as they are there."""
        with self._lock:
            played = [self._playout.frame_at(frame)]
            while self._draws_blocks and len(played) < BLOCK_FRAMES and self._playout.has(frame + len(played)):
                played.append(self._playout.frame_at(frame + len(played)))
        return list(zip(played, self._render(frame, played), strict=True))

    def _render(self, frame: int, played: list[PlayedFrame]) -> list[np.ndarray]:
        began = time.perf_counter()
        if self._draws_blocks:
            images = list(self._avatar.render_block(np.stack([p.latent for p in played])))
        else:
            images = [shown(self._avatar, p.latent, frame + i) for i, p in enumerate(played)]
        self._render_ms = 1000 * (time.perf_counter() - began) / len(played)
        return images

    def _wait_for_motion(self, frame: int, due: int) -> None:
        """Give a late block until the last moment at which the image can still be drawn in time."""
        drawn_at_once = BLOCK_FRAMES if self._draws_blocks else 1
        margin = round(1.5e6 * self._render_ms * drawn_at_once) + 5_000_000
        while self.active and not self._restart and self.now_ns() < due - margin:
            with self._lock:
                if self._playout.has(frame):
                    return
            self.stopping.wait(0.003)

    def _publish_image(self, image: np.ndarray, due: int) -> None:
        """Raw and compressed, each only where somebody listens."""
        stamp, frame_id = Time(nanoseconds=due).to_msg(), self.param("frame_id")
        if self._raw.get_subscription_count():
            message = Image(height=image.shape[0], width=image.shape[1], encoding="rgb8", step=3 * image.shape[1])
            message.header.stamp, message.header.frame_id = stamp, frame_id
            message.data = rgb_bytes(image)
            self._raw.publish(message)
        if self._compressed.get_subscription_count():
            message = CompressedImage(format="jpeg")
            message.header.stamp, message.header.frame_id = stamp, frame_id
            message.data = array.array("B", encode_jpeg(image, self.param("jpeg_quality")))
            self._compressed.publish(message)
        self.count("images")

    def _publish_speech(self, frame: int, due: int) -> None:
        with self._lock:
            samples = self._speech.pop(frame, None)
        if samples is None:
            samples = np.zeros(SAMPLES_PER_FRAME, np.float32)
        self._sound.publish(samples, SAMPLE_RATE, Time(nanoseconds=due).to_msg(), self.param("frame_id"))

    def _publish_info(self, frame: int, due: int, played) -> None:
        message = AvatarFrame(frame=frame, block=max(played.block, 0), render_ms=self._render_ms, held=played.held)
        message.header.stamp = Time(nanoseconds=due).to_msg()
        message.header.frame_id = self.param("frame_id")
        message.camera_stamp = Time(nanoseconds=played.camera_stamp_ns).to_msg()
        message.published = self.get_clock().now().to_msg()
        self._info.publish(message)

    def report(self):
        if not self.active:
            return super().report()
        values = {
            "render ms": self._render_ms,
            "real-time factor": self._render_ms * FRAME_RATE / 1000,
            "presentation delay s": self._delay / NANOSECONDS,
            "queued speech frames": len(self._speech),
        }
        if self.unusable:
            return DiagnosticStatus.ERROR, self.unusable, values
        if self._render_ms > 1000 / FRAME_RATE:
            return DiagnosticStatus.WARN, "slower than real time: choose a smaller size", values
        return DiagnosticStatus.OK, "showing" if self._started else "waiting for motion", values


def main() -> int:
    return run_node(Renderer)
