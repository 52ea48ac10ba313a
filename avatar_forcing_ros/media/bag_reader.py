"""rosbag2 recordings (sqlite3 and MCAP) through rosbags: no ROS needed to read or write them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rosbags.highlevel import AnyReader

from avatar_forcing_ros.audio.decode import AudioDecoder, format_of_info, stamp_of
from avatar_forcing_ros.audio.formats import SoundFormat
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.bag_salvage import SalvagedBag, mending
from avatar_forcing_ros.media.bag_types import IMAGES, INFO, SOUNDS, TYPED_KINDS, known_types
from avatar_forcing_ros.media.base import AudioChunk, MediaReader, VideoFrame
from avatar_forcing_ros.media.camera.encodings import encoding_of
from avatar_forcing_ros.media.images import CameraDecoder
from avatar_forcing_ros.presentation.image_order import FrameOrder, ImageSorter
from avatar_forcing_ros.presentation.stamps import USUAL_NS, StampClock
from avatar_forcing_ros.timeline import NANOSECONDS

_LOG = logging.getLogger(__name__)
_LOOKED_AT = 30  # messages of a camera, among which one has to be an image
_SLACK_S = 0.2  # by which stamps of sound may stray from the count of samples
_FOLLOW = 0.02  # of that error, taken out per chunk
_RECORDED_LATE_NS = 10 * NANOSECONDS  # a recorder may be as far behind


class BagReader(MediaReader):
    """The images of one camera topic and the sound of one audio topic of a bag.

    Times are the header stamps, mapped to the recorder's clock where they are of another one (presentation/stamps.py). Sound is
    timed by counting its samples; stamps are a slow correction. The sound's format is taken from the messages, or from the
    AudioInfo topic of the same namespace; without one it is S16LE, 16 kHz, mono, as audio_capture sends it. A bag that was not
    closed, or has no metadata, is read up to where it is damaged, and a warning says so.
    """

    def __init__(self, source: str, camera_topic: str | None = None, audio_topic: str | None = None) -> None:
        self.source = source
        self._path = Path(source)
        self._typed = False
        self._salvaged: SalvagedBag | None = None
        self._told: set[str] = set()
        self._opened: Any = None  # the bag, while one look into it follows another
        with self._open() as bag:
            self._typed = any(c.msgtype in TYPED_KINDS for c in bag.connections)
            if not self._typed:
                self._look_into(bag, camera_topic, audio_topic)
        if self._typed:  # another family of sound messages
            with self._open() as bag:
                self._look_into(bag, camera_topic, audio_topic)

    def _look_into(self, bag: Any, camera_topic: str | None, audio_topic: str | None) -> None:
        """What there is to read."""
        with _readable(self._path):
            self.duration = bag.duration / NANOSECONDS if bag.message_count else 0.0
            images = [c for c in bag.connections if c.msgtype in IMAGES and c.msgcount]
            kinds = [(kind, c) for c in bag.connections if (kind := _sound_kind(c)) is not None and c.msgcount]
            sounds = [c for _, c in sorted(kinds, key=lambda pair: pair[0])]
            self._camera = self._choose_camera(bag, images, camera_topic)
            sound = self._choose(sounds, audio_topic, "audio")
            self._sound = sound.topic if sound else None
            self._info = self._find_info(bag, sound) if sound else (None, None)
        if self._camera is None and self._sound is None:
            raise InputError(self.why_no_video or f"the bag {self.source} has no topic with images or sound")
        self.has_video, self.has_audio = self._camera is not None, self._sound is not None
        self._opened = bag
        try:
            firsts = [next(self._timed(t), None) for t in (self._camera, self._sound) if t]
            self._start = min((first[0] for first in firsts if first), default=0)
            if self.has_audio and next(self.audio(), None) is None:
                raise InputError(f"the audio topic {self._sound} of {self.source} is empty")
        finally:
            self._opened = None

    def video(self) -> Iterator[VideoFrame]:
        if self._camera is None:
            return
        decoder, sorter, order = CameraDecoder(), ImageSorter(), FrameOrder()
        bad, shown, fault = 0, 0, ""
        for time, recorded, _, message in self._timed(self._camera):
            try:
                images = decoder.decode(message)
            except InputError as error:  # the next good one is used
                bad, fault = bad + 1, str(error)
                continue
            for then, image in sorter.put(time, images[-1][1]) if images else ():
                placed = order.place(then, recorded)
                if placed is not None:
                    shown += 1
                    yield VideoFrame((placed - self._start) / NANOSECONDS, image)
        for then, image in sorter.rest():
            shown += 1
            yield VideoFrame((then - self._start) / NANOSECONDS, image)
        if bad:
            if not shown:
                raise InputError(f"camera topic {self._camera} of {self.source}: {fault}")
            self._tell(f"{self.source}: {bad} of {bad + shown} images of {self._camera} cannot be used: {fault}")
        if order.late:
            self._tell(f"{self.source}: {order.late} images of {self._camera} are out of order and left out")

    def audio(self) -> Iterator[AudioChunk]:
        if self._sound is None:
            return
        decoder = AudioDecoder(*self._info)
        expected = None  # end of the sound so far, in seconds
        for time, _, stamped, message in self._timed(self._sound):
            try:
                pieces = decoder.pieces(message)
            except InputError as error:
                raise InputError(f"audio topic {self._sound} of {self.source}: {error}") from error
            except (AttributeError, TypeError, ValueError) as error:
                raise self._other_than_its_type(self._sound, error) from error
            seconds = sum(len(samples) / rate for samples, rate in pieces)
            begin = (time - self._start) / NANOSECONDS - (0.0 if stamped else seconds)  # recorded when it was complete
            if expected is not None and abs(begin - expected) < _SLACK_S:
                begin = expected + _FOLLOW * (begin - expected)
            begin = max(0.0, begin)
            for samples, rate in pieces:
                yield AudioChunk(begin, samples, rate)
                begin += len(samples) / rate
            if pieces:
                expected = begin
        if decoder.skipped:
            self._tell(f"{self.source}: {decoder.skipped} damaged pieces of {self._sound} are left out")

    def _timed(self, topic: str | None) -> Iterator[tuple[int, int, bool, Any]]:
        """(time in ns on the recorder's clock, time of recording, whether the stamp says the time, message) of a topic."""
        clock = StampClock(late_ns=_RECORDED_LATE_NS)
        for recorded, message in self._messages(topic):
            try:
                stamp = stamp_of(message)
            except (AttributeError, TypeError) as error:
                raise self._other_than_its_type(topic, error) from error
            place = clock.place(stamp, recorded)
            time = place if place is not None else recorded - (USUAL_NS if stamp else 0)
            yield time, recorded, place is not None, message

    def _other_than_its_type(self, topic: str | None, error: Exception) -> InputError:
        """A bag brings its own definitions of messages, and one may be damaged."""
        return InputError(
            f"{topic} of {self.source} holds other messages than their type says: {' '.join(str(error).split())}"
        )

    def _messages(self, topic: str | None) -> Iterator[tuple[int, Any]]:
        """(time of recording in ns, message) of a topic, up to where the bag is damaged."""
        count = 0  # given so far; a second look at the bag passes them over
        while True:
            salvaged, at = self._salvaged, 0
            try:
                with self._open() as bag:
                    chosen = [c for c in bag.connections if c.topic == topic]
                    for connection, recorded, raw in bag.messages(chosen):
                        at += 1
                        if at > count:
                            message = bag.deserialize(raw, connection.msgtype)
                            count += 1
                            yield recorded, message
            except InputError:
                raise
            except Exception as error:  # storages raise their own kinds
                if salvaged is None:
                    self._salvage(error)
                    continue
                self._tell(
                    f"{self.source} is damaged after {count} messages of {topic}: {error}; {mending(self._path)}"
                )
            return

    @contextmanager
    def _open(self) -> Iterator[Any]:
        if self._salvaged is None and self._opened is not None:
            yield self._opened
            return
        if self._salvaged is None:
            reader = None
            try:
                reader = AnyReader([self._path], default_typestore=known_types(self._typed))
                reader.open()
            except Exception as error:
                reader = None
                self._salvage(error)
            if reader is not None:
                try:
                    yield reader
                finally:
                    reader.close()
                return
        yield self._salvaged

    def _salvage(self, error: Exception) -> None:
        """Reads the storage files one by one instead. Raises InputError where that is no use either."""
        self._salvaged = SalvagedBag(self._path)
        seconds = self._salvaged.duration / NANOSECONDS
        why = self._salvaged.damage or _reason(self._path, error)
        self._tell(f"{self.source}: {why}; read anyway, {seconds:.1f} s; {mending(self._salvaged.damaged)}")

    def _tell(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            _LOG.warning(line)

    def _choose_camera(self, bag, images: list, topic: str | None) -> str | None:
        """The camera's topic: the one asked for, or the first that shows pictures. Depth images are no camera to look at a face."""
        if topic is not None:
            chosen = self._choose(images, topic, "camera")
            fault = self._fault_of(bag, chosen)
            if fault:
                raise InputError(f"camera topic {chosen.topic} of {self.source}: {fault}")
            return chosen.topic
        faults = []
        for connection in images:
            fault = (
                "of a depth camera, most likely; choose it with camera_topic"
                if _is_depth(bag, connection)
                else self._fault_of(bag, connection)
            )
            if not fault:
                return connection.topic
            faults.append(f"{connection.topic}: {fault}")
        if faults:
            self.why_no_video = f"{self.source} has no camera that can be read: {'; '.join(faults)}"
        return None

    @staticmethod
    def _fault_of(bag, connection) -> str:
        """Why the first images of a topic cannot be read; '' where one can."""
        decoder, fault = CameraDecoder(), ""
        for count, (_, _, raw) in enumerate(bag.messages([connection])):
            try:
                if decoder.decode(bag.deserialize(raw, connection.msgtype)):
                    return ""
            except InputError as error:
                fault = str(error)
            if count >= (_LOOKED_AT if fault else 10 * _LOOKED_AT):
                break
        return fault or "no image becomes whole"

    def _choose(self, connections: list, topic: str | None, kind: str):
        if topic is None:
            return connections[0] if connections else None
        for connection in connections:
            if connection.topic.lstrip("/") == topic.lstrip("/"):
                return connection
        known = ", ".join(c.topic for c in connections) or "none"
        raise InputError(f"the bag {self.source} has no {kind} topic {topic}; it has: {known}")

    @staticmethod
    def _find_info(bag, sound) -> tuple[SoundFormat | None, str | None]:
        """The format and coding that the AudioInfo topic beside the sound announces, or the bag's only one."""
        infos = [c for c in bag.connections if c.msgtype == INFO and c.msgcount]
        beside = [c for c in infos if c.topic.rpartition("/")[0] == sound.topic.rpartition("/")[0]]
        for connection in beside or (infos if len(infos) == 1 else []):
            _, _, raw = next(bag.messages([connection]))
            return format_of_info(bag.deserialize(raw, connection.msgtype))
        return None, None


@contextmanager
def _readable(path: Path):
    """Turns whatever a damaged or strange bag raises inside rosbags (its storages raise their own kinds) into one line."""
    try:
        yield
    except (InputError, GeneratorExit):
        raise
    except Exception as error:
        raise InputError(
            f"cannot read the bag {path}: {type(error).__name__}: {' '.join(str(error).split())}; {mending(path)}"
        ) from error


def _reason(path: Path, error: Exception) -> str:
    if path.is_dir() and not (path / "metadata.yaml").exists():
        return "has no metadata.yaml"
    return " ".join(str(error).split())


def _is_depth(bag, connection) -> bool:
    if connection.msgtype != IMAGES[0]:
        return False
    _, _, raw = next(bag.messages([connection]))
    try:
        return encoding_of(bag.deserialize(raw, connection.msgtype).encoding).depth_like
    except InputError:
        return False


def _sound_kind(connection) -> int | None:
    package, _, name = connection.msgtype.partition("/msg/")
    return SOUNDS.index(name) if package == "audio_common_msgs" and name in SOUNDS else None
