"""rosbag2 recordings (sqlite3 and MCAP) through rosbags: no ROS needed to read or write them."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import numpy as np
from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from avatar_forcing_ros.audio.decode import AudioDecoder, SoundFormat, stamp_of
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.timeline import FRAME_RATE, NANOSECONDS, SAMPLE_RATE
from avatar_forcing_ros.media.images import encode_jpeg, to_rgb
from avatar_forcing_ros.media.reader import AudioChunk, MediaReader, VideoFrame

_IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
_SOUNDS = ("AudioDataStamped", "AudioStamped", "AudioData", "Audio")  # the better timed ones first
_INFO = "audio_common_msgs/msg/AudioInfo"
_CLOCKS_AGREE_NS = 10 * NANOSECONDS  # stamps further from the time of recording are of another clock
_ARRIVAL_SLACK = 0.2  # seconds by which times of arrival may stray from the count of samples

# Bags before ROS 2 Iron do not carry definitions: those of the two packages called audio_common_msgs, and ours.
_APT = {
    "AudioData": "uint8[] data",
    "AudioDataStamped": "std_msgs/Header header\naudio_common_msgs/AudioData audio",
    "AudioInfo": "uint8 channels\nuint32 sample_rate\nstring sample_format\nuint32 bitrate\nstring coding_format",
}
_TYPED = {
    "AudioData": "float32[] float32_data\nint32[] int32_data\nint16[] int16_data\nint8[] int8_data\nuint8[] uint8_data",
    "AudioInfo": "int32 format\nint32 channels\nint32 rate\nint32 chunk",
    "Audio": "audio_common_msgs/AudioData audio_data\naudio_common_msgs/AudioInfo info",
    "AudioStamped": "std_msgs/Header header\naudio_common_msgs/Audio audio",
}
_TYPED_KINDS = ("audio_common_msgs/msg/Audio", "audio_common_msgs/msg/AudioStamped")
_BLOCK = "avatar_forcing_ros/msg/MotionLatentBlock"
_BLOCK_DEFINITION = """std_msgs/Header header
uint64 sequence
int64 first_frame
uint32 frame_count
uint32 latent_dim
float32 frame_rate
string space
string model
bool fallback
string[] missing
builtin_interfaces/Time[] camera_stamps
builtin_interfaces/Time[] user_audio_stamps
float32 compute_ms
float32[] data
"""


def message_types(typed_audio: bool = False) -> Typestore:
    """The standard messages, audio_common_msgs (apt's, or the typed family of mgonzs13) and our latents."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    for name, definition in (_TYPED if typed_audio else _APT).items():
        store.register(get_types_from_msg(definition, f"audio_common_msgs/msg/{name}"))
    store.register(get_types_from_msg(_BLOCK_DEFINITION, _BLOCK))
    return store


class BagReader(MediaReader):
    """The images of one camera topic and the sound of one audio topic of a bag.

    Times are the header stamps where they are of the recorder's clock, else the times of recording. Sound without
    stamps is timed by counting its samples. The sound's format is taken from the messages, or from the AudioInfo topic
    of the same namespace; without one it is S16LE, 16 kHz, mono, as audio_capture sends it.
    """

    def __init__(self, source: str, camera_topic: str | None = None, audio_topic: str | None = None) -> None:
        self.source = source
        self._path = Path(source)
        self._typed = False
        with _readable(source), self._open() as bag:
            self._typed = any(c.msgtype in _TYPED_KINDS for c in bag.connections)
        with _readable(source), self._open() as bag:
            self.duration = bag.duration / NANOSECONDS if bag.message_count else 0.0
            images = [c for c in bag.connections if c.msgtype in _IMAGES and c.msgcount]
            sounds = [c for c in bag.connections if _sound_kind(c) is not None and c.msgcount]
            camera = self._choose(images, camera_topic, "camera")
            if camera_topic is None:  # depth images and the like are no camera to look at a face
                camera = next((c for c in images if self._is_picture(bag, c)), None)
            sound = self._choose(sorted(sounds, key=_sound_kind), audio_topic, "audio")
            self._camera = camera.topic if camera else None
            self._sound = sound.topic if sound else None
            self._info = self._find_info(bag, sound) if sound else None
            self._start = min((self._first_time(bag, c) for c in (camera, sound) if c), default=0)
        if camera is None and sound is None:
            raise InputError(f"the bag {source} has no topic with images or sound")
        self.has_video, self.has_audio = camera is not None, sound is not None
        if self.has_video and next(self.video(), None) is None:
            raise InputError(f"the camera topic {self._camera} of {source} has no images")
        if self.has_audio and next(self.audio(), None) is None:
            raise InputError(f"the audio topic {self._sound} of {source} is empty")

    def video(self) -> Iterator[VideoFrame]:
        for time, _, message in self._messages(self._camera):
            yield VideoFrame((time - self._start) / NANOSECONDS, to_rgb(message))

    def audio(self) -> Iterator[AudioChunk]:
        decoder = AudioDecoder(self._info)
        expected = None  # end of the sound so far, in seconds
        for time, stamped, message in self._messages(self._sound):
            samples = decoder.decode(message)
            rate = decoder.format.rate
            if not len(samples):
                continue
            begin = (time - self._start) / NANOSECONDS
            if not stamped:  # it was recorded when it was complete
                begin = max(0.0, begin - len(samples) / rate)
                if expected is not None and abs(begin - expected) < _ARRIVAL_SLACK:
                    begin = expected
            expected = begin + len(samples) / rate
            yield AudioChunk(begin, samples, rate)

    def _messages(self, topic: str | None) -> Iterator[tuple[int, bool, object]]:
        """(time in ns, whether it is the header's, message) of a topic."""
        if topic is None:
            return
        with _readable(self.source), self._open() as bag:
            chosen = [c for c in bag.connections if c.topic == topic]
            for connection, recorded, raw in bag.messages(chosen):
                message = bag.deserialize(raw, connection.msgtype)
                yield *_time(message, recorded), message

    def _open(self) -> AnyReader:
        return AnyReader([self._path], default_typestore=message_types(self._typed))

    def _choose(self, connections: list[Connection], topic: str | None, kind: str) -> Connection | None:
        if topic is None:
            return connections[0] if connections else None
        for connection in connections:
            if connection.topic.lstrip("/") == topic.lstrip("/"):
                return connection
        known = ", ".join(c.topic for c in connections) or "none"
        raise InputError(f"the bag {self.source} has no {kind} topic {topic}; it has: {known}")

    @staticmethod
    def _is_picture(bag: AnyReader, connection: Connection) -> bool:
        _, _, raw = next(bag.messages([connection]))
        try:
            to_rgb(bag.deserialize(raw, connection.msgtype))
        except InputError:
            return False
        return True

    @staticmethod
    def _find_info(bag: AnyReader, sound: Connection) -> SoundFormat | None:
        """The format that the AudioInfo topic beside the sound announces, or the bag's only one."""
        infos = [c for c in bag.connections if c.msgtype == _INFO and c.msgcount]
        beside = [c for c in infos if c.topic.rpartition("/")[0] == sound.topic.rpartition("/")[0]]
        for connection in beside or (infos if len(infos) == 1 else []):
            _, _, raw = next(bag.messages([connection]))
            return SoundFormat.from_info(bag.deserialize(raw, connection.msgtype))
        return None

    @staticmethod
    def _first_time(bag: AnyReader, connection: Connection) -> int:
        _, recorded, raw = next(bag.messages([connection]))
        return _time(bag.deserialize(raw, connection.msgtype), recorded)[0]


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
        self._write("/image_raw/compressed", _IMAGES[1], stamp_ns, self._header(stamp_ns, "avatar"), "jpeg", data)

    def write_speech(self, stamp_ns: int, samples: np.ndarray) -> None:
        """Topic /spoken/audio_stamped: samples (n,) float32 as S16LE mono, described once on /spoken/audio_info."""
        if "/spoken/audio_info" not in self._topics:
            self._write("/spoken/audio_info", _INFO, stamp_ns, 1, self._rate, "S16LE", 16 * self._rate, "wave")
        pcm = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype("<i2").view(np.uint8)
        audio = self._types.types["audio_common_msgs/msg/AudioData"](pcm)
        kind = "audio_common_msgs/msg/AudioDataStamped"
        self._write("/spoken/audio_stamped", kind, stamp_ns, self._header(stamp_ns, "avatar"), audio)

    def write_latents(
        self,
        stamp_ns: int,
        sequence: int,
        first_frame: int,
        latents: np.ndarray,
        space: str,
        model: str,
        missing: tuple[str, ...] = (),
        camera_stamps_ns: tuple[int, ...] = (),
        user_audio_stamps_ns: tuple[int, ...] = (),
        compute_ms: float = 0.0,
    ) -> None:
        """Topic /motion_blocks: a MotionLatentBlock of latents (n, dim). missing: the inputs that were late."""
        data = np.ascontiguousarray(latents, np.float32)
        stamps = [[self._stamp(ns) for ns in of_input] for of_input in (camera_stamps_ns, user_audio_stamps_ns)]
        self._write(
            "/motion_blocks", _BLOCK, stamp_ns, self._header(stamp_ns, "avatar"), sequence, first_frame,
            data.shape[0], data.shape[1], float(FRAME_RATE), space, model, bool(missing), list(missing), *stamps,
            compute_ms, data.ravel(),
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


@contextmanager
def _readable(source: str):
    """Turns whatever a damaged or strange bag raises inside rosbags (its storages raise their own kinds) into one line."""
    try:
        yield
    except (InputError, GeneratorExit):
        raise
    except Exception as error:
        raise InputError(f"cannot read the bag {source}: {type(error).__name__}: {error}") from error


def _sound_kind(connection: Connection) -> int | None:
    package, _, name = connection.msgtype.partition("/msg/")
    return _SOUNDS.index(name) if package == "audio_common_msgs" and name in _SOUNDS else None


def _time(message, recorded: int) -> tuple[int, bool]:
    stamp = stamp_of(message)
    if stamp is not None and abs(stamp - recorded) < _CLOCKS_AGREE_NS:
        return stamp, True
    return recorded, False
