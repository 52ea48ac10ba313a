"""Node: tells when the user speaks, and ends or softens the avatar's speech for it."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from audio_common_msgs.msg import AudioInfo
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.client import Client

from avatar_forcing_ros.audio.decode import AudioDecoder, stamp_of
from avatar_forcing_ros.audio.resample import Resampler
from avatar_forcing_ros.msg import AudioFrames, SpeechControl, SpeechState, VoiceActivity
from avatar_forcing_ros.nodes.base import AvatarNode
from avatar_forcing_ros.nodes.running import run_node
from avatar_forcing_ros.ros import qos
from avatar_forcing_ros.ros.messages import sound_of
from avatar_forcing_ros.ros.settings import ListenerSettings
from avatar_forcing_ros.ros.sound import STAMPED, TYPED_FAMILY
from avatar_forcing_ros.ros.speech import cut_message, duration_message, gain_message, time_message
from avatar_forcing_ros.srv import Interrupt
from avatar_forcing_ros.timeline import SAMPLES_PER_FRAME, time_of
from avatar_forcing_ros.voice.listening.barge_in import Action, BargeIn
from avatar_forcing_ros.voice.listening.ear import NONE, Ear, Heard, SpokenVoice
from avatar_forcing_ros.voice.listening.vad import make_detector

_MOST_WAITING = 25  # frames of the user's sound


class Listener(AvatarNode):
    """Reads `user/audio_frames`, `spoken/audio_stamped` and `speech_state`; publishes `user/voice_activity`.

    While the avatar speaks it acts by its policy: `speech/control` for the volume, the service `interrupt` (or, where no speaker node
    offers it, `speech/control`) for the end.
    """

    SETTINGS = ListenerSettings
    settings: ListenerSettings

    def __init__(self, arguments: list[str] | None = None) -> None:
        super().__init__("listener", arguments)
        self._waiting: deque = deque()
        self._news = threading.Condition()

    def setup(self) -> None:
        self._detector = make_detector(self.settings.detector)
        self._ear = Ear(self._detector)
        self._policy = BargeIn(self.settings.barge_in, self.settings.duck_gain)
        self._voice = SpokenVoice()
        self._decoder, self._resampler = AudioDecoder(), Resampler()
        self._spoken: set[str] = set()  # utterances that are being said
        self._state = NONE
        self._activity = self.create_publisher(VoiceActivity, "user/voice_activity", qos.reliable(50))
        self._control = self.create_publisher(SpeechControl, "speech/control", qos.reliable(20))
        self._interrupt: Client = self.create_client(Interrupt, "interrupt")

    def start(self) -> None:
        self.create_subscription(AudioFrames, "user/audio_frames", self._on_user, qos.reliable(100))
        self.create_subscription(STAMPED, "spoken/audio_stamped", self._on_spoken, qos.reliable(100))
        if not TYPED_FAMILY:
            self.create_subscription(AudioInfo, "spoken/audio_info", self._on_info, qos.latched())
        self.create_subscription(SpeechState, "speech_state", self._on_state, qos.reliable(200))
        self.run_thread(self._listen)

    def stop(self) -> None:
        with self._news:
            self._news.notify_all()
        self.join_threads()

    def on_time_jump(self) -> None:
        if self.active:
            with self._news:
                self._waiting.clear()
                self._spoken.clear()
                self._ear.reset()
                self._policy.reset()

    def _on_info(self, message: AudioInfo) -> None:
        with self.usable():
            self._decoder.set_info(message)

    def _on_spoken(self, message: Any) -> None:
        with self.usable():
            samples = self._decoder.decode(message)
            with self._news:
                for mono, stamp in self._resampler.push(samples, self._decoder.format.rate, stamp_of(message)):
                    if stamp is not None:
                        self._voice.put(stamp, mono)

    def _on_state(self, message: SpeechState) -> None:
        if message.state in (SpeechState.STARTED, SpeechState.POSITION):
            self._spoken.add(message.utterance)
        else:
            self._spoken.discard(message.utterance)

    def _on_user(self, message: AudioFrames) -> None:
        with self.usable():
            samples, known = sound_of(message)
            with self._news:
                for i, frame in enumerate(samples.reshape(-1, SAMPLES_PER_FRAME)):
                    self._waiting.append((message.first_frame + i, frame, bool(known[i])))
                while len(self._waiting) > _MOST_WAITING:
                    self._waiting.popleft()
                    self.count("dropped frames")
                self._news.notify()

    def _listen(self) -> None:
        while self.active:
            with self._news:
                if not self._waiting:
                    self._news.wait(0.2)
                    continue
                frame, samples, known = self._waiting.popleft()
                heard = self._ear.push(frame, samples, known, self._voice.get(frame))
                action = self._policy.decide(heard, bool(self._spoken))
            self._act(action)
            if heard.state != NONE or self._state != NONE:
                self._tell(heard)
            self._state = heard.state

    def _act(self, action: Action) -> None:
        now = self.now_ns()
        if action.stop:
            self.count("interruptions")
            if self._interrupt.service_is_ready():
                self._interrupt.call_async(Interrupt.Request())
            else:
                self._control.publish(cut_message(now))
        if action.gain is not None:
            self._control.publish(gain_message(now, action.gain))

    def _tell(self, heard: Heard) -> None:
        message = VoiceActivity(state=heard.state, probability=heard.probability, avatar_speaks=heard.own)
        message.header.stamp = time_message(time_of(heard.frame + 1))
        message.header.frame_id = "user"
        if heard.state != NONE:
            message.onset = time_message(heard.onset_ns)
        message.duration = duration_message(max(0, heard.duration_ns))
        self._activity.publish(message)

    def report(self) -> tuple[int, str, dict[str, Any]]:
        if not self.active:
            return super().report()
        values = {"detector": self._detector.name, "state": ("nobody", "voice", "back-channel", "turn")[self._state]}
        return DiagnosticStatus.OK, "listening", values


def main() -> int:
    return run_node(Listener)
