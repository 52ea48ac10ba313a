"""Turn-taking, the scripted host, and brains and recognition of servers, with fakes that answer, hang, fail and talk nonsense."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from avatar_forcing_ros.assets import HOST
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.timeline import FRAME_RATE, SAMPLES_PER_FRAME, time_of
from avatar_forcing_ros.voice.listening.ear import BACK_CHANNEL, INTERRUPTION, NONE, VOICE
from avatar_forcing_ros.voice.marks import direction_of
from avatar_forcing_ros.voice.talk.brain import OpenAIBrain, ScriptedHost, make_brain
from avatar_forcing_ros.voice.talk.conversation import LISTENING, SPEAKING, THINKING, Conversation, Manners
from avatar_forcing_ros.voice.talk.host import Host
from avatar_forcing_ros.voice.talk.recognition import Recogniser
from avatar_forcing_ros.voice.text import parse

SOUND = np.full(SAMPLES_PER_FRAME, 0.1, np.float32)


class Clock:
    def __init__(self, conversation):
        self.conversation, self.frame = conversation, 1000

    def hear(self, state, seconds):
        """Frames of one state; what the conversation asks for."""
        asked = []
        for _ in range(round(seconds * FRAME_RATE)):
            self.frame += 1
            asked.append(self.conversation.frame(state, SOUND, time_of(self.frame)))
            self.conversation.tick(time_of(self.frame))
        return [todo for todo in asked if todo is not None]


def test_a_turn_ends_with_a_pause_and_its_sound_is_asked_about():
    talk = Conversation(Manners(end_of_turn=0.6))
    clock = Clock(talk)
    assert clock.hear(NONE, 2) == []
    assert (
        clock.hear(INTERRUPTION, 1) + clock.hear(NONE, 0.4) + clock.hear(INTERRUPTION, 1) == []
    )  # a pause within the turn
    (todo,) = clock.hear(NONE, 1)
    assert talk.state == THINKING and todo.turn == talk.turn == 1
    assert len(todo.ask) / 16000 == pytest.approx(2.4 + 0.6 + 0.4, abs=0.1)  # with what was before the voice was told
    assert talk.answers(1) and talk.state == SPEAKING
    talk.has_spoken()
    assert talk.state == LISTENING


def test_long_talk_gets_nods_in_its_pauses_and_a_back_channel_is_no_turn():
    talk = Conversation()
    clock = Clock(talk)
    asked = clock.hear(INTERRUPTION, 4) + clock.hear(NONE, 0.2) + clock.hear(INTERRUPTION, 4) + clock.hear(NONE, 0.2)
    assert [todo.nod for todo in asked] == [True, True]
    talk = Conversation()
    clock = Clock(talk)
    clock.hear(INTERRUPTION, 1)
    (todo,) = clock.hear(NONE, 1)
    assert clock.hear(BACK_CHANNEL, 0.5) + clock.hear(NONE, 2) == [] and talk.state == THINKING
    assert talk.answers(todo.turn)  # it was not taken for more of the turn
    assert clock.hear(BACK_CHANNEL, 0.5) + clock.hear(NONE, 2) == [] and talk.state == SPEAKING


def test_a_yes_to_a_face_that_listens_is_an_answer():
    talk = Conversation()
    clock = Clock(talk)
    clock.hear(VOICE, 0.16)
    clock.hear(BACK_CHANNEL, 0.3)
    (todo,) = clock.hear(NONE, 1)
    assert todo.ask is not None and talk.state == THINKING


def test_who_speaks_again_is_not_answered_for_what_was_before():
    talk = Conversation()
    clock = Clock(talk)
    clock.hear(INTERRUPTION, 1)
    (first,) = clock.hear(NONE, 0.8)
    clock.hear(INTERRUPTION, 0.2)
    assert not talk.answers(first.turn) and talk.state == LISTENING
    clock.hear(INTERRUPTION, 0.5)
    (second,) = clock.hear(NONE, 0.8)
    assert talk.answers(second.turn) and not talk.answers(first.turn)


def test_an_answer_that_does_not_come_is_given_up():
    talk = Conversation(Manners(patience=3))
    clock = Clock(talk)
    clock.hear(INTERRUPTION, 1)
    (todo,) = clock.hear(NONE, 0.8)
    clock.hear(NONE, 3)
    assert talk.state == LISTENING and not talk.answers(todo.turn)


def test_words_that_are_typed_are_a_turn_and_the_first_to_come_is_greeted():
    talk = Conversation(Manners(gone_after=10))
    assert talk.arrives(time_of(100)).greet and talk.arrives(time_of(200)) is None
    assert talk.words("  ", time_of(220)) is None
    todo = talk.words("hello", time_of(230))
    assert todo.text == "hello" and talk.state == THINKING
    talk.gives_up(todo.turn)
    assert talk.arrives(time_of(230) + 11_000_000_000).greet


# --- brains -----------------------------------------------------------------------------------------------------


def test_the_scripted_host_answers_by_keywords():
    host = ScriptedHost()
    assert "Hello" in host.greeting() or "Welcome" in host.greeting()
    (named,) = host.answer("What's your name, please?")
    assert "avatar" in named
    assert list(host.answer("history"))[0] in ScriptedHost()._fallback  # "hi" is a word, not a part of one
    assert "hear" in next(host.answer(""))
    first, second = next(host.answer("thanks")), next(host.answer("thank you"))
    assert first != second
    told = [*host._greeting, *host._fallback, *host._unheard, *(t for _, says in host._rules for t in says)]
    for text in told:  # every text can be said, and its marks move the face
        assert all(direction_of(mark.name) is not None for sentence in parse(text) for mark in sentence.marks), text


@pytest.mark.parametrize(
    "text, words",
    [
        ("[1, 2]", "not a script"),
        ("rules: [{when: hi}]", "say"),
        ("gruss: hallo", "gruss"),
        ("a: [", "cannot be read"),
        ("greeting: 3", "greeting"),
    ],
)
def test_a_script_that_cannot_be_used_is_one_clear_line(tmp_path, text, words):
    file = tmp_path / "host.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        ScriptedHost(file)
    assert "\n" not in str(caught.value) and str(file) in str(caught.value)


class FakeServer(BaseHTTPRequestHandler):
    """/v1/chat/completions and /v1/audio/transcriptions; misbehaves as the model's name says."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, body))
        model = json.loads(body)["model"] if self.path.endswith("completions") else self.server.how
        if model == "hangs":
            self.server.released.wait(10)
        if model == "fails":
            self.send_error(503, "overloaded")
            return
        self.send_response(200)
        self.end_headers()
        if model == "nonsense":
            self.wfile.write(b"data: {]\n\n" if self.path.endswith("completions") else b"<html>")
        elif self.path.endswith("transcriptions"):
            self.wfile.write(json.dumps({"text": " where is the exit "}).encode())
        elif model == "whole":
            self.wfile.write(json.dumps({"choices": [{"message": {"content": "All at once. Yes."}}]}).encode())
        elif model != "empty":
            for piece in ("It is ", "over there. ", "Ask Dr", " Smith. And", " then go"):
                self.wfile.write(
                    b"data: " + json.dumps({"choices": [{"delta": {"content": piece}}]}).encode() + b"\n\n"
                )
                self.wfile.flush()
            self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_): ...


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), FakeServer) as server:
        server.asked, server.released, server.how = [], threading.Event(), "good"
        server.base = f"http://127.0.0.1:{server.server_port}/v1"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.released.set()
        server.shutdown()


def test_a_servers_answer_is_said_sentence_by_sentence_and_remembered(server):
    brain = OpenAIBrain(server.base, "good")
    assert list(brain.answer("where?")) == ["It is over there.", "Ask Dr Smith.", "And then go"]
    list(brain.answer("again"))
    path, body = server.asked[1]
    messages = json.loads(body)["messages"]
    assert path == "/v1/chat/completions" and [m["role"] for m in messages] == ["system", "user", "assistant", "user"]
    assert messages[2]["content"].startswith("It is over there.")
    assert list(OpenAIBrain(server.base, "whole").answer("x")) == ["All at once.", "Yes."]


@pytest.mark.parametrize(
    "model, words", [("hangs", "in time"), ("fails", "503"), ("nonsense", "chat/completions"), ("empty", "empty")]
)
def test_a_brain_that_fails_is_one_clear_line(server, model, words):
    with pytest.raises(InputError, match=words):
        list(OpenAIBrain(server.base, model, timeout=0.3).answer("x"))


def test_recognition_by_a_server(server):
    recogniser = Recogniser(server.base, language="en-GB")
    assert recogniser.text_of(np.zeros(16000, np.float32)) == "where is the exit"
    path, body = server.asked[0]
    assert path == "/v1/audio/transcriptions" and b"RIFF" in body and b'name="language"\r\n\r\nen\r\n' in body
    server.how = "nonsense"
    with pytest.raises(InputError, match="transcriptions"):
        recogniser.text_of(np.zeros(16000, np.float32))


def test_brains_by_name(tmp_path):
    assert "host.yaml" in make_brain().name and make_brain(str(HOST)).name == make_brain().name
    with pytest.raises(InputError, match="model"):
        make_brain(base="http://x/v1")
    with pytest.raises(InputError, match="address"):
        make_brain(base="x", model="m")


# --- the host at work -------------------------------------------------------------------------------------------


class Work:
    def __init__(self, brain, recogniser=None, patience=20.0):
        self.said, self.faults = [], []
        self.conversation = Conversation(Manners(patience=patience))
        self.host = Host(brain, recogniser, self.conversation, self.said.append, self.faults.append)
        self.thread = threading.Thread(target=self.host.work, daemon=True)
        self.thread.start()

    def turn(self):
        clock = Clock(self.conversation)
        with self.host.lock:
            self.conversation.has_spoken()
            clock.hear(INTERRUPTION, 1)
            (todo,) = clock.hear(NONE, 0.8)
        self.host.do(todo)

    def wait(self, what):
        deadline = time.monotonic() + 20
        while not what():
            assert time.monotonic() < deadline, (self.said, self.faults, self.conversation.state)
            time.sleep(0.01)


def test_the_host_hears_recognises_asks_and_says(server):
    work = Work(OpenAIBrain(server.base, "good"), Recogniser(server.base))
    work.turn()
    work.wait(lambda: len(work.said) == 3)
    assert work.said[0] == "It is over there." and not work.faults
    assert json.loads(server.asked[1][1])["messages"][-1]["content"] == "where is the exit"
    work.host.end()
    work.thread.join(5)
    assert not work.thread.is_alive()


def test_errors_and_slow_answers_keep_the_face_listening(server):
    for model, word in (("fails", "503"), ("nonsense", "does not have the form")):
        work = Work(OpenAIBrain(server.base, model), Recogniser(server.base))
        work.turn()
        work.wait(lambda w=work: w.faults)
        work.wait(lambda w=work: w.conversation.state == LISTENING)
        assert word in work.faults[0] and work.said == []
    slow = Work(OpenAIBrain(server.base, "hangs"), Recogniser(server.base))
    slow.turn()
    slow.wait(lambda: len([p for p, b in server.asked if b"hangs" in b]) == 1)
    with slow.host.lock:
        slow.conversation.tick(time_of(100_000))
    assert slow.conversation.state == LISTENING
    server.released.set()  # what comes now is not said
    slow.turn()
    slow.wait(lambda: len([p for p, b in server.asked if b"hangs" in b]) == 2)
    slow.wait(lambda: len(slow.said) == 3)  # the second turn's alone
    for _ in range(10):  # a brain that hangs makes nobody wait
        slow.turn()
    assert slow.conversation.state in (LISTENING, THINKING, SPEAKING)


def test_without_recognition_a_server_is_not_asked_and_the_scripted_host_says_so():
    class Never(OpenAIBrain):
        def answer(self, text):
            raise AssertionError("it was asked about nothing")

    work = Work(Never("http://127.0.0.1:9/v1", "x"))
    work.turn()
    work.wait(lambda: work.conversation.state == LISTENING)
    scripted = Work(ScriptedHost())
    scripted.turn()
    scripted.wait(lambda: scripted.said)
    assert "hear" in scripted.said[0]
