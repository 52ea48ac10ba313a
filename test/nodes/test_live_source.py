"""Webcam and microphone: what they give is stamped with when it was seen or heard; one that falls silent is told. Recorder states."""

import queue
import sys
import time
import types

import numpy as np
import pytest

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media import devices
from avatar_forcing_ros.media.base import AudioChunk, VideoFrame

pytest.importorskip("rclpy", reason="needs ROS: a plain Python install has no nodes")

import rclpy  # noqa: E402
from rclpy.lifecycle import TransitionCallbackReturn  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

from avatar_forcing_ros.msg import MotionLatentBlock  # noqa: E402
from avatar_forcing_ros.nodes import media_source, recorder  # noqa: E402
from avatar_forcing_ros.ros.messages import nanoseconds  # noqa: E402
from avatar_forcing_ros.ros.sound import STAMPED  # noqa: E402

OK, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
DURATION = 0.02


class Device(devices.LiveReader):
    """A microphone whose sound the test gives."""

    has_audio = True

    def __init__(self):
        super().__init__("mic:test")
        self.items = queue.Queue()

    def hear(self, age: float = 0.0):
        """A chunk that ended `age` seconds ago."""
        self.items.put(AudioChunk(self.running() - age - DURATION, np.full((320, 1), 0.5, np.float32), 16000))

    def audio(self):
        while (item := self.items.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item

    def close(self):
        self.items.put(None)


@pytest.fixture
def here(ros):
    """Nodes of this process, in the domain of `ros`."""
    rclpy.init(domain_id=int(ros.domain))
    yield ros
    rclpy.try_shutdown()


@pytest.fixture
def microphone(here, monkeypatch):
    """A media_source of a microphone, configured, and the devices that it has opened."""
    opened = []
    monkeypatch.setattr(media_source, "open_media", lambda *_: opened.append(Device()) or opened[-1])
    node = media_source.MediaSource()
    node.set_parameters([rclpy.parameter.Parameter("source", value="mic:test")])
    assert node.trigger_configure() == OK
    yield node, opened
    node.halt()
    node.destroy_node()


def test_sound_of_a_device_is_stamped_when_it_was_heard_and_old_sound_is_left_out(here, microphone):
    node, (device,) = microphone
    heard = here.collect(STAMPED, "/audio_stamped")
    here.wait_for(lambda: node.count_subscribers("/audio_stamped"), "the test's reader")
    time.sleep(0.5)
    for _ in range(3):
        device.hear(age=1.0)  # that has waited since the device was opened
    assert node.trigger_activate() == OK
    time.sleep(0.2)
    device.hear(age=0.1)  # by a reader that was busy for a moment
    began = here.now_ns()
    here.wait_for(lambda: heard, "sound")
    time.sleep(0.2)
    assert len(heard) == 1
    assert abs(nanoseconds(heard[0].header.stamp) - (began - 120_000_000)) < 20_000_000


def test_a_device_is_opened_again_with_the_node(here, microphone):
    node, opened = microphone
    heard = here.collect(STAMPED, "/audio_stamped")
    assert node.trigger_activate() == OK and node.trigger_deactivate() == OK and node.trigger_activate() == OK
    assert len(opened) == 2
    here.wait_for(lambda: opened[1].hear() or heard, "sound of the second opening")


def test_a_device_that_is_unplugged_ends_its_process_so_that_it_is_started_again(here, microphone):
    node, (device,) = microphone
    assert node.trigger_activate() == OK
    device.items.put(InputError("mic:test gave no sound"))
    here.wait_for(lambda: not node.context.ok(), "the end of the process")
    assert "gave no sound" in node.fault  # run_node makes it the exit status and the last line


def test_a_recorder_is_configured_anew_for_a_new_recording_and_survives_a_broken_block(here, tmp_path):
    node = recorder.Recorder()
    node.set_parameters([rclpy.parameter.Parameter("out", value=str(tmp_path / "o.mp4"))])
    assert node.trigger_configure() == OK and node.trigger_activate() == OK
    node._on_block(MotionLatentBlock(frame_count=3, latent_dim=32, data=[1.0]))
    assert "3 frames of 32 values" in node.unusable
    node._on_image(Image(height=16, width=16, encoding="rgb8", step=48, data=[128] * 768))
    assert node.trigger_deactivate() == OK and (tmp_path / "o.json").is_file()
    assert node.trigger_activate() == FAILURE and "to record again" in node.fault
    assert node.trigger_cleanup() == OK and node.trigger_configure() == OK and node.trigger_activate() == OK
    node.halt()
    node.destroy_node()


class Camera:
    """cv2.VideoCapture of a camera that gives three images and then none."""

    def __init__(self, number):
        self.left = 4

    def isOpened(self):  # noqa: N802
        return True

    def set(self, *_): ...

    def grab(self):
        self.left -= 1
        return True

    def read(self):
        good = self.left > 0
        self.left -= good
        return good, np.zeros((4, 6, 3), np.uint8) if good else None

    def release(self): ...


def test_a_webcam_tells_when_its_images_came_and_when_it_is_gone(monkeypatch):
    monkeypatch.setattr(devices.cv2, "VideoCapture", Camera)
    monkeypatch.setattr(devices, "_SILENT_DEVICE_SECONDS", 0.05)
    seen = []
    with devices.WebcamReader("webcam:0") as reader, pytest.raises(InputError, match="webcam:0 gave no image"):
        for item in reader.video():
            assert isinstance(item, VideoFrame) and 0 <= reader.age(item) < 0.5
            seen.append(item.time)
    assert len(seen) == 3 and seen == sorted(seen)  # the one that waited in the camera is left out
    with pytest.raises(InputError, match="webcam:NUMBER"):
        devices.WebcamReader("webcam:front")


def test_a_microphone_tells_when_its_sound_was_heard_and_when_it_is_gone(monkeypatch):
    stub = types.SimpleNamespace(
        PortAudioError=OSError, query_devices=lambda name, kind: {"default_samplerate": 48000.0, "index": 3}
    )

    class Stream:
        def __init__(self, callback, **_):
            stub.callback = callback

        def start(self): ...

        def close(self): ...

    stub.InputStream = Stream
    monkeypatch.setitem(sys.modules, "sounddevice", stub)
    monkeypatch.setattr(devices, "_SILENT_DEVICE_SECONDS", 0.05)
    with devices.MicrophoneReader("mic:") as reader:
        time.sleep(0.1)
        stub.callback(np.zeros((960, 1), np.float32), 960, None, None)
        sound = reader.audio()
        chunk = next(sound)
        assert chunk.rate == 48000 and chunk.time >= 0.08 and DURATION <= reader.age(chunk) < 0.5
        with pytest.raises(InputError, match="mic: gave no sound"):
            next(sound)
