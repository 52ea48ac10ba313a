"""Node: motion blocks and speech in; images and the same speech out, together, at their presentation time."""

from __future__ import annotations

import array
import threading
import time
from collections import deque
from dataclasses import replace

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.duration import Duration
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.signals import AVATAR_AUDIO
from avatar_forcing_ros.media.images import encode_jpeg
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.direction.director import VOICE_AHEAD, sounding
from avatar_forcing_ros.motion.idle import micro_motion, shown
from avatar_forcing_ros.motion.smaller import ScaledFace
from avatar_forcing_ros.motion.space import make_avatar
from avatar_forcing_ros.msg import (
    AvatarFrame,
    MotionLatent,
    MotionLatentBlock,
    PresentationState,
    SpeechControl,
    SpeechState,
    VoiceFrame,
)
from avatar_forcing_ros.nodes.base import AvatarNode
from avatar_forcing_ros.nodes.running import run_node
from avatar_forcing_ros.presentation.hush import Hush
from avatar_forcing_ros.presentation.pacing import MILLISECOND, PresentationClock, Recent
from avatar_forcing_ros.presentation.playout import MotionPlayout, PlayedFrame
from avatar_forcing_ros.presentation.voice_playout import SpeechEvent, VoicePlayout
from avatar_forcing_ros.ros import qos
from avatar_forcing_ros.ros.camera_info import rgb_message, uncalibrated
from avatar_forcing_ros.ros.direction import DirectionTopics
from avatar_forcing_ros.ros.messages import block_of, motion_message, nanoseconds
from avatar_forcing_ros.ros.quality import RendererQuality
from avatar_forcing_ros.ros.settings import RendererSettings
from avatar_forcing_ros.ros.sound import SoundPublisher
from avatar_forcing_ros.ros.speech import cut_of, state_message, voice_of
from avatar_forcing_ros.timeline import BLOCK_FRAMES, FRAME_RATE, NANOSECONDS, frame_at, seconds_to_ns, time_of

_FIRST_DELAY_NS = 200 * MILLISECOND  # of the calm face before any motion, where the delay is automatic
_WAKE_NS = 2 * MILLISECOND  # for what lies between the drawing of an image and its publishing
_AHEAD_FRAMES = 2  # of motion for pages that draw it; what is asked of the face meanwhile comes after them
_UNHEARD_NS = 20 * MILLISECOND  # by which the delay is too short where a step had to start before its speech came


class Renderer(AvatarNode):
    """Reads `motion_blocks`, `speech/voice_frames` and `speech/control`; publishes `image_raw`, `image_raw/compressed`, `camera_info`,
    `shown_motion`, `spoken/audio_stamped`, `speech_state`, `presentation` (by which the generator is paced) and `avatar_frame`
    (a record).

    Frame f and its sound leave at time(f) + the presentation delay, which is given, or as short as the blocks come in time
    for (pacing.py). An image is drawn ahead of that moment; a block that is late holds the face and then eases it to
    rest, and the clock goes on.
    """

    SETTINGS = RendererSettings
    SENDS_IMAGES = True
    settings: RendererSettings

    def __init__(self, arguments: list[str] | None = None) -> None:
        super().__init__("renderer", arguments)
        self._lock = threading.Condition()

    def setup(self) -> None:
        now = self.settings
        face = now.avatar, now.portrait or "", now.theme or "", now.network
        self._avatar = ScaledFace(lambda size: make_avatar(*face[:2], size, *face[2:]), now.picture_size)
        for note in self._avatar.notes:
            self.get_logger().warning(f"{self.settings.portrait}: {note}")
        rest, self._draws_blocks = self._avatar.rest, self._avatar.draws_blocks
        self._dim = len(rest)
        self._direction = DirectionTopics(self) if self._avatar.space == rig.SPACE else None
        if self._direction is not None:
            self.at_end(self._direction.close)
        self._timing = self._presentation_clock()
        self._playout = MotionPlayout(rest)
        self._voice = VoicePlayout()
        self._hush = Hush(rest, rig.MOUTH if self._avatar.space == rig.SPACE else [])
        self._moving = False  # a first block has come
        self._restart, self._first_image = False, 0  # ROS time of the first image
        # Of an image; until the first image of a draw is there; of an image's messages.
        self._render_ms, self._draw_ms, self._pack_ms = Recent(100), Recent(100), Recent(100)
        drawn_at_once = BLOCK_FRAMES if self._draws_blocks else 1
        for _ in range(3):  # the first images cost the most
            self._render_ms.clear()
            self._draw_ms.clear()
            self._render(0, [PlayedFrame(rest, -1, 0, 0, held=True)] * drawn_at_once)
        self._raw = self.create_publisher(Image, "image_raw", qos.reliable(4))
        self._compressed = self.create_publisher(CompressedImage, "image_raw/compressed", qos.reliable(4))
        self._camera_info = self.create_publisher(CameraInfo, "camera_info", qos.reliable(4))
        self._presentation = self.create_publisher(PresentationState, "presentation", qos.reliable(10))
        self._info = self.create_publisher(AvatarFrame, "avatar_frame", qos.reliable(50))
        self._motion = self.create_publisher(MotionLatent, "shown_motion", qos.reliable(50))
        self._sound = SoundPublisher(self, "spoken/")
        self._state = self.create_publisher(SpeechState, "speech_state", qos.reliable(100))

    def _presentation_clock(self) -> PresentationClock:
        asked, now = self.settings.presentation_delay, self.settings
        if now.presentation_delay_low > now.presentation_delay_high:
            low, high = now.presentation_delay_low, now.presentation_delay_high
            raise InputError(f"renderer: presentation_delay_low is {low} s, above presentation_delay_high, {high} s")
        return PresentationClock(
            _FIRST_DELAY_NS if asked is None else seconds_to_ns(asked),
            asked is None,
            seconds_to_ns(now.presentation_delay_low),
            seconds_to_ns(now.presentation_delay_high),
            seconds_to_ns(now.presentation_reserve),
        )

    def start(self) -> None:
        self.create_subscription(MotionLatentBlock, "motion_blocks", self._on_block, qos.reliable(20))
        self.create_subscription(VoiceFrame, "speech/voice_frames", self._on_voice, qos.reliable(100))
        self.create_subscription(SpeechControl, "speech/control", self._on_control, qos.reliable(20))
        self._quality = RendererQuality(self, self._avatar, self.allow_priority)
        if self._direction is not None:
            self._direction.start()
        # A thread that sleeps until an image is due gets a core of those that compute for longer.
        priority = self.settings.realtime_priority
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
                lead = self._lead_ns() + self._quality.room_ns(message.frame_count)
                needed = arrived - nanoseconds(message.waited) - time_of(message.first_frame) + lead
                if self._moving:
                    # A step that could not wait for its speech would have needed more than it took.
                    unheard = AVATAR_AUDIO in message.missing
                    self._timing.observe(max(needed, self._timing.delay_ns + _UNHEARD_NS) if unheard else needed)
                else:
                    self._timing.begin(needed)
                self._moving = True
                self._lock.notify_all()

    def _on_voice(self, message: VoiceFrame) -> None:
        with self.usable():
            voice, spans = voice_of(message)
            with self._lock:
                self._voice.put(message.frame, voice, message.rate, spans)

    def _on_control(self, message: SpeechControl) -> None:
        with self.usable():
            if message.action == SpeechControl.GAIN:
                with self._lock:
                    self._voice.set_gain(min(max(message.gain, 0.0), 1.0))
                return
            stamp, utterance, position = cut_of(message)
            with self._lock:
                events = self._voice.cut(stamp, utterance, position)
                if events:
                    # Motion up to the interruption was made for sound that is not heard.
                    self._hush.begin(self._frame_now() + 1, frame_at(stamp) + 2)
            self._tell(events)

    def _tell(self, events: list[SpeechEvent]) -> None:
        for event in events:
            self._state.publish(state_message(event, self.settings.frame_id))

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
        drawn: deque[tuple[PlayedFrame, np.ndarray | None]] = deque()  # of the frames from `frame` on
        while self.active:
            behind = self._frame_now() - frame
            if self._restart or behind < -2 * FRAME_RATE:
                self._restart = False
                drawn.clear()
                with self._lock:
                    self._playout.reset()
                    self._voice.reset()
                    self._hush.reset()
                    if self._direction is not None:
                        self._direction.reset()
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
            drawn.extend(self._draw(frame, len(drawn)))
            messages = self._pack(drawn[0][1])  # before the image is due, so that it leaves at the moment
            if not self.wait_until(due):
                continue
            played, _ = drawn.popleft()
            stamp = Time(nanoseconds=due).to_msg()
            for publisher, message in messages:
                message.header.stamp = stamp
                publisher.publish(message)
            self.count("images", int(bool(messages)))
            self._publish_presentation(frame, due, settled=not played.held)
            self._publish_info(frame, due, played)
            if messages and not self._first_image:
                self._first_image = self.now_ns()
            if played.held and self._moving:
                self.count("held frames")
            frame += 1

    def _frame_now(self) -> int:
        """The frame whose presentation time has come."""
        return frame_at(self.now_ns() - self._timing.delay_ns)

    def _due(self, frame: int) -> int:
        """When `frame` is shown. The speech of the frame before it takes up a change of the delay, if it is silent."""
        with self._lock:
            return self._timing.due(frame, lambda: self._voice.is_silent(frame - 1) and self._voice.is_silent(frame))

    def _draw(self, frame: int, ready: int) -> list[tuple[PlayedFrame, np.ndarray | None]]:
        """What is still to be drawn of `frame` and those soon after it, of which `ready` are there, as far as their motion has come."""
        seen = any(p.get_subscription_count() for p in (self._raw, self._compressed))
        most = BLOCK_FRAMES if self._draws_blocks else 1 if seen else _AHEAD_FRAMES
        if ready and (seen or self._draws_blocks):
            return []
        first = frame + ready
        with self._lock:
            played = [] if ready else [self._playout.frame_at(frame)]
            while ready + len(played) < most and self._playout.has(first + len(played)):
                played.append(self._playout.frame_at(first + len(played)))
            played = [replace(p, latent=self._bent(p.latent, first + i)) for i, p in enumerate(played)]
        self._publish_motion(first, played)
        if not seen or not played:
            return [(p, None) for p in played]  # nobody looks: the clock, the motion and the speech go on
        return list(zip(played, self._render(first, played), strict=True))

    def _bent(self, latent: np.ndarray, frame: int) -> np.ndarray:
        """What the face does at a frame for which the generator made `latent`."""
        if self._direction is None:
            return latent
        heard = [self._voice.get(frame + i) for i in range(VOICE_AHEAD + 1)]
        return self._direction.bent(self._hush.apply(frame, latent), frame, sounding(heard, 1))

    def _publish_motion(self, frame: int, played: list[PlayedFrame]) -> None:
        """The motion that is shown, ahead of its time, for those who draw the face themselves."""
        if self._avatar.space != rig.SPACE or not self._motion.get_subscription_count():
            return
        for i, p in enumerate(played):
            latent, due = p.latent + micro_motion(frame + i), self._due(frame + i)
            self._motion.publish(motion_message(frame + i, due, latent, float(not p.held), self.settings.frame_id))

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

    def _pack(self, image: np.ndarray | None) -> list[tuple]:
        """(publisher, message without its stamp) of an image (h, w, 3): raw and compressed, each only where somebody listens."""
        if image is None:
            return []
        began, messages = time.perf_counter(), []
        if self._raw.get_subscription_count():
            message = rgb_message(image)
            messages.append((self._raw, message))
        if self._compressed.get_subscription_count():
            message = CompressedImage(format="jpeg")
            message.data = array.array("B", encode_jpeg(image, self.settings.jpeg_quality))
            messages.append((self._compressed, message))
        if messages and self._camera_info.get_subscription_count():
            messages.append((self._camera_info, uncalibrated(image)))
        for _, message in messages:
            message.header.frame_id = self.settings.frame_id
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
        # Where the delay changes, a silent frame is a little longer or shorter, and the sound stays in step.
        with self._lock:
            samples, rate, events = self._voice.take(frame, due, until)
        if len(samples):
            self._sound.publish(samples, rate, Time(nanoseconds=due).to_msg(), self.settings.frame_id)
        self._tell(events)

    def _publish_presentation(self, frame: int, due: int, settled: bool) -> None:
        message = PresentationState(frame=frame, settled=settled)
        message.header.stamp = Time(nanoseconds=due).to_msg()
        message.header.frame_id = self.settings.frame_id
        message.delay = Duration(nanoseconds=due - time_of(frame)).to_msg()
        message.lead = Duration(nanoseconds=self._lead_ns()).to_msg()
        message.render_time = Duration(nanoseconds=round(self._render_ms.newest * 1e6)).to_msg()
        self._presentation.publish(message)

    def _publish_info(self, frame: int, due: int, played: PlayedFrame) -> None:
        message = AvatarFrame(frame=frame, block=max(played.block, 0), held=played.held)
        message.render_time = Duration(nanoseconds=round(self._render_ms.newest * 1e6)).to_msg()
        message.header.stamp = Time(nanoseconds=due).to_msg()
        message.header.frame_id = self.settings.frame_id
        message.camera_stamp = Time(nanoseconds=played.camera_stamp_ns).to_msg()
        message.user_audio_stamp = Time(nanoseconds=played.user_audio_stamp_ns).to_msg()
        message.published = self.get_clock().now().to_msg()
        self._info.publish(message)

    def _queued(self) -> tuple[int, int]:
        """Frames of motion and of speech that wait for their presentation."""
        frame = self._frame_now()
        motion = sum(self._playout.has(frame + i) for i in range(1, 2 * BLOCK_FRAMES + 1))
        return motion, self._voice.waiting(frame)

    def measured(self) -> dict[str, object]:
        with self._lock:
            motion, speech = self._queued()
            delay = Duration(nanoseconds=self._timing.delay_ns).to_msg()
        return {
            "real_time_factor": self._render_ms.quantile(50) * FRAME_RATE / 1000,
            "queued_motion": float(motion),
            "queued_speech": float(speech),
            "presentation_delay": delay,
            "first_image": Time(nanoseconds=self._first_image).to_msg(),
        }

    def report(self) -> tuple[int, str, dict]:
        if not self.active:
            return super().report()
        render_ms = self._render_ms.quantile(50)
        with self._lock:
            queued, speech = self._queued()
            values = {
                "render ms": render_ms,
                "real-time factor": render_ms * FRAME_RATE / 1000,
                "presentation delay s": self._timing.delay_ns / NANOSECONDS,
                "wanted presentation delay s": self._timing.wanted_ns / NANOSECONDS,
                "queued motion frames": queued,
                "queued speech frames": speech,
                "late speech frames": self._voice.late_frames,
                "first image": self._first_image / NANOSECONDS,
                "real-time priority": self.realtime_priority,
                "drawn size": self._avatar.scale,
            }
        if self.unusable:
            return DiagnosticStatus.ERROR, self.unusable, values
        if render_ms > 1000 / FRAME_RATE:
            return DiagnosticStatus.WARN, "slower than real time: choose a smaller size", values
        return DiagnosticStatus.OK, "showing" if self._moving else "waiting for motion", values


def main() -> int:
    return run_node(Renderer)
