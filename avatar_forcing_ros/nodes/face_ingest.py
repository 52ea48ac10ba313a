"""Node: camera images -> the motion of the user's face."""

from __future__ import annotations

import array
import threading
import time

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image

from avatar_forcing_ros.motion import SPACES, make_tracker
from avatar_forcing_ros.msg import MotionLatent
from avatar_forcing_ros.nodes import qos
from avatar_forcing_ros.nodes.base import AvatarNode, run_node
from avatar_forcing_ros.nodes.images import message_to_rgb
from avatar_forcing_ros.nodes.unpack import nanoseconds
from avatar_forcing_ros.pacing import Recent
from avatar_forcing_ros.timeline import FRAME_RATE, NANOSECONDS, frame_at, ns_to_seconds


class FaceIngest(AvatarNode):
    """Reads `camera/image_raw` (or `camera/image_raw/compressed`), publishes `motion`.

    The tracker runs in a thread of its own on the newest image; images that come meanwhile are dropped and counted.
    """

    def __init__(self) -> None:
        super().__init__("face_ingest")
        self.declare("compressed", False, "read camera/image_raw/compressed")
        self.declare("reliable", False, "ask the camera for reliable transport; raw images of 512x512 and more need it over UDP")
        self.declare("space", "rig", "the motion space; it must be the generator's", choices=tuple(SPACES))
        self.declare_network()
        self.declare("learn_seconds", 2.0, "how long the user's neutral face is learned", 0.0, 30.0)
        self._arrived = threading.Condition()
        self._waiting = None  # the newest image that has not been tracked
        self._dropped: list = []  # stamps of the images before it that there was no time for

    def setup(self) -> None:
        self._tracker = make_tracker(self.param("space"), self.param("learn_seconds"), self.network())
        self._publisher = self.create_publisher(MotionLatent, "motion", qos.reliable(50))
        self._confidence, self._faces, self._last_stamp = 0.0, 0, 0
        self._track_ms = Recent(100)

    def start(self) -> None:
        kind, topic = (CompressedImage, "camera/image_raw/compressed") if self.param("compressed") else (Image, "camera/image_raw")
        self.create_subscription(kind, topic, self._on_image, qos.reading(2, self.param("reliable")))
        self.run_thread(self._track)

    def stop(self) -> None:
        with self._arrived:
            self._arrived.notify_all()
        self.join_threads()

    def teardown(self) -> None:
        if getattr(self, "_tracker", None) is not None:
            self._tracker.close()
            self._tracker = None

    def on_time_jump(self) -> None:
        with self._arrived:
            self._waiting = None
            self._last_stamp = 0

    def _on_image(self, message) -> None:
        with self._arrived:
            if self._waiting is not None:
                self.count("dropped images")
                self._dropped = [*self._dropped[-FRAME_RATE:], self._waiting.header.stamp]
            self._waiting = message
            self._arrived.notify()

    def _track(self) -> None:
        while self.active:
            with self._arrived:
                self._arrived.wait_for(lambda: self._waiting is not None or not self.active, timeout=1.0)
                message, self._waiting = self._waiting, None
                dropped, self._dropped = self._dropped, []
            if message is None:
                continue
            stamp = nanoseconds(message.header.stamp)
            if stamp == 0:  # a driver that does not stamp
                stamp = self.now_ns()
                self.count("unstamped images")
            began = time.perf_counter()
            with self.usable():
                face = self._tracker.track(message_to_rgb(message), ns_to_seconds(stamp))
                self._confidence, self._faces, self._last_stamp = face.confidence, face.faces, stamp
                self._publish(face, stamp, dropped)
                self._track_ms.add(1000 * (time.perf_counter() - began))

    def _publish(self, face, stamp: int, dropped: list) -> None:
        message = MotionLatent(
            frame=frame_at(stamp),
            space=self.param("space"),
            confidence=float(face.confidence),
            faces=int(face.faces),
            dropped_stamps=dropped,
        )
        message.header.stamp = Time(nanoseconds=stamp).to_msg()
        message.data = array.array("f", face.motion.astype(np.float32).tobytes())
        self._publisher.publish(message)
        self.count("images")

    def report(self):
        if not self.active:
            return super().report()
        track_ms = self._track_ms.quantile(50)
        values = {"confidence": float(self._confidence), "faces": self._faces, "track ms": track_ms,
                  "real-time factor": track_ms * FRAME_RATE / 1000, "queued images": int(self._waiting is not None)}  # fmt: skip
        if self.unusable:
            return DiagnosticStatus.ERROR, self.unusable, values
        if not self._last_stamp or self.now_ns() - self._last_stamp > 2 * NANOSECONDS:
            return DiagnosticStatus.WARN, "no images: is the camera topic remapped?", values
        return DiagnosticStatus.OK, "face followed" if self._confidence > 0.5 else "no face seen", values


def main() -> int:
    return run_node(FaceIngest)
