"""The threads that show, speak and make motion run before others, where the system allows it."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import told

pytest.importorskip("rclpy", reason="needs ROS: on a plain Python install there are no nodes to test")

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402

from avatar_forcing_ros.msg import AvatarFrame  # noqa: E402
from avatar_forcing_ros.ros.graph.process import run_first  # noqa: E402


def round_robin(pid: int) -> list[int]:
    """Priorities of a process' threads under SCHED_RR."""
    threads = [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]
    return [os.sched_getparam(t).sched_priority for t in threads if os.sched_getscheduler(t) & 0xFF == os.SCHED_RR]


def allowed(priority: int) -> bool:
    """Whether the system gives it: else the face is there all the same."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run_first, priority).result()


@pytest.mark.parametrize("asked", [0, 2])
def test_the_threads_that_show_and_speak_run_first_where_the_system_allows_it(ros, asked):
    given, frames = asked if allowed(2) else 0, ros.collect(AvatarFrame, "/avatar_frame")
    diagnostics = ros.collect(DiagnosticArray, "/diagnostics")
    node = ros.start("renderer", "renderer", avatar="screen_face", size=128, realtime_priority=asked)
    ros.wait_for(lambda: frames, "the calm face")
    ros.wait_for(
        lambda: told(diagnostics, "renderer", "real-time priority") == str(given), "the priority in the diagnostics"
    )
    assert round_robin(node.pid) == ([given, given] if given else [])


@pytest.mark.parametrize("back_end", ["embedded", "published"])
def test_the_thread_that_makes_motion_runs_first_if_it_needs_one_core(ros, back_end, tiny_weights):
    given = 1 if back_end == "embedded" and allowed(1) else 0
    diagnostics = ros.collect(DiagnosticArray, "/diagnostics")
    options = {"weights": tiny_weights} if back_end == "published" else {}
    node = ros.start("motion_generator", "motion_generator", generator=back_end, **options)
    ros.wait_for(
        lambda: told(diagnostics, "motion_generator", "real-time priority") == str(given),
        "the priority in the diagnostics",
    )
    assert round_robin(node.pid) == ([given] if given else [])
