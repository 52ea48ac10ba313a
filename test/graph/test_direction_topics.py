"""A face in the graph does what topics and parameters tell it, and draws for who looks."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS")
from conftest import told
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import Image

from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.msg import AvatarFrame, Expression, Gesture, MotionLatent, MotionLatentBlock
from avatar_forcing_ros.timeline import FRAME_NS, NANOSECONDS, frame_at, time_of

pytestmark = [pytest.mark.slow, pytest.mark.graph]
SIZE = 128


def picture(message: Image) -> np.ndarray:
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3).astype(int)


def test_expression_gesture_mood_and_nobody_looking(ros):
    diagnostics = ros.collect(DiagnosticArray, "/diagnostics")
    shown = ros.collect(AvatarFrame, "/avatar_frame")
    ros.start("renderer", "renderer", avatar="screen_face", size=SIZE, liveliness=0.2)
    ros.wait_for(lambda: len(shown) > 10, "the clock of a face that nobody looks at")
    assert told(diagnostics, "renderer", "images") in ("", "0")

    images = ros.collect(Image, "/image_raw")
    ros.wait_for(lambda: len(images) > 5, "images for who looks")
    expression, gesture = ros.publisher(Expression, "/expression"), ros.publisher(Gesture, "/gesture")
    ros.wait_for_readers(expression)
    ros.wait_for_readers(gesture)
    rest = picture(images[-1])
    breathing = max(np.abs(picture(m) - rest).mean() for m in images[-10:])

    expression.publish(Expression(name="surprised"))
    ros.wait_for(lambda: np.abs(picture(images[-1]) - rest).mean() > breathing + 2.0, "a surprised face")
    expression.publish(Expression(name="cheerful"))  # there is no such thing: told, and the face goes on
    ros.wait_for(lambda: int(told(diagnostics, "renderer", "unusable messages") or 0) == 1, "a word on the wrong name")
    expression.publish(Expression(name="neutral"))
    ros.wait_for(lambda: np.abs(picture(images[-1]) - rest).mean() < breathing + 1.0, "the face at rest")

    seen = len(images)
    gesture.publish(Gesture(name="shake", strength=1.5))
    ros.wait_for(
        lambda: any(np.abs(picture(m) - rest).mean() > breathing + 1.0 for m in images[seen:]), "a head that shakes"
    )


def test_a_mood_that_there_is_not_ends_with_one_line(ros):
    node = ros.start("renderer", "renderer", avatar="screen_face", size=SIZE, mood="cheerful")
    ros.wait_for(lambda: "expression 'cheerful' is unknown" in ros.log("renderer"), "one line")
    assert node.poll() is not None or "Traceback" not in ros.log("renderer")


def test_motion_for_pages_is_bent_soon_before_it_is_shown(ros):
    """Motion that waits for two seconds is not bent before its time, so what is asked meanwhile shows at once."""
    leads, pitches = [], []

    def on_motion(message):
        shown = message.header.stamp.sec * NANOSECONDS + message.header.stamp.nanosec
        leads.append(shown - ros.now_ns())
        pitches.append(message.data[rig.INDEX["headPitch"]])

    ros.node.create_subscription(MotionLatent, "/shown_motion", on_motion, 50)
    gesture, blocks = ros.publisher(Gesture, "/gesture"), ros.publisher(MotionLatentBlock, "/motion_blocks")
    ros.start("renderer", "renderer", avatar="screen_face", size=SIZE)
    ros.wait_for_readers(gesture)
    ros.wait_for_readers(blocks)
    first, count = frame_at(ros.now_ns()), 150
    message = MotionLatentBlock(
        first_frame=first, frame_count=count, latent_dim=rig.DIM, frame_rate=25.0, space=rig.SPACE, model="test"
    )
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(time_of(first), NANOSECONDS)
    message.camera_stamps = [message.header.stamp] * count
    message.user_audio_stamps = [message.header.stamp] * count
    message.data = [0.0] * (count * rig.DIM)
    blocks.publish(message)
    ros.wait_for(lambda: len(leads) > 20, "motion")
    gesture.publish(Gesture(name="nod"))
    ros.wait_for(lambda: min(pitches) < -0.1, "a nod")
    assert max(leads) < 2.5 * FRAME_NS
