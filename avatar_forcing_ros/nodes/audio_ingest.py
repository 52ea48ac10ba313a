"""Node: any sound topic -> 16 kHz frames on the frame clock. One instance for the user, one for the avatar's speech."""

from __future__ import annotations

import array
import threading
from collections import deque

import numpy as np
from audio_common_msgs import msg as audio_msgs
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import DurabilityPolicy
from rclpy.time import Time
from std_srvs.srv import Trigger

from avatar_forcing_ros.audio.decode import AudioDecoder, SoundFormat, stamp_of
from avatar_forcing_ros.audio.framer import AudioFramer
from avatar_forcing_ros.audio.resample import Resampler
from avatar_forcing_ros.audio.speech_queue import SpeechQueue
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.msg import AudioFrames
from avatar_forcing_ros.nodes import qos
from avatar_forcing_ros.nodes.base import AvatarNode, run_node
from avatar_forcing_ros.nodes.sound import PLAIN, STAMPED, TYPED_FAMILY
from avatar_forcing_ros.timeline import (
    FRAME_RATE,
    NANOSECONDS,
    SAMPLE_RATE,
    SAMPLES_PER_FRAME,
    frame_at,
    seconds_to_ns,
    time_of,
)

FLUSH_AFTER_NS = 200_000_000
HELD_MESSAGES = 100  # that wait for the description of their format


class AudioIngest(AvatarNode):
    """Reads `audio_stamped` (or `audio`) and `audio_info`, publishes `audio_frames`.

    speaker user: every frame leaves as soon as it is complete. speaker avatar: speech is queued and released on the
    clock, so that it may arrive faster than real time; the service `~/clear_speech` drops what has not been released
    (barge-in).
    """

    def __init__(self) -> None:
        super().__init__("audio_ingest")
        self.declare("speaker", "user", "whose sound this is", choices=("user", "avatar"))
        self.declare("stamped", True, "read audio_stamped; false: read audio, timed by its arrival")
        self.declare("sample_format", "S16LE", "sample format until an AudioInfo arrives")
        self.declare("sample_rate", 16000, "Hz, until an AudioInfo arrives", 0, 768000)
        self.declare("channels", 1, "channels, until an AudioInfo arrives", 0, 64)
        self.declare("channel", -1, "the channel to use, from 0; -1: the mean of all", -1, 63)
        self.declare("release_delay", 0.03, "seconds after a frame's end that the avatar's speech is waited for at most", 0.0, 1.0)
        self.declare("max_queue_seconds", 120.0, "how much of the avatar's speech may wait", 1.0, 3600.0)
        self._lock = threading.Condition()  # of the speech queue and the frame that is released next

    def setup(self) -> None:
        speaker = self.param("speaker")
        if speaker not in ("user", "avatar"):
            raise InputError(f"audio_ingest: speaker is '{speaker}'; use user or avatar")
        default = SoundFormat(self.param("sample_format"), self.param("channels"), self.param("sample_rate"))
        channel = self.param("channel")
        self._decoder = AudioDecoder(default)
        self._resampler = Resampler(None if channel < 0 else channel)
        self._framer = AudioFramer()
        self._queue = SpeechQueue(self.param("max_queue_seconds")) if speaker == "avatar" else None
        self._next_frame: int | None = None
        self._refused = ""
        self._described = TYPED_FAMILY  # its messages bring their own format
        self._undescribed: deque = deque(maxlen=HELD_MESSAGES)
        self._last_message: int | None = None  # ROS time; None: nothing waits in the resampler
        self._publisher = self.create_publisher(AudioFrames, "audio_frames", qos.reliable(50))
        if self._queue is not None:
            self.create_service(Trigger, "~/clear_speech", self._clear_speech)

    def start(self) -> None:
        reading = qos.reading(200)
        if self.param("stamped"):
            self.create_subscription(STAMPED, "audio_stamped", self._on_sound, reading)
        else:
            self.create_subscription(PLAIN, "audio", self._on_sound, reading)
        self._info_subscription, self._info_latched = None, False
        if not TYPED_FAMILY:
            self._find_info()
            self.create_timer(0.2, self._find_info)
        self.create_timer(0.1, self._flush)
        if self._queue is not None:
            self.run_thread(self._release)

    def stop(self) -> None:
        with self._lock:
            self._lock.notify_all()
        self.join_threads()

    def on_time_jump(self) -> None:
        if self.active:
            self._decoder.reset()
            self._framer.reset()
            self._resampler.flush()
            self._last_message = None
            self._undescribed.clear()
            with self._lock:
                self._next_frame = None
                if self._queue is not None:
                    self._queue.reset()

    def _find_info(self) -> None:
        """Read the description as its writer offers it: latched where it is live, plain where an old bag replays it."""
        writers = self.get_publishers_info_by_topic(self.resolve_topic_name("audio_info"))
        latched = bool(writers) and all(w.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for w in writers)
        if self._info_subscription is not None and latched == self._info_latched:
            return
        if self._info_subscription is not None:
            self.destroy_subscription(self._info_subscription)
        profile = qos.latched() if latched else qos.reading(10)
        self._info_subscription = self.create_subscription(audio_msgs.AudioInfo, "audio_info", self._on_info, profile)
        self._info_latched = latched

    def _on_info(self, info) -> None:
        try:
            self._decoder.set_info(info)
            self._refused, self._described = "", True
        except InputError as error:
            self._refuse(error)
        while self._undescribed and self._described:
            self._on_sound(self._undescribed.popleft())

    def _on_sound(self, message) -> None:
        if not self.active or (self._refused and not TYPED_FAMILY):
            return
        if not self._described and self.count_publishers(self.resolve_topic_name("audio_info")):
            if len(self._undescribed) == HELD_MESSAGES:
                self.count("messages dropped before their description")
            self._undescribed.append(message)
            return
        try:
            samples = self._decoder.decode(message)
            stretches = self._resampler.push(samples, self._decoder.format.rate, stamp_of(message))
        except InputError as error:
            self._refuse(error)
            return
        self._refused = ""
        self.count("messages")
        self._last_message = self.now_ns()
        self._take(stretches)

    def _flush(self) -> None:
        """The end of an utterance leaves the resampler's filter when no more sound comes."""
        if self.active and self._last_message is not None and self.now_ns() - self._last_message > FLUSH_AFTER_NS:
            self._last_message = None
            self._take(self._resampler.flush())

    def _take(self, stretches: list) -> None:
        """16 kHz sound, as the resampler gives it, to the queue or the clock."""
        for stretch, stamp in stretches:
            if self._queue is not None:
                with self._lock:
                    dropped = self._queue.push(stretch, stamp)
                    self._lock.notify()
                if dropped:
                    self.count("dropped samples", dropped)
                    self.warn(f"speech queue is full: dropped {dropped / SAMPLE_RATE:.2f} s")
            else:
                frames = self._framer.push(stretch, stamp, self.now_ns())
                if frames:
                    self._publish(frames[0].index, [f.samples for f in frames], [f.known for f in frames])

    def _refuse(self, error: InputError) -> None:
        """This sound cannot be used: say so once, and wait for a description that can (or a message, where each has its own)."""
        if self._refused != str(error):
            self._refused = str(error)
            self.get_logger().error(self._refused)

    def _release(self) -> None:
        """Publish the speech of every frame at the frame's end, or up to `release_delay` later where some is still to come."""
        delay = seconds_to_ns(self.param("release_delay"))
        kept_frames = FRAME_RATE + delay * FRAME_RATE // NANOSECONDS
        while self.active:
            running = frame_at(self.now_ns())
            with self._lock:
                if self._next_frame is None or not 0 <= running - self._next_frame <= kept_frames:
                    self._next_frame = running
                frame = self._next_frame
            if not (self.wait_until(time_of(frame + 1)) and self._wait_for_speech(frame, time_of(frame + 1) + delay)):
                continue
            with self._lock:
                if self._next_frame != frame:  # time has jumped
                    continue
                samples, known = self._queue.pop_frame(frame)
                self._next_frame += 1
            self._publish(frame, [samples], [known])

    def _wait_for_speech(self, frame: int, until: int) -> bool:
        """Until the speech of `frame` is decided, or the ROS time `until`; False when the node stops or time has jumped."""
        with self._lock:
            while self.active and self._next_frame == frame:
                remaining = until - self.now_ns()
                if remaining <= 0 or self._queue.is_decided(frame):
                    return True
                self.wait_notified(self._lock, remaining)
        return False

    def _publish(self, first_frame: int, frames: list[np.ndarray], known: list[bool]) -> None:
        message = AudioFrames(first_frame=first_frame, sample_rate=SAMPLE_RATE, samples_per_frame=SAMPLES_PER_FRAME)
        message.header.stamp = Time(nanoseconds=time_of(first_frame)).to_msg()
        message.header.frame_id = self.param("speaker")
        message.known = known
        message.samples = array.array("f", np.concatenate(frames).astype(np.float32).tobytes())
        self._publisher.publish(message)
        self.count("frames", len(frames))

    def _clear_speech(self, request, response):
        with self._lock:
            seconds = self._queue.clear()
        response.success, response.message = True, f"dropped {seconds:.2f} s of speech"
        return response

    def report(self):
        if not self.active:
            return super().report()
        values = {"NaN or infinite samples": self._decoder.bad_samples}
        if self._queue is not None:
            values["queued seconds"] = self._queue.queued_seconds
            values["caught up samples"] = self._queue.lag_samples
        else:
            values.update(gaps=self._framer.gaps, overlaps=self._framer.overlaps, resets=self._framer.resets)
        if self._refused:
            return DiagnosticStatus.ERROR, self._refused, values
        return DiagnosticStatus.OK, "listening", values


def main() -> int:
    return run_node(AudioIngest)
