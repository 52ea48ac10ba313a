"""Cameras and microphones of the field at the nodes: bytes that lie, clocks that differ. What is told, and that life goes on."""

import array
import struct
import time
import zlib

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS: on a plain Python install there are no nodes to test")

from audio_common_msgs.msg import AudioDataStamped, AudioInfo
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.msg import AudioFrames, MotionLatent, MotionLatentBlock
from avatar_forcing_ros.timeline import NANOSECONDS, frame_at

pytestmark = pytest.mark.graph
HOUR = 3600 * NANOSECONDS


def portrait() -> np.ndarray:
    return cv2.resize(cv2.imread(str(DEFAULT_PORTRAIT)), (320, 320))


def lying_images() -> dict[str, bytes]:
    """A BMP 2^30 columns wide, and a PNG of 30000x30000 in some kB."""
    bmp = bytearray(cv2.imencode(".bmp", np.zeros((64, 80, 3), np.uint8))[1].tobytes())
    bmp[18:22] = struct.pack("<i", 2**30)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    png = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(4_000_000), 9))
        + chunk(b"IEND", b"")
    )
    return {"bmp": bytes(bmp), "png": png, "nothing": b"", "text": b"hello" * 100}


def levels(messages: list, name: str) -> list[tuple[int, str]]:
    return [(s.level[0], s.message) for m in messages for s in m.status if s.name.endswith(name)]


def test_images_that_lie_cost_only_themselves(ros):
    motions, told = ros.collect(MotionLatent, "/motion"), ros.collect(DiagnosticArray, "/diagnostics")
    process = ros.start("face_ingest", "face", compressed=True)
    publisher = ros.publisher(CompressedImage, "/camera/image_raw/compressed")
    ros.wait_for_readers(publisher)
    good = cv2.imencode(".jpg", portrait())[1].tobytes()

    def publish(data: bytes) -> None:
        message = CompressedImage(format="jpeg")
        message.header.stamp = Time(nanoseconds=ros.now_ns()).to_msg()
        message.data = array.array("B", data)
        publisher.publish(message)

    for name, data in lying_images().items():
        told.clear()
        ros.wait_for(
            lambda d=data: publish(d) or any(level == 2 for level, _ in levels(told, "face")), f"an error for {name}"
        )
        error = next(text for level, text in levels(told, "face") if level == 2)
        assert "/camera/image_raw/compressed" in error and "cannot be used" in error
        motions.clear()
        ros.wait_for(lambda: publish(good) or any(m.confidence > 0.5 for m in motions), f"a face after {name}")
    told.clear()
    ros.wait_for(lambda: publish(good) or any(level == 0 for level, _ in levels(told, "face")), "all well again")
    assert process.poll() is None


@pytest.mark.parametrize("offset, words", [(HOUR, "3600.0 s ahead of"), (-200_000_000 * NANOSECONDS, "years behind")])
def test_a_camera_of_another_clock_is_mapped_and_told_once(ros, offset, words):
    motions, told = ros.collect(MotionLatent, "/motion"), ros.collect(DiagnosticArray, "/diagnostics")
    ros.start("face_ingest", "face", reliable=True)
    publisher = ros.publisher(Image, "/camera/image_raw")
    ros.wait_for_readers(publisher)
    picture = portrait()

    def publish() -> None:
        message = Image(height=320, width=320, encoding="bgr8", step=960)
        message.header.stamp = Time(nanoseconds=ros.now_ns() + offset).to_msg()
        message.data = array.array("B", picture.tobytes())
        publisher.publish(message)

    ros.wait_for(
        lambda: publish() or any(words in text and level == 1 for level, text in levels(told, "face")), "a warning"
    )
    ros.wait_for(lambda: publish() or len(motions) > 20, "motion")
    ahead = [(m.header.stamp.sec * NANOSECONDS - ros.now_ns()) / NANOSECONDS for m in motions]
    assert max(ahead) < 1 and min(ahead) > -60
    assert ros.log("face").count("our clock") == 1


def test_a_microphone_an_hour_ahead_never_makes_motion_ahead_of_the_clock(ros):
    leads: list[int] = []
    ros.node.create_subscription(
        MotionLatentBlock, "/motion_blocks", lambda b: leads.append(b.first_frame - frame_at(ros.now_ns())), 200
    )
    frames, told = ros.collect(AudioFrames, "/user/audio_frames"), ros.collect(DiagnosticArray, "/diagnostics")
    ros.start("audio_ingest", "microphone", "/user")
    ros.start("motion_generator", "motion_generator", generator="reflex")
    publisher = ros.publisher(AudioDataStamped, "/user/audio_stamped")
    describe = ros.publisher(AudioInfo, "/user/audio_info")
    ros.wait_for_readers(publisher)
    describe.publish(AudioInfo(channels=1, sample_rate=16000, sample_format="S16LE", coding_format="wave"))
    ros.wait_for(lambda: len(leads) > 3, "blocks")
    tone = (8000 * np.sin(np.arange(640) * 0.1)).astype("<i2").tobytes()

    def talk() -> None:
        message = AudioDataStamped()
        message.header.stamp = Time(nanoseconds=ros.now_ns() + HOUR).to_msg()
        message.audio.data = array.array("B", tone)
        publisher.publish(message)
        time.sleep(0.02)

    ros.wait_for(
        lambda: talk() or any("ahead of our clock" in t for level, t in levels(told, "microphone") if level == 1),
        "a warning",
    )
    leads.clear()
    ros.wait_for(lambda: talk() or len(leads) > 20, "blocks")
    assert max(leads) <= 0 and frames
    assert max(m.first_frame for m in frames) < frame_at(ros.now_ns()) + 100


def test_frames_of_another_time_are_left_out_by_the_generator(ros):
    told = ros.collect(DiagnosticArray, "/diagnostics")
    ros.start("motion_generator", "motion_generator", generator="reflex")
    publisher = ros.publisher(MotionLatent, "/user/motion")
    ros.wait_for_readers(publisher)

    def publish() -> None:
        publisher.publish(
            MotionLatent(frame=frame_at(ros.now_ns() + HOUR), space="rig", confidence=1.0, data=[0.0] * 32)
        )

    ros.wait_for(
        lambda: publish()
        or any("s ahead of our clock" in t for level, t in levels(told, "motion_generator") if level == 2),
        "an error",
    )
