"""Bags that rosbags cannot open: without metadata.yaml, killed while recording, with files missing or damaged.

The storage files are read from front to back, as far as they go: MCAP record by record, sqlite3 row by row. Nothing is written;
whoever wants the bag mended is told the command.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import struct
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from rosbags.typesys import get_types_from_idl, get_types_from_msg

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.bag_types import TYPED_KINDS, message_types

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_MAGIC = b"\x89MCAP0\r\n"
_LARGEST = 512 << 20  # bytes of one record or chunk; more is a damaged length
_ZSTD = b"\x28\xb5\x2f\xfd"
_ENDINGS = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")


@dataclass
class SalvagedTopic:
    """As rosbags' Connection, as far as it is used."""

    topic: str
    msgtype: str
    msgcount: int = 0
    definition: str = ""
    encoding: str = ""


class _Row(NamedTuple):
    topic: SalvagedTopic
    time: int
    data: bytes


def storage_files(path: Path) -> list[Path]:
    """The storage files of a bag, in the order of their numbers. Raises InputError where there is none."""
    if path.is_file():
        return [path]
    files = [p for p in path.iterdir() if p.name.endswith(_ENDINGS) and p.is_file()]
    if not files:
        raise InputError(f"cannot read the bag {path}: the folder holds no .mcap or .db3 file")
    return sorted(
        files, key=lambda p: [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", p.name)]
    )


class SalvagedBag:
    """What can be read of a bag's storage files. A context manager with the part of rosbags' AnyReader that is used here.

    damage: where reading had to stop and why, one line; '' where all was read. Raises InputError where nothing can be read.
    """

    def __init__(self, path: Path) -> None:
        self._folder: tempfile.TemporaryDirectory | None = None
        self.damage = ""
        self.damaged = path  # what has to be mended: the file that is damaged, or the bag as a whole
        self._files = [self._unpacked(p) for p in storage_files(path)]
        self._topics: dict[tuple[str, str], SalvagedTopic] = {}
        self.start_time, self.end_time, self.message_count = 0, 0, 0
        for row in self._rows():
            row.topic.msgcount += 1
            self.start_time = min(self.start_time or row.time, row.time)
            self.end_time = max(self.end_time, row.time)
            self.message_count += 1
        if not self.message_count:
            raise InputError(
                f"cannot read the bag {path}: {self.damage or 'it holds no messages'}; {mending(self.damaged)}"
            )
        self._store = message_types(any(t.msgtype in TYPED_KINDS for t in self._topics.values()))
        self._register()

    @property
    def connections(self) -> list[SalvagedTopic]:
        return [t for t in self._topics.values() if t.msgcount]

    @property
    def duration(self) -> int:
        """In nanoseconds."""
        return self.end_time - self.start_time

    def messages(self, connections: list[SalvagedTopic]) -> Iterator[tuple[SalvagedTopic, int, bytes]]:
        wanted = {(c.topic, c.msgtype) for c in connections}
        for row in self._rows():
            if (row.topic.topic, row.topic.msgtype) in wanted:
                yield row.topic, row.time, row.data

    def deserialize(self, raw: bytes, msgtype: str) -> Any:
        return self._store.deserialize_cdr(raw, msgtype)

    def __enter__(self) -> SalvagedBag:
        return self

    def __exit__(self, *_) -> None:
        pass

    def _rows(self) -> Iterator[_Row]:
        for path in self._files:
            try:
                yield from (self._mcap(path) if path.suffix == ".mcap" else self._sqlite(path))
            except (sqlite3.Error, OSError, ValueError, EOFError, struct.error, zstd.ZstdError, RuntimeError) as error:
                self._found_damage(path, f"{path.name} is damaged: {error}")

    def _found_damage(self, path: Path, line: str) -> None:
        if not self.damage:
            self.damage, self.damaged = " ".join(line.split()), path

    def _topic(self, name: str, kind: str, encoding: str = "", definition: str = "") -> SalvagedTopic:
        topic = self._topics.setdefault((name, kind), SalvagedTopic(name, kind))
        if definition:
            topic.encoding, topic.definition = encoding, definition
        return topic

    def _register(self) -> None:
        """Types that the bag defines itself, beside the known ones; a definition that cannot be read leaves them as they are."""
        for topic in self._topics.values():
            if not topic.definition or topic.msgtype in self._store.fielddefs:
                continue
            try:
                if topic.encoding == "ros2idl":
                    parts = topic.definition.split("=" * 80 + "\n")
                    for part in parts[1:] or parts:
                        self._store.register(
                            get_types_from_idl(part.split("\n", 1)[1] if part.startswith("IDL: ") else part)
                        )
                else:
                    types = get_types_from_msg(topic.definition, topic.msgtype)
                    self._store.register({k: v for k, v in types.items() if k not in self._store.fielddefs})
            except Exception:  # of a type that nobody reads here, most likely
                continue

    def _unpacked(self, path: Path) -> Path:
        """A file that was compressed as a whole, unpacked as far as it goes; a cut database with zeros for what it lacks."""
        missing = _missing_bytes(path) if path.suffix == ".db3" else 0
        if path.suffix != ".zstd" and not missing:
            return path
        self._folder = self._folder or tempfile.TemporaryDirectory()
        out = Path(self._folder.name) / (path.name if missing else path.stem)
        if missing:
            shutil.copyfile(path, out)
            os.truncate(out, path.stat().st_size + missing)
            self._found_damage(path, f"{path.name} is damaged: {missing / 1e6:.1f} MB of it are missing")
            return out
        try:
            with zstd.open(path, "rb") as packed, open(out, "wb") as file:
                while piece := packed.read(1 << 20):
                    file.write(piece)
        except (zstd.ZstdError, EOFError, OSError) as error:
            self._found_damage(path, f"{path.name} is damaged: {error}")
        return out

    # sqlite3

    def _sqlite(self, path: Path) -> Iterator[_Row]:
        base = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
        try:
            topics = {i: self._topic(name, kind) for i, name, kind in base.execute("SELECT id, name, type FROM topics")}
            if base.execute("SELECT 1 FROM sqlite_master WHERE name = 'message_definitions'").fetchone():
                rows = base.execute("SELECT topic_type, encoding, encoded_message_definition FROM message_definitions")
                for kind, encoding, definition in rows:
                    for topic in topics.values():
                        if topic.msgtype == kind and not topic.definition:
                            topic.encoding, topic.definition = encoding, definition
            for topic_id, time, data in base.execute("SELECT topic_id, timestamp, data FROM messages"):
                if topic_id in topics and isinstance(data, bytes) and isinstance(time, int):
                    yield _Row(topics[topic_id], time, _plain(data))
        finally:
            base.close()

    # MCAP

    def _mcap(self, path: Path) -> Iterator[_Row]:
        schemas: dict[int, tuple[str, str, str]] = {}
        channels: dict[int, SalvagedTopic] = {}
        with open(path, "rb") as file:
            if file.read(8) != _MAGIC:
                raise ValueError("it does not begin as MCAP does")
            size = path.stat().st_size
            while True:
                record = _record(file, size)
                if record is None:
                    raise EOFError("the recording was not closed; it ends in the middle")
                kind, body = record
                if kind == 0x02:  # footer
                    return
                for part, content in self._records_of(path, kind, body):
                    row = self._take(part, content, schemas, channels)
                    if row is not None:
                        yield row

    def _records_of(self, path: Path, kind: int, body: bytes) -> Iterator[tuple[int, bytes]]:
        """The record itself, or those in a chunk, as far as it can be unpacked."""
        if kind != 0x06:
            yield kind, body
            return
        try:
            packed_size, _, name_length = struct.unpack_from("<QII", body, 16)
            name = body[32 : 32 + name_length].decode()
            at = 32 + name_length + 8
            inner = _unpack(name, body[at:], packed_size)
        except (struct.error, ValueError, RuntimeError, zstd.ZstdError) as error:
            self._found_damage(path, f"{path.name}: a part is damaged and left out: {error}")
            return
        at = 0
        while at + 9 <= len(inner):
            kind, length = struct.unpack_from("<BQ", inner, at)
            if at + 9 + length > len(inner):
                return
            yield kind, inner[at + 9 : at + 9 + length]
            at += 9 + length

    def _take(self, kind: int, body: bytes, schemas: dict, channels: dict) -> _Row | None:
        if kind == 0x03:  # schema
            (number,) = struct.unpack_from("<H", body)
            name, at = _text(body, 2)
            encoding, at = _text(body, at)
            (length,) = struct.unpack_from("<I", body, at)
            schemas[number] = (name, encoding, body[at + 4 : at + 4 + length].decode(errors="replace"))
        elif kind == 0x04:  # channel
            number, schema = struct.unpack_from("<HH", body)
            name, _ = _text(body, 4)
            known = schemas.get(schema)
            if known:
                channels[number] = self._topic(name, *known)
        elif kind == 0x05 and len(body) >= 22:  # message
            number, _, time = struct.unpack_from("<HIQ", body)
            if number in channels:
                return _Row(channels[number], time, _plain(body[22:]))
        return None


def mending(path: Path) -> str:
    """The command that mends a bag."""
    if path.is_dir():
        return f"to mend it: ros2 bag reindex {path}"
    if path.suffix == ".mcap":
        return f"to mend it: mcap recover {path} -o mended.mcap"
    return f'to mend it: sqlite3 {path} ".recover" | sqlite3 mended.db3'


def _missing_bytes(path: Path) -> int:
    """How much longer a database says it is than its file."""
    with open(path, "rb") as file:
        head = file.read(100)
    if len(head) < 100 or head[:16] != b"SQLite format 3\0" or head[24:28] != head[92:96]:
        return 0
    (page,), (pages,) = struct.unpack_from(">H", head, 16), struct.unpack_from(">I", head, 28)
    size = path.stat().st_size
    return max(0, min(pages * (65536 if page == 1 else page), 16 * size) - size)


def _record(file: BinaryIO, size: int) -> tuple[int, bytes] | None:
    """The next record; None where the file ends in its middle. A chunk that is cut comes as far as it goes."""
    head = file.read(9)
    if len(head) < 9:
        return None
    kind, length = struct.unpack("<BQ", head)
    left = size - file.tell()
    if length > min(left, _LARGEST):
        if kind == 0x06 and length <= _LARGEST and left > 0:
            return kind, file.read(left)
        return None
    return kind, file.read(length)


def _unpack(name: str, data: bytes, size: int) -> bytes:
    """The records of a chunk; of one that is cut, those before the cut."""
    limit = min(size, _LARGEST)
    if name == "":
        return data[:limit]
    if name == "zstd":
        return zstd.ZstdDecompressor().decompress(data, limit)
    if name == "lz4":
        from lz4.frame import LZ4FrameDecompressor

        return LZ4FrameDecompressor().decompress(data, limit)
    raise ValueError(f"compression '{name[:20]}' is unknown")


def _plain(data: bytes) -> bytes:
    """A message without the compression of single messages."""
    if data[:4] != _ZSTD:
        return data
    try:
        return zstd.ZstdDecompressor().decompress(data, _LARGEST)
    except zstd.ZstdError:
        return data


def _text(body: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<I", body, at)
    return body[at + 4 : at + 4 + length].decode(errors="replace"), at + 4 + length
