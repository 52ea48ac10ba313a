"""Nobody has seen motion before the first block: the presentation delay is at once what that block needs."""

import array
import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS: on a plain Python install there are no nodes to test")

from builtin_interfaces.msg import Time  # noqa: E402

from avatar_forcing_ros.motion import rig  # noqa: E402
from avatar_forcing_ros.msg import MotionLatentBlock, PresentationState  # noqa: E402
from avatar_forcing_ros.ros.messages import nanoseconds  # noqa: E402
from avatar_forcing_ros.timeline import BLOCK_FRAMES, FRAME_NS, FRAME_RATE, NANOSECONDS  # noqa: E402


def late_block(first: int, waited_ms: int = 0) -> MotionLatentBlock:
    data = array.array("f", np.zeros(BLOCK_FRAMES * rig.DIM, np.float32).tobytes())
    message = MotionLatentBlock(
        first_frame=first, frame_count=BLOCK_FRAMES, latent_dim=rig.DIM, frame_rate=float(FRAME_RATE), space="rig", data=data,
        camera_stamps=[Time()] * BLOCK_FRAMES, user_audio_stamps=[Time()] * BLOCK_FRAMES,
    )  # fmt: skip
    message.waited.nanosec = waited_ms * NANOSECONDS // 1000
    return message


def test_the_delay_begins_where_the_first_block_needs_it(ros):
    ros.start("renderer", "renderer", avatar="screen_face", size=128)
    blocks = ros.publisher(MotionLatentBlock, "/motion_blocks")
    told = ros.collect(PresentationState, "/presentation")
    ros.wait_for_readers(blocks)
    blocks.publish(late_block(ros.now_ns() // FRAME_NS - 15))  # as motion that comes 0.6 s after its time
    ros.wait_for(lambda: any(nanoseconds(m.delay) > 0.6 * NANOSECONDS for m in told), "the delay of late motion")
    delays = np.array([nanoseconds(m.delay) for m in told])
    before = delays[delays < 0.6 * NANOSECONDS]
    assert np.ptp(before) == 0  # in one step: by milliseconds it would take seconds, in which the face stands still


@pytest.mark.parametrize("waited_ms, falls", [(0, False), (400, True)])
def test_steps_that_wait_because_they_have_time_do_not_keep_the_delay_long(ros, waited_ms, falls):
    """Else the waiting would need the time that it has, for good."""
    ros.start("renderer", "renderer", avatar="screen_face", size=128)
    blocks = ros.publisher(MotionLatentBlock, "/motion_blocks")
    told = ros.collect(PresentationState, "/presentation")
    ros.wait_for_readers(blocks)
    for number in range(60):
        blocks.publish(late_block(ros.now_ns() // FRAME_NS - 15, waited_ms if number else 0))
        time.sleep(0.02)
    ros.wait_for(lambda: len(told) > 100, "the images of some seconds")
    delays = [nanoseconds(m.delay) for m in told]
    assert max(delays) > 0.6 * NANOSECONDS and (delays[-1] < max(delays) - NANOSECONDS // 50) == falls
