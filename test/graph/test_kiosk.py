"""The kiosk's node in a graph: a page's camera and microphone become topics, the graph's motion and sound reach the page."""

from __future__ import annotations

import asyncio
import signal
import socket

import numpy as np
import pytest

pytest.importorskip("aiortc", reason="the extra [kiosk] is not installed")

from conftest import errors_of
from kiosk_client import PageClient
from kiosk_world import run, until

from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.timeline import NANOSECONDS, frame_at, time_of

pytestmark = pytest.mark.graph
DELAY_NS = 150_000_000


@pytest.fixture
def model(tmp_path) -> None:
    """A model of a face that need not be one: nobody draws it."""
    (tmp_path / "face.glb").write_bytes(b"glTF" + bytes(100))


def start_kiosk(ros, tmp_path, port: int, **parameters):
    from avatar_forcing_ros.web import page_bundle

    try:
        page_bundle.dist()
    except Exception as error:
        pytest.skip(f"the page is not built: {error}")
    return ros.start("kiosk", "kiosk", port=port, avatar=str(tmp_path / "face.glb"), **parameters)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_page_and_the_graph(ros, tmp_path, model):
    from builtin_interfaces.msg import Time as TimeMessage
    from sensor_msgs.msg import Image
    from std_msgs.msg import String

    from avatar_forcing_ros.msg import MotionLatent, SpeechState
    from avatar_forcing_ros.ros.sound import STAMPED, SoundPublisher

    port = free_port()
    start_kiosk(ros, tmp_path, port)
    images, sound = ros.collect(Image, "/user/camera/image_raw", 5), ros.collect(STAMPED, "/user/audio_stamped")
    shown, words = ros.publisher(MotionLatent, "/shown_motion"), ros.publisher(String, "/speech/caption")
    ended = ros.publisher(SpeechState, "/speech_state")
    spoken = SoundPublisher(ros.node, "/spoken/")
    ros.wait_for_readers(shown)
    stamp = lambda ns: TimeMessage(sec=ns // NANOSECONDS, nanosec=ns % NANOSECONDS)  # noqa: E731

    def feed(frame: int) -> None:
        for i in (frame, frame + 1):
            message = MotionLatent(frame=i, space="rig", confidence=1.0, data=rig.pose(jawOpen=0.5).tolist())
            message.header.stamp = stamp(time_of(i) + DELAY_NS)
            shown.publish(message)
        spoken.publish(np.full(1280, 0.25, np.float32), 16_000, stamp(time_of(frame) + DELAY_NS), "avatar")

    async def work():
        client = await PageClient(f"http://127.0.0.1:{port}", "visitor", media=True).connect()

        async def feeding():
            while True:
                frame = frame_at(ros.now_ns()) // 2 * 2
                feed(frame)
                await asyncio.sleep(0.08)

        task = asyncio.ensure_future(feeding())
        await until(lambda: len(images) > 20 and len(sound) > 40, "the visitor as topics")
        # The first frames are from before the delay was told.
        frame = await until(
            lambda: max((f for f, t in client.times.items() if abs(t - f / 25 - 0.15) < 1e-3), default=0), "motion"
        )
        assert abs(client.motion[frame][rig.INDEX["jawOpen"]]) <= 0.51
        await until(lambda: any(p.rate == 16_000 and len(p.payload) == 640 for p in client.sound), "the voice")
        ros.wait_for_readers(words)
        words.publish(String(data=" Good morning. "))
        await until(lambda: client.told("caption"), "the caption")
        ended.publish(SpeechState(state=SpeechState.FINISHED, utterance="a"))
        await until(lambda: len(client.told("caption")) == 2, "its end")
        begun, over = client.told("caption")
        assert begun["text"] == "Good morning." and over["text"] == ""
        assert abs(begun["start"] - ros.now_ns() / NANOSECONDS) < 60
        task.cancel()
        await client.close()

    run(work())
    assert images[-1].encoding == "rgb8" and (images[-1].width, images[-1].height) == (160, 120)
    assert (
        0
        < ros.now_ns() - (images[-1].header.stamp.sec * NANOSECONDS + images[-1].header.stamp.nanosec)
        < 60 * NANOSECONDS
    )


def test_the_page_tracks_and_a_killed_server_comes_back(ros, tmp_path, model):
    from avatar_forcing_ros.msg import MotionLatent

    port = free_port()
    process = start_kiosk(ros, tmp_path, port, tracking="page")
    motion = ros.collect(MotionLatent, "/user/motion")
    ros.wait_for(lambda: "the page is at" in ros.log("kiosk"), "the server")

    async def track(client: PageClient) -> None:
        before = len(motion)
        while len(motion) < before + 5:
            client.track(rig.pose(mouthSmileLeft=0.5), ros.now_ns() / NANOSECONDS)
            await asyncio.sleep(0.04)

    async def work():
        url = f"http://127.0.0.1:{port}"
        client = await PageClient(url, "visitor").connect()
        await track(client)
        process.send_signal(signal.SIGKILL)
        process.wait()
        start_kiosk(ros, tmp_path, port, tracking="page")
        await client.close()
        while True:  # as the page does
            try:
                await client.connect()
                break
            except OSError:
                await asyncio.sleep(0.2)
        await track(client)
        await client.close()

    run(work())
    assert motion[-1].space == "rig" and motion[-1].confidence == 1.0
    assert abs(motion[-1].data[rig.INDEX["mouthSmileLeft"]] - 0.5) < 1e-3


def test_an_unsafe_setting_is_refused_with_a_reason(ros, model, tmp_path):
    from diagnostic_msgs.msg import DiagnosticArray

    diagnostics = ros.collect(DiagnosticArray, "/diagnostics")
    start_kiosk(ros, tmp_path, free_port(), host="0.0.0.0")
    ros.wait_for(lambda: any("https only" in text for text in errors_of(diagnostics, "kiosk")), "the reason")
