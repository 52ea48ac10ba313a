"""Node: plays a video, a sound file, a bag, a webcam or a microphone as topics, in real time."""

from __future__ import annotations

from collections.abc import Iterator

from rclpy.time import Time
from sensor_msgs.msg import Image

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.images import rgb_bytes
from avatar_forcing_ros.media.reader import AudioChunk, MediaReader, VideoFrame, open_media
from avatar_forcing_ros.nodes import qos
from avatar_forcing_ros.nodes.base import AvatarNode, run_node
from avatar_forcing_ros.nodes.sound import SoundPublisher
from avatar_forcing_ros.timeline import NANOSECONDS, seconds_to_ns


class MediaSource(AvatarNode):
    """Publishes `camera/image_raw` (rgb8) and `audio_stamped` (with `audio_info`).

    Item at time t of the file leaves at start + t on ROS time and is stamped so; sound leaves when its last sample has
    been heard, as from a microphone. What a device gives leaves at once, stamped with when it was seen or heard; what is older
    than the start is left out. A device that stops giving ends the process, so that it is started again.
    """

    def __init__(self) -> None:
        super().__init__("media_source")
        self.declare("source", "", "video or sound file, rosbag2, webcam:0, mic: or mic:NAME")
        self.declare("camera_topic", "", "camera topic inside a bag; empty: the first one")
        self.declare("audio_topic", "", "sound topic inside a bag; empty: the first one")
        self.declare("play_video", True, "publish the images")
        self.declare("play_audio", True, "publish the sound")
        self.declare("start_time", 0.0, "ROS time in seconds at which the source begins; 0: at activation", 0.0, 1e12)
        self.declare("speed_of_sound_file", 1.0, "1: real time; above: sound sent ahead, as a TTS does", 1.0, 1000.0)
        self.declare("loop", False, "begin again at the end")
        self.declare("exit_when_done", False, "end the process when the source has been played")
        self.declare("frame_id", "camera", "frame_id of the images")
        self._media = None

    def setup(self) -> None:
        source = self.param("source")
        if not source:
            raise InputError("media_source: parameter source is empty; give a video, a sound file, a bag, webcam:0 or mic:")
        self._open()
        self._play_video = self.param("play_video") and self._media.has_video
        self._play_audio = self.param("play_audio") and self._media.has_audio
        if not (self._play_video or self._play_audio):
            raise InputError(f"{source}: has nothing to play; it lacks the {'sound' if self.param('play_audio') else 'video'}")
        if self._play_video:
            self._images = self.create_publisher(Image, "camera/image_raw", qos.reliable(4))
        if self._play_audio:
            self._sound = SoundPublisher(self)

    def start(self) -> None:
        if self._media is None:
            self._open()
        self.run_thread(self._play)

    def stop(self) -> None:
        media, self._media = self._media, None
        if media is not None:
            media.close()
        self.join_threads()

    def teardown(self) -> None:
        self.stop()  # a device that was opened and never played

    def _open(self) -> None:
        self._media = open_media(self.param("source"), self.param("camera_topic") or None, self.param("audio_topic") or None)

    def _play(self) -> None:
        media, start = self._media, seconds_to_ns(self.param("start_time")) or self.now_ns()
        if media is None:  # stopped at once
            return
        try:
            if media.live:
                self._pass_on(media, start)
            else:
                while not self.stopping.is_set():
                    start = self._play_once(media, start)
                    if not self.param("loop"):
                        break
        except InputError as error:
            self.fault = str(error)
            self.get_logger().error(self.fault)
        if self.stopping.is_set():
            return
        if self.param("exit_when_done") or (self.fault and media.live):
            self.get_logger().info("played to the end")
            self.context.shutdown()

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
                speed = self.param("speed_of_sound_file")
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
        self._sound.publish(chunk.samples, chunk.rate, Time(nanoseconds=stamp).to_msg(), self.param("frame_id"))
        self.count("sound chunks")

    def _publish_image(self, image, stamp: int) -> None:
        message = Image(height=image.shape[0], width=image.shape[1], encoding="rgb8", step=3 * image.shape[1])
        message.header.stamp = Time(nanoseconds=stamp).to_msg()
        message.header.frame_id = self.param("frame_id")
        message.data = rgb_bytes(image)
        self._images.publish(message)
        self.count("images")


def main() -> int:
    return run_node(MediaSource)
