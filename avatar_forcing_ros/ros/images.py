"""A camera topic: its images in ROS time, and what has to be told of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.camera.packets import codec_of
from avatar_forcing_ros.media.images import CameraDecoder, ImageLimits
from avatar_forcing_ros.presentation.image_order import FrameOrder, ImageSorter
from avatar_forcing_ros.presentation.stamps import StampClock
from avatar_forcing_ros.ros.messages import nanoseconds

_SMALLEST_FACE = 45  # pixels, chin to brows, below which a face that is not followed is called small
_DARK = 30  # of 255: the mean of an image in which no face is found, or of a face that is not followed


def packet_type() -> type:
    """The message of ffmpeg_image_transport. Raises InputError where its package is not installed."""
    try:
        from ffmpeg_image_transport_msgs.msg import FFMPEGPacket
    except ImportError as error:
        raise InputError(
            "transport ffmpeg needs the package ffmpeg_image_transport_msgs: install it beside ROS"
        ) from error
    return FFMPEGPacket


class CameraInput:
    """The messages of one camera. Not thread-safe but for `arrived`, which may be called beside `decode`.

    topic: its name, for messages to people. Counters: late (images from before newer ones), refused.
    """

    def __init__(self, topic: str, limits: ImageLimits) -> None:
        self.topic = topic
        self.clock, self.sorter, self.order = StampClock(), ImageSorter(), FrameOrder()
        self._decoder = CameraDecoder(limits)
        self._seen = self._shown = self.refused = 0  # since the last report
        self._why = ""
        self._small = self._dark = 0.0
        self._face_in_view = False

    def reset(self) -> None:
        """ROS time has jumped."""
        self.clock.reset()
        self.sorter.reset()
        self.order.reset()
        self._decoder.reset()

    @staticmethod
    def in_order(message: Any) -> bool:
        """The message is a packet of video: every one has to be decoded, as it comes."""
        return hasattr(message, "pts") or codec_of(getattr(message, "format", "")) is not None

    def arrived(self, message: Any, now_ns: int, item: Any = None) -> list[tuple[int, Any]]:
        """An image arrives now: those that are next in order, each with its ROS time. None where it is from before newer ones, or waits
        for those that should have come before it. item: what stands for the image there."""
        ready = self.sorter.put(self.clock.map(nanoseconds(message.header.stamp), now_ns), item)
        placed = [(self.order.place(time, now_ns), waited) for time, waited in ready]
        return [(time, waited) for time, waited in placed if time is not None]

    def decode(self, message: Any) -> np.ndarray | None:
        """The newest (H, W, 3) uint8 RGB that the message completes; None where a packet of video completes none yet.

        Raises InputError that names the topic, the fault and the mend, whatever the message holds.
        """
        self._seen += 1
        try:
            images = self._decoder.decode(message)
        except InputError as error:
            self.refused += 1
            self._why = f"{self.topic}: {error}"
            raise InputError(self._why) from error
        self._shown += len(images)
        return images[-1][1] if images else None

    def look(self, image: np.ndarray, box: tuple[float, float, float, float] | None, sure: bool) -> None:
        """Takes note of why a face may not be followed. box: of a face, in pixels; sure: it is followed well."""
        self._dark = self._small = 0.0
        self._face_in_view = box is not None
        if sure:
            return
        self._dark = float(image[::16, ::16].mean())
        if box is not None:
            x0, y0, x1, y1 = (max(int(edge), 0) for edge in box)
            part = image[y0:y1:4, x0:x1:4]
            self._small, self._dark = box[3] - box[1], float(part.mean()) if part.size else self._dark

    def error(self) -> str:
        """Why images could not be used since the last call, and how many; '' where all could."""
        seen, shown, refused = self._seen, self._shown, self.refused
        self._seen = self._shown = self.refused = 0
        if refused:
            return f"{refused} of {seen} images cannot be used: {self._why}"
        if seen > 1 and not shown:
            return f"{seen} packets of video on {self.topic} gave no image: let the encoder send a key frame every second or two"
        return ""

    def warning(self, sure: bool) -> str:
        """What else is wrong, with a number and the mend; '' where nothing is. sure: a face is followed now."""
        line = self.clock.line("images")
        if line and self.clock.state != "unstamped":
            return line
        if not sure and 0 < self._small < _SMALLEST_FACE:
            return f"the face is {self._small:.0f} pixels high, {_SMALLEST_FACE} or more are needed: come nearer, or give a larger image"
        if not sure and 0 < self._dark < _DARK:
            what = "a face is seen, but it is" if self._face_in_view else "no face is found, and the image is"
            return f"{what} dark ({self._dark:.0f} of 255): light the person from the front"
        return ""

    def values(self) -> dict[str, object]:
        """For diagnostics."""
        return {
            "clock offset s": self.clock.offset_ns / 1e9, "delay ms": self.clock.delay_ns / 1e6, "late images": self.order.late,
            "strange stamps": self.clock.strange_stamps, "skipped packets": self._decoder.skipped_packets,
            "stamps": self.clock.state or "good",
        }  # fmt: skip
