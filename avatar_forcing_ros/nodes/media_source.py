"""Node: plays a video, a sound file, a bag, a webcam or a microphone as topics, in real time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.base import AudioChunk, MediaReader, VideoFrame
from avatar_forcing_ros.media.open import is_live, open_media
from avatar_forcing_ros.nodes.base import AvatarNode
from avatar_forcing_ros.nodes.running import run_node
from avatar_forcing_ros.ros import qos
from avatar_forcing_ros.ros.camera_info import publish_camera
from avatar_forcing_ros.ros.settings import MediaSourceSettings
from avatar_forcing_ros.ros.sound import SoundPublisher
from avatar_forcing_ros.timeline import NANOSECONDS, seconds_to_ns


class MediaSource(AvatarNode):
    """Publishes `camera/image_raw` (rgb8) and `audio_stamped` (with `audio_info`).

    Item at time t of the file leaves at start + t on ROS time and is stamped so; sound leaves when its last sample has
    been heard, as from a microphone. What a device gives leaves at once, stamped with when it was seen or heard; what is older
    than the start is left out. A device that stops giving ends the process, so that it is started again.
    """

    SETTINGS = MediaSourceSettings
    SENDS_IMAGES = True
    settings: MediaSourceSettings

    def __init__(self, arguments: list[str] | None = None) -> None:
        super().__init__("media_source", arguments)
        self._media: MediaReader | None = None

    def setup(self) -> None:
        source = self.settings.source
        if not source:
            raise InputError(
                "media_source: parameter source is empty; give a video, a sound file, a bag, webcam:0 or mic:"
            )
        self.waits_for_a_device = is_live(source)
        self.at_end(self._close)
        media = self._open()
        self._play_video = self.settings.play_video and media.has_video
        self._play_audio = self.settings.play_audio and media.has_audio
        if not (self._play_video or self._play_audio):
            raise InputError(
                f"{source}: has nothing to play; it lacks the {'sound' if self.settings.play_audio else 'video'}"
            )
        if self._play_video:
            self._images = self.create_publisher(Image, "camera/image_raw", qos.reliable(4))
            self._camera_info = self.create_publisher(CameraInfo, "camera/camera_info", qos.reliable(4))
        if self._play_audio:
            self._sound = SoundPublisher(self)

    @property
    def hardware(self) -> str:
        """A device, where one is the source."""
        source = self.settings.source or ""
        return f"{super().hardware}: {source}" if source and is_live(source) else super().hardware

    def start(self) -> None:
        if self._media is None:
            self._open()
        self.run_thread(self._play)

    def stop(self) -> None:
        self._close()
        self.join_threads()

    def _close(self) -> None:
        media, self._media = self._media, None
        if media is not None:
            media.close()

    def _open(self) -> MediaReader:
        self._media = open_media(self.settings.source or "", self.settings.camera_topic, self.settings.audio_topic)
        return self._media

    def _play(self) -> None:
        media, asked = self._media, self.settings.start_time
        start = self.now_ns() if asked is None else seconds_to_ns(asked)
        if media is None:  # stopped at once
            return
        try:
            if media.live:
                self._pass_on(media, start)
            else:
                while not self.stopping.is_set():
                    start = self._play_once(media, start)
                    if not self.settings.loop:
                        break
        except InputError as error:
            self.fault = str(error)
            self.get_logger().error(self.fault)
        if self.stopping.is_set():
            return
        if self.fault and media.live:
            self.context.shutdown()
        elif self.settings.exit_when_done:
            self.get_logger().info("played to the end")
            self.when_done()

    def _items(self, media: MediaReader) -> Iterator[VideoFrame | AudioChunk]:
        if self._play_video and self._play_audio:
            return media.merged()
        return media.video() if self._play_video else media.audio()

    def _pass_on(self, media: MediaReader, start: int) -> None:
        """What a device sees or hears from ROS time `start` (ns) on."""
        for item in self._items(media):
            stamp = self.now_ns() - seconds_to_ns(media.age(item))
            if self.stopping.is_set():
                break
            if stamp < start:
                continue
            if isinstance(item, VideoFrame):
                self._publish_image(item.image, stamp)
            else:
                self._publish_sound(item, stamp)

    def _play_once(self, media: MediaReader, start: int) -> int:
        """Plays from ROS time `start` (ns) on; returns the time of the end."""
        end = start
        for item in self._items(media):
            stamp = start + seconds_to_ns(item.time)
            if isinstance(item, VideoFrame):
                end = max(end, stamp + NANOSECONDS // 25)
                if not self._wait(stamp):
                    break
                self._publish_image(item.image, stamp)
            else:
                duration = len(item.samples) * NANOSECONDS // item.rate
                end = max(end, stamp + duration)
                speed = self.settings.speed_of_sound_file
                if not self._wait(start + round((stamp + duration - start) / speed)):
                    break
                # Sound that is sent ahead of time is not stamped: its reader queues it.
                self._publish_sound(item, stamp if speed == 1.0 else 0)
        return end

    def _wait(self, stamp: int) -> bool:
        """Until ROS time `stamp`, through jumps of time; False when the node is to stop."""
        while self.active:
            if self.wait_until(stamp):
                return True
        return False

    def _publish_sound(self, chunk: AudioChunk, stamp: int) -> None:
        self._sound.publish(chunk.samples, chunk.rate, Time(nanoseconds=stamp).to_msg(), self.settings.frame_id)
        self.count("sound chunks")

    def _publish_image(self, image: Any, stamp: int) -> None:
        publish_camera(self._images, self._camera_info, image, stamp, self.settings.frame_id)
        self.count("images")


def main() -> int:
    return run_node(MediaSource)
