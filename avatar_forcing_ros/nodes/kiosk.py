"""Node: serves the page. A visitor's camera and microphone become topics; the face's motion, sound and images go to browsers."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String

from avatar_forcing_ros.errors import AvatarForcingError, InputError
from avatar_forcing_ros.media.images import to_rgb
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.msg import MotionLatent, SpeechState
from avatar_forcing_ros.nodes.base import AvatarNode
from avatar_forcing_ros.nodes.running import run_node
from avatar_forcing_ros.ros import qos
from avatar_forcing_ros.ros.camera_info import publish_camera
from avatar_forcing_ros.ros.messages import motion_message, motion_of, nanoseconds
from avatar_forcing_ros.ros.settings import KioskSettings
from avatar_forcing_ros.ros.sound import SoundPublisher
from avatar_forcing_ros.ros.sound_reader import SoundReader
from avatar_forcing_ros.timeline import frame_at


class Kiosk(AvatarNode):
    """Reads `shown_motion`, `spoken/audio_stamped`, `speech/caption`, and `image_raw` while somebody needs video; publishes
    `user/camera/image_raw` and `user/audio_stamped`, or `user/motion` where the page tracks, and `speech/audio_stamped` of an operator.

    Nothing is recorded here. What it serves is in web/; this is the part that knows ROS.
    """

    SETTINGS = KioskSettings
    SENDS_IMAGES = True
    settings: KioskSettings

    def __init__(self, arguments: list[str] | None = None) -> None:
        super().__init__("kiosk", arguments)
        self._server: Any = None  # a KioskServer
        self._camera = threading.Condition()
        self._newest: tuple[np.ndarray, int] | None = None  # picture of the visitor that has not been published
        self._wanted_video = False
        self._images: Any = None  # subscription, while somebody needs video

    def setup(self) -> None:
        try:
            from avatar_forcing_ros.web.faces import face_files, is_model
            from avatar_forcing_ros.web.page_bundle import dist
            from avatar_forcing_ros.web.server import KioskServer, read_ice_servers
            from avatar_forcing_ros.web.sessions import ServerSettings
        except ImportError as error:
            raise InputError(
                f"the kiosk needs the extra [kiosk]: pip install 'avatar_forcing_ros[kiosk]' ({error})"
            ) from error
        now = self.settings
        files = face_files(now.avatar, now.portrait or "", now.theme or "")
        settings = ServerSettings(
            host=now.host, port=now.port, max_viewers=now.max_viewers, hold_s=now.hold_seconds, tracking=now.tracking,
            **{n: getattr(now, n) or "" for n in ("token", "operator_token", "certificate", "key", "sees")},
            ice_servers=read_ice_servers(now.ice_servers or ""),
            origins=tuple(filter(None, (now.origins or "").split(","))),
            faces=files,
            video_possible=now.video and not is_model(now.avatar),
            records=now.recording,
        )  # fmt: skip
        self._draws_in_page = bool(files)
        self._server = KioskServer(settings, self, dist(), self.settings.operator_buffer)
        if self.settings.tracking == "page":
            self._motion = self.create_publisher(MotionLatent, "user/motion", qos.reliable(50))
        else:
            self._pictures = self.create_publisher(Image, "user/camera/image_raw", qos.reliable(4))
            self._camera_info = self.create_publisher(CameraInfo, "user/camera/camera_info", qos.reliable(4))
        self._sound = SoundPublisher(self, "user/")
        self._voice = SoundPublisher(self, "speech/")

    def start(self) -> None:
        if self._server is None:
            raise AvatarForcingError("the kiosk is not configured")
        if self._draws_in_page:
            self.create_subscription(MotionLatent, "shown_motion", self._on_shown, qos.reliable(50))
        SoundReader(self, "spoken/", self._on_spoken)
        self.create_subscription(String, "speech/caption", self._on_caption, qos.reading(20))
        self.create_subscription(SpeechState, "speech_state", self._on_speech, qos.reliable(200))
        self.create_timer(0.2, self._follow_video)
        self.run_thread(self._publish_camera)
        self._server.start()
        self.get_logger().info(f"the page is at {self._server.settings.address} (port {self._server.port})")

    def stop(self) -> None:
        with self._camera:
            self._camera.notify_all()
        if self._server is not None:
            self._server.stop()
        self._images = None  # gone with what was made since activation
        self.join_threads()

    def on_time_jump(self) -> None:
        if self._server is not None:
            self._server.do(lambda hub: hub.motion.reset())

    # --- from the graph, in the node's thread -----------------------------------------------------------------------
    def _on_shown(self, message: MotionLatent) -> None:
        with self.usable():
            latent = motion_of(message, rig.SPACE, rig.DIM)
            frame, stamp = message.frame, nanoseconds(message.header.stamp)
            self._server.do(lambda hub: hub.shown(frame, latent, stamp))

    def _on_spoken(self, samples: np.ndarray, rate: int, stamp_ns: int) -> None:
        self._server.do(lambda hub: hub.spoken(samples, rate, stamp_ns))

    def _on_caption(self, message: String) -> None:
        text, now = message.data.strip(), self.now_ns()
        self._server.do(lambda hub: hub.caption(text, now))

    def _on_speech(self, message: SpeechState) -> None:
        if message.state in (SpeechState.FINISHED, SpeechState.INTERRUPTED):
            at = nanoseconds(message.header.stamp)
            self._server.do(lambda hub: hub.end_caption(at))

    def _on_image(self, message: Image) -> None:
        with self.usable():
            image, stamp = to_rgb(message), nanoseconds(message.header.stamp)
            self._server.do(lambda hub: hub.image(image, stamp))

    # --- Stage: from the pages, on the server's event loop ----------------------------------------------------------
    def camera(self, image: np.ndarray, stamp_ns: int) -> None:
        with self._camera:
            if self._newest is not None:
                self.count("dropped camera images")
            self._newest = (image, stamp_ns)
            self._camera.notify()

    def microphone(self, samples: np.ndarray, rate: int, stamp_ns: int) -> None:
        self._sound.publish(samples, rate, Time(nanoseconds=stamp_ns).to_msg(), self.settings.frame_id)
        self.count("sound chunks")

    def visitor_motion(self, latent: np.ndarray | None, stamp_ns: int) -> None:
        values = rig.neutral() if latent is None else rig.clamp(latent)
        seen, frame_id = float(latent is not None), self.settings.frame_id
        self._motion.publish(motion_message(frame_at(stamp_ns), stamp_ns, values, seen, frame_id))
        self.count("tracked frames")

    def operator_voice(self, samples: np.ndarray, rate: int, stamp_ns: int) -> None:
        self._voice.publish(samples, rate, Time(nanoseconds=stamp_ns).to_msg(), "operator")

    def shown(self, frames: list) -> None:
        self.count("frames for pages", len(frames))

    def watched(self, video: bool) -> None:
        """Images are asked for while somebody needs video, and only then: without a reader nothing draws them."""
        self._wanted_video = video

    def _publish_camera(self) -> None:
        while self.active:
            with self._camera:
                self._camera.wait_for(lambda: self._newest is not None or not self.active, timeout=0.2)
                newest, self._newest = self._newest, None
            if newest is None:
                continue
            publish_camera(self._pictures, self._camera_info, *newest, self.settings.frame_id)
            self.count("camera images")

    def _follow_video(self) -> None:
        if self._wanted_video and self._images is None and self.active:
            self._images = self.create_subscription(Image, "image_raw", self._on_image, qos.reliable(2))
        elif not self._wanted_video and self._images is not None:
            subscription, self._images = self._images, None
            self.destroy_subscription(subscription)

    def report(self) -> tuple[int, str, dict[str, Any]]:
        if not self.active or self._server is None:
            return super().report()
        hub = self._server.hub
        values: dict = {"address": self._server.settings.address, "held frames": hub.motion.held_frames}
        for role in ("visitor", "viewer", "operator"):
            values[f"{role}s"] = hub.sessions.connected(role)
        for peer in list(hub.peers.values()):
            if peer.session.role == "visitor":
                for key in ("latency_ms", "fps", "mode", "late", "lost"):
                    if key in peer.stats:
                        values[f"page {key}"] = peer.stats[key]
                values["dropped for the visitor"] = sum(peer.dropped.values())
                values["motion bytes to the visitor"] = peer.motion_bytes
        return DiagnosticStatus.OK, "a visitor is there" if values["visitors"] else "waiting for a visitor", values


def main() -> int:
    return run_node(Kiosk)
