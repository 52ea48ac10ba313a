"""Nodes that share a process: each is itself, and they end together."""

import os
import subprocess
import sys
import wave
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS: on a plain Python install there are no nodes to test")

from avatar_forcing_ros.paths import share_file  # noqa: E402
from avatar_forcing_ros.ros.graph.domain import PROFILE_VARIABLE  # noqa: E402
from avatar_forcing_ros.ros.sound import STAMPED  # noqa: E402
from avatar_forcing_ros.timeline import NANOSECONDS  # noqa: E402


def sound_file(path, seconds: float) -> str:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(np.full(round(seconds * 16_000), 1000, "<i2").tobytes())
    return str(path)


def test_each_has_its_own_name_and_parameters_and_the_last_one_that_is_done_ends_the_process(ros):
    start = ros.now_ns() / NANOSECONDS + 5.0
    given = {"exit_when_done": True, "start_time": start}
    heard = {name: ros.collect(STAMPED, f"/{name}/audio_stamped") for name in ("short", "long")}
    process = ros.start_together(*(
        ("media_source", name, f"/{name}", {**given, "source": sound_file(ros.folder / f"{name}.wav", seconds)})
        for name, seconds in (("short", 0.4), ("long", 1.2))
    ))  # fmt: skip

    def seconds(name: str) -> float:
        return sum(len(message.audio.data) for message in heard[name]) / 2 / 16_000

    ros.wait_for(lambda: seconds("short") >= 0.4, "the short sound")
    assert process.wait(30) == 0
    assert seconds("short") == pytest.approx(0.4) and seconds("long") == pytest.approx(1.2)


def test_one_that_cannot_go_on_ends_the_others_with_its_reason(ros):
    process = ros.start_together(
        ("audio_ingest", "speech", "/speech", {}), ("media_source", "camera", "/user", {"source": "webcam:99"})
    )
    assert process.wait(30) == 1
    last = ros.log("speech").strip().splitlines()[-1]
    assert last.startswith("error: ") and "99" in last


@pytest.mark.graph
@pytest.mark.parametrize("order", ["Calm, Bad", "Bad, Calm"])
def test_an_error_in_one_is_raised(order, domain, tmp_path):
    code = f"""
from avatar_forcing_ros.nodes import running
from avatar_forcing_ros.nodes.base import AvatarNode

class Calm(AvatarNode):
    def __init__(self, arguments=None):
        super().__init__("calm")

class Bad(AvatarNode):
    def __init__(self, arguments=None):
        super().__init__("bad")
        self.create_timer(0.2, self.fail)

    def fail(self):
        raise ZeroDivisionError("of a timer")

running._run([(kind, None) for kind in ({order})])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 1 and "ZeroDivisionError: of a timer" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("executable, name, large", [("audio_ingest", "speech", False), ("renderer", "renderer", True)])
def test_whoever_sends_no_images_has_no_shared_memory_for_them(ros, executable, name, large):
    def size(addresses: str) -> int:
        begin, end = (int(address, 16) for address in addresses.split("-"))
        return end - begin

    def segments(pid: int) -> dict[str, int]:
        """Of Fast DDS, that a process maps: bytes by name."""
        lines = [line.split() for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
        names = ("/dev/shm/fastdds_", "/dev/shm/fastrtps_")  # the latter: Jazzy's
        ours = [line for line in lines if line[-1].startswith(names) and "_port" not in line[-1]]
        return {line[-1]: size(line[0]) for line in ours}

    others = set(segments(os.getpid()))  # the test's own, which may be large
    ros.environment |= {PROFILE_VARIABLE: str(share_file("config/fastdds.xml"))}
    node = ros.start(executable, name, **({"avatar": "screen_face"} if large else {}))
    ros.wait_for(lambda: (name, "/") in ros.node.get_node_names_and_namespaces(), "the node")
    own = ros.wait_for(lambda: [n for name, n in segments(node.pid).items() if name not in others], "shared memory")
    assert (max(own) > 8_000_000) == large


def test_a_profile_of_the_users_own_stays(monkeypatch, tmp_path):
    from avatar_forcing_ros.nodes.running import _take_small_segment

    for value, left in ((str(tmp_path / "mine.xml"), True), (str(share_file("config/fastdds.xml")), False)):
        monkeypatch.setenv(PROFILE_VARIABLE, value)
        _take_small_segment()
        assert (os.environ[PROFILE_VARIABLE] == value) == left
        assert left or Path(os.environ[PROFILE_VARIABLE]).samefile(share_file("config/fastdds_small.xml"))


def test_the_profile_is_read_once_and_without_a_word():
    """Fast DDS prints errors on everybody's terminal where it is given one profile twice."""
    from avatar_forcing_ros.run.graph import environment

    code = "import rclpy; rclpy.init(); rclpy.create_node('quiet'); rclpy.shutdown()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout + done.stderr == ""


@pytest.mark.parametrize("name", ["fastdds.xml", "fastdds_small.xml"])
def test_a_node_announces_itself_until_the_regular_announcements_begin(name):
    """Those come every 3 s, and whoever was missed once is met at the next one."""
    space = "{http://www.eprosima.com}"
    root = ElementTree.parse(share_file(f"config/{name}"))
    announced = root.find(f".//{space}initialAnnouncements")
    count, pause = announced.find(f"{space}count"), announced.find(f"{space}period/{space}nanosec")
    assert int(pause.text) <= NANOSECONDS // 5 and int(count.text) * int(pause.text) > 3 * NANOSECONDS
