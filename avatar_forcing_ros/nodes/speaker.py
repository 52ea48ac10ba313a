"""Node: makes the avatar speak, by the action `speak`, and stops it, by the service `interrupt`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from audio_common_msgs.msg import AudioInfo
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from std_msgs.msg import String

from avatar_forcing_ros.action import Speak
from avatar_forcing_ros.audio.decode import AudioDecoder
from avatar_forcing_ros.audio.spoken import Utterance
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.open import check_sound, open_media
from avatar_forcing_ros.motion.direction.gestures import LOOK, Gesture
from avatar_forcing_ros.msg import Expression as ExpressionMessage
from avatar_forcing_ros.msg import Gesture as GestureMessage
from avatar_forcing_ros.msg import SpeechChunk, SpeechControl, SpeechState
from avatar_forcing_ros.nodes.base import AvatarNode
from avatar_forcing_ros.nodes.running import run_node
from avatar_forcing_ros.ros import qos
from avatar_forcing_ros.ros.settings import SpeakerSettings
from avatar_forcing_ros.ros.sound import STAMPED, TYPED_FAMILY
from avatar_forcing_ros.ros.speech import chunk_message, cut_message, duration_message, event_of
from avatar_forcing_ros.srv import Interrupt
from avatar_forcing_ros.timeline import NANOSECONDS
from avatar_forcing_ros.voice.marks import direction_of
from avatar_forcing_ros.voice.sound import SoundSource, parts_of_file
from avatar_forcing_ros.voice.speaker import FAILED, Job, Speaker
from avatar_forcing_ros.voice.tts import Voice, open_voice, synthesize
from avatar_forcing_ros.voice.tts.synthesis import Part

_LOOK_S = 0.03  # how often positions, marks and topics are looked at while there is a goal
_FEEDBACK_LOOKS = 3  # looks between two of a goal's feedbacks
_KEPT_VOICES = 4
_LOOK_SECONDS = 2  # of a look that a mark asks for


@dataclass
class _Goal:
    handle: Any
    job: Job
    looks: int = 0


class SpeakerNode(AvatarNode):
    """Publishes `speech/utterances` and `speech/control`, `speech/caption` with each sentence when it is heard, and for the marks in a text
    `mark`, `gesture` and `expression`; reads `speech_state`.

    One utterance after the other: a goal that is accepted waits until those before it are said. Cancelling a goal interrupts it.
    """

    SETTINGS = SpeakerSettings
    settings: SpeakerSettings

    def __init__(self, arguments: list[str] | None = None) -> None:
        super().__init__("speaker", arguments)

    def setup(self) -> None:
        self._voices: dict[tuple[str, str], Voice] = {}
        self.at_end(self._close_voices)
        self._mute = ""  # why there is no voice: sound is spoken all the same
        try:
            self._voice_name = self._open(self.settings.voice, self.settings.language or "").name
        except InputError as error:
            if self.settings.voice not in ("", "auto"):
                raise
            self._voice_name, self._mute = "none", str(error)
        self._chunks = self.create_publisher(SpeechChunk, "speech/utterances", qos.reliable(200))
        self._control = self.create_publisher(SpeechControl, "speech/control", qos.reliable(20))
        self._marks = self.create_publisher(String, "mark", qos.reliable(20))
        self._captions = self.create_publisher(String, "speech/caption", qos.reliable(20))
        self._gestures = self.create_publisher(GestureMessage, "gesture", qos.reliable(10))
        self._expressions = self.create_publisher(ExpressionMessage, "expression", qos.reliable(10))
        self._speaker = Speaker(self, self.now_ns, name=f"said-{self.now_ns() // NANOSECONDS % 100_000}")
        self._work = threading.Event()
        self._goals: list[_Goal] = []
        self._unused: list = []  # subscriptions whose utterance has ended
        self._server: ActionServer | None = None

    def start(self) -> None:
        self.create_subscription(SpeechState, "speech_state", self._on_state, qos.reliable(200))
        self.create_service(Interrupt, "interrupt", self._on_interrupt)
        self._server = ActionServer(
            self, Speak, "speak", lambda handle: Speak.Result(), goal_callback=self._on_goal,
            handle_accepted_callback=self._on_accepted, cancel_callback=lambda _: CancelResponse.ACCEPT,
        )  # fmt: skip
        self._looking = self.create_timer(_LOOK_S, self._look)
        self.run_thread(self._synthesize)

    def stop(self) -> None:
        self._speaker.interrupt()
        self._work.set()
        self.join_threads()
        server, self._server = self._server, None
        if server is not None:
            server.destroy()

    def _close_voices(self) -> None:
        for voice in self._voices.values():
            voice.close()
        self._voices.clear()

    # Where the speaker's sound goes

    def ready(self) -> bool:
        return self._chunks.get_subscription_count() > 0

    def sound(self, utterance: Utterance, samples: np.ndarray, rate: int, last: bool) -> None:
        self._chunks.publish(chunk_message(utterance, samples, rate, last))

    def cut(self, stamp_ns: int, utterance: str, position_ns: int | None) -> None:
        self._control.publish(cut_message(stamp_ns, utterance, position_ns))
        self.count("interruptions")

    def caption(self, text: str) -> None:
        self._captions.publish(String(data=text))

    def mark(self, name: str) -> None:
        self._marks.publish(String(data=name))
        with self.usable():
            asked = direction_of(name)
            if isinstance(asked, Gesture):
                side = GestureMessage.LEFT if asked.left else GestureMessage.RIGHT
                message = GestureMessage(
                    name=asked.name, strength=asked.strength, side=side, yaw=asked.yaw, pitch=asked.pitch
                )
                message.duration = duration_message(
                    round(asked.seconds or (_LOOK_SECONDS if asked.name == LOOK else 0)) * NANOSECONDS
                )
                self._gestures.publish(message)
            elif asked is not None:
                expression = ExpressionMessage(
                    name=asked.name, intensity=asked.intensity, valence=asked.valence, arousal=asked.arousal
                )
                self._expressions.publish(expression)

    # Work

    def _open(self, voice: str, language: str) -> Voice:
        key = (voice, language)
        if key not in self._voices:
            while len(self._voices) >= _KEPT_VOICES:
                self._voices.pop(next(iter(self._voices))).close()
            self._voices[key] = open_voice(voice, language)
        return self._voices[key]

    def _synthesize(self) -> None:
        while self.active:
            if not self._speaker.step():
                self._work.wait(_LOOK_S if self._speaker.current is not None else 1.0)
                self._work.clear()

    def _on_state(self, message: SpeechState) -> None:
        self._speaker.on_event(event_of(message))

    def _on_interrupt(self, request: Any, response: Any) -> Any:
        dropped = self._speaker.interrupt(request.utterance, request.when == Interrupt.Request.END_OF_WORD)
        response.utterances = list(dropped.utterances)
        response.position, response.dropped = (duration_message(ns) for ns in (dropped.position_ns, dropped.dropped_ns))
        response.unsaid = dropped.text
        return response

    def _on_goal(self, goal: Any) -> GoalResponse:
        given = [name for name in ("text", "sound_file", "sound_topic") if getattr(goal, name)]
        if not self.active or len(given) != 1:
            self.warn(f"speak: give one of text, sound_file and sound_topic, not {' and '.join(given) or 'none'}")
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _on_accepted(self, handle: Any) -> None:
        """The goal is said without a thread of its own; when it has ended it is executed, which tells its result."""
        goal = handle.request
        self._speaker.tick()  # nobody has looked since the goal before: time may have jumped
        try:
            if goal.interrupt:
                self._speaker.interrupt()
            source, close = self._source(goal)
            self._goals.append(_Goal(handle, self._speaker.say(source, close)))
        except InputError as error:
            result = Speak.Result(outcome=FAILED, message=str(error))
            handle.execute(lambda handle: (handle.abort(), result)[1])
        self._work.set()
        self._looking.reset()

    def _look(self) -> None:
        """In the executor's thread, while there are goals: marks, feedback, results."""
        self._speaker.tick()
        if not self._goals and not self._unused:
            self._looking.cancel()
        while self._unused:
            self.destroy_subscription(self._unused.pop())
        for goal in list(self._goals):
            job = goal.job
            if job.done.is_set():
                self._goals.remove(goal)
                goal.handle.execute(lambda handle, job=job: self._result(handle, job))
                continue
            if goal.handle.is_cancel_requested and not job.stopped:
                self._speaker.interrupt(job.id)
            goal.looks += 1
            if job.began and goal.looks % _FEEDBACK_LOOKS == 0:
                goal.handle.publish_feedback(self._feedback(job))

    def _result(self, handle: Any, job: Job) -> Speak.Result:
        result = Speak.Result(
            outcome=job.outcome, utterance=job.id, said=job.said(job.position_ns), message=job.message
        )
        result.position = duration_message(job.position_ns)
        result.voice_time = duration_message(round(job.voice_s * NANOSECONDS))
        if job.outcome == FAILED:
            handle.abort()
        elif handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.succeed()
        return result

    def _source(self, goal: Any) -> tuple[Iterator[Part | None], Callable[[], None]]:
        """The utterance's parts, and what is to be called when it is stopped."""
        if goal.text:
            opened: list[Voice] = []

            def close() -> None:
                for voice in opened:
                    voice.close()

            return self._parts_of_text(goal, opened), close
        if goal.sound_file:
            with open_media(goal.sound_file) as reader:
                check_sound(reader)
            return parts_of_file(goal.sound_file), lambda: None
        source, decoder = SoundSource(self.now_ns), AudioDecoder()
        used = [
            self.create_subscription(
                STAMPED,
                goal.sound_topic,
                lambda m: source.put(decoder.decode(m), decoder.format.rate),
                qos.reading(200),
            )
        ]
        if not TYPED_FAMILY:
            folder = goal.sound_topic.rpartition("/")[0]
            info = f"{folder}/audio_info" if folder or goal.sound_topic.startswith("/") else "audio_info"
            used.append(self.create_subscription(AudioInfo, info, decoder.set_info, qos.latched()))

        def leave() -> None:
            self._unused.extend(used)
            self._looking.reset()

        return source.parts(leave), source.end

    def _parts_of_text(self, goal: Any, opened: list[Voice]) -> Iterator[Part | None]:
        """In the synthesizer's thread: a voice may take a while to open."""
        opened.append(self._open(goal.voice or self.settings.voice, goal.language or self.settings.language or ""))
        yield from synthesize(goal.text, opened[0])

    def _feedback(self, job: Job) -> Speak.Feedback:
        position = job.position_at(self.now_ns())
        index, word = job.word_at(position)
        return Speak.Feedback(utterance=job.id, position=duration_message(position), word_index=index, word=word)

    def report(self) -> tuple[int, str, dict[str, Any]]:
        if not self.active:
            return super().report()
        values = {"voice": self._voice_name, "speaking": self._speaker.speaking}
        if not self.ready():
            return DiagnosticStatus.WARN, "nobody reads speech/utterances: start the node speech (audio_ingest)", values
        if self._mute:
            return DiagnosticStatus.WARN, self._mute, values
        return DiagnosticStatus.OK, "speaking" if self._speaker.speaking else "silent", values


def main() -> int:
    return run_node(SpeakerNode)
