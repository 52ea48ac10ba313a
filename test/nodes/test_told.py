"""What diagnostics say of inputs that are not as they should be: a level, a number, the mend; and OK again afterwards."""

import array
import re

import cv2
import numpy as np
import pytest
from conftest import told

pytest.importorskip("rclpy", reason="needs ROS: on a plain Python install there are no nodes to test")

from audio_common_msgs.msg import AudioDataStamped, AudioInfo
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.time import Time
from sensor_msgs.msg import Image

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.msg import AudioFrames, MotionLatent
from avatar_forcing_ros.timeline import NANOSECONDS, SAMPLES_PER_FRAME, frame_at, time_of

pytestmark = pytest.mark.graph
OK, WARN, ERROR = 0, 1, 2
CHIN_TO_BROWS = 0.31  # of the portrait's side


class Told:
    """The statuses of one node, as they come."""

    def __init__(self, ros, name: str) -> None:
        self._ros, self._name = ros, name
        self._messages = ros.collect(DiagnosticArray, "/diagnostics")

    def wait(self, level: int, words: str, meanwhile=lambda: None) -> str:
        """The next status of this level whose line has the words, a regular expression."""
        self._messages.clear()

        def found() -> str:
            meanwhile()
            for message in list(self._messages):
                for status in message.status:
                    if status.name.endswith(self._name) and status.level[0] == level:
                        if re.search(words, status.message):
                            return status.message or "-"
            return ""

        return self._ros.wait_for(found, f"level {level}: {words}")


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return cv2.resize(cv2.imread(str(DEFAULT_PORTRAIT)), (384, 384))


def seated(picture: np.ndarray, size: int) -> np.ndarray:
    """The portrait in a room of 640x480, its face so many pixels from chin to brows."""
    side = round(size / CHIN_TO_BROWS)
    room = np.full((480, 640, 3), 150, np.uint8)
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    room[240 - side // 2 : 240 - side // 2 + side, 320 - side // 2 : 320 - side // 2 + side] = small
    return room


def camera(ros):
    """A function that publishes one image."""
    ros.start("face_ingest", "face", reliable=True)
    publisher = ros.publisher(Image, "/camera/image_raw")
    ros.wait_for_readers(publisher)

    def publish(image: np.ndarray, encoding: str = "bgr8", ahead_ns: int = 0) -> None:
        message = Image(height=image.shape[0], width=image.shape[1], encoding=encoding, step=3 * image.shape[1])
        message.header.stamp = Time(nanoseconds=ros.now_ns() + ahead_ns).to_msg()
        message.data = array.array("B", image.tobytes())
        publisher.publish(message)

    return publish


def test_a_dark_image(ros, portrait):
    publish, status = camera(ros), Told(ros, "face")
    dark = (portrait * 0.03).astype(np.uint8)
    line = status.wait(WARN, "dark", lambda: publish(dark))
    assert re.search(r"\d+ of 255", line) and "light" in line
    status.wait(OK, "face followed", lambda: publish(portrait))


def test_a_dark_face_before_a_bright_window(ros, portrait):
    publish, status = camera(ros), Told(ros, "face")
    room = seated(portrait, 110)
    against = np.full_like(room, 230)
    against[60:420, 140:500] = (room[60:420, 140:500] * 0.03).astype(np.uint8)
    status.wait(OK, "face followed", lambda: publish(room))
    line = status.wait(WARN, "dark", lambda: publish(against))
    assert re.search(r"\d+ of 255", line) and "light" in line
    status.wait(OK, "face followed", lambda: publish(room))


def test_a_face_too_small(ros, portrait):
    """Somebody who walks away."""
    publish, status = camera(ros), Told(ros, "face")
    size = 60.0

    def leave() -> None:
        nonlocal size
        size = max(size - 0.5, 20.0)
        publish(seated(portrait, round(size)))

    status.wait(OK, "face followed", lambda: publish(seated(portrait, 60)))
    line = status.wait(WARN, "the face is", leave)
    assert re.search(r"\d+ pixels high, \d+ or more are needed", line) and "come nearer" in line
    status.wait(OK, "face followed", lambda: publish(seated(portrait, 60)))


def test_a_refused_encoding(ros, portrait):
    publish, status = camera(ros), Told(ros, "face")
    line = status.wait(ERROR, "vendor_raw", lambda: publish(portrait, "vendor_raw"))
    assert re.search(r"\d+ of \d+ images", line) and "/camera/image_raw" in line and "rgb8" in line
    status.wait(OK, "face followed", lambda: publish(portrait))


@pytest.mark.parametrize(
    "seconds, words", [(5.0, r"5\.\d s ahead of our clock"), (-40.0, r"40\.\d s behind our clock")]
)
def test_an_offset_of_the_camera_that_is_mended(ros, portrait, seconds, words):
    publish, status = camera(ros), Told(ros, "face")
    line = status.wait(WARN, words, lambda: publish(portrait, ahead_ns=round(seconds * NANOSECONDS)))
    assert "mapped to our time" in line and "set both machines' clocks" in line
    status.wait(OK, "face followed", lambda: publish(portrait))


def test_an_offset_of_the_microphone_that_is_mended(ros):
    ros.start("audio_ingest", "microphone")
    status, publisher = Told(ros, "microphone"), ros.publisher(AudioDataStamped, "/audio_stamped")
    describe = ros.publisher(AudioInfo, "/audio_info")
    ros.wait_for_readers(publisher)
    ros.wait_for_readers(describe)
    describe.publish(AudioInfo(channels=1, sample_rate=16000, sample_format="S16LE", coding_format="wave"))
    rng = np.random.default_rng(0)

    def talk(ahead_ns: int = 0) -> None:
        message = AudioDataStamped()
        message.header.stamp = Time(nanoseconds=ros.now_ns() + ahead_ns - 20_000_000).to_msg()
        message.audio.data = array.array("B", (1000 * rng.normal(size=320)).astype("<i2").tobytes())
        publisher.publish(message)

    line = status.wait(WARN, r"7\.\d s ahead of our clock", lambda: talk(7 * NANOSECONDS))
    assert "mapped to our time" in line and "set both machines' clocks" in line
    status.wait(OK, "listening", talk)


def test_speech_that_is_dropped(ros):
    ros.start("audio_ingest", "speech", speaker="avatar", max_queue_seconds=2.0)
    status, publisher = Told(ros, "speech"), ros.publisher(AudioDataStamped, "/audio_stamped")
    ros.wait_for_readers(publisher)
    for _ in range(60):  # six seconds at once
        message = AudioDataStamped()
        message.audio.data = array.array("B", np.full(1600, 2000, "<i2").tobytes())
        publisher.publish(message)
    line = status.wait(WARN, r"[34]\.\d s of speech were dropped")
    assert "raise max_queue_seconds" in line
    status.wait(OK, "listening")


def test_inputs_that_come_too_late_for_their_steps(ros):
    """Sound of 0.6 s ago at each step: blocks are made without it, which is told with how late it comes."""
    ros.start("motion_generator", "motion_generator", generator="reflex")
    status, publisher = Told(ros, "motion_generator"), ros.publisher(AudioFrames, "/user/audio_frames")
    ros.wait_for_readers(publisher)
    sent = frame_at(ros.now_ns())

    def talk(late_frames: int) -> None:
        nonlocal sent
        newest = frame_at(ros.now_ns()) - 1 - late_frames
        count = newest - sent
        if count <= 0:
            return
        message = AudioFrames(first_frame=sent + 1, sample_rate=16_000, samples_per_frame=SAMPLES_PER_FRAME)
        message.header.stamp = Time(nanoseconds=time_of(sent + 1)).to_msg()
        message.speaker, message.known = AudioFrames.USER, [True] * count
        message.samples = array.array("f", np.full(count * SAMPLES_PER_FRAME, 0.1, np.float32).tobytes())
        publisher.publish(message)
        sent = newest

    status.wait(OK, "generating", lambda: talk(0))
    line = status.wait(WARN, "were made without all of user audio", lambda: talk(15))
    assert re.search(r"\d+ of \d+ steps", line) and re.search(r"0\.\d+ s too late", line) and "shorten its way" in line
    status.wait(OK, "generating", lambda: talk(0))


def test_images_that_overtake_each_other_are_sorted(ros, portrait):
    """A driver with two threads hands each pair over the wrong way round: after some of them none is late any more."""
    motions, diagnostics = ros.collect(MotionLatent, "/motion"), ros.collect(DiagnosticArray, "/diagnostics")
    ros.start("face_ingest", "face", reliable=True)
    publisher = ros.publisher(Image, "/camera/image_raw")
    ros.wait_for_readers(publisher)
    start, sent, half = ros.now_ns(), [], 0
    for k in range(140):
        ros.wait_for(lambda k=k: ros.now_ns() >= start + (k | 1) * 50_000_000 + (k & 1) * 25_000_000, "its time")
        message = Image(height=384, width=384, encoding="bgr8", step=1152, data=array.array("B", portrait.tobytes()))
        sent.append(start + (k ^ 1) * 50_000_000)
        message.header.stamp = Time(nanoseconds=sent[-1]).to_msg()
        publisher.publish(message)
        half = half or (len(diagnostics) if k == 70 else 0)
    ros.wait_for(lambda: motions and _ns(motions[-1]) >= sorted(sent)[-4], "the newest image")
    ros.wait_for(lambda n=len(diagnostics): len(diagnostics) > n, "diagnostics")
    stamps = [_ns(m) for m in motions]
    assert all(np.diff(stamps) > 0)
    assert {s for s in stamps if s > sorted(sent)[70]} <= set(sent)  # true stamps stay as they are
    late = [told([m], "face", "late images") for m in diagnostics[half:]]
    assert late[0] == late[-1] and int(late[0]) > 0


def _ns(message) -> int:
    return message.header.stamp.sec * NANOSECONDS + message.header.stamp.nanosec
