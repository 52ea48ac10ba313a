"""What a robot's other tools need of the nodes: diagnostics that can be grouped, camera_info, and a process left as it is."""

import gc
import platform
import re
import sys
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS: on a plain Python install there are no nodes to test")

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402

from avatar_forcing_ros.assets import SAMPLE_USER_VIDEO  # noqa: E402
from avatar_forcing_ros.ros.graph import process  # noqa: E402
from avatar_forcing_ros.ros.graph.launching import FACE_NODES  # noqa: E402
from avatar_forcing_ros.run.live import plan  # noqa: E402
from avatar_forcing_ros.run.session import Session  # noqa: E402

ANALYZERS = Path(__file__).resolve().parents[2] / "config" / "analyzers.yaml"


def test_every_node_of_the_graph_is_in_one_group_of_the_aggregator():
    groups = yaml.safe_load(ANALYZERS.read_text())["analyzers"]["ros__parameters"]
    patterns = [p for group in groups.values() if isinstance(group, dict) for p in group["regex"]]
    session = Session(out="o.mp4", user_video="me.mp4", user_audio="me.wav", avatar_audio="a.wav")
    names = {n.path for n in plan(session)} | {f"/avatar/{name}" for name in FACE_NODES}
    names |= {"/avatar/host", "/avatar/kiosk", "/avatar/face_display", "/face_display"}
    for name in names:
        assert sum(re.fullmatch(pattern, name) is not None for pattern in patterns) == 1, name


def test_images_of_a_camera_come_with_camera_info_and_diagnostics_name_the_machine(ros):
    images, infos = ros.collect(Image, "/camera/image_raw"), ros.collect(CameraInfo, "/camera/camera_info")
    told = ros.collect(DiagnosticArray, "/diagnostics")
    ros.start("media_source", "camera_source", source=SAMPLE_USER_VIDEO, play_audio=False, loop=True)
    ros.wait_for(lambda: len(infos) > 10 and len(images) > 10, "images and their camera_info")
    sizes = {(i.header.stamp.sec, i.header.stamp.nanosec): (i.height, i.width, i.header.frame_id) for i in images}
    both = [i for i in infos if (i.header.stamp.sec, i.header.stamp.nanosec) in sizes]
    assert both and all(
        sizes[i.header.stamp.sec, i.header.stamp.nanosec] == (i.height, i.width, i.header.frame_id) for i in both
    )
    assert not any(both[0].k)  # as REP 104 has it where nothing was calibrated
    named = ros.wait_for(
        lambda: {s.hardware_id for m in told for s in m.status if s.name == "/camera_source"}, "diagnostics"
    )
    assert named == {platform.node()}


def test_a_process_can_be_left_as_the_system_has_it(monkeypatch):
    asked = []
    monkeypatch.setattr(process.ctypes, "CDLL", lambda name: asked.append(name))
    monkeypatch.setattr(process.os, "sched_setscheduler", lambda *_: asked.append("scheduler"))
    monkeypatch.setattr(process.gc, "freeze", lambda: asked.append("freeze"))
    interval = sys.getswitchinterval()
    monkeypatch.setenv("AVATAR_FORCING_TUNED", "0")
    process.keep_memory_flat()
    process.be_steady()
    assert not process.run_first(1)
    assert not asked and sys.getswitchinterval() == interval and not gc.get_freeze_count()
