"""The speaker, the ingest and the renderer as processes: an utterance from the action to the sound that leaves, and its interruption."""

import wave

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS: on a plain Python install there are no nodes to test")

from audio_common_msgs.msg import AudioDataStamped, AudioInfo  # noqa: E402
from builtin_interfaces.msg import Time as TimeMessage  # noqa: E402
from rclpy.action import ActionClient  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from avatar_forcing_ros.action import Speak  # noqa: E402
from avatar_forcing_ros.msg import AudioFrames, SpeechState  # noqa: E402
from avatar_forcing_ros.ros.sound import SoundPublisher  # noqa: E402
from avatar_forcing_ros.srv import Interrupt  # noqa: E402
from avatar_forcing_ros.timeline import NANOSECONDS  # noqa: E402

pytestmark = pytest.mark.graph
LEVEL = 0.25


def ns(stamp) -> int:
    return stamp.sec * NANOSECONDS + stamp.nanosec


class Talk:
    """The three nodes, a client of them, and what they told."""

    def __init__(self, ros, tmp_path) -> None:
        self.ros, self.file = ros, tmp_path / "said.wav"
        with wave.open(str(self.file), "wb") as sound:  # 6 s, 24 kHz, stereo, of one level
            sound.setnchannels(2)
            sound.setsampwidth(2)
            sound.setframerate(24000)
            sound.writeframes(np.full(6 * 24000 * 2, LEVEL * 32768, "<i2").tobytes())
        self.states = ros.collect(SpeechState, "/speech_state")
        self.arrived: list[tuple[int, AudioDataStamped]] = []
        self.spoken = ros.collect(AudioDataStamped, "/spoken/audio_stamped")
        self.infos = ros.collect(AudioInfo, "/spoken/audio_info")
        ros.start("audio_ingest", "speech", "/speech", speaker="avatar")
        ros.start("renderer", "renderer", avatar="screen_face", size=128, presentation_delay=0.3)
        ros.start("speaker", "speaker", voice="auto")
        self.action = ActionClient(ros.node, Speak, "/speak")
        self.interrupting = ros.node.create_client(Interrupt, "/interrupt")
        ros.wait_for(lambda: self.spoken, "the renderer")
        ros.wait_for(self.action.server_is_ready, "the action")
        ros.wait_for(self.interrupting.service_is_ready, "the service")

    def speak(self, **goal):
        accepted = self.action.send_goal_async(
            Speak.Goal(**goal), feedback_callback=lambda m: self.feedback.append(m.feedback)
        )
        self.feedback: list = []
        self.ros.wait_for(accepted.done, "the goal's acceptance")
        return accepted.result()

    def result(self, handle):
        future = handle.get_result_async()
        self.ros.wait_for(future.done, "the result")
        return future.result().result

    def interrupt(self, **request):
        future = self.interrupting.call_async(Interrupt.Request(**request))
        self.ros.wait_for(future.done, "the interruption's answer")
        return future.result()

    def loud(self) -> list[tuple[int, int]]:
        """(stamp, samples of the utterance's level) of the sound that has left."""
        found = []
        for message in list(self.spoken):
            samples = np.frombuffer(bytes(message.audio.data), "<i2") / 32768
            found.append((ns(message.header.stamp), int(np.sum(np.abs(samples - LEVEL) < 1e-3)) // 2))
        return found


def test_an_utterance_is_heard_as_it_is_followed_and_interrupted(ros, tmp_path):
    talk = Talk(ros, tmp_path)
    handle = talk.speak(sound_file=str(talk.file))
    ros.wait_for(lambda: len(talk.feedback) > 3 and talk.states, "the utterance to be spoken")
    assert (talk.infos[-1].sample_rate, talk.infos[-1].channels) == (24000, 2)
    now = ros.now_ns()
    answer = talk.interrupt()
    result = talk.result(handle)
    ros.wait_for(lambda: talk.spoken and ns(talk.spoken[-1].header.stamp) > now + NANOSECONDS, "silence")
    loud = talk.loud()
    heard = sum(count for _, count in loud) / 24000
    position = ns(result.position) / NANOSECONDS
    assert result.outcome == Speak.Result.INTERRUPTED and position == pytest.approx(heard, abs=0.04)
    assert max(stamp for stamp, count in loud if count) < now + NANOSECONDS  # what was queued is not heard
    assert list(answer.utterances) == [result.utterance]
    assert ns(answer.position) / NANOSECONDS == pytest.approx(position, abs=0.15)
    assert ns(answer.dropped) / NANOSECONDS == pytest.approx(6 - position, abs=0.5)
    kinds = [(s.utterance, s.state) for s in talk.states]
    assert kinds[0] == (result.utterance, SpeechState.STARTED) and kinds[-1] == (
        result.utterance,
        SpeechState.INTERRUPTED,
    )
    assert set(kinds[1:-1]) <= {(result.utterance, SpeechState.POSITION)}

    # The next one is heard in full, and speech that comes as a topic is followed too.
    result = talk.result(talk.speak(sound_file=str(talk.file)))
    assert result.outcome == Speak.Result.FINISHED and ns(result.position) == pytest.approx(6 * NANOSECONDS, abs=2e6)
    publisher, describe = (
        ros.publisher(AudioDataStamped, "/speech/audio_stamped"), ros.publisher(AudioInfo, "/speech/audio_info"),
    )  # fmt: skip
    ros.wait_for_readers(publisher)
    describe.publish(AudioInfo(channels=1, sample_rate=48000, sample_format="S16LE", coding_format="wave"))
    message = AudioDataStamped()
    tone = LEVEL * np.sin(
        np.arange(48000) * 2 * np.pi * 200 / 48000
    )  # a constant is taken for an offset of the converter
    message.audio.data = (tone * 32767).astype("<i2").tobytes()
    told = len(talk.states)
    ros.wait_for(lambda: publisher.publish(message) or len(talk.states) > told, "speech from a topic")
    clear = ros.node.create_client(Trigger, "/speech/speech/clear_speech")
    ros.wait_for(clear.service_is_ready, "the service that clears")
    future = clear.call_async(Trigger.Request())
    ros.wait_for(future.done, "its answer")
    ros.wait_for(lambda: talk.states[-1].state == SpeechState.INTERRUPTED, "the interruption")
    assert talk.states[-1].utterance == "speech-1" and talk.infos[-1].sample_rate == 48000


def test_goals_that_cannot_be_said_end_with_a_reason(ros, tmp_path):
    talk = Talk(ros, tmp_path)
    assert not talk.speak().accepted and not talk.speak(text="a", sound_file="b").accepted
    for goal, words in (
        ({"sound_file": "/no/such.wav"}, "no such"),
        ({"text": "<audio src='x'/>"}, "audio"),
        ({"text": "x", "voice": "nonsense"}, "nonsense"),
    ):
        result = talk.result(talk.speak(**goal))
        assert result.outcome == Speak.Result.FAILED and words in result.message.lower() or "no file" in result.message
    assert talk.interrupt().utterances == []
    # A goal that is cancelled is interrupted; one that waits behind it is said.
    first, second = talk.speak(sound_file=str(talk.file)), talk.speak(sound_file=str(talk.file), interrupt=False)
    ros.wait_for(lambda: talk.states, "the first utterance")
    first.cancel_goal_async()
    assert talk.result(first).outcome == Speak.Result.INTERRUPTED
    assert talk.result(second).outcome == Speak.Result.FINISHED


def test_the_user_who_takes_the_turn_ends_what_is_said(ros, tmp_path):
    import array
    import shutil

    from avatar_forcing_ros.msg import AudioFrames, VoiceActivity
    from avatar_forcing_ros.timeline import SAMPLES_PER_FRAME, frame_at, time_of
    from avatar_forcing_ros.voice.listening.made import said

    if not shutil.which("espeak-ng"):
        pytest.skip("a made voice needs: apt-get install espeak-ng")
    talk = Talk(ros, tmp_path)
    told = ros.collect(VoiceActivity, "/user/voice_activity")
    ros.start("listener", "listener", detector="level")
    user = ros.publisher(AudioFrames, "/user/audio_frames")
    ros.wait_for_readers(user)
    handle = talk.speak(sound_file=str(talk.file))
    ros.wait_for(lambda: talk.states, "the utterance")
    quiet = np.random.default_rng(1).normal(size=20 * SAMPLES_PER_FRAME) * 1e-3
    sound = np.concatenate([quiet, said("espeak-ng:en-gb+m3", "Wait, stop please."), quiet]).astype(np.float32)
    first = frame_at(ros.now_ns())
    for i in range(len(sound) // SAMPLES_PER_FRAME):
        ros.wait_for(lambda i=i: ros.now_ns() >= time_of(first + i + 1), "time")
        message = AudioFrames(
            first_frame=first + i, sample_rate=16000, samples_per_frame=SAMPLES_PER_FRAME, known=[True]
        )
        piece = sound[i * SAMPLES_PER_FRAME : (i + 1) * SAMPLES_PER_FRAME]
        message.samples = array.array("f", piece.tobytes())
        user.publish(message)
    result = talk.result(handle)
    assert result.outcome == Speak.Result.INTERRUPTED and 0 < ns(result.position) < 6 * NANOSECONDS
    states = [m.state for m in told]
    assert VoiceActivity.VOICE in states and VoiceActivity.INTERRUPTION in states
    begun = next(m for m in told if m.state == VoiceActivity.INTERRUPTION)
    assert ns(begun.onset) == pytest.approx(time_of(first + 20), abs=60e6)


def test_the_words_of_ones_own_speech_come_with_its_sound(ros):
    """A synthesizer that is faster than real time: text and sound of two sentences at once."""
    from std_msgs.msg import String

    ros.start("audio_ingest", "speech", "/speech", speaker="avatar")
    frames = ros.collect(AudioFrames, "/speech/audio_frames")
    told: list[tuple[str, int]] = []  # and frames with sound that were released before
    heard = lambda: sum(sum(f.known) for f in frames)  # noqa: E731
    ros.node.create_subscription(String, "/speech/caption", lambda m: told.append((m.data, heard())), 10)
    text, sound = ros.publisher(String, "/speech/text"), SoundPublisher(ros.node, "/speech/")
    ros.wait_for_readers(text)
    ros.wait_for(lambda: frames, "the clock")
    text.publish(String(data="One."))
    ros.wait_for(lambda n=len(frames): len(frames) > n + 10, "the clock to go on")
    assert not told  # there is no sound yet
    for words in ("", "Two."):
        if words:
            text.publish(String(data=words))
        sound.publish(np.full(16_000, LEVEL, np.float32), 16_000, TimeMessage(), "tts")
    ros.wait_for(lambda: len(told) == 2 and heard() >= 49, "both sentences")
    assert [words for words, _ in told] == ["One.", "Two."]
    assert told[0][1] < 5 and 20 <= told[1][1] <= 30  # two topics: their order is not exact
