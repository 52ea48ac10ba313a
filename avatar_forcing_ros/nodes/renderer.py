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

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.signals import AVATAR_AUDIO
from avatar_forcing_ros.media.images import encode_jpeg, rgb_bytes
from avatar_forcing_ros.motion import AVATARS, make_avatar, rest_of
from avatar_forcing_ros.motion.idle import shown
from avatar_forcing_ros.motion.playout import MotionPlayout, PlayedFrame
from avatar_forcing_ros.msg import AudioFrames, AvatarFrame, MotionLatentBlock
from avatar_forcing_ros.nodes import qos
from avatar_forcing_ros.nodes.base import AvatarNode, run_node
from avatar_forcing_ros.nodes.sound import SoundPublisher
from avatar_forcing_ros.nodes.unpack import block_of, sound_of
from avatar_forcing_ros.pacing import MILLISECOND, PresentationClock, Recent
from avatar_forcing_ros.timeline import (
    BLOCK_FRAMES,
    FRAME_RATE,
    NANOSECONDS,
    SAMPLE_RATE,
    SAMPLES_PER_FRAME,
    frame_at,
    seconds_to_ns,
    time_of,
)

KEPT_SPEECH_FRAMES = 8 * FRAME_RATE
_FIRST_DELAY_NS = 200 * MILLISECOND  # of the calm face before any motion, where the delay is automatic
_SILENT = 10 ** (-50 / 20)  # peak of a frame of speech that may be made longer or shorter
_WAKE_NS = 2 * MILLISECOND  # for what lies between the drawing of an image and its publishing
_UNHEARD_NS = 20 * MILLISECOND  # by which the delay is too short where a step had to start before its speech came


class Renderer(AvatarNode):
    """Reads `motion_blocks` and `speech/audio_frames`; publishes `image_raw`, `image_raw/compressed`,
    `spoken/audio_stamped` and `avatar_frame`.

    Frame f and its sound leave at time(f) + the presentation delay, which is given, or as short as the blocks come in time
    for (pacing.py). An image is drawn ahead of that moment; a block that is late holds the face and then eases it to
    rest, and the clock goes on.
    """

    def __init__(self) -> None:
        super().__init__("renderer")
        self.declare("avatar", "portrait", "the face", choices=AVATARS)
        self.declare("portrait", "", "image file of a face; empty: the one in the box")
        self.declare_network()
        self.declare("theme", "", "theme of the screen face; empty: the first one")
        self.declare("size", 512, "side of the images in pixels (the neural face has its weights' own)", 128, 2160)
        self.declare("presentation_delay", 0.0, "seconds from a frame's time to its showing; 0: measured, as short as it can be", 0.0, 5.0)
        self.declare("presentation_delay_low", 0.06, "bound of the measured delay, seconds", 0.02, 5.0)
        self.declare("presentation_delay_high", 1.0, "bound of the measured delay, seconds", 0.02, 5.0)
        self.declare("presentation_reserve", 0.015, "seconds kept over the delay that blocks have needed", 0.0, 1.0)
        self.declare("realtime_priority", 2, "of the threads that show images and speak, where the system allows it; 0: as any", 0, 50)
        self.declare("jpeg_quality", 85, "of image_raw/compressed", 10, 100)
        self.declare("frame_id", "avatar", "frame_id of the images")
        self._lock = threading.Condition()

    def setup(self) -> None:
        self._avatar = make_avatar(
            self.param("avatar"), self.param("portrait"), self.param("size"), self.param("theme"), self.network()
        )
        rest = rest_of(self._avatar)
        self._dim = len(rest)
        self._draws_blocks = hasattr(self._avatar, "render_block")
        self._timing = self._presentation_clock()
        self._playout = MotionPlayout(rest)
        self._speech: OrderedDict[int, np.ndarray] = OrderedDict()
        self._started = False  # a first block has come
        self._restart, self._first_image = False, 0.0
        self._render_ms, self._draw_ms = Recent(100), Recent(100)  # of an image; until the first image of a draw is there
        self._pack_ms = Recent(100)  # of an image's messages
        drawn_at_once = BLOCK_FRAMES if self._draws_blocks else 1
        for _ in range(3):  # the first images cost the most
            self._render_ms.clear()
            self._draw_ms.clear()
            self._render(0, [PlayedFrame(rest, -1, 0, 0, held=True)] * drawn_at_once)
        self._raw = self.create_publisher(Image, "image_raw", qos.reliable(4))
        self._compressed = self.create_publisher(CompressedImage, "image_raw/compressed", qos.reliable(4))
        self._info = self.create_publisher(AvatarFrame, "avatar_frame", qos.reliable(50))
        self._sound = SoundPublisher(self, "spoken/")

    def _presentation_clock(self) -> PresentationClock:
        given, low, high = (
            seconds_to_ns(self.param(f"presentation_delay{end}")) for end in ("", "_low", "_high")
        )  # fmt: skip
        if low > high:
            raise InputError(f"renderer: presentation_delay_low is {low / 1e9} s, above presentation_delay_high, {high / 1e9} s")
        reserve = seconds_to_ns(self.param("presentation_reserve"))
        return PresentationClock(given or _FIRST_DELAY_NS, not given, low, high, reserve)

    def start(self) -> None:
        self.create_subscription(MotionLatentBlock, "motion_blocks", self._on_block, qos.reliable(20))
        self.create_subscription(AudioFrames, "speech/audio_frames", self._on_speech, qos.reliable(100))
        # A thread that sleeps until an image is due gets a core of those that compute for longer.
        priority = self.param("realtime_priority")
        self.run_thread(self._speak, priority)
        self.run_thread(self._present, priority)

    def stop(self) -> None:
        with self._lock:
            self._lock.notify_all()
        self.join_threads()

    def on_time_jump(self) -> None:
        self._restart = True

    def _on_block(self, message: MotionLatentBlock) -> None:
        with self.usable():
            latents, stamps = block_of(message, self._avatar.space, self._dim)
            arrived = self.now_ns()
            with self._lock:
                self._playout.put(message.first_frame, latents, message.sequence, stamps)
                needed = arrived - time_of(message.first_frame) + self._lead_ns()
                if self._started:
                    # A step that could not wait for its speech would have needed more than it took.
                    unheard = AVATAR_AUDIO in message.missing
                    self._timing.observe(max(needed, self._timing.delay_ns + _UNHEARD_NS) if unheard else needed)
                else:
                    self._timing.begin(needed)
                self._started = True
                self._lock.notify_all()

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
            if self.wait_until(self._due(frame)):
                self._publish_speech(frame)
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
                    self._timing.reset()
                frame = self._frame_now() + 1
                continue
            if behind > 0:  # skip to the frame that is due, but show the newest image that has been drawn
                skipped = min(behind, len(drawn) - 1) if drawn else behind
                for _ in range(min(skipped, len(drawn))):
                    drawn.popleft()
                frame += skipped
                self.count("skipped images", skipped)
            due = self._due(frame)
            if not drawn:
                self._wait_for_motion(frame, due)
                drawn.extend(self._draw(frame))
            messages = self._pack(drawn[0][1])  # before the image is due, so that it leaves at the moment
            if not self.wait_until(due):
                continue
            played, _ = drawn.popleft()
            stamp = Time(nanoseconds=due).to_msg()
            for publisher, message in messages:
                message.header.stamp = stamp
                publisher.publish(message)
            self.count("images")
            self._publish_info(frame, due, played)
            if not self._first_image:
                self._first_image = self.now_ns() / NANOSECONDS
            if played.held and self._started:
                self.count("held frames")
            frame += 1

    def _frame_now(self) -> int:
        """The frame whose presentation time has come."""
        return frame_at(self.now_ns() - self._timing.delay_ns)

    def _due(self, frame: int) -> int:
        """When `frame` is shown. The speech of the frame before it takes up a change of the delay, if it is silent."""
        with self._lock:
            return self._timing.due(frame, lambda: self._is_silent(frame - 1) and self._is_silent(frame))

    def _is_silent(self, frame: int) -> bool:
        samples = self._speech.get(frame)
        return samples is None or float(np.abs(samples).max()) < _SILENT

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
        spent = 1000 * (time.perf_counter() - began)
        self._draw_ms.add(spent)
        self._render_ms.add(spent / len(played))
        return images

    def _pack(self, image: np.ndarray) -> list[tuple]:
        """(publisher, message without its stamp) of an image (h, w, 3): raw and compressed, each only where somebody listens."""
        began, messages = time.perf_counter(), []
        if self._raw.get_subscription_count():
            message = Image(height=image.shape[0], width=image.shape[1], encoding="rgb8", step=3 * image.shape[1])
            message.data = rgb_bytes(image)
            messages.append((self._raw, message))
        if self._compressed.get_subscription_count():
            message = CompressedImage(format="jpeg")
            message.data = array.array("B", encode_jpeg(image, self.param("jpeg_quality")))
            messages.append((self._compressed, message))
        for _, message in messages:
            message.header.frame_id = self.param("frame_id")
        self._pack_ms.add(1000 * (time.perf_counter() - began))
        return messages

    def _lead_ns(self) -> int:
        """How long before its presentation time an image's motion has to be there."""
        return self._work_ns(90) + _WAKE_NS

    def _work_ns(self, percent: float) -> int:
        """A quantile of the time from an image's motion to its messages."""
        return round((self._draw_ms.quantile(percent) + self._pack_ms.quantile(percent)) * MILLISECOND)

    def _wait_for_motion(self, frame: int, due: int) -> None:
        """Give a late block until the last moment at which the image can still be drawn in time, as it mostly is."""
        work = self._work_ns(50)
        with self._lock:
            while self.active and not self._restart and not self._playout.has(frame):
                remaining = due - work - self.now_ns()
                if remaining <= 0:
                    return
                self.wait_notified(self._lock, remaining)

    def _publish_speech(self, frame: int) -> None:
        due, until = self._due(frame), self._due(frame + 1)
        with self._lock:
            samples = self._speech.pop(frame, None)
        if samples is None:
            samples = np.zeros(SAMPLES_PER_FRAME, np.float32)
        # Where the delay changes, a silent frame is a little longer or shorter: the sound stays whole, in step with its stamps.
        count = max(0, (until - due) * SAMPLE_RATE // NANOSECONDS)
        samples = np.pad(samples, (0, max(0, count - len(samples))))[:count]
        if count:
            self._sound.publish(samples, SAMPLE_RATE, Time(nanoseconds=due).to_msg(), self.param("frame_id"))

    def _publish_info(self, frame: int, due: int, played) -> None:
        message = AvatarFrame(
            frame=frame, block=max(played.block, 0), render_ms=self._render_ms.newest, lead_ms=self._lead_ns() / MILLISECOND,
            held=played.held,
        )  # fmt: skip
        message.header.stamp = Time(nanoseconds=due).to_msg()
        message.header.frame_id = self.param("frame_id")
        message.camera_stamp = Time(nanoseconds=played.camera_stamp_ns).to_msg()
        message.user_audio_stamp = Time(nanoseconds=played.user_audio_stamp_ns).to_msg()
        message.published = self.get_clock().now().to_msg()
        self._info.publish(message)

    def report(self):
        if not self.active:
            return super().report()
        render_ms = self._render_ms.quantile(50)
        with self._lock:
            frame = self._frame_now()
            queued = sum(self._playout.has(frame + i) for i in range(1, 2 * BLOCK_FRAMES + 1))
            values = {
                "render ms": render_ms,
                "real-time factor": render_ms * FRAME_RATE / 1000,
                "presentation delay s": self._timing.delay_ns / NANOSECONDS,
                "wanted presentation delay s": self._timing.wanted_ns / NANOSECONDS,
                "queued motion frames": queued,
                "queued speech frames": sum(f > frame for f in self._speech),
                "first image": self._first_image,
                "real-time priority": self.realtime_priority,
            }
        if self.unusable:
            return DiagnosticStatus.ERROR, self.unusable, values
        if render_ms > 1000 / FRAME_RATE:
            return DiagnosticStatus.WARN, "slower than real time: choose a smaller size", values
        return DiagnosticStatus.OK, "showing" if self._started else "waiting for motion", values


def main() -> int:
    return run_node(Renderer)
