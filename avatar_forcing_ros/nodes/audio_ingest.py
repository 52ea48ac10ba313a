"""Node: any sound topic -> 16 kHz frames on the frame clock. One instance for the user, one for the avatar's speech, whose voice
as it came goes beside them."""

from __future__ import annotations

import array
import threading
from collections import deque
from typing import Any

import numpy as np
from audio_common_msgs import msg as audio_msgs
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import DurabilityPolicy
from rclpy.subscription import Subscription
from rclpy.time import Time
from std_msgs.msg import String
from std_srvs.srv import Trigger

from avatar_forcing_ros.audio.formats import SoundFormat
from avatar_forcing_ros.audio.framer import AudioFramer
from avatar_forcing_ros.audio.resample import Resampler
from avatar_forcing_ros.audio.speech_queue import SpeechFrame, SpeechQueue
from avatar_forcing_ros.audio.spoken import SpeechResampler, Utterance
from avatar_forcing_ros.audio.utterances import UtteranceTracker
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.msg import AudioFrames, SpeechChunk, SpeechControl, VoiceFrame
from avatar_forcing_ros.nodes.base import AvatarNode
from avatar_forcing_ros.nodes.running import run_node
from avatar_forcing_ros.ros import qos
from avatar_forcing_ros.ros.settings import AudioIngestSettings
from avatar_forcing_ros.ros.sound import PLAIN, STAMPED, TYPED_FAMILY
from avatar_forcing_ros.ros.sound_input import SoundInput
from avatar_forcing_ros.ros.speech import chunk_of, cut_message, cut_of, voice_message, with_sending_time
from avatar_forcing_ros.timeline import (
    FRAME_RATE,
    NANOSECONDS,
    SAMPLE_RATE,
    SAMPLES_PER_FRAME,
    frame_at,
    seconds_to_ns,
    time_of,
)

DROPPED_TOLD_NS = 10 * NANOSECONDS  # for how long speech that was dropped goes on to be told
HELD_MESSAGES = 100  # that wait for the description of their format
_LOOK_FOR_INFO_S = 1.0  # how often the writer of the description is looked for; also at the first message without one
KEPT_CUTS = 256  # utterances that were interrupted one by one
KEPT_TEXTS = 64  # of speech that waits


class AudioIngest(AvatarNode):
    """Reads `audio_stamped` (or `audio`) and `audio_info`, publishes `audio_frames`.

    speaker user: every frame leaves as soon as it is complete. speaker avatar: speech is queued and released on the
    clock, so that it may arrive faster than real time; what the speaker node makes comes on `utterances`. Beside the frames,
    `voice_frames` has the voice at the rate and with the channels it came in. What `control` says is dropped; the service
    `~/clear_speech` drops all. A `text` is told on `caption` when the sound that came after it is released.
    """

    SETTINGS = AudioIngestSettings
    settings: AudioIngestSettings

    def __init__(self, arguments: list[str] | None = None) -> None:
        super().__init__("audio_ingest", arguments)
        self._lock = threading.Condition()  # of the speech queue and the frame that is released next

    def setup(self) -> None:
        speaker = self.settings.speaker
        default = SoundFormat(self.settings.sample_format, self.settings.channels, self.settings.sample_rate)
        self._channel = self.settings.channel
        resampler = Resampler(self._channel) if speaker == "user" else SpeechResampler(self._channel)
        self._input = SoundInput(default, resampler, self.settings.max_queue_seconds if speaker == "avatar" else None)
        self._framer = AudioFramer()
        self._queue = SpeechQueue(self.settings.max_queue_seconds) if speaker == "avatar" else None
        self._utterances = UtteranceTracker()  # of the speech that comes as sound alone
        self._saying: tuple[Utterance, SpeechResampler] | None = None  # the utterance that comes on `utterances`
        self._cut_ids: deque[str] = deque(maxlen=KEPT_CUTS)  # of which nothing more is taken
        self._cut_ns = -1
        self._new_texts: deque[tuple[str, int]] = deque(
            maxlen=KEPT_TEXTS
        )  # whose sound has not come, and when they were sent
        self._texts: deque[tuple[str, int]] = deque(maxlen=KEPT_TEXTS)  # and how many frames are released before
        self._next_frame: int | None = None
        self._frame_id = ""
        self._refused = ""  # why the newest description or message cannot be used
        self._blocked = False  # the description cannot: no message can
        self._described = TYPED_FAMILY  # its messages bring their own format
        self._undescribed: deque = deque(maxlen=HELD_MESSAGES)
        self._told = ""  # state of the clock that was told
        self._dropped_at: int | None = None  # when speech was last dropped
        self._publisher = self.create_publisher(AudioFrames, "audio_frames", qos.reliable(50))
        if self._queue is not None:
            self._voice_publisher = self.create_publisher(VoiceFrame, "voice_frames", qos.reliable(50))
            self._control_publisher = self.create_publisher(SpeechControl, "control", qos.reliable(20))
            self._captions = self.create_publisher(String, "caption", qos.reliable(20))
            self.create_service(Trigger, "~/clear_speech", self._clear_speech)

    @property
    def _speech(self) -> SpeechQueue:
        """The queue, where it is the avatar's speech that comes."""
        assert self._queue is not None
        return self._queue

    def start(self) -> None:
        reading = qos.reading(200)
        if self._queue is not None:
            self.create_subscription(String, "text", with_sending_time(self._on_text), qos.reading(KEPT_TEXTS))
        if self.settings.stamped:
            self.create_subscription(STAMPED, "audio_stamped", with_sending_time(self._on_sound), reading)
        else:
            self.create_subscription(PLAIN, "audio", with_sending_time(self._on_sound), reading)
        self._info_subscription: Subscription | None = None
        self._info_latched = False
        if not TYPED_FAMILY:
            self._find_info()
            self.create_timer(_LOOK_FOR_INFO_S, self._find_info)
        self.create_timer(0.1, self._flush)
        if self._queue is not None:
            self.create_subscription(SpeechChunk, "utterances", self._on_chunk, qos.reliable(200))
            self.create_subscription(SpeechControl, "control", self._on_control, qos.reliable(20))
            self.run_thread(self._release)

    def stop(self) -> None:
        with self._lock:
            self._lock.notify_all()
        self.join_threads()

    def on_time_jump(self) -> None:
        if self.active:
            self._input.reset()
            self._framer.reset()
            self._undescribed.clear()
            with self._lock:
                self._next_frame = None
                if self._queue is not None:
                    self._queue.reset()
                    self._utterances.reset()
                    self._saying, self._cut_ns = None, -1
                    self._texts.clear()
                    self._new_texts.clear()

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

    def _on_info(self, info: Any) -> None:
        try:
            self._input.set_info(info)
            self._refused, self._blocked, self._described = "", False, True
        except InputError as error:
            self._blocked = True
            self._refuse(error)
        while self._undescribed and self._described:
            self._on_sound(*self._undescribed.popleft())

    def _on_sound(self, message: Any, sent_ns: int, arrived_ns: int | None = None) -> None:
        if not self.active or self._blocked:
            return
        arrived_ns = self.now_ns() if arrived_ns is None else arrived_ns
        if not self._described and self.count_publishers(self.resolve_topic_name("audio_info")):
            if not self._undescribed:
                self._find_info()
            if len(self._undescribed) == HELD_MESSAGES:
                self.count("messages dropped before their description")
            self._undescribed.append((message, sent_ns, arrived_ns))
            return
        try:
            stretches = self._input.push(message, arrived_ns)
        except InputError as error:
            self.count("unusable messages")
            self._refuse(error)
            return
        self._refused = ""
        self.count("messages")
        self._frame_id = message.header.frame_id if self.settings.stamped else ""
        self._place_texts(sent_ns)
        self._take(stretches)
        line = self._input.clock_line()
        if line and self._input.clock.state != self._told:  # once per state; its size goes on in diagnostics
            self.get_logger().warning(f"{self.resolve_topic_name('audio_stamped')}: {line}")
        self._told = self._input.clock.state

    def _flush(self) -> None:
        """The end of an utterance leaves the resampler's filter when no more sound comes."""
        if self.active:
            self._take(self._input.flush(self.now_ns()))

    def _take(self, stretches: list) -> None:
        """Sound, as the resampler gives it, to the queue or the clock."""
        for stretch, stamp in stretches:
            if self._queue is not None:
                with self._lock:
                    utterance, ended = self._utterances.take(stretch, self.now_ns())
                    if ended is not None:
                        self._queue.end(ended)
                    self._push(stretch, stamp, utterance)
            else:
                frames = self._framer.push(stretch, stamp, self.now_ns())
                if frames:
                    self._publish(frames[0].index, [f.samples for f in frames], [f.known for f in frames])

    def _push(self, speech: Any, stamp: int | None, utterance: Utterance | None, ahead: bool = False) -> None:
        """Under the lock: into the queue."""
        dropped = self._speech.push(speech, stamp, utterance, ahead=ahead)
        self._lock.notify()
        if dropped:
            self._dropped_at = self.now_ns()
            self.count("dropped samples", dropped)
            self.warn(f"speech queue is full: dropped {dropped / SAMPLE_RATE:.2f} s")

    # Words of the speech that comes as sound alone

    def _on_text(self, message: String, sent_ns: int) -> None:
        with self._lock:
            self._new_texts.append((message.data, sent_ns))

    def _place_texts(self, sent_ns: int) -> None:
        """Sound sent at `sent_ns` comes: the words that were sent before it belong to it. Two topics do not keep their order."""
        with self._lock:
            while self._new_texts and self._new_texts[0][1] <= sent_ns:
                waits = round(self._speech.queued_seconds * FRAME_RATE)
                self._texts.append((self._new_texts.popleft()[0], waits))

    def _tell_texts(self, known: bool) -> None:
        """A frame is released: words that begin with it are told. known: there is sound in it."""
        while known and self._texts and self._texts[0][1] <= 0:
            self._captions.publish(String(data=self._texts.popleft()[0]))
        self._texts = deque([(text, left - 1) for text, left in self._texts], self._texts.maxlen)

    # What the speaker node makes, and what is to be dropped

    def _on_chunk(self, message: SpeechChunk) -> None:
        if not self.active:
            return
        with self.usable(), self._lock:
            utterance, samples = chunk_of(message)
            if self._saying is None or self._saying[0] != utterance:
                self._end_saying()
                self._saying = (utterance, SpeechResampler(self._channel))
            if utterance.began_ns <= self._cut_ns or utterance.id in self._cut_ids:
                if message.last:  # of one that was interrupted at a position and may end there by itself
                    self._end_saying()
                return
            for speech, _ in self._saying[1].push(samples, message.rate) if len(samples) else []:
                self._push(speech, None, utterance, ahead=True)
            self.count("chunks")
            if message.last:
                self._end_saying()

    def _end_saying(self) -> None:
        if self._saying is None:
            return
        utterance, resampler = self._saying
        self._saying = None
        if not (utterance.began_ns <= self._cut_ns or utterance.id in self._cut_ids):
            for speech, _ in resampler.flush():
                self._push(speech, None, utterance, ahead=True)
        self._speech.end(utterance)

    def _on_control(self, message: SpeechControl) -> None:
        if self.active and message.action == SpeechControl.CUT:
            with self.usable(), self._lock:
                self._cut(*cut_of(message))

    def _cut(self, stamp_ns: int, utterance: str, position_ns: int | None) -> float:
        """Under the lock: an interruption. Gives the seconds dropped."""
        if utterance:
            self._cut_ids.append(utterance)
        else:
            self._cut_ns = max(self._cut_ns, stamp_ns)
            self._input.drop()
            ended = self._utterances.close()
            if ended is not None:
                self._speech.end(ended)
        self._texts.clear()
        self._new_texts.clear()
        keep = None if position_ns is None else position_ns / NANOSECONDS
        return self._speech.cut(stamp_ns, utterance, keep)[0]

    def _refuse(self, error: InputError) -> None:
        """This sound cannot be used: say so once, and wait for the next description or message."""
        if self._refused != str(error):
            self._refused = str(error)
            self.get_logger().error(self._refused)

    def _release(self) -> None:
        """Publish the speech of every frame at the frame's end, or up to `release_delay` later where some is still to come."""
        delay = seconds_to_ns(self.settings.release_delay)
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
                if not self._speech.queued_seconds:
                    ended = self._utterances.dry(self.now_ns())
                    if ended is not None:
                        self._speech.end(ended)
                speech = self._speech.pop_frame(frame)
                self._next_frame += 1
                self._tell_texts(speech.known)
            self._publish(frame, [speech.samples], [speech.known])
            self._publish_voice(frame, speech)

    def _wait_for_speech(self, frame: int, until: int) -> bool:
        """Until the speech of `frame` is decided, or the ROS time `until`; False when the node stops or time has jumped."""
        with self._lock:
            while self.active and self._next_frame == frame:
                remaining = until - self.now_ns()
                if remaining <= 0 or self._speech.is_decided(frame):
                    return True
                self.wait_notified(self._lock, remaining)
        return False

    def _publish(self, first_frame: int, frames: list[np.ndarray], known: list[bool]) -> None:
        message = AudioFrames(first_frame=first_frame, sample_rate=SAMPLE_RATE, samples_per_frame=SAMPLES_PER_FRAME)
        message.header.stamp = Time(nanoseconds=time_of(first_frame)).to_msg()
        message.header.frame_id, message.speaker = self._frame_id, self.settings.speaker
        message.known = known
        message.samples = array.array("f", np.concatenate(frames).astype(np.float32).tobytes())
        self._publisher.publish(message)
        self.count("frames", len(frames))

    def _publish_voice(self, frame: int, speech: SpeechFrame) -> None:
        if speech.known or speech.spans:
            message = voice_message(frame, speech)
            message.header.frame_id = self.settings.speaker
            self._voice_publisher.publish(message)

    def _clear_speech(self, request: Any, response: Any) -> Any:
        now = self.now_ns()
        with self._lock:
            seconds = self._cut(now, "", None)
        self._control_publisher.publish(cut_message(now))
        response.success, response.message = True, f"dropped {seconds:.2f} s of speech"
        return response

    def measured(self) -> dict[str, Any]:
        return {} if self._queue is None else {"queued_speech": self._queue.queued_seconds * FRAME_RATE}

    def report(self) -> tuple[int, str, dict[str, Any]]:
        if not self.active:
            return super().report()
        now = self.now_ns()
        values = self._input.values()
        if self._queue is not None:
            values["queued seconds"] = self._queue.queued_seconds
            values["caught up samples"] = self._queue.lag_samples
        else:
            values.update(gaps=self._framer.gaps, resets=self._framer.resets)
        if self._refused:
            return DiagnosticStatus.ERROR, self._refused, values
        if self._dropped_at is not None and 0 <= now - self._dropped_at < DROPPED_TOLD_NS:
            seconds = self._speech.dropped_samples / SAMPLE_RATE
            line = f"{seconds:.1f} s of speech were dropped: send it as it is spoken, or raise max_queue_seconds"
            return DiagnosticStatus.WARN, line, values
        warning = self._input.warning(now)
        if warning:
            return DiagnosticStatus.WARN, warning, values
        return DiagnosticStatus.OK, "listening", values


def main() -> int:
    return run_node(AudioIngest)
