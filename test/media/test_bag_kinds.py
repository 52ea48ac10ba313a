"""Bags as they are found on disks: killed, cut, without metadata, split, compressed, with strange cameras and sound."""

import shutil
import struct
from pathlib import Path

import av
import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.bag_types import PACKET, message_types
from avatar_forcing_ros.media.grid import audio_16k
from avatar_forcing_ros.media.open import open_media

S = 1_000_000_000
START = 1_700_000_000 * S
_T = np.arange(48_000) / 16_000
CHIRP = (0.4 * np.sin(2 * np.pi * (15 * _T + 8 * _T**2))).astype(np.float32)  # no two places are alike
COUNT = 75
IMAGE, SOUND, INFO = (
    "sensor_msgs/msg/Image",
    "audio_common_msgs/msg/AudioDataStamped",
    "audio_common_msgs/msg/AudioInfo",
)
STORE = message_types()


def picture(k: int) -> np.ndarray:
    image = np.full((32, 48, 3), 40, np.uint8)
    image[:, :, 0] = 3 * k
    return image


def header(ns: int):
    return STORE.types["std_msgs/msg/Header"](STORE.types["builtin_interfaces/msg/Time"](ns // S, ns % S), "cam")


def raw(k: int, encoding: str = "rgb8", ns: int | None = None):
    image = picture(k)
    if encoding == "yuv422_yuy2":  # grey: the colour is left out
        image = np.dstack([image[..., 0] // 2 + 30, np.full((32, 48), 128, np.uint8)])
    step = image.shape[1] * image.shape[2]
    return STORE.types[IMAGE](
        header(START + k * S // 25 if ns is None else ns), 32, 48, encoding, 0, step, image.ravel()
    )


def sound(k: int, ns: int | None = None):
    pcm = (CHIRP[k * 640 : (k + 1) * 640] * 32768).astype("<i2").view(np.uint8)
    data = STORE.types["audio_common_msgs/msg/AudioData"](pcm)
    return STORE.types[SOUND](header(START + k * S // 25 if ns is None else ns), data)


def write(
    path: Path, storage: str = "mcap", first: int = 0, count: int = COUNT, *, image=raw, heard=sound, compress=None
) -> Path:
    writer = Writer(path, version=8, storage_plugin=StoragePlugin[storage.upper()])
    if compress:
        writer.set_compression(compress, CompressionFormat.ZSTD)
    with writer:
        camera = writer.add_connection("/camera/image_raw", IMAGE, typestore=STORE) if image else None
        microphone = writer.add_connection("/audio/audio_stamped", SOUND, typestore=STORE) if heard else None
        for k in range(first, first + count):
            time = START + k * S // 25 + 45_000_000
            for connection, build, kind in ((camera, image, IMAGE), (microphone, heard, SOUND)):
                if build:
                    writer.write(connection, time, STORE.serialize_cdr(build(k), kind))
    return path


def storage_of(path: Path) -> Path:
    return next(p for p in path.iterdir() if p.name != "metadata.yaml")


def heard_of(reader) -> np.ndarray:
    return np.concatenate(list(audio_16k(reader)))


def whole(source, caplog=None, images: int = COUNT) -> None:
    reader = open_media(str(source))
    reds = [int(frame.image[0, 0, 0]) for frame in reader.video()]
    assert reds == [3 * k for k in range(images)]
    np.testing.assert_allclose(heard_of(reader), CHIRP[: images * 640], atol=1e-4)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_without_metadata(tmp_path, storage, caplog):
    path = write(tmp_path / "bag", storage)
    (path / "metadata.yaml").unlink()
    whole(path)
    assert "no metadata.yaml" in caplog.text and f"ros2 bag reindex {path}" in caplog.text


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("mode", [CompressionMode.FILE, CompressionMode.MESSAGE, CompressionMode.STORAGE])
@pytest.mark.parametrize("metadata", [True, False])
def test_compressed(tmp_path, storage, mode, metadata):
    if mode == CompressionMode.STORAGE and storage == "sqlite3":
        pytest.skip("sqlite3 has no compression of its own")
    path = write(tmp_path / "bag", storage, compress=mode)
    if not metadata:
        (path / "metadata.yaml").unlink()
    whole(path)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_split_with_and_without_metadata_in_the_order_of_numbers(tmp_path, storage):
    folder = tmp_path / "split"
    folder.mkdir()
    for n, first in ((9, 0), (10, 25), (11, 50)):
        part = write(tmp_path / f"part{n}", storage, first, 25)
        shutil.copy(storage_of(part), folder / f"split_{n}{storage_of(part).suffix}")
    whole(folder)


def test_a_file_of_a_split_bag_is_missing(tmp_path, caplog):
    path = write(tmp_path / "bag")
    metadata = (path / "metadata.yaml").read_text()
    name = storage_of(path).name
    (path / "metadata.yaml").write_text(metadata.replace(f"- {name}", f"- {name}\n  - gone_1.mcap"))
    whole(path)
    assert "gone_1.mcap" in caplog.text


@pytest.mark.parametrize(
    "mode, share",
    [(m, s) for m in (None, CompressionMode.MESSAGE) for s in (0.2, 0.5, 0.97)] + [(CompressionMode.STORAGE, 0.7)],
)
def test_killed_mcap_is_read_up_to_the_damage(tmp_path, mode, share, caplog):
    path = write(tmp_path / "bag", compress=mode)
    file = storage_of(path)
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    (path / "metadata.yaml").unlink()
    reader = open_media(str(path))
    reds = [int(frame.image[0, 0, 0]) for frame in reader.video()]
    assert reds == [3 * k for k in range(len(reds))] and len(reds) > 10
    heard = heard_of(reader)
    np.testing.assert_allclose(heard, CHIRP[: len(heard)], atol=1e-4)
    assert "mcap recover" in caplog.text and "ends in the middle" in caplog.text


def test_killed_sqlite3_is_read_up_to_the_damage(tmp_path, caplog):
    path = write(tmp_path / "bag", "sqlite3")
    file = storage_of(path)
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 6 // 10])
    (path / "metadata.yaml").unlink()
    reds = [int(frame.image[0, 0, 0]) for frame in open_media(str(path)).video()]
    assert len(reds) > 20 and reds == [3 * k for k in range(len(reds))]
    assert ".recover" in caplog.text


def test_damage_in_the_middle_leaves_the_rest(tmp_path):
    path = write(tmp_path / "bag", compress=CompressionMode.MESSAGE)
    file = storage_of(path)
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(40)
    file.write_bytes(bytes(data))
    reader = open_media(str(path))
    reds = [int(frame.image[0, 0, 0]) for frame in reader.video()]
    assert len(reds) >= COUNT // 3 and all(np.diff(reds) > 0)


def test_what_is_no_bag_says_the_reason(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="holds no .mcap or .db3 file"):
        open_media(str(tmp_path / "folder"))
    (tmp_path / "x.mcap").write_bytes(b"\x89MCAP0\r\n" + bytes(100))
    with pytest.raises(InputError, match="cannot read the bag .*mcap recover"):
        open_media(str(tmp_path / "x.mcap"))


def test_yuv_camera(tmp_path):
    reader = open_media(str(write(tmp_path / "bag", image=lambda k: raw(k, "yuv422_yuy2"))))
    greys = [frame.image[0, 0].astype(int) for frame in reader.video()]
    assert (
        len(greys) == COUNT
        and all(abs(g - g[0]).max() <= 1 for g in greys)
        and all(np.diff([g[0] for g in greys]) >= 0)
    )


def test_a_camera_that_cannot_be_read_is_told_and_the_sound_is_not_lost(tmp_path):
    path = write(tmp_path / "bag", image=lambda k: raw(k, "vendor_raw"))
    reader = open_media(str(path))
    assert not reader.has_video and reader.has_audio
    assert (
        "/camera/image_raw" in reader.why_no_video
        and "vendor_raw" in reader.why_no_video
        and "rgb8" in reader.why_no_video
    )
    with pytest.raises(InputError, match="/camera/image_raw.*vendor_raw"):
        open_media(str(path), camera_topic="/camera/image_raw")
    with pytest.raises(InputError, match="vendor_raw"):
        open_media(str(write(tmp_path / "silent", image=lambda k: raw(k, "vendor_raw"), heard=None)))


def test_a_depth_camera_beside_no_other_is_named(tmp_path):
    def depth(k):
        return STORE.types[IMAGE](header(START + k * S // 25), 4, 4, "16UC1", 0, 8, np.zeros(32, np.uint8))

    assert "depth" in open_media(str(write(tmp_path / "bag", image=depth))).why_no_video


def test_some_damaged_images_cost_only_themselves(tmp_path, caplog):
    def some(k):
        message = raw(k)
        return message if k % 10 else STORE.types[IMAGE](message.header, 32, 48, "rgb8", 0, 144, np.zeros(7, np.uint8))

    reader = open_media(str(write(tmp_path / "bag", image=some)))
    assert len(list(reader.video())) == COUNT - 8
    assert "8 of 75 images of /camera/image_raw" in caplog.text


CLOCKS = {
    "zero": lambda k, t: 0,
    "boot": lambda k, t: t - START + 500 * S,
    "an hour ahead": lambda k, t: t + 3600 * S,
    "still": lambda k, t: 5 * S,
    "jitter 20 ms": lambda k, t: t + int(np.random.default_rng(k).normal(0, 20e6)),
    "single late chunks": lambda k, t: t + (150_000_000 if k % 12 == 5 else 0),
}


@pytest.mark.parametrize("clock", CLOCKS)
def test_clocks_lose_no_sound(tmp_path, clock):
    def stamp(k):
        return CLOCKS[clock](k, START + k * S // 25)

    path = write(tmp_path / "bag", image=lambda k: raw(k, ns=stamp(k)), heard=lambda k: sound(k, stamp(k)))
    reader = open_media(str(path))
    heard = heard_of(reader)
    begin = max(0, np.flatnonzero(np.abs(heard) > 0.01)[0] - 5)
    assert begin < 1600  # 0.1 s
    heard = heard[begin:]
    assert len(heard) >= 0.99 * len(CHIRP)
    count = min(len(heard), len(CHIRP))
    assert np.abs(heard[:count] - CHIRP[:count]).max() < 0.25  # no piece is lost or silent
    times = [frame.time for frame in reader.video()]
    assert len(times) >= (0.95 if clock != "single late chunks" else 0.8) * COUNT and all(np.diff(times) > 0)
    assert abs(times[-1] - 74 / 25) < 0.12


def test_images_out_of_order_are_left_out(tmp_path, caplog):
    path = write(tmp_path / "bag", image=lambda k: raw(k, ns=START + k * S // 25 - (120_000_000 if k % 5 == 4 else 0)))
    times = [frame.time for frame in open_media(str(path)).video()]
    assert len(times) == COUNT - 15 and all(np.diff(times) > 0)
    assert "15 images of /camera/image_raw are out of order" in caplog.text


def test_a_topic_of_mp3(tmp_path):
    context = av.CodecContext.create("libmp3lame", "w")
    context.sample_rate, context.layout, context.format, context.bit_rate = 16_000, "mono", "s16p", 48_000
    tone = (0.4 * np.sin(np.arange(48_000) * 0.06)).astype(np.float32)
    coded = b""
    for at in [*range(0, 48_000, 576), None]:
        frame = None
        if at is not None:
            frame = av.AudioFrame.from_ndarray((tone[at : at + 576] * 32767).astype(np.int16)[None], "s16p", "mono")
            frame.sample_rate, frame.pts = 16_000, at
        coded += b"".join(bytes(p) for p in context.encode(frame))
    pieces = [coded[k : k + 250] for k in range(0, len(coded), 250)]
    with Writer(tmp_path / "bag", version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        audio = writer.add_connection("/audio/audio_stamped", SOUND, typestore=STORE)
        info = writer.add_connection("/audio/audio_info", INFO, typestore=STORE)
        described = STORE.types[INFO](1, 16_000, "S16LE", 48_000, "mp3")
        writer.write(info, START, STORE.serialize_cdr(described, INFO))
        for k, piece in enumerate(pieces):
            ns = START + round(k * 3 * S / len(pieces))
            data = STORE.types["audio_common_msgs/msg/AudioData"](np.frombuffer(piece, np.uint8))
            writer.write(audio, ns, STORE.serialize_cdr(STORE.types[SOUND](header(ns), data), SOUND))
    heard = heard_of(open_media(str(tmp_path / "bag")))
    assert len(heard) == pytest.approx(48_000, abs=2500)
    assert np.sqrt(np.mean(heard[4000:44_000] ** 2)) == pytest.approx(0.4 / np.sqrt(2), rel=0.05)


def test_packets_of_video(tmp_path):
    from test.media.test_packets import film, packets  # noqa: PLC0415 - the same film

    with Writer(tmp_path / "bag", version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        camera = writer.add_connection("/camera/image_raw/ffmpeg", PACKET, typestore=STORE)
        for k, p in enumerate(packets("libx264", film(), "h264;yuv420p;bgr8;bgr8")):
            ns = START + k * S // 25
            message = STORE.types[PACKET](header(ns), 96, 64, p.encoding, k, 0, False, np.frombuffer(p.data, np.uint8))
            writer.write(camera, ns, STORE.serialize_cdr(message, PACKET))
    assert len(list(open_media(str(tmp_path / "bag")).video())) >= 11


def test_lengths_that_lie_take_no_memory(tmp_path):
    path = write(tmp_path / "bag", count=5)
    file = storage_of(path)
    data = file.read_bytes()
    at = 8
    while data[at] != 0x06:  # the first chunk
        at += 9 + struct.unpack_from("<Q", data, at + 1)[0]
    for length in (2**62, 2**40, 10**9):
        file.write_bytes(data[: at + 1] + struct.pack("<Q", length) + data[at + 9 :])
        try:
            assert len(list(open_media(str(file)).video())) <= 5
        except InputError as error:
            assert "cannot read the bag" in str(error)


@pytest.mark.parametrize("word", [b"builtin_interfaces/Time stamp", b"uint8[] data"])
def test_a_damaged_definition_of_a_message_is_one_line(tmp_path, word):
    """The bag's own definitions say what its bytes are: a field has another name there."""
    path = write(tmp_path / "bag", count=5)
    file = storage_of(path)
    data = file.read_bytes()
    assert word in data
    file.write_bytes(data.replace(word, word[:-1] + b"x"))
    try:
        assert len(list(open_media(str(file)).video())) <= 5
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error)
