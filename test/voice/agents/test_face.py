"""The face of a voice agent: images and sound in step, interruptions, in one process without ROS."""

import numpy as np
import pytest

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.presentation.voice_playout import FINISHED, INTERRUPTED, STARTED
from avatar_forcing_ros.voice.agents.face import AgentFace, FaceOptions

OPTIONS = FaceOptions(avatar="screen_face", size=128, generator="reflex", rate=24000)


def talk(seconds, rate=24000):
    t = np.arange(int(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * 180 * t) * (0.5 + 0.5 * np.sin(2 * np.pi * 3 * t))).astype(np.float32)


def test_an_utterance_moves_the_lips_and_leaves_in_full():
    face = AgentFace(OPTIONS)
    rest = [face.next() for _ in range(10)]
    assert all(not f.speaking and not f.voice.any() and f.voice.shape == (960, 1) for f in rest)
    sound = talk(2.0)
    for i in range(0, len(sound), 2400):  # much faster than it is spoken
        face.say(sound[i : i + 2400], 24000)
    face.end()
    frames = [face.next() for _ in range(80)]
    spoken = [f for f in frames if f.speaking]
    assert 49 <= len(spoken) <= 52
    heard = np.concatenate([f.voice[:, 0] for f in spoken])
    assert np.sum(heard**2) == pytest.approx(np.sum(sound**2), rel=0.02)
    events = [e for f in frames for e in f.events]
    assert events[0].kind == STARTED and events[-1].kind == FINISHED
    assert events[-1].position_ns == pytest.approx(2e9, abs=5e6)
    moved = np.mean([np.abs(f.image.astype(int) - rest[-1].image).mean() for f in spoken[10:]])
    still = np.mean([np.abs(f.image.astype(int) - rest[-1].image).mean() for f in rest])
    assert moved > 2 * still + 0.2


def test_an_interruption_is_silence_in_the_next_frame_and_the_next_utterance_is_said():
    face = AgentFace(OPTIONS)
    face.say(talk(10.0), 24000)
    for _ in range(40):
        before = face.next()
    assert before.speaking
    (event,) = face.interrupt()
    assert event.kind == INTERRUPTED and 1e9 < event.position_ns <= 1.6e9
    after = [face.next() for _ in range(30)]
    assert not any(np.abs(f.voice[200:]).max() > 1e-3 for f in after)
    face.say(talk(0.5, 16000), 16000)  # of another rate
    face.end()
    frames = [face.next() for _ in range(40)]
    assert [e.kind for f in frames for e in f.events][-1] == FINISHED
    assert face.interrupt() == []


def test_what_is_said_at_once_after_an_interruption_is_heard():
    """No frame leaves between: the clock of the face stands, and the new utterance is not taken for the one that was dropped."""
    face = AgentFace(OPTIONS)
    for _ in range(3):
        face.say(talk(10.0), 24000)
        for _ in range(20):
            face.next()
        face.interrupt()
    face.interrupt()
    said = face.say(talk(0.6), 24000)
    face.end()
    frames = [face.next() for _ in range(40)]
    assert [(e.kind, e.utterance) for f in frames for e in f.events][-1] == (FINISHED, said)
    heard = np.concatenate([f.voice[:, 0] for f in frames if f.speaking])
    assert np.sum(heard**2) == pytest.approx(np.sum(talk(0.6) ** 2), rel=0.05)


@pytest.mark.parametrize("options, words", [({"rate": 96000}, "96000"), ({"avatar": "nobody"}, "nobody")])
def test_options_that_cannot_be(options, words):
    with pytest.raises(InputError, match=words):
        AgentFace(FaceOptions(**options))
