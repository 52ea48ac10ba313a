"""Nodes that share a process: each is itself, and they end together."""

import subprocess
import sys
import wave

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS: on a plain Python install there are no nodes to test")

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
    def __init__(self):
        super().__init__("calm")

class Bad(AvatarNode):
    def __init__(self):
        super().__init__("bad")
        self.create_timer(0.2, self.fail)

    def fail(self):
        raise ZeroDivisionError("of a timer")

running._run([{order}])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 1 and "ZeroDivisionError: of a timer" in done.stderr.splitlines()[-1]
