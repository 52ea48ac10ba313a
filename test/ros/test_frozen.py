"""What forks share is imported without what no node needs."""

import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="needs ROS: on a plain Python install there are no messages")


def test_messages_work_without_the_generator_that_wrote_them(tmp_path):
    code = """
import sys
import rclpy
from avatar_forcing_ros.ros.graph import frozen
from avatar_forcing_ros.msg import MotionLatent
from rclpy.serialization import deserialize_message, serialize_message
from std_srvs.srv import Trigger
rclpy.init()
node = rclpy.create_node("node")
node.create_publisher(MotionLatent, "motion", 1).publish(MotionLatent(frame=3))
node.create_client(Trigger, "trigger")  # a type that was not imported before
assert deserialize_message(serialize_message(MotionLatent(frame=7)), MotionLatent).frame == 7
rclpy.shutdown()
sys.exit(f"imported: {there}" if (there := {"lark", "em"} & set(sys.modules)) else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-1500:]
