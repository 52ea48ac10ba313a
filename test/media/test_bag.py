from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_types_from_msg

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.bag_types import BLOCK, message_types
from avatar_forcing_ros.media.bag_writer import BagWriter
from avatar_forcing_ros.media.grid import audio_16k, video_on_grid
from avatar_forcing_ros.media.images import encode_jpeg
from avatar_forcing_ros.media.open import open_media

S = 1_000_000_000
START = 1_700_000_000 * S
TONE = (0.4 * np.sin(np.arange(32_000) * 0.05)).astype(np.float32)


def picture(i):
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, :, 0] = 4 * i
    image[:, 32:, 1] = 200
    return image


def write_bag(path, topics, storage=StoragePlugin.MCAP, typed=False):
    """topics: name -> (type, [(time, build(types) -> message)])."""
    store = message_types(typed)
    types = SimpleNamespace(
        store=store,
        make=lambda kind, *fields: store.types[kind](*fields),
        header=lambda ns: store.types["std_msgs/msg/Header"](
            store.types["builtin_interfaces/msg/Time"](ns // S, ns % S), ""
        ),
    )
    with Writer(path, version=8, storage_plugin=storage) as writer:
        for name, (kind, messages) in topics.items():
            connection = writer.add_connection(name, kind, typestore=store)
            for time, build in messages:
                writer.write(connection, time, store.serialize_cdr(build(types), kind))
    return str(path)


def image_messages(count=25, encoding="bgr8"):
    def build(i):
        return lambda t: t.make(
            "sensor_msgs/msg/Image", t.header(START + i * S // 25), 48, 64, encoding, 0, 64 * 3 + 8,
            np.pad(picture(i)[:, :, ::-1].reshape(48, -1), ((0, 0), (0, 8))).ravel(),
        )  # fmt: skip

    return [(START + i * S // 25 + 5_000_000, build(i)) for i in range(count)]


def pcm(a, b):
    return (TONE[a:b] * 32767).astype("<i2").view(np.uint8)


def stamped_sound():
    def build(i):
        return lambda t: t.make(
            "audio_common_msgs/msg/AudioDataStamped", t.header(START + i * S // 50),
            t.make("audio_common_msgs/msg/AudioData", pcm(320 * i, 320 * i + 320)),
        )  # fmt: skip

    return [(START + (i + 1) * S // 50 + 3_000_000, build(i)) for i in range(100)]


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_raw_images_and_stamped_sound(tmp_path, storage):
    topics = {
        "/camera/image_raw": ("sensor_msgs/msg/Image", image_messages()),
        "/audio_stamped": ("audio_common_msgs/msg/AudioDataStamped", stamped_sound()),
    }
    path = write_bag(tmp_path / "bag", topics, storage)
    single = next(p for p in Path(path).iterdir() if p.suffix in (".mcap", ".db3"))
    for source in (path, str(single)):
        reader = open_media(source)
        assert reader.has_video and reader.has_audio and reader.duration == pytest.approx(2.0, abs=0.05)
        images = list(video_on_grid(reader))
        assert len(images) == 25
        np.testing.assert_array_equal(images[7][1], picture(7))
        np.testing.assert_allclose(np.concatenate(list(audio_16k(reader))), TONE, atol=1e-4)
        times = [item.time for item in reader.merged()]
        assert times == sorted(times) and len(times) == 125


def test_compressed_images_and_unstamped_sound_with_its_info(tmp_path):
    def image(i):
        return lambda t: t.make(
            "sensor_msgs/msg/CompressedImage", t.header(START + i * S // 25), "jpeg",
            np.frombuffer(encode_jpeg(picture(i), 95), np.uint8),
        )  # fmt: skip

    def sound(i):  # 8 kHz, two channels
        both = np.repeat(pcm(0, 32_000).view("<i2")[::2][160 * i : 160 * i + 160], 2).view(np.uint8)
        return lambda t: t.make("audio_common_msgs/msg/AudioData", both)

    info = [(START, lambda t: t.make("audio_common_msgs/msg/AudioInfo", 2, 8000, "S16LE", 256000, "wave"))]
    jitter = np.random.default_rng(0).integers(0, 60_000_000, 100)
    arrivals = np.maximum.accumulate([START + (i + 1) * S // 50 + int(jitter[i]) for i in range(100)])
    topics = {
        "/cam/compressed": ("sensor_msgs/msg/CompressedImage", [(START + i * S // 25, image(i)) for i in range(25)]),
        "/mic/audio": (
            "audio_common_msgs/msg/AudioData",
            [(int(arrivals[i]) + i, sound(i)) for i in range(100)],
        ),
        "/mic/audio_info": ("audio_common_msgs/msg/AudioInfo", info),
    }
    reader = open_media(write_bag(tmp_path / "bag", topics))
    assert np.abs(next(reader.video()).image.astype(int) - picture(0)).mean() < 8
    chunk = next(reader.audio())
    assert chunk.rate == 8000 and chunk.samples.shape == (160, 2)
    heard = np.concatenate(list(audio_16k(reader)))
    assert abs(len(heard) - 32_000) < 2_000
    start = np.flatnonzero(np.abs(heard) > 0.05)[0]
    assert start < 2_000 and np.abs(np.diff(heard[start + 400 : 30_000])).max() < 0.05  # jitter tears no holes


@pytest.mark.parametrize("definitions", [True, False])
def test_the_typed_family(tmp_path, definitions):
    def build(i):
        def make(t):
            data = t.make(
                "audio_common_msgs/msg/AudioData", np.zeros(0, np.float32), np.zeros(0, np.int32),
                (TONE[512 * i : 512 * i + 512] * 32767).astype(np.int16), np.zeros(0, np.int8), np.zeros(0, np.uint8),
            )  # fmt: skip
            info = t.make("audio_common_msgs/msg/AudioInfo", 8, 1, 16000, 512)
            audio = t.make("audio_common_msgs/msg/Audio", data, info)
            return t.make("audio_common_msgs/msg/AudioStamped", t.header(START + i * 32_000_000), audio)

        return make

    messages = [(START + (i + 1) * 32_000_000, build(i)) for i in range(62)]
    topics = {"/audio": ("audio_common_msgs/msg/AudioStamped", messages)}
    path = Path(write_bag(tmp_path / "bag", topics, StoragePlugin.SQLITE3, typed=True))
    source = path
    if not definitions:  # as ROS 2 before Iron wrote it
        import apsw

        source = next(path.glob("*.db3"))
        base = apsw.Connection(str(source))
        base.cursor().execute("UPDATE schema SET schema_version = 3")
        base.cursor().execute("DROP TABLE message_definitions")
        base.close()
    reader = open_media(str(source))
    assert not reader.has_video
    np.testing.assert_allclose(np.concatenate(list(audio_16k(reader))), TONE[: 62 * 512], atol=1e-4)


def test_topics_are_chosen_by_name_and_depth_is_no_camera(tmp_path):
    depth = [
        (START, lambda t: t.make("sensor_msgs/msg/Image", t.header(START), 4, 4, "16UC1", 0, 8, np.zeros(32, np.uint8)))
    ]
    topics = {
        "/depth": ("sensor_msgs/msg/Image", depth),
        "/front": ("sensor_msgs/msg/Image", image_messages(3)),
        "/back": ("sensor_msgs/msg/Image", image_messages(5)),
    }
    path = write_bag(tmp_path / "bag", topics)
    assert len(list(open_media(path).video())) == 3
    assert len(list(open_media(path, camera_topic="back").video())) == 5
    with pytest.raises(InputError, match="no camera topic side; it has: /depth, /front, /back"):
        open_media(path, camera_topic="side")
    with pytest.raises(InputError, match="no audio topic"):
        open_media(path, audio_topic="/audio")
    assert next(open_media(path, camera_topic="/depth").video()).image.shape == (4, 4, 3)  # asked for by name


def test_stamps_of_another_clock_are_replaced_by_the_time_of_recording(tmp_path):
    def build(i):
        return lambda t: t.make(
            "sensor_msgs/msg/Image", t.header(77 * S + i), 2, 2, "mono8", 0, 2, np.full(4, i, np.uint8)
        )

    topics = {"/cam": ("sensor_msgs/msg/Image", [(START + i * S // 10, build(i)) for i in range(5)])}
    reader = open_media(write_bag(tmp_path / "bag", topics))
    assert [f.time for f in reader.video()] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_what_the_writer_wrote_is_read_again(tmp_path, storage):
    path = tmp_path / "deep" / "bag"
    latents = np.arange(320, dtype=np.float32).reshape(10, 32)
    with BagWriter(path, storage) as bag:
        for i in range(10):
            bag.write_image(START + i * S // 25, picture(i))
            bag.write_speech(START + i * S // 25, TONE[640 * i : 640 * i + 640])
        bag.write_latents(
            START, latents, sequence=3, first_frame=75, space="rig", model="reflex", missing=("user audio",)
        )
    bag.close()
    reader = open_media(str(path))
    assert len(list(reader.video())) == 10
    np.testing.assert_allclose(np.concatenate(list(audio_16k(reader))), TONE[:6400], atol=1e-4)
    from rosbags.highlevel import AnyReader

    with AnyReader([path]) as raw:
        connection = next(c for c in raw.connections if c.topic == "/motion_blocks")
        block = raw.deserialize(next(raw.messages([connection]))[2], connection.msgtype)
    assert (block.sequence, block.first_frame, block.frame_count, block.latent_dim) == (3, 75, 10, 32)
    np.testing.assert_array_equal(block.data.reshape(10, 32), latents)
    with pytest.raises(InputError, match="exists already"):
        BagWriter(path, storage)
    with pytest.raises(InputError, match="use mcap or sqlite3"):
        BagWriter(tmp_path / "other", "zip")


def test_the_written_block_is_our_message():
    ours = Path(__file__).parents[2] / "msg" / "MotionLatentBlock.msg"
    expected = get_types_from_msg(ours.read_text(), BLOCK)[BLOCK]
    assert message_types().fielddefs[BLOCK][1] == expected[1]  # its constants are not recorded


def test_unusable_bags(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot read the bag"):
        open_media(str(tmp_path / "folder"))
    for name in ("broken.mcap", "broken.db3"):
        (tmp_path / name).write_bytes(b"nonsense" * 100)
        with pytest.raises(InputError, match="cannot read the bag"):
            open_media(str(tmp_path / name))
    text = [(START, lambda t: t.make("std_msgs/msg/String", "hello"))]
    with pytest.raises(InputError, match="no topic with images or sound"):
        open_media(write_bag(tmp_path / "text", {"/text": ("std_msgs/msg/String", text)}))
    mp3 = {
        "/audio": ("audio_common_msgs/msg/AudioDataStamped", stamped_sound()),
        "/audio_info": (
            "audio_common_msgs/msg/AudioInfo",
            [(START, lambda t: t.make("audio_common_msgs/msg/AudioInfo", 1, 16000, "S16LE", 128, "wma"))],
        ),
    }
    with pytest.raises(InputError, match="format:=wave"):
        open_media(write_bag(tmp_path / "mp3", mp3))
