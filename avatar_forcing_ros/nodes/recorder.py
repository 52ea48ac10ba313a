"""Node: records the images and the speech as mp4, and as a rosbag2 where asked; measures the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from audio_common_msgs.msg import AudioInfo
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import Image

from avatar_forcing_ros.audio.decode import AudioDecoder
from avatar_forcing_ros.audio.resample import Resampler
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.signals import AVATAR_AUDIO
from avatar_forcing_ros.media.images import to_rgb
from avatar_forcing_ros.media.video_writer import VideoWriter
from avatar_forcing_ros.msg import AvatarFrame, MotionLatent, MotionLatentBlock, PresentationState
from avatar_forcing_ros.nodes.base import AvatarNode
from avatar_forcing_ros.nodes.running import run_node
from avatar_forcing_ros.ros import qos
from avatar_forcing_ros.ros.messages import block_of, nanoseconds
from avatar_forcing_ros.ros.settings import RecorderSettings
from avatar_forcing_ros.ros.sound import STAMPED, TYPED_FAMILY
from avatar_forcing_ros.run.plots import plot_timeline
from avatar_forcing_ros.run.recording import Recording
from avatar_forcing_ros.run.statistics import RunStatistics, write_json
from avatar_forcing_ros.timeline import FRAME_NS, FRAME_RATE, HEARD_RATE, NANOSECONDS, seconds_to_ns

QUEUE_LENGTH = 4 * FRAME_RATE  # images and sound that may wait for the encoder


class Recorder(AvatarNode):
    """Reads `image_raw`, `spoken/audio_stamped`, `presentation`, `avatar_frame`, `motion_blocks` and `user/motion`.

    Writes `out` (mp4) and beside it a .json with the run's figures and a plot of the timeline; they are complete when the
    node is deactivated or gets SIGINT.
    """

    SETTINGS = RecorderSettings
    settings: RecorderSettings

    def __init__(self, arguments: list[str] | None = None) -> None:
        super().__init__("recorder", arguments)
        self._recording: Recording | None = None

    def setup(self) -> None:
        out = self.settings.out
        if not out:
            raise InputError("recorder: parameter out is empty; give the mp4 to write")
        self._out = Path(out)
        if not self._out.parent.is_dir():
            raise InputError(f"recorder: the folder {self._out.parent} does not exist")
        # Both are the recording's thread's own from here on.
        self._video = VideoWriter(str(self._out), fps=FRAME_RATE, sample_rate=HEARD_RATE, channels=2)
        self._bag = self._new_bag() if self.settings.bag else None
        self._decoder = AudioDecoder()
        self._heard = Resampler(wanted=HEARD_RATE, stereo=True)
        self._statistics = RunStatistics()
        self._recording = Recording(self._write_one, self._close_files, length=QUEUE_LENGTH)
        self.at_end(self.stop)  # also where nothing was recorded
        self._origin: int | None = None
        self._delay = 0  # from frame clock to presentation, as the renderer tells it
        # Now, not at the start: a writer may take seconds to find its reader, and the beginning would be lost.
        for kind, topic, take, depth in (
            (Image, "image_raw", self._on_image, 10), (STAMPED, "spoken/audio_stamped", self._on_sound, 100),
            (AvatarFrame, "avatar_frame", self._on_frame, 100), (PresentationState, "presentation", self._on_state, 100), (MotionLatentBlock, "motion_blocks", self._on_block, 100),
            (MotionLatent, "user/motion", self._on_motion, 100),
        ):  # fmt: skip
            self.create_subscription(kind, topic, self._while_active(take), qos.reliable(depth))

        if not TYPED_FAMILY:
            self.create_subscription(AudioInfo, "spoken/audio_info", self._on_info, qos.latched())

    def _while_active(self, take: Callable[[Any], None]) -> Callable[[Any], None]:
        def taken(message: Any) -> None:
            if self.active:
                take(message)

        return taken

    def _new_bag(self) -> Any:
        from avatar_forcing_ros.media.bag_writer import BagWriter  # takes a while, and few recordings have one

        return BagWriter(self.settings.bag or "", self.settings.bag_storage)

    def start(self) -> None:
        if self._recording is None:
            raise InputError("recorder: its files are finished; to record again, clean it up and configure it")
        self._recording.begin()

    def stop(self) -> None:
        """Finish the files."""
        recording, self._recording = self._recording, None
        if recording is None:
            return
        recording.finish()
        figures = {**self._statistics.summary(), "dropped_by_recorder": recording.dropped}
        timeline = Path(self.settings.timeline or self._out.with_suffix(".timeline.png"))
        try:
            write_json(self._out.with_suffix(".json"), figures)
            plot_timeline(timeline, self._statistics, (self._origin or 0) - self._delay, self._out.name)
        except OSError as error:
            self.fault = f"recorder: cannot write the figures of {self._out}: {error.strerror}"
        if recording.fault:
            raise InputError(f"recorder: {self._out}: {recording.fault}")

    def _close_files(self) -> None:
        """Each of them, whatever befalls the other."""
        try:
            self._write_sound(self._heard.flush())
        finally:
            try:
                if self._bag is not None:
                    self._bag.close()
            finally:
                self._video.close()

    def _relative(self, stamp: int) -> int:
        """Presentation stamp -> nanoseconds from the file's start; negative before it."""
        if self._origin is None:
            start = None if self.settings.start_time is None else seconds_to_ns(self.settings.start_time)
            if start is not None and (not self._delay or stamp < start + self._delay):
                return -1
            self._origin = stamp if start is None else start + self._delay
        return stamp - self._origin

    def _put(self, item: Any) -> None:
        recording = self._recording
        if recording is not None and not recording.put(item):
            self.count("dropped")
            self.warn(recording.fault or "the encoder cannot keep up: images or sound dropped from the recording")

    def report(self) -> tuple[int, str, dict[str, Any]]:
        recording = self._recording
        if recording is not None and recording.fault:
            return DiagnosticStatus.ERROR, f"recorder: {self._out}: {recording.fault}", {}
        level, text, values = super().report()
        if recording is not None and recording.unusable:
            values["left out"] = recording.unusable
        return level, text, values

    def _on_image(self, message: Image) -> None:
        stamp = nanoseconds(message.header.stamp)
        self._statistics.add_arrival("image", stamp, self.now_ns())
        self._put(("image", stamp, message))

    def _on_sound(self, message: Any) -> None:
        stamp = nanoseconds(message.header.stamp)
        self._statistics.add_arrival("sound", stamp, self.now_ns())
        with self.usable():
            self._put(("sound", stamp, (self._decoder.decode(message), self._decoder.format.rate)))

    def _on_info(self, message: Any) -> None:
        with self.usable():
            self._decoder.set_info(message)

    def _on_state(self, message: PresentationState) -> None:
        self._delay = nanoseconds(message.delay)

    def _on_frame(self, message: AvatarFrame) -> None:
        published = nanoseconds(message.published)
        camera, sound = nanoseconds(message.camera_stamp), nanoseconds(message.user_audio_stamp)
        if message.frame * FRAME_NS >= seconds_to_ns(self.settings.start_time or 0.0):
            self._statistics.add_image(
                message.frame, published, camera_stamp_ns=camera, user_audio_stamp_ns=sound,
                render_ms=nanoseconds(message.render_time) / 1e6, held=message.held, delay_ns=self._delay,
            )  # fmt: skip
        elif not message.held:  # before the conversation begins, but it may have seen its first images
            self._statistics.add_used(published, camera, sound)

    def _on_block(self, message: MotionLatentBlock) -> None:
        stamp = nanoseconds(message.header.stamp)
        with self.usable():
            latents = _latents_of(message)
            self._statistics.add_block(
                message.sequence,
                stamp,
                latents,
                nanoseconds(message.compute_time) / 1e6,
                AVATAR_AUDIO in message.missing,
            )
            if self._bag is not None:
                self._put(("block", stamp, message))

    def _on_motion(self, message: MotionLatent) -> None:
        latent = np.asarray(message.data, np.float32)
        dropped = tuple(nanoseconds(s) for s in message.dropped_stamps if nanoseconds(s))
        self._statistics.add_user_motion(nanoseconds(message.header.stamp), latent, message.confidence, dropped)

    def _write_sound(self, stretches: list) -> None:
        for heard, stamp in stretches:
            assert self._origin is not None  # sound is taken from then on
            self._video.write_audio(max(0, round((stamp - self._origin) * HEARD_RATE / NANOSECONDS)), heard)

    def _write_one(self, item: tuple[str, int, Any]) -> None:
        kind, stamp, message = item
        offset = self._relative(stamp)
        if offset < 0:
            return
        if kind == "image":
            image = to_rgb(message)
            # Half frames count up: a delay that is no whole number of frames must not give one index to two images.
            self._video.write_frame((offset + FRAME_NS // 2) // FRAME_NS, image)
            if self._bag is not None:
                self._bag.write_image(stamp, image)
        elif kind == "sound":
            samples, rate = message
            self._write_sound(self._heard.push(samples, rate, stamp))
            if self._bag is not None:
                self._bag.write_speech(stamp, samples, rate)
        else:
            cameras, sounds = (
                tuple(nanoseconds(s) for s in stamps) for stamps in (message.camera_stamps, message.user_audio_stamps)
            )
            assert self._bag is not None  # else blocks are not kept
            self._bag.write_latents(
                stamp, _latents_of(message), sequence=message.sequence, first_frame=message.first_frame,
                space=message.space, model=message.model, missing=tuple(message.missing), camera_stamps_ns=cameras,
                user_audio_stamps_ns=sounds, compute_ns=nanoseconds(message.compute_time),
                waited_ns=nanoseconds(message.waited),
            )  # fmt: skip


def _latents_of(message: MotionLatentBlock) -> np.ndarray:
    """(frame_count, latent_dim) float32, of whatever motion space. Raises InputError for a block that is inconsistent."""
    return block_of(message, message.space, message.latent_dim)[0]


def main() -> int:
    return run_node(Recorder)
