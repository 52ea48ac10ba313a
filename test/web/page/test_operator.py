"""Telepresence from page to page: an operator, tracked in his page, drives the face before a visitor, and both see and hear."""

import numpy as np
import pytest
from page_files import built_page, need_browser

from avatar_forcing_ros.assets import SAMPLE_USER_VIDEO
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.gltf import export_face
from avatar_forcing_ros.web.chromium import Chromium, fake_camera

pytest.importorskip("aiortc", reason="needs the extra [kiosk]")
from page_world import Graph, begin, connected, until, wait

from avatar_forcing_ros.motion.screen.avatar import ScreenFaceAvatar
from avatar_forcing_ros.web.face_motion import HANDOVER_FRAMES
from avatar_forcing_ros.web.measure.fake_media import write_camera, write_microphone
from avatar_forcing_ros.web.tracking_files import tracking_file

pytestmark = pytest.mark.slow
OWN = rig.pose(
    mouthSmileLeft=1.0, mouthSmileRight=1.0, jawOpen=0.8, browInnerUp=0.8, headYaw=0.4
)  # of no person at rest
KEEP_CONNECTIONS = """window.links = []; const Old = RTCPeerConnection;
    window.RTCPeerConnection = class extends Old { constructor(...a) { super(...a); window.links.push(this); } };"""
HEARD = """(async () => { let samples = 0; for (const link of window.links) (await link.getStats()).forEach((s) => {
    if (s.type === 'inbound-rtp' && s.kind === 'audio') samples += s.totalSamplesReceived ?? 0; }); return samples; })()"""


@pytest.fixture
def browser(tmp_path):
    need_browser()
    try:
        tracking_file("face_landmark_with_attention.onnx")
    except InputError as error:
        pytest.skip(str(error))
    video, sound = tmp_path / "camera.y4m", tmp_path / "microphone.wav"
    write_camera(str(SAMPLE_USER_VIDEO), video, longest_s=3)
    write_microphone(str(SAMPLE_USER_VIDEO), sound)
    with Chromium(fake_camera(video, sound), size=(300, 300)) as browser:
        yield browser


def test_an_operator_drives_the_face_before_a_visitor(browser, request, tmp_path):
    face = tmp_path / "beacon.glb"
    face.write_bytes(export_face(ScreenFaceAvatar(256, "beacon"), "beacon"))
    graph = Graph(built_page(request.config.cache), face)
    graph.pose = lambda time_s: OWN
    try:
        visitor = begin(browser, f"{graph.address}/")
        connected(visitor)
        operator = begin(browser, f"{graph.address}/operator", KEEP_CONNECTIONS)
        connected(operator)
        until(operator, "document.querySelector('#operator video').videoWidth === 640", "the visitor's picture")
        wait(lambda: operator.evaluate(HEARD) > 4800, "the visitor's sound")
        hub = graph.server.hub
        wait(lambda: len(hub.motion._operator) > 20, "the operator's motion")
        assert graph.frames[-1].operator == 0 and not graph.voices  # nothing of it is used before he takes the face

        button = "document.querySelector('#operator button').click()"
        operator.evaluate(button)
        until(visitor, "document.getElementById('signs').innerText.includes('a person is live')", "the sign")
        wait(lambda: graph.frames[-1].operator == 1.0, "the operator's face")
        wait(lambda: max(graph.voices, default=0.0) > 0.01, "his voice")
        wait(lambda: np.abs(graph.frames[-1].latent - OWN).max() > 0.3, "another face's motion")
        wait(lambda: operator.evaluate("avatarKiosk.stats().up_kbps") > 0, "the measure of the link")
        assert operator.evaluate("avatarKiosk.stats().up_kbps") <= 5.0  # besides sound; no picture is sent at all
        sent = "window.links.flatMap((l) => l.getSenders()).filter((s) => s.track?.kind === 'video').length"
        assert operator.evaluate(sent) == 0

        operator.evaluate(button)
        until(visitor, "!document.getElementById('signs').innerText.includes('a person is live')", "the sign to go")
        wait(lambda: graph.frames[-1].operator == 0.0, "the face's own motion")
        assert np.allclose(graph.frames[-1].latent, OWN, atol=1e-3)
        without_a_jump(graph.frames, hub.motion.held_frames)

        operator.evaluate(button)
        wait(lambda: graph.frames[-1].operator == 1.0, "the operator again")
        operator.close()  # he is gone without a word
        wait(lambda: graph.frames[-1].operator == 0.0, "the face to be its own")
        without_a_jump(graph.frames, hub.motion.held_frames)
        visitor.close()
    finally:
        graph.close()


def without_a_jump(frames: list, held: int) -> None:
    """Between frames that follow one another the operator's share goes in small steps, and the face is as far from its own as that
    share of another face may be. held: frames whose motion came too late, from a busy machine: the face eases to rest and back."""
    pairs = [(a, b) for a, b in zip(frames, frames[1:]) if b.frame == a.frame + 1 and not b.first]
    assert len(pairs) > 50
    assert max(abs(b.operator - a.operator) for a, b in pairs) <= 1.5 / HANDOVER_FRAMES + 1e-6
    far = [frame for frame in frames if np.abs(frame.latent - OWN).max() > 1.5 * frame.operator + 1e-3]
    assert len(far) <= 10 * held, (held, far)
