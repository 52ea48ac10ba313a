"""Node: somebody in the face. It takes turns with the user, asks a brain, and says the answers through the speaker node."""

from __future__ import annotations

from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.action import ActionClient
from std_msgs.msg import String

from avatar_forcing_ros.action import Speak
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.msg import AudioFrames, Gesture, MotionLatent, SpeechState, VoiceActivity
from avatar_forcing_ros.nodes.base import AvatarNode
from avatar_forcing_ros.nodes.running import run_node
from avatar_forcing_ros.ros import qos
from avatar_forcing_ros.ros.messages import sound_of
from avatar_forcing_ros.ros.settings import HostSettings
from avatar_forcing_ros.timeline import SAMPLES_PER_FRAME
from avatar_forcing_ros.voice.talk.brain import make_brain
from avatar_forcing_ros.voice.talk.conversation import Conversation, Manners
from avatar_forcing_ros.voice.talk.host import Host
from avatar_forcing_ros.voice.talk.recognition import Recogniser

_A_FACE = 0.6  # confidence of the tracker
_FACE_MESSAGES = 10  # in a row, for somebody to have come
_MOST_SAID = 16  # sentences that wait to be said


class HostNode(AvatarNode):
    """Reads `user/voice_activity`, `user/audio_frames`, `user/motion` (somebody comes) and `user/text` (typed, or recognised by another
    node); publishes `host_state` (listening, thinking, speaking), `user/heard` (what was recognised) and `gesture`."""

    SETTINGS = HostSettings
    settings: HostSettings

    def __init__(self, arguments: list[str] | None = None) -> None:
        super().__init__("host", arguments)

    def setup(self) -> None:
        now = self.settings
        brain = make_brain(now.script or "", now.brain_url or "", now.brain_model or "", now.prompt or "")
        recogniser = (
            Recogniser(now.recognition_url, now.recognition_model, now.language or "") if now.recognition_url else None
        )
        manners = Manners(now.end_of_turn, now.patience, now.nod_after, now.gone_after)
        self._host = Host(brain, recogniser, Conversation(manners), self._say, self._complain, self._on_heard)
        self._brain_name, self._complaint = brain.name, ""
        self._activity, self._faces, self._told_state = 0, 0, ""
        self._saying: dict[int, object] = {}  # sentences that are not said to their end
        self._count = 0
        self._state = self.create_publisher(String, "host_state", qos.latched())
        self._words = self.create_publisher(String, "user/heard", qos.reliable(10))
        self._gestures = self.create_publisher(Gesture, "gesture", qos.reliable(10))
        self._speak: ActionClient = ActionClient(self, Speak, "speak")
        self.at_end(self._speak.destroy)

    def start(self) -> None:
        self.create_subscription(VoiceActivity, "user/voice_activity", self._on_activity, qos.reliable(50))
        self.create_subscription(AudioFrames, "user/audio_frames", self._on_sound, qos.reliable(100))
        self.create_subscription(MotionLatent, "user/motion", self._on_motion, qos.reliable(20))
        self.create_subscription(String, "user/text", self._on_text, qos.reliable(10))
        self.create_subscription(SpeechState, "speech_state", self._on_speech, qos.reliable(200))
        self.create_timer(0.1, self._tick)
        self.run_thread(self._host.work)

    def stop(self) -> None:
        self._host.end()
        self.join_threads(timeout_s=1.0)  # a server may take its time; the thread ends with its answer

    def _on_activity(self, message: VoiceActivity) -> None:
        self._activity = message.state

    def _on_sound(self, message: AudioFrames) -> None:
        with self.usable(), self._host.lock:
            samples, _ = sound_of(message)
            for frame in samples.reshape(-1, SAMPLES_PER_FRAME):
                todo = self._host.conversation.frame(self._activity, frame, self.now_ns())
                if todo is not None and todo.nod:
                    self._gestures.publish(Gesture(name=Gesture.NOD, strength=0.7))
                self._host.do(todo)

    def _on_motion(self, message: MotionLatent) -> None:
        self._faces = self._faces + 1 if message.confidence > _A_FACE else 0
        if self._faces >= _FACE_MESSAGES:
            with self._host.lock:
                self._host.do(self._host.conversation.arrives(self.now_ns()))

    def _on_text(self, message: String) -> None:
        with self._host.lock:
            self._host.do(self._host.conversation.words(message.data, self.now_ns()))

    def _on_heard(self, text: str) -> None:
        self._words.publish(String(data=text))

    def _complain(self, text: str) -> None:
        self._complaint = text
        self.count("answers that failed")
        self.warn(text)

    def _say(self, text: str) -> None:
        """From the brain's thread."""
        if not self._speak.wait_for_server(timeout_sec=2.0):
            raise InputError("there is no speaker node: start it, or the answers are not heard")
        with self._host.lock:
            if len(self._saying) >= _MOST_SAID:
                self.count("sentences dropped")
                return
            self._count += 1
            key = self._count
            self._saying[key] = None
        self._speak.send_goal_async(Speak.Goal(text=text)).add_done_callback(lambda f: self._on_accepted(key, f))

    def _on_accepted(self, key: int, future: Any) -> None:
        handle = future.result()
        if handle is None or not handle.accepted:
            self._said(key)
        else:
            handle.get_result_async().add_done_callback(lambda f: self._on_result(key, f.result().result))

    def _on_result(self, key: int, result: Speak.Result) -> None:
        if result.outcome == Speak.Result.FAILED:
            self._complain(result.message)
        else:
            self._complaint = ""
        self._said(key)

    def _said(self, key: int) -> None:
        with self._host.lock:
            self._saying.pop(key, None)
            if not self._saying:
                self._host.conversation.has_spoken()

    def _on_speech(self, message: SpeechState) -> None:
        if message.state == SpeechState.INTERRUPTED:  # it listens again at once; what was still to be said is not
            with self._host.lock:
                self._host.conversation.turn += 1
                self._host.conversation.has_spoken()

    def _tick(self) -> None:
        with self._host.lock:
            self._host.conversation.tick(self.now_ns())
            state = self._host.conversation.state
        if state != self._told_state:
            self._told_state = state
            self._state.publish(String(data=state))

    def report(self) -> tuple[int, str, dict[str, Any]]:
        if not self.active:
            return super().report()
        values = {"brain": self._brain_name, "state": self._told_state, "turns": self._host.conversation.turn}
        level = DiagnosticStatus.WARN if self._complaint else DiagnosticStatus.OK
        return level, self._complaint or self._told_state or "listening", values


def main() -> int:
    return run_node(HostNode)
