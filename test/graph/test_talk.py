"""`make talk` in a browser: a microphone that says a sentence, a host behind fake servers, a face that answers. Nothing that hangs or fails
leaves it anywhere else than listening."""

import json
import shutil
import socket
import threading
import time
import wave
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS")
pytest.importorskip("aiortc", reason="the extra [kiosk] is not installed")

from conftest import told
from diagnostic_msgs.msg import DiagnosticArray
from std_msgs.msg import String

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.msg import MotionLatent, SpeechState, VoiceActivity
from avatar_forcing_ros.ros.sound_reader import SoundReader
from avatar_forcing_ros.run.kiosk import KioskPlan, run_kiosk
from avatar_forcing_ros.voice.listening.made import said
from avatar_forcing_ros.web import page_bundle
from avatar_forcing_ros.web.chromium import Chromium, fake_camera, find_chromium

pytestmark = [pytest.mark.slow, pytest.mark.graph, pytest.mark.timeout(600)]
ANSWER = "The exit is over there."
PATIENCE_S = 2.0
WAIT_S = 90.0  # ten times what a slow machine needs


class Servers(BaseHTTPRequestHandler):
    """Recognition that always hears the same, and a model that answers, fails or hangs."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("transcriptions"):
            self.server.turns.append(len(body))
            self.answer({"text": "Where is the exit?"})
            return
        how = self.server.how
        self.server.asked.append(how)
        if how == "hangs":
            self.server.released.wait(60)
        if how == "fails":
            self.send_error(503, "overloaded")
        else:
            self.answer(
                {"choices": [{"message": {"content": ANSWER if how == "good" else "It is too late for this."}}]}
            )

    def answer(self, what):
        self.send_response(200)
        self.end_headers()
        try:
            self.wfile.write(json.dumps(what).encode())
        except OSError:
            pass  # whoever asked has given up

    def log_message(self, *_): ...


@pytest.fixture
def servers():
    with ThreadingHTTPServer(("127.0.0.1", 0), Servers) as server:
        server.how, server.asked, server.turns, server.released = "good", [], [], threading.Event()
        server.base = f"http://127.0.0.1:{server.server_port}/v1"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.released.set()
        server.shutdown()


@pytest.fixture
def microphone(tmp_path):
    """A sentence and seven seconds of silence, again and again."""
    if not (shutil.which("espeak-ng") and shutil.which("flite")):
        pytest.skip("voices are made with espeak-ng and flite: apt-get install espeak-ng flite")
    sentence = said("espeak-ng:en-us+f3", "Excuse me, where is the exit of this building?")
    sound = np.concatenate([np.zeros(16_000), 3 * sentence, np.zeros(7 * 16_000)])
    file = tmp_path / "microphone.wav"
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return file


class Visit:
    """A page in a browser, and what the graph tells."""

    def __init__(self, ros, page):
        self.ros, self.page = ros, page
        self.states, self.captions = (
            ros.collect(String, "/avatar/host_state"),
            ros.collect(String, "/avatar/speech/caption"),
        )
        self.heard, self.spoken = (
            ros.collect(String, "/avatar/user/heard"),
            ros.collect(SpeechState, "/avatar/speech_state"),
        )
        self.activity = ros.collect(VoiceActivity, "/avatar/user/voice_activity", depth=2000)
        self.diagnostics = ros.collect(DiagnosticArray, "/diagnostics", depth=2000)
        self.motion, self.sound, self.shown = ros.collect(MotionLatent, "/avatar/shown_motion", depth=2000), [], set()
        SoundReader(ros.node, "/avatar/spoken/", lambda samples, rate, stamp: self.sound.append(np.abs(samples).max()))

    def text(self):
        """The caption that the page shows."""
        text = self.page.evaluate("document.getElementById('captions')?.innerText ?? ''")
        self.shown.add(text)
        return text

    def state(self, name, since=0):
        return any(message.data == name for message in self.states[since:])

    def wait(self, what, description):
        """Until it is true; the page is started again and again, since a slow one may not be there yet."""
        deadline = time.monotonic() + WAIT_S
        while not what():
            assert time.monotonic() < deadline, (
                f"{description}; {[m.data for m in self.states]}; {self.page.console[-3:]}"
            )
            self.page.evaluate("window.avatarKiosk?.start()")
            time.sleep(0.1)


def test_a_visitor_is_answered_and_nothing_that_fails_stops_the_face_from_listening(ros, servers, microphone):
    try:
        find_chromium()
        page_bundle.dist()
    except InputError as error:
        pytest.skip(str(error))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    plan = KioskPlan(
        avatar="screen_face", generator="reflex", size=128, voice="espeak-ng:en-us",
        server={"host": "127.0.0.1", "port": port},
        host={"brain_url": servers.base, "brain_model": "m", "recognition_url": servers.base, "patience": PATIENCE_S},
    )  # fmt: skip

    def visit(graph):
        with Chromium(fake_camera(sound=microphone), size=(256, 256)) as browser:
            page = browser.open(f"http://localhost:{port}/")
            page.evaluate("window.avatarKiosk?.start()")
            talk(Visit(ros, page))
        return True

    def talk(visit):
        visit.wait(lambda: ANSWER.rstrip(".") in visit.text(), "the answer as a caption")
        assert visit.heard[-1].data == "Where is the exit?" and min(servers.turns) > 16_000
        visit.wait(lambda: any(s.state == SpeechState.FINISHED for s in visit.spoken), "the answer said to its end")
        assert max(visit.sound) > 0.05
        assert max(m.data[rig.INDEX["jawOpen"]] for m in visit.motion) > 0.1
        assert visit.state("speaking")
        visit.wait(lambda: visit.text() == "", "the caption to go with the voice")
        visit.wait(lambda: visit.states[-1].data == "listening", "the face to listen again")

        for how in ("fails", "hangs"):
            servers.how = how
            since, captions = len(visit.states), len(visit.captions)
            visit.wait(lambda how=how: how in servers.asked, f"a question to a server that {how}")
            servers.how = "late" if how == "hangs" else how
            if how == "hangs":
                visit.wait(lambda since=since: visit.state("thinking", since), "a face that thinks")
            visit.wait(lambda since=since: visit.state("listening", since), f"the face to listen after one that {how}")
            if how == "fails":
                visit.wait(lambda: told(visit.diagnostics, "host", "answers that failed"), "a word on it")
                assert not [m.data for m in visit.captions[captions:] if m.data]
            servers.released.set()
        servers.how = "good"
        done = len(servers.asked)
        visit.wait(lambda: "good" in servers.asked[done:], "a turn after that")
        visit.wait(lambda: ANSWER.rstrip(".") in visit.text(), "an answer after that")
        assert not any("too late" in text for text in visit.shown)

    run_kiosk(plan, ready=visit)
