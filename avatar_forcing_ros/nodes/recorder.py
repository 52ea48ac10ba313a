"""Node: records the images and the speech as mp4, and as a rosbag2 where asked; measures the run."""

from __future__ import annotations

import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sensor_msgs.msg import Image

from avatar_forcing_ros.audio.decode import AudioDecoder
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.signals import AVATAR_AUDIO
from avatar_forcing_ros.media.bag import BagWriter
from avatar_forcing_ros.media.writer import VideoWriter
from avatar_forcing_ros.msg import AvatarFrame, MotionLatent, MotionLatentBlock
from avatar_forcing_ros.nodes import qos
from avatar_forcing_ros.nodes.base import AvatarNode, run_node
from avatar_forcing_ros.nodes.images import message_to_rgb
from avatar_forcing_ros.nodes.sound import STAMPED
from avatar_forcing_ros.nodes.unpack import block_of, nanoseconds
from avatar_forcing_ros.report import RunStatistics, plot_timeline, write_json
from avatar_forcing_ros.timeline import (
    FRAME_NS,
    FRAME_RATE,
    NANOSECONDS,
    SAMPLE_RATE,
    seconds_to_ns,
)

QUEUE_LENGTH = 4 * FRAME_RATE  # images and sound that may wait for the encoder


class Recorder(AvatarNode):
    """Reads `image_raw`, `spoken/audio_stamped`, `avatar_frame`, `motion_blocks` and `user/motion`.

    Writes `out` (mp4) and beside it a .json with the run's figures and a plot of the timeline; they are complete when the
    node is deactivated or gets SIGINT.
    """

    def __init__(self) -> None:
        super().__init__("recorder")
        self.declare("out", "", "the mp4 to write")
        self.declare("timeline", "", "the plot to write; empty: beside the mp4, with the ending .timeline.png")
        self.declare("bag", "", "a rosbag2 folder to write as well; empty: none")
        self.declare("bag_storage", "mcap", "storage of the bag", choices=("mcap", "sqlite3"))
        self.declare("start_time", 0.0, "ROS time in seconds of the file's first frame, which is shown the presentation delay later; 0: the first image", 0.0, 1e12)
        self._queue: queue.Queue = queue.Queue(QUEUE_LENGTH)
        self._video = self._bag = None

    def setup(self) -> None:
        out = self.param("out")
        if not out:
            raise InputError("recorder: parameter out is empty; give the mp4 to write")
        self._out = Path(out)
        if not self._out.parent.is_dir():
            raise InputError(f"recorder: the folder {self._out.parent} does not exist")
        self._video = VideoWriter(str(self._out), fps=FRAME_RATE, sample_rate=SAMPLE_RATE)
        self._bag = BagWriter(self.param("bag"), self.param("bag_storage")) if self.param("bag") else None
        self._decoder = AudioDecoder()
        self._statistics = RunStatistics()
        self._origin: int | None = None
        self._delay = 0  # from frame clock to presentation, as seen in the images' stamps
        # Now, not at the start: a writer may take seconds to find its reader, and the beginning would be lost.
        for kind, topic, take, depth in (
            (Image, "image_raw", self._on_image, 10), (STAMPED, "spoken/audio_stamped", self._on_sound, 100),
            (AvatarFrame, "avatar_frame", self._on_frame, 100), (MotionLatentBlock, "motion_blocks", self._on_block, 20),
            (MotionLatent, "user/motion", self._on_motion, 100),
        ):  # fmt: skip
            self.create_subscription(kind, topic, self._while_active(take), qos.reliable(depth))

    def _while_active(self, take: Callable[[Any], None]) -> Callable[[Any], None]:
        def taken(message) -> None:
            if self.active:
                take(message)

        return taken

    def start(self) -> None:
        if self._video is None:
            raise InputError("recorder: its files are finished; clean it up and configure it again, and it records anew")
        self.run_thread(self._write)

    def stop(self) -> None:
        """Finish the files."""
        self.join_threads()
        if self._video is not None:
            video, self._video = self._video, None
            if self._bag is not None:
                self._bag.close()
            video.close()
            figures = {**self._statistics.summary(), "dropped_by_recorder": self._counts.get("dropped", 0)}
            write_json(self._out.with_suffix(".json"), figures)
            timeline = Path(self.param("timeline") or self._out.with_suffix(".timeline.png"))
            plot_timeline(timeline, self._statistics, (self._origin or 0) - self._delay, self._out.name)

    def _relative(self, stamp: int) -> int:
        """Presentation stamp -> nanoseconds from the file's start; negative before it."""
        if self._origin is None:
            start = seconds_to_ns(self.param("start_time"))
            if start and (not self._delay or stamp < start + self._delay):
                return -1
            self._origin = start + self._delay if start else stamp
        return stamp - self._origin

    def _put(self, item) -> None:
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            self.count("dropped")
            self.warn("the encoder cannot keep up: images or sound dropped from the recording")

    def _on_image(self, message: Image) -> None:
        stamp = nanoseconds(message.header.stamp)
        self._statistics.add_arrival("image", stamp, self.now_ns())
        self._put(("image", stamp, message))

    def _on_sound(self, message) -> None:
        stamp = nanoseconds(message.header.stamp)
        self._statistics.add_arrival("sound", stamp, self.now_ns())
        self._put(("sound", stamp, message))

    def _on_frame(self, message: AvatarFrame) -> None:
        stamp = nanoseconds(message.header.stamp)
        self._delay = stamp - message.frame * FRAME_NS
        published = nanoseconds(message.published)
        camera, sound = nanoseconds(message.camera_stamp), nanoseconds(message.user_audio_stamp)
        if message.frame * FRAME_NS >= seconds_to_ns(self.param("start_time")):
            self._statistics.add_image(
                message.frame, published, camera, message.render_ms, message.held, sound, self._delay
            )
        elif not message.held:  # before the conversation begins, but it may have seen its first images
            self._statistics.add_used(published, camera, sound)

    def _on_block(self, message: MotionLatentBlock) -> None:
        stamp = nanoseconds(message.header.stamp)
        with self.usable():
            latents = _latents_of(message)
            self._statistics.add_block(message.sequence, stamp, latents, message.compute_ms, AVATAR_AUDIO in message.missing)
            if self._bag is not None:
                self._put(("block", stamp, message))

    def _on_motion(self, message: MotionLatent) -> None:
        latent = np.asarray(message.data, np.float32)
        dropped = tuple(nanoseconds(s) for s in message.dropped_stamps if nanoseconds(s))
        self._statistics.add_user_motion(nanoseconds(message.header.stamp), latent, message.confidence, dropped)

    def _write(self) -> None:
        while self.active or not self._queue.empty():
            try:
                kind, stamp, message = self._queue.get(timeout=0.1)
            except queue.Empty:
                continue
            try:
                self._write_one(kind, stamp, message)
            except (OSError, InputError) as error:
                self.fault = f"cannot record to {self._out}: {error}"
                self.warn(self.fault)

    def _write_one(self, kind: str, stamp: int, message) -> None:
        offset = self._relative(stamp)
        if offset < 0:
            return
        if kind == "image":
            image = message_to_rgb(message)
            # Half frames count up: a delay that is no whole number of frames must not give one index to two images.
            self._video.write_frame((offset + FRAME_NS // 2) // FRAME_NS, image)
            if self._bag is not None:
                self._bag.write_image(stamp, image)
        elif kind == "sound":
            samples = self._decoder.decode(message)[:, 0]
            self._video.write_audio(round(offset * SAMPLE_RATE / NANOSECONDS), samples)
            if self._bag is not None:
                self._bag.write_speech(stamp, samples)
        else:
            cameras, sounds = (
                tuple(nanoseconds(s) for s in stamps) for stamps in (message.camera_stamps, message.user_audio_stamps)
            )
            self._bag.write_latents(
                stamp, message.sequence, message.first_frame, _latents_of(message), message.space, message.model,
                tuple(message.missing), cameras, sounds, message.compute_ms,
            )  # fmt: skip


def _latents_of(message: MotionLatentBlock) -> np.ndarray:
    """(frame_count, latent_dim) float32, of whatever motion space. Raises InputError for a block that does not hold together."""
    return block_of(message, message.space, message.latent_dim)[0]


def main() -> int:
    return run_node(Recorder)
