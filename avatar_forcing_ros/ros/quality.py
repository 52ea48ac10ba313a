"""The topic `quality`: the motion generator governs, renderer and face ingest follow (docs/runtime.md)."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.lifecycle import LifecycleNode

from avatar_forcing_ros.motion.smaller import ScaledFace
from avatar_forcing_ros.msg import Quality
from avatar_forcing_ros.presentation.governor import Governor
from avatar_forcing_ros.ros import qos
from avatar_forcing_ros.timeline import FRAME_NS

TOPIC = "quality"
USER_TOPIC = "user/quality"  # the same, where the face ingest of the user's namespace reads it


class QualityPublisher:
    def __init__(self, node: LifecycleNode, governor: Governor) -> None:
        self._node, self._governor = node, governor
        self._publishers = [node.create_publisher(Quality, topic, qos.latched()) for topic in (TOPIC, USER_TOPIC)]
        self.publish()

    def publish(self) -> None:
        governor, quality = self._governor, self._governor.quality
        message = Quality(
            level=governor.level, commit_frames=quality.commit_frames, camera_rate=quality.camera_rate,
            image_scale=quality.image_scale, realtime_priority=governor.priority, reason=governor.reason,
        )  # fmt: skip
        message.header.stamp = self._node.get_clock().now().to_msg()
        for publisher in self._publishers:
            publisher.publish(message)


def follow_quality(node: LifecycleNode, follow: Callable[[Quality], None]) -> None:
    """Calls `follow` with what is there and with every change, while the node is active."""
    node.create_subscription(Quality, TOPIC, follow, qos.latched())


class RendererQuality:
    """The renderer's part: the size that is drawn, whether its threads run before others, and room for longer steps."""

    def __init__(self, node: LifecycleNode, face: ScaledFace, allow_priority: Callable[[bool], None]) -> None:
        self._face, self._allow_priority, self._commit_frames = face, allow_priority, 0
        follow_quality(node, self._follow)

    def _follow(self, quality: Quality) -> None:
        self._face.want(quality.image_scale)
        self._commit_frames = quality.commit_frames
        self._allow_priority(quality.realtime_priority)

    def room_ns(self, frames: int) -> int:
        """What the delay has to be longer by, for the steps that the governor wants instead of those of `frames` that come."""
        return max(0, self._commit_frames - frames) * FRAME_NS
