"""Each engine where it is installed, and the servers' one against a fake that speaks the interface."""

import json
import shutil
import sys
import threading
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.voice.tts import Piece, Voice, Word, available, open_voice, synthesize
from avatar_forcing_ros.voice.tts.openai_speech import OpenAIVoice

TEXT = 'Good morning. I am <emphasis level="strong">very</emphasis> glad <mark name="nod"/>to see you.'


@pytest.mark.parametrize("voice, rate", [("espeak-ng:en-us", 22050), ("flite:slt", 16000), ("hibari", 24000)])
def test_an_engine_speaks_with_words_and_marks(voice, rate):
    reason = available()[voice.split(":")[0]]
    if reason:
        pytest.skip(f"{voice}: {reason}")
    parts = list(synthesize(TEXT, open_voice(voice)))
    sound = np.concatenate([p.samples for p in parts])
    assert {p.rate for p in parts} == {rate} and sound.shape[1] == 1 and 1.5 < len(sound) / rate < 8
    assert 0.02 < np.sqrt(np.mean(sound**2)) and np.abs(sound).max() <= 1.0
    words = [w for p in parts for w in p.words]
    times = {w.text.strip(".").lower(): w.start for w in words}
    assert list(times)[:2] == ["good", "morning"] and all(
        0 <= w.start <= w.end <= len(sound) / rate + 0.01 for w in words
    )
    marks = {m.name: m.time for p in parts for m in p.marks}
    assert marks == {"brows": pytest.approx(times["very"]), "nod": pytest.approx(times["to"])}
    captions = [p.caption for p in parts if p.caption]
    assert captions[0].time == 0.0 and captions[0].name.startswith("Good morning")
    assert all("<" not in c.name for c in captions) and [c.time for c in captions] == sorted(c.time for c in captions)
    # The first sentence is there before the second one is made.
    first = next(synthesize(TEXT, open_voice(voice)))
    assert 0.4 < len(first.samples) / rate < 2.5


def test_emphasised_words_are_louder():
    if not shutil.which("espeak-ng"):
        pytest.skip("espeak-ng is missing: apt-get install espeak-ng")
    voice = open_voice("espeak-ng:en-us")

    def level_of_very(text):
        (part,) = synthesize(text, voice)
        word = next(w for w in part.words if w.text == "very")
        samples = part.samples[int((word.start + 0.03) * part.rate) : int((word.end - 0.03) * part.rate)]
        return np.sqrt(np.mean(samples**2))

    plain, loud = (
        level_of_very(f"I am {word} glad.<mark name='x'/>")
        for word in ("very", "<emphasis level='strong'>very</emphasis>")
    )
    assert 1.3 < loud / plain < 2.0  # 5 dB, less what would clip


@pytest.mark.parametrize(
    "voice, words",
    [
        ("nonsense", "nonsense"),
        ("flite:nobody", "nobody"),
        ("espeak-ng:xx-none", "xx-none"),
        ("piper:/no.onnx", "piper"),
        ("openai", "OPENAI"),
    ],
)
def test_a_voice_that_is_not_there_is_one_clear_line(voice, words, monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    synthesizer = voice.split(":")[0]
    if synthesizer in ("flite", "espeak-ng") and not shutil.which(synthesizer):
        words = f"apt-get install {synthesizer}"
    with pytest.raises(InputError, match=words) as caught:
        list(open_voice(voice).speak("Hello"))
    assert "\n" not in str(caught.value)


class FakeSpeech(BaseHTTPRequestHandler):
    """/v1/audio/speech: half a second of sound for each word, sent in pieces; told to misbehave by the voice."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers.get("Authorization"), body))
        if body["voice"] == "broken":
            self.send_error(500, "out of memory")
            return
        if body["voice"] == "slow":
            self.server.released.wait(5)
        self.send_response(200)
        self.end_headers()
        for _ in body["input"].split():
            self.wfile.write(np.full(12000, 5000, "<i2").tobytes() if body["voice"] != "silent" else b"")

    def log_message(self, *_): ...


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), FakeSpeech) as server:
        server.asked, server.released = [], threading.Event()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.released.set()
        server.shutdown()


def test_a_server_speaks_as_a_stream(server, monkeypatch):
    base = f"http://127.0.0.1:{server.server_port}/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", base)
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    pieces = list(open_voice("openai:nova").speak("one two three"))
    assert sum(len(p.samples) for p in pieces) == 36000 and len(pieces) > 3 and pieces[0].rate == 24000
    path, key, body = server.asked[0]
    assert path == "/v1/audio/speech" and key == "Bearer secret"
    assert (body["voice"], body["input"], body["response_format"]) == ("nova", "one two three", "pcm")


@pytest.mark.parametrize("voice, words", [("broken", "500"), ("slow", "in time"), ("silent", "no sound")])
def test_a_server_that_fails_is_one_clear_line(server, voice, words):
    engine = OpenAIVoice(voice, f"http://127.0.0.1:{server.server_port}/v1", timeout=0.3)
    with pytest.raises(InputError, match=words):
        list(engine.speak("hello"))


def test_no_server_is_one_clear_line():
    with pytest.raises(InputError, match="127.0.0.1:9/v1 cannot be used"):
        list(OpenAIVoice("x", "http://127.0.0.1:9/v1").speak("hello"))


def test_kokoro_through_its_interface(monkeypatch):
    token = types.SimpleNamespace
    result = token(
        audio=np.full(24000, 0.1, np.float32),
        tokens=[token(text="Hello", start_ts=0.1, end_ts=0.5), token(text=",", start_ts=0.5, end_ts=0.5)],
    )

    class KPipeline:
        def __init__(self, lang_code):
            assert lang_code == "b"

        def __call__(self, text, voice):
            return iter([result, result])

    module = types.ModuleType("kokoro")
    module.KPipeline = KPipeline
    monkeypatch.setitem(sys.modules, "kokoro", module)
    monkeypatch.setattr("avatar_forcing_ros.voice.tts.kokoro.missing", lambda: "")
    pieces = list(open_voice("kokoro:bf_emma").speak("Hello, hello,"))
    assert [p.words for p in pieces] == [(Word("Hello", 0.1, 0.5),), (Word("Hello", 1.1, 1.5),)]


def test_piper_through_its_program(monkeypatch, tmp_path):
    program = tmp_path / "piper"
    program.write_text("#!/bin/sh\nread line\nprintf '\\001\\002%.0s' $(seq 1 3000)\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "amy.onnx").write_bytes(b"x")
    (tmp_path / "amy.onnx.json").write_text('{"audio": {"sample_rate": 22050}}')
    pieces = list(open_voice(f"piper:{tmp_path}/amy.onnx").speak("Hello"))
    assert sum(len(p.samples) for p in pieces) == 3000 and pieces[0].rate == 22050


def test_pauses_and_marks_without_text_need_no_engine():
    class Silent(Voice):
        def speak(self, sentence):
            yield Piece(np.full((1600, 2), 0.1, np.float32), 16000)

    parts = list(synthesize('<mark name="smile"/><break time="1s"/>Hello.', Silent()))
    assert parts[0].marks[0].name == "smile" and len(parts[0].samples) == 0
    assert sum(len(p.samples) for p in parts) == 16000 + 1600
