"""Node: plays a video, a sound file, a bag, a webcam or a microphone as topics, in real time."""

from __future__ import annotations

from rclpy.time import Time
from sensor_msgs.msg import Image

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.images import rgb_bytes
from avatar_forcing_ros.media.reader import VideoFrame, open_media
from avatar_forcing_ros.nodes import qos
from avatar_forcing_ros.nodes.base import AvatarNode, run_node
from avatar_forcing_ros.nodes.sound import SoundPublisher
from avatar_forcing_ros.timeline import NANOSECONDS, seconds_to_ns


class MediaSource(AvatarNode):
    """Publishes `camera/image_raw` (rgb8) and `audio_stamped` (with `audio_info`).

    Item at time t of the file leaves at start + t on ROS time and is stamped so; sound leaves when its last sample has
    been heard, as from a microphone.
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
        self._media = open_media(source, self.param("camera_topic") or None, self.param("audio_topic") or None)
        self._play_video = self.param("play_video") and self._media.has_video
        self._play_audio = self.param("play_audio") and self._media.has_audio
        if not (self._play_video or self._play_audio):
            raise InputError(f"{source}: has nothing to play; it lacks the {'sound' if self.param('play_audio') else 'video'}")
        if self._play_video:
            self._images = self.create_publisher(Image, "camera/image_raw", qos.reliable(4))
        if self._play_audio:
            self._sound = SoundPublisher(self)

    def start(self) -> None:
        self.run_thread(self._play)

    def stop(self) -> None:
        if self._media is not None:
            self._media.close()
        self.join_threads()

    def _play(self) -> None:
        start = seconds_to_ns(self.param("start_time")) or self.now_ns()
        try:
            while not self.stopping.is_set():
                end = self._play_once(start)
                if not self.param("loop") or self._media.live:
                    break
                start = end
        except InputError as error:
            self.fault = str(error)
            self.get_logger().error(self.fault)
        if self.param("exit_when_done") and not self.stopping.is_set():
            self.get_logger().info("played to the end")
            self.context.shutdown()

    def _play_once(self, start: int) -> int:
        """Plays from ROS time `start` (ns) on; returns the time of the end."""
        end = start
        items = self._media.merged() if self._play_video and self._play_audio else (
            self._media.video() if self._play_video else self._media.audio()
        )
        first_time = None
        for item in items:
            if self._media.live:  # the clock of the device starts now
                first_time = item.time if first_time is None else first_time
                stamp = start + seconds_to_ns(item.time - first_time)
            else:
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
                sent = Time(nanoseconds=stamp if speed == 1.0 else 0).to_msg()
                self._sound.publish(item.samples, item.rate, sent, self.param("frame_id"))
                self.count("sound chunks")
        return end

    def _wait(self, stamp: int) -> bool:
        """Until ROS time `stamp`, through jumps of time; False when the node is to stop."""
        while self.active:
            if self.wait_until(stamp):
                return True
        return False

    def _publish_image(self, image, stamp: int) -> None:
        message = Image(height=image.shape[0], width=image.shape[1], encoding="rgb8", step=3 * image.shape[1])
        message.header.stamp = Time(nanoseconds=stamp).to_msg()
        message.header.frame_id = self.param("frame_id")
        message.data = rgb_bytes(image)
        self._images.publish(message)
        self.count("images")


def main() -> int:
    return run_node(MediaSource)
