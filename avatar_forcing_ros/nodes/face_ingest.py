"""Node: camera images -> the motion of the user's face."""

from __future__ import annotations

import array
import math
import threading
import time
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PointStamped
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image

from avatar_forcing_ros.motion.space import make_tracker
from avatar_forcing_ros.motion.tracking import A_FACE
from avatar_forcing_ros.msg import MotionLatent, Quality
from avatar_forcing_ros.nodes.base import AvatarNode
from avatar_forcing_ros.nodes.running import run_node
from avatar_forcing_ros.presentation.governor import Thinned
from avatar_forcing_ros.presentation.pacing import Recent
from avatar_forcing_ros.ros import qos
from avatar_forcing_ros.ros.images import CameraInput, packet_type
from avatar_forcing_ros.ros.quality import follow_quality
from avatar_forcing_ros.ros.settings import FaceIngestSettings
from avatar_forcing_ros.timeline import FRAME_RATE, NANOSECONDS, frame_at, ns_to_seconds

DOUBTS = {  # TrackedFace.doubt: what to tell
    "small": "it is too small: move the camera or the person nearer, or use a finer image",
    "dark": "it is too dark: bring light to it",
    "cut off": "it is cut off by the image's border: turn the camera to it",
    "turned": "it looks away from the camera",
    "covered": "its mouth trembles as under a hand or a mask",
    "unlike": "its mesh is unlike a face",
}


class FaceIngest(AvatarNode):
    """Reads `camera/image_raw` (or `camera/image_raw/compressed`, or `camera/image_raw/ffmpeg`), publishes `motion`.

    The tracker runs in a thread of its own on the newest image; images that come meanwhile are dropped and counted.
    """

    SETTINGS = FaceIngestSettings
    settings: FaceIngestSettings

    def __init__(self, arguments: list[str] | None = None) -> None:
        super().__init__("face_ingest", arguments)
        self._arrived = threading.Condition()
        self._waiting: tuple[int, Any, np.ndarray | None] | None = (
            None  # the newest image that has not been tracked, with its time
        )
        self._dropped: list = []  # times of the images before it that there was no time for

    def setup(self) -> None:
        self._tracker = make_tracker(
            self.settings.space,
            self.settings.learn_seconds,
            self.settings.network,
            self.settings.follow,
            self.settings.dwell,
        )
        self.at_end(self._tracker.close)
        self._publisher = self.create_publisher(MotionLatent, "motion", qos.reliable(50))
        self._confidence, self._faces, self._doubt, self._last_stamp = 0.0, 0, "", 0
        self._track_ms = Recent(100)
        self._thinned = Thinned()

    def start(self) -> None:
        settings = self.settings
        transport = "compressed" if settings.compressed else settings.transport
        name = "camera/image_raw" if transport == "raw" else f"camera/image_raw/{transport}"
        self._camera = CameraInput(self.resolve_topic_name(name), settings.limits)
        asked = settings.reliable
        if transport == "raw":
            self.create_subscription(Image, "camera/image_raw", self._on_image, qos.reading(2, asked))
        elif transport == "compressed":
            self.create_subscription(
                CompressedImage, "camera/image_raw/compressed", self._on_image, qos.reading(2, asked)
            )
        else:  # each packet of video needs those before it
            self.create_subscription(packet_type(), "camera/image_raw/ffmpeg", self._on_image, qos.reading(30, asked))
        if settings.follow == "topic":
            self.create_subscription(PointStamped, "follow", self._on_follow, qos.reading(2, False))
        follow_quality(self, self._follow_quality)
        self.run_thread(self._track)

    def stop(self) -> None:
        with self._arrived:
            self._arrived.notify_all()
        self.join_threads()

    def on_time_jump(self) -> None:
        with self._arrived:
            self._waiting = None
            self._last_stamp = 0
            if self.active:
                self._camera.reset()

    def _follow_quality(self, quality: Quality) -> None:
        self._thinned.rate = quality.camera_rate

    def _on_image(self, message: Any) -> None:
        image = None
        if self._camera.in_order(message):
            with self.usable():
                image = self._camera.decode(message)
            if image is None:
                return
        with self._arrived:
            for stamp, (newest, decoded) in self._camera.arrived(message, self.now_ns(), (message, image)):
                self._wait(stamp, newest, decoded)

    def _wait(self, stamp: int, message: Any, image: np.ndarray | None) -> None:
        """Under the lock: the next image to track."""
        if not self._thinned.takes(stamp):
            self.count("images left out for other nodes")
            return
        if self._waiting is not None:
            self.count("dropped images")
            self._dropped = [*self._dropped[-FRAME_RATE:], Time(nanoseconds=self._waiting[0]).to_msg()]
        self._waiting = (stamp, message, image)
        self._arrived.notify()

    def _on_follow(self, message: Any) -> None:
        if math.isfinite(message.point.x) and math.isfinite(message.point.y):
            self._tracker.point = (message.point.x, message.point.y)

    def _track(self) -> None:
        told = ""
        while self.active:
            with self._arrived:
                self._arrived.wait_for(lambda: self._waiting is not None or not self.active, timeout=1.0)
                waiting, self._waiting = self._waiting, None
                dropped, self._dropped = self._dropped, []
            if waiting is None:
                continue
            stamp, message, decoded = waiting
            began = time.perf_counter()
            with self.usable():
                image: Any = self._camera.decode(message) if decoded is None else decoded
                face = self._tracker.track(image, ns_to_seconds(stamp))
                if face.late:
                    self.count("late images")
                    continue
                self._confidence, self._faces, self._last_stamp = face.confidence, face.faces, stamp
                self._doubt = face.doubt
                self._camera.look(image, face.box, face.confidence > A_FACE)
                self._publish(face, stamp, message.header.frame_id, dropped)
                self._track_ms.add(1000 * (time.perf_counter() - began))
            line = self._camera.clock.line("images")
            if line and self._camera.clock.state != told:  # once per state; its size goes on in diagnostics
                self.get_logger().warning(f"{self._camera.topic}: {line}")
            told = self._camera.clock.state

    def _publish(self, face: Any, stamp: int, frame_id: str, dropped: list) -> None:
        message = MotionLatent(
            frame=frame_at(stamp),
            space=self.settings.space,
            confidence=float(face.confidence),
            faces=int(face.faces),
            dropped_stamps=dropped,
        )
        message.header.stamp, message.header.frame_id = Time(nanoseconds=stamp).to_msg(), frame_id
        message.data = array.array("f", face.motion.astype(np.float32).tobytes())
        self._publisher.publish(message)
        self.count("images")

    def measured(self) -> dict[str, Any]:
        factor = self._track_ms.quantile(50) * FRAME_RATE / 1000
        return {"real_time_factor": factor, "queued_images": float(self._waiting is not None)}

    def report(self) -> tuple[int, str, dict[str, Any]]:
        if not self.active:
            return super().report()
        track_ms = self._track_ms.quantile(50)
        values = {"confidence": float(self._confidence), "faces": self._faces, "track ms": track_ms,
                  "real-time factor": track_ms * FRAME_RATE / 1000, "queued images": int(self._waiting is not None),
                  **self._camera.values()}  # fmt: skip
        error, sure = self._camera.error(), self._confidence > A_FACE
        if error or self.unusable:
            return DiagnosticStatus.ERROR, error or self.unusable, values
        if not self._last_stamp or self.now_ns() - self._last_stamp > 2 * NANOSECONDS:
            return DiagnosticStatus.WARN, "no images: is the camera topic remapped?", values
        warning = self._camera.warning(sure)
        if warning:
            return DiagnosticStatus.WARN, warning, values
        if self._doubt and not sure:
            return DiagnosticStatus.WARN, f"a face is seen, but {DOUBTS[self._doubt]}", values
        return DiagnosticStatus.OK, "face followed" if sure else "no face seen", values


def main() -> int:
    return run_node(FaceIngest)
