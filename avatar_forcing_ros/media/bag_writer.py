"""rosbag2 recordings of the avatar, written through rosbags: no ROS needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.bag_types import BLOCK, IMAGES, INFO, message_types
from avatar_forcing_ros.media.images import encode_jpeg
from avatar_forcing_ros.timeline import FRAME_RATE, NANOSECONDS, SAMPLE_RATE


class BagWriter:
    """A new rosbag2 folder with the avatar's images, its speech and the latents. A context manager.

    storage: 'mcap' or 'sqlite3'. sample_rate: of the speech. Stamps are the times of presentation and serve as times
    of recording too. Raises InputError where the folder exists already or cannot be written.
    """

    def __init__(self, path: str | Path, storage: str = "mcap", sample_rate: int = SAMPLE_RATE) -> None:
        if storage not in ("mcap", "sqlite3"):
            raise InputError(f"unknown bag storage '{storage}'; use mcap or sqlite3")
        self._types = message_types()
        self._rate = sample_rate
        self._format = (0, 0)  # rate and channels of the speech, as described last
        self._topics: dict[str, Connection] = {}
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._writer = Writer(path, version=8, storage_plugin=StoragePlugin[storage.upper()])
            self._writer.open()
        except (WriterError, OSError) as error:
            raise InputError(f"cannot write the bag {path}: {error}") from error
        self._open = True

    def write_image(self, stamp_ns: int, rgb: np.ndarray) -> None:
        """Topic /image_raw/compressed: the image (H, W, 3) uint8 as JPEG."""
        data = np.frombuffer(encode_jpeg(rgb), np.uint8)
        self._write("/image_raw/compressed", IMAGES[1], stamp_ns, self._header(stamp_ns, "avatar"), "jpeg", data)

    def write_speech(self, stamp_ns: int, samples: np.ndarray, rate: int = 0) -> None:
        """Topic /spoken/audio_stamped: samples (n,) or (n, channels) float32 as S16LE, whose format stands on /spoken/audio_info."""
        rate = rate or self._rate
        channels = 1 if samples.ndim == 1 else samples.shape[1]
        if (rate, channels) != self._format:
            self._format = (rate, channels)
            self._write("/spoken/audio_info", INFO, stamp_ns, channels, rate, "S16LE", 16 * rate * channels, "wave")
        pcm = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype("<i2").reshape(-1).view(np.uint8)
        audio = self._types.types["audio_common_msgs/msg/AudioData"](pcm)
        kind = "audio_common_msgs/msg/AudioDataStamped"
        self._write("/spoken/audio_stamped", kind, stamp_ns, self._header(stamp_ns, "avatar"), audio)

    def write_latents(
        self,
        stamp_ns: int,
        latents: np.ndarray,
        *,
        sequence: int,
        first_frame: int,
        space: str,
        model: str,
        missing: tuple[str, ...] = (),
        camera_stamps_ns: tuple[int, ...] = (),
        user_audio_stamps_ns: tuple[int, ...] = (),
        compute_ns: int = 0,
        waited_ns: int = 0,
    ) -> None:
        """Topic /motion_blocks: a MotionLatentBlock of latents (n, dim). missing: the inputs that were late."""
        data = np.ascontiguousarray(latents, np.float32)
        stamps = [[self._stamp(ns) for ns in of_input] for of_input in (camera_stamps_ns, user_audio_stamps_ns)]
        self._write(
            "/motion_blocks", BLOCK, stamp_ns, self._header(stamp_ns, "avatar"), sequence, first_frame,
            data.shape[0], data.shape[1], float(FRAME_RATE), space, model, bool(missing), list(missing), *stamps,
            self._duration(compute_ns), self._duration(waited_ns), data.ravel(),
        )  # fmt: skip

    def close(self) -> None:
        """Finishes the bag. Calling it again does nothing."""
        if self._open:
            self._open = False
            self._writer.close()

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _write(self, topic: str, kind: str, stamp_ns: int, *fields) -> None:
        if topic not in self._topics:
            self._topics[topic] = self._writer.add_connection(topic, kind, typestore=self._types)
        message = self._types.types[kind](*fields)
        self._writer.write(self._topics[topic], stamp_ns, self._types.serialize_cdr(message, kind))

    def _header(self, stamp_ns: int, frame_id: str):
        return self._types.types["std_msgs/msg/Header"](self._stamp(stamp_ns), frame_id)

    def _stamp(self, stamp_ns: int):
        return self._types.types["builtin_interfaces/msg/Time"](stamp_ns // NANOSECONDS, stamp_ns % NANOSECONDS)

    def _duration(self, ns: int):
        return self._types.types["builtin_interfaces/msg/Duration"](ns // NANOSECONDS, ns % NANOSECONDS)
