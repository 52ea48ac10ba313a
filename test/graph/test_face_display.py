"""The face on this machine's screen: under a display and a sound device of SDL's that show and play nothing, and under an X server."""

from __future__ import annotations

import array
import contextlib
import shutil
import struct
import subprocess
import time

import numpy as np
import pytest

pytest.importorskip("pygame", reason="the extra [kiosk] is not installed")

from conftest import told

from avatar_forcing_ros.timeline import FRAME_NS, NANOSECONDS

pytestmark = pytest.mark.graph


def feeding(ros):
    """feed(): an image and its sound when their frame has come; grey and level of both are told by the frame."""
    from builtin_interfaces.msg import Time as TimeMessage
    from sensor_msgs.msg import Image

    from avatar_forcing_ros.ros.sound import SoundPublisher

    images, voice = ros.publisher(Image, "/image_raw", 4), SoundPublisher(ros.node, "/spoken/")
    ros.wait_for_readers(images)
    frame = ros.now_ns() // FRAME_NS

    def feed() -> None:
        nonlocal frame
        if ros.now_ns() // FRAME_NS <= frame:
            return
        frame = ros.now_ns() // FRAME_NS
        stamp = TimeMessage(sec=frame * FRAME_NS // NANOSECONDS, nanosec=frame * FRAME_NS % NANOSECONDS)
        light = is_light(frame * FRAME_NS)
        image = Image(height=96, width=128, encoding="rgb8", step=384)
        image.header.stamp = stamp
        image.data = array.array("B", np.full((96, 128, 3), 220 if light else 30, np.uint8).tobytes())
        images.publish(image)
        voice.publish(np.full(640, 0.5 if light else 0.1, np.float32), 16_000, stamp, "avatar")

    return feed


def is_light(stamp_ns: int) -> bool:
    """Half of every two seconds the picture is light and the sound is loud."""
    return stamp_ns // NANOSECONDS % 2 == 0


@pytest.mark.parametrize("audio", ["dummy", "none"])
def test_images_and_voice_come_out_in_step(ros, audio):
    from diagnostic_msgs.msg import DiagnosticArray

    ros.environment.update(SDL_VIDEODRIVER="dummy", SDL_AUDIODRIVER=audio)
    ros.start("face_display", "display")
    diagnostics = ros.collect(DiagnosticArray, "/diagnostics")
    feed = feeding(ros)

    def shown() -> bool:
        feed()
        return int(told(diagnostics, "display", "images") or 0) > 50

    ros.wait_for(shown, "images on the screen")
    if audio == "none":  # no such driver: the face is shown all the same, and diagnostics say why it is mute
        assert "not played" in diagnostics[-1].status[0].message or told(diagnostics, "display", "sound") != "playing"
    else:
        ros.wait_for(lambda: (feed(), told(diagnostics, "display", "skew ms p95"))[1], "sound beside the images")
        assert told(diagnostics, "display", "sound") == "playing"


@contextlib.contextmanager
def x_server(folder):
    """(display, a function that reads the screen as grey (h, w))"""
    if not shutil.which("Xvfb"):
        pytest.skip("Xvfb is missing: apt-get install xvfb")
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "640x480x24", "-fbdir", str(folder), "-nolisten", "tcp"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        number = server.stdout.readline().strip()
        if not number:
            pytest.skip("Xvfb does not start here")

        def screen() -> np.ndarray:
            data = (folder / "Xvfb_screen0").read_bytes()  # as xwd writes it
            header = struct.unpack(">25I", data[:100])
            start, width, height, row = header[0] + 12 * header[19], header[4], header[5], header[12]
            return np.frombuffer(data, np.uint8)[start : start + row * height].reshape(height, row)[:, : 4 * width : 4]

        yield f":{number}", screen
    finally:
        server.terminate()
        server.wait()


def test_a_screen_shows_what_a_sound_device_plays(ros, tmp_path):
    """A real X server, and a sound device that writes what it is given: light and loud come and go together."""
    from diagnostic_msgs.msg import DiagnosticArray

    sound = tmp_path / "played.raw"
    with x_server(tmp_path) as (display, screen):
        ros.environment.update(
            SDL_VIDEODRIVER="x11", DISPLAY=display, SDL_AUDIODRIVER="disk", SDL_DISKAUDIOFILE=str(sound)
        )
        ros.start("face_display", "display")
        diagnostics = ros.collect(DiagnosticArray, "/diagnostics")
        feed = feeding(ros)
        seen: list[tuple[bool, bool]] = []  # light on the screen, loud in what was played last
        looked = 0.0

        def compared() -> bool:
            nonlocal looked
            feed()
            if time.monotonic() - looked > 0.05 and sound.is_file() and sound.stat().st_size > 64_000:
                looked = time.monotonic()
                picture, size = screen(), sound.stat().st_size // 4 * 4
                with open(sound, "rb") as file:
                    file.seek(size - 4 * 512)
                    last = np.abs(np.frombuffer(file.read(4 * 512), "<f4")).max()
                seen.append((bool(picture[240, 320] > 125), bool(last > 0.3)))
            return len(seen) > 120

        ros.wait_for(compared, "six seconds of picture and sound")
        picture = screen()
        ros.wait_for(lambda: (feed(), told(diagnostics, "display", "skew ms p95"))[1], "the skew")

    assert picture.shape == (480, 640) and set(np.unique(picture)) <= {30, 220}  # 4:3: the whole screen, without bars
    light, loud = np.array(seen).T
    assert 20 < light.sum() < 100 and 20 < loud.sum() < 100
    assert (
        light == loud
    ).mean() > 0.7  # of two seconds, by chance 0.5; what lies apart are the buffers of the device, and a busy machine
    assert told(diagnostics, "display", "sound") == "playing"
