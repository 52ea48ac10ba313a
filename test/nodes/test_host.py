"""The scripted host in the graph: what is typed is answered aloud, and an interruption makes it listen."""

import itertools

import pytest

pytest.importorskip("rclpy", reason="needs ROS: on a plain Python install there are no nodes to test")

from std_msgs.msg import String  # noqa: E402

from avatar_forcing_ros.msg import Gesture, SpeechState  # noqa: E402
from avatar_forcing_ros.srv import Interrupt  # noqa: E402
from avatar_forcing_ros.voice.tts import available  # noqa: E402

pytestmark = pytest.mark.graph


def test_what_is_typed_is_answered_and_an_interruption_is_heeded(ros, tmp_path):
    if all(available()[name] for name in ("hibari", "espeak-ng", "flite")):
        pytest.skip("no synthesizer is there: apt-get install espeak-ng")
    script = tmp_path / "host.yaml"
    script.write_text(
        "rules:\n"
        "  - {when: nod, say: '<mark name=\"nod\"/>Yes.'}\n"
        "  - {when: story, say: 'One two three four five six seven eight nine ten eleven twelve thirteen fourteen.'}\n"
    )
    states, speech = ros.collect(String, "/host_state"), ros.collect(SpeechState, "/speech_state")
    gestures = ros.collect(Gesture, "/gesture")
    ros.start("audio_ingest", "speech", "/speech", speaker="avatar")
    ros.start("renderer", "renderer", avatar="screen_face", size=128, presentation_delay=0.3)
    ros.start("speaker", "speaker")
    ros.start("host", "host", script=str(script))
    typed = ros.publisher(String, "/user/text")
    ros.wait_for_readers(typed)
    asked = itertools.count()
    # Asked again every 4 s until something is said: the host may not have found the speaker yet.
    ros.wait_for(
        lambda: speech or (next(asked) % 200 == 0 and typed.publish(String(data="Please nod!"))), "the answer to begin"
    )
    ros.wait_for(lambda: any(s.state == SpeechState.FINISHED for s in speech), "the answer")
    assert [g.name for g in gestures] == [Gesture.NOD]
    ros.wait_for(lambda: states and states[-1].data == "listening" and len(states) >= 2, "its turn to end")
    assert "speaking" in [s.data for s in states]
    typed.publish(String(data="a story"))
    ros.wait_for(lambda: speech[-1].state == SpeechState.POSITION, "the story")
    client = ros.node.create_client(Interrupt, "/interrupt")
    ros.wait_for(client.service_is_ready, "the service")
    client.call_async(Interrupt.Request())
    ros.wait_for(lambda: speech[-1].state == SpeechState.INTERRUPTED, "the interruption")
    ros.wait_for(lambda: states[-1].data == "listening", "it to listen")
