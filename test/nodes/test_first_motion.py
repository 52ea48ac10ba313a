"""Nobody has seen motion before the first block: the presentation delay is at once what that block needs."""

import array

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS: on a plain Python install there are no nodes to test")

from builtin_interfaces.msg import Time  # noqa: E402

from avatar_forcing_ros.motion import rig  # noqa: E402
from avatar_forcing_ros.msg import MotionLatentBlock, PresentationState  # noqa: E402
from avatar_forcing_ros.ros.messages import nanoseconds  # noqa: E402
from avatar_forcing_ros.timeline import BLOCK_FRAMES, FRAME_NS, FRAME_RATE, NANOSECONDS  # noqa: E402


def test_the_delay_begins_where_the_first_block_needs_it(ros):
    ros.start("renderer", "renderer", avatar="screen_face", size=128)
    blocks = ros.publisher(MotionLatentBlock, "/motion_blocks")
    told = ros.collect(PresentationState, "/presentation")
    ros.wait_for_readers(blocks)
    first = ros.now_ns() // FRAME_NS - 15  # as motion that comes 0.6 s after its time
    data = array.array("f", np.zeros(BLOCK_FRAMES * rig.DIM, np.float32).tobytes())
    message = MotionLatentBlock(
        first_frame=first, frame_count=BLOCK_FRAMES, latent_dim=rig.DIM, frame_rate=float(FRAME_RATE), space="rig", data=data,
        camera_stamps=[Time()] * BLOCK_FRAMES, user_audio_stamps=[Time()] * BLOCK_FRAMES,
    )  # fmt: skip
    blocks.publish(message)
    ros.wait_for(lambda: any(nanoseconds(m.delay) > 0.6 * NANOSECONDS for m in told), "the delay of late motion")
    delays = np.array([nanoseconds(m.delay) for m in told])
    before = delays[delays < 0.6 * NANOSECONDS]
    assert np.ptp(before) == 0  # in one step: by milliseconds it would take seconds, in which the face stands still
