"""The page in a headless browser, at the real server: it connects, shows what it is sent when it is due, speaks, and comes back."""

import json
import time

import numpy as np
import pytest
from avatar_models import head_model
from page_files import built_page, need_browser

from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.gltf import export_face
from avatar_forcing_ros.web.chromium import Chromium, fake_camera

pytest.importorskip("aiortc", reason="needs the extra [kiosk]")
from page_world import PATIENCE_S, Graph, begin, connected, until, wait

from avatar_forcing_ros.motion.screen.avatar import ScreenFaceAvatar
from avatar_forcing_ros.web.faces import face_files

JAW = rig.INDEX["jawOpen"]


@pytest.fixture(scope="module")
def place(request, tmp_path_factory):
    """(the built page, a small face)"""
    need_browser()
    face = tmp_path_factory.mktemp("face") / "beacon.glb"
    face.write_bytes(export_face(ScreenFaceAvatar(256, "beacon"), "beacon"))
    return built_page(request.config.cache), face


@pytest.fixture(scope="module")
def browser(place):
    with Chromium(fake_camera(), size=(300, 300)) as browser:
        yield browser


def test_a_visitor_is_seen_and_heard_and_sees_and_hears(place, browser):
    graph = Graph(*place)
    try:
        page = begin(browser, f"{graph.address}/")
        connected(page)
        assert "camera and microphone are on" in page.evaluate("document.getElementById('signs').innerText")
        until(page, "document.getElementById('captions').innerText.includes('Good to see you')", "a caption")
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end and not (graph.cameras and graph.microphones):
            time.sleep(0.1)
        assert graph.cameras and graph.microphones
        end = time.monotonic() + PATIENCE_S
        while True:  # a busy machine leaves gaps, in which the pose is held: then once more
            record = page.evaluate("avatarKiosk.record(4)", timeout=120.0)
            shown = np.array([[t, latent[JAW], presentation] for t, latent, _, presentation in record["face"]])
            # What is drawn is the motion of its presentation time.
            wrong = np.median(np.abs(graph.jaw(shown[:, 2]) - shown[:, 1]))
            if (len(shown) > 5 and wrong < 0.02) or time.monotonic() > end:
                break
        stats = page.evaluate("avatarKiosk.stats()")
        assert len(shown) > 5 and np.ptp(shown[:, 1]) > 0.2
        assert wrong < 0.02
        # It is shown as long after its time as the page tells, whatever the delay became meanwhile.
        delays = (shown[:, 0] + page.evaluate("performance.timeOrigin")) / 1000 - shown[:, 2]
        assert delays.min() - 0.1 < stats["latency_ms"] / 1000 < delays.max() + 0.1
        assert max(level for _, level in record["sound"]) > 0.05  # the tone was decoded
        assert stats["latency_ms"] < 1500 and stats["mode"] == "model"
        page.close()
    finally:
        graph.close()


def test_it_comes_back_when_the_server_does(place, browser):
    graph = Graph(*place)
    try:
        page = begin(browser, f"{graph.address}/?view")
        connected(page)
        graph.server.stop()
        until(page, "!avatarKiosk.stats().connected", "the loss is seen")
        until(page, "document.getElementById('notice').innerText.length > 5", "a notice")
        graph.start()
        connected(page)
        until(page, "document.getElementById('notice').hidden", "the notice goes")
        page.close()
    finally:
        graph.close()


def test_what_is_wrong_is_said_in_plain_words(place, browser):
    graph = Graph(*place, token="right-token")
    try:
        page = begin(browser, f"{graph.address}/?view&token=wrong-token")
        until(page, "document.getElementById('notice').innerText.includes('token')", "a wrong token")
        assert "token=" not in page.evaluate("location.href")
        page.close()
        page = begin(browser, f"{graph.address}/?view&token=right-token")
        connected(page)
        page.close()
    finally:
        graph.close()


@pytest.mark.parametrize(
    "error, words",
    [("NotFoundError", "No camera"), ("NotAllowedError", "not allowed"), ("NotReadableError", "another program")],
)
def test_without_a_camera_one_may_still_watch(place, browser, error, words):
    graph = Graph(*place)
    try:
        page = browser.open(f"{graph.address}/")
        until(page, "document.getElementById('begin') !== null")
        page.evaluate(
            f"navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('x', {json.dumps(error)}))"
        )
        page.evaluate("avatarKiosk.start()")
        until(page, f"document.getElementById('notice').innerText.includes({json.dumps(words)})")
        until(page, "document.querySelector('#start .plain') !== null")
        page.evaluate("document.querySelector('#start .plain').click()")
        connected(page)
        assert graph.cameras == 0
        page.close()
    finally:
        graph.close()


def test_a_page_that_is_not_secure_says_where_to_go(place, browser):
    graph = Graph(*place)
    try:
        page = begin(
            browser, f"{graph.address}/", "Object.defineProperty(window, 'isSecureContext', { get: () => false });"
        )
        until(page, "document.getElementById('notice').innerText.includes('https://')")
        assert not graph.server.hub.peers
        page.close()
    finally:
        graph.close()


def test_a_second_visitor_becomes_a_viewer(place, browser):
    graph = Graph(*place)
    try:
        first = begin(browser, f"{graph.address}/")
        connected(first)
        second = begin(browser, f"{graph.address}/")
        until(second, "document.getElementById('notice').innerText.includes('Somebody else')")
        connected(second)
        first.close()
        second.close()
    finally:
        graph.close()


def test_tracking_in_the_page_sends_no_picture(place, browser):
    graph = Graph(*place, tracking="page")
    try:
        page = begin(browser, f"{graph.address}/")
        connected(page)
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end and not graph.tracked:
            time.sleep(0.2)
        assert graph.tracked, page.console[-5:]  # the fake camera shows nobody: that is told
        assert graph.cameras == 0
        page.close()
    finally:
        graph.close()


def test_a_face_of_pixels_comes_as_video_and_sound_waits_for_it(place, browser):
    graph = Graph(*place, faces={}, video_possible=True)
    try:
        page = begin(browser, f"{graph.address}/?view")
        until(page, "avatarKiosk.stats().mode === 'video'", "video")
        until(page, "document.getElementById('video').videoWidth === 128")
        red, green, blue = page.evaluate("""(() => {
            const c = new OffscreenCanvas(8, 8).getContext('2d');
            c.drawImage(document.getElementById('video'), 0, 0, 8, 8);
            return [...c.getImageData(4, 4, 1, 1).data].slice(0, 3);
        })()""")
        assert abs(red - 200) < 30 and abs(green - 60) < 30 and abs(blue - 20) < 30
        until(page, "avatarKiosk.stats().skew_ms !== null", "sound and picture are compared")
        page.close()
    finally:
        graph.close()


def test_nothing_is_asked_or_sent_before_one_agrees(place, browser):
    """Consent first: neither camera nor connection before the button; a sign while live, and another while recorded."""
    graph = Graph(*place, records=True, sees="I know your name from your badge.")
    try:
        page = browser.open("about:blank")
        asked = "window.asked = 0; const get = navigator.mediaDevices?.getUserMedia.bind(navigator.mediaDevices);"
        asked += "if (get) navigator.mediaDevices.getUserMedia = (w) => { window.asked++; window.wanted = w; return get(w); };"
        page.call("Page.addScriptToEvaluateOnNewDocument", {"source": asked})
        page.go(f"{graph.address}/")
        until(page, "document.getElementById('begin') !== null")
        card = page.evaluate("document.getElementById('start').innerText")
        assert "is recorded" in card and "your badge" in card and "Nothing is kept" not in card
        time.sleep(1.0)
        assert page.evaluate("window.asked") == 0 and not graph.server.hub.peers
        assert page.evaluate("document.getElementById('signs').innerText") == ""
        page.evaluate("avatarKiosk.start()")
        connected(page)
        until(page, "document.getElementById('signs').innerText.includes('recording')")
        assert page.evaluate("window.asked") == 1 and page.evaluate("window.wanted.audio.echoCancellation") is True
        assert "camera and microphone are on" in page.evaluate("document.getElementById('signs').innerText")
        page.close()
    finally:
        graph.close()


def test_a_page_that_cannot_draw_asks_for_video_and_comes_back(place, browser):
    """The page's own clock is slowed down: ten turns a second by it, later fifty."""
    graph = Graph(*place, video_possible=True)
    slow = """const real = requestAnimationFrame.bind(window); let at = performance.now(); window.turn = 100;
        window.requestAnimationFrame = (f) => real(() => f(at += window.turn));"""
    try:
        page = begin(browser, f"{graph.address}/?view", slow)
        connected(page)
        until(page, "avatarKiosk.stats().mode === 'video'", "video")
        assert min(page.evaluate("avatarKiosk.sizes")) == 256  # it has made its drawing smaller first
        assert graph.server.hub.video.watched
        page.evaluate("window.turn = 20")
        until(page, "avatarKiosk.stats().mode === 'model' && !document.getElementById('face').hidden", "drawing again")
        wait(lambda: not graph.server.hub.video.watched, "the encoder to rest")
        until(page, "avatarKiosk.stats().connected", "the connection, which a busy machine may lose for a moment")
        page.close()
    finally:
        graph.close()


def test_a_vrm_avatar_of_somebody_else(place, browser, tmp_path):
    """avatar:=model.vrm, from the parameter to the picture."""
    (tmp_path / "me.vrm").write_bytes(head_model(["mouth_a", "mouth_b"], vrm=True))
    graph = Graph(place[0], place[1], faces=face_files(str(tmp_path / "me.vrm")))
    try:
        page = begin(browser, f"{graph.address}/?view")
        connected(page)
        assert page.evaluate("fetch('/config.json').then((r) => r.json())")["faces"] == ["me"]
        drawn = page.evaluate("avatarKiosk.record(4)", timeout=120.0)["face"]
        jaw, mouth = np.array([latent[JAW] for _, latent, _, _ in drawn]), np.array([grey for _, _, grey, _ in drawn])
        darkest = mouth.min(axis=1)
        assert len(drawn) > 5 and np.ptp(jaw) > 0.2
        assert np.corrcoef(jaw, darkest)[0, 1] < -0.5  # the more it opens its mouth, the more of the plate is dark
        assert not page.evaluate("avatarKiosk.errors").count("bad_face")
        page.close()
    finally:
        graph.close()
