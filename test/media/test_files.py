import os
import subprocess
import sys
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.base import AudioChunk, VideoFrame
from avatar_forcing_ros.media.grid import audio_16k, video_on_grid
from avatar_forcing_ros.media.open import check_sound, open_media
from avatar_forcing_ros.media.side_by_side import write_side_by_side
from avatar_forcing_ros.media.video_writer import VideoWriter

DATA = Path(os.environ.get("AVATAR_FORCING_DATA", Path(__file__).parents[3] / "shared" / "data"))


def flat(value, size=(64, 48)):
    return np.full((size[1], size[0], 3), value, np.uint8)


def brightness(reader):
    return [int(image.mean()) for _, image in video_on_grid(reader)]


def write_wav(path, samples, rate=16_000, channels=1):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.asarray(samples) * 32767).astype("<i2").tobytes())
    return str(path)


def encode(path, times, rate=Fraction(25), rotation=0, images=None):
    """A video whose image i is shown from times[i] (seconds) and has the brightness 10 * i."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 90_000)
        for i, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(flat(10 * i) if images is None else images[i], format="rgb24")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = round(time * 90_000), Fraction(1, 90_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return str(path)


# Writer


def test_images_and_sound_come_back_in_sync(tmp_path):
    path = tmp_path / "made" / "clap.mp4"
    with VideoWriter(path) as writer:
        for i in range(75):
            writer.write_frame(i, flat(255 if i in (25, 50) else 20, (101, 77)))
            clap = np.zeros(640, np.float32)
            if i in (25, 50):
                clap[:320] = 0.8 * np.sin(np.arange(320) * 0.5)
            writer.write_audio(640 * i, clap)
    reader = open_media(str(path))
    assert reader.duration == pytest.approx(3.0, abs=0.02)
    images = [image for _, image in video_on_grid(reader)]
    assert images[0].shape == (78, 102, 3)  # odd sizes become even
    assert [i for i, image in enumerate(images) if image.mean() > 128] == [25, 50] and len(images) == 75
    sound = np.concatenate(list(audio_16k(reader)))
    assert len(sound) == pytest.approx(48_000, abs=1100)
    loud = np.flatnonzero(np.abs(sound) > 0.3)
    assert abs(loud[0] - 16_000) < 160 and abs(loud[loud > 24_000][0] - 32_000) < 160  # 10 ms
    times = [item.time for item in reader.merged()]
    assert times == sorted(times)


def test_missing_images_repeat_and_late_ones_are_dropped(tmp_path):
    with VideoWriter(tmp_path / "v.mp4") as writer:
        for index in (2, 3, 7, 5, 3, 8):
            writer.write_frame(index, flat(20 * index))
    assert (writer.frames, writer.repeated, writer.dropped) == (9, 5, 2)
    reader = open_media(str(tmp_path / "v.mp4"))
    expected = [40, 40, 40, 60, 60, 60, 60, 140, 160]
    np.testing.assert_allclose(brightness(reader), expected, atol=3)


def test_holes_in_the_sound_are_silent_and_repeats_are_dropped(tmp_path):
    tone = (0.5 * np.sin(np.arange(16_000) * 0.2)).astype(np.float32)
    with VideoWriter(tmp_path / "v.mp4") as writer:
        writer.write_frame(49, flat(9))
        writer.write_audio(0, tone[:4000])
        writer.write_audio(2000, tone[2000:6000])
        writer.write_audio(16_000, tone)
    sound = np.concatenate(list(audio_16k(open_media(str(tmp_path / "v.mp4")))))
    np.testing.assert_allclose(sound[:5900], tone[:5900], atol=0.08)
    assert np.abs(sound[6400:15_500]).max() < 0.02 and np.abs(sound[17_000:31_000]).max() > 0.4


def test_sound_may_come_before_the_first_image(tmp_path):
    tone = (0.4 * np.sin(np.arange(16_000) * 2 * np.pi * 300 / 16_000)).astype(np.float32)
    with VideoWriter(tmp_path / "a.mp4") as writer:
        for i in range(25):
            writer.write_audio(i * 640, tone[i * 640 : (i + 1) * 640])
            if i >= 5:
                writer.write_frame(i, flat(100))
    with open_media(str(tmp_path / "a.mp4")) as reader:
        heard = np.concatenate(list(audio_16k(reader)))
        assert len(list(reader.video())) == 25
    assert np.corrcoef(heard[1000:15_000], tone[1000:15_000])[0, 1] > 0.95


def test_colours_survive(tmp_path):
    with VideoWriter(tmp_path / "v.mp4", size=(64, 48)) as writer:
        for i in range(3):
            writer.write_frame(i, np.broadcast_to(np.array([200, 60, 30], np.uint8), (96, 128, 3)))
    image = next(open_media(str(tmp_path / "v.mp4")).video()).image
    assert image.shape == (48, 64, 3)
    np.testing.assert_allclose(image[20, 20], [200, 60, 30], atol=5)


def test_a_killed_process_leaves_a_file_that_plays(tmp_path):
    script = (
        "import os, numpy as np\n"
        "from avatar_forcing_ros.media.video_writer import VideoWriter\n"
        f"w = VideoWriter({str(tmp_path / 'k.mp4')!r})\n"
        "for i in range(150):\n"
        "    w.write_frame(i, np.full((48, 64, 3), i, np.uint8))\n"
        "    w.write_audio(640 * i, np.zeros(640, np.float32))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", script], env=environment, timeout=120).returncode == -9
    assert len(brightness(open_media(str(tmp_path / "k.mp4")))) >= 100


def test_a_full_disk_leaves_a_file_that_plays_and_one_line_says_so(tmp_path):
    """The limit on a file's size stands for the disk: the write that goes beyond it fails, as on a full one."""
    script = (
        "import resource, numpy as np\n"
        "from avatar_forcing_ros.errors import InputError\n"
        "from avatar_forcing_ros.media.video_writer import VideoWriter\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        f"w = VideoWriter({str(tmp_path / 'k.mp4')!r})\n"
        "noise, told = np.random.default_rng(0), []\n"
        "for i in range(200):\n"
        "    try:\n"
        "        w.write_audio(640 * i, np.zeros(640, np.float32))\n"
        "        w.write_frame(i, noise.integers(0, 255, (48, 64, 3)).astype(np.uint8))\n"
        "    except InputError as error:\n"
        "        told.append(i)\n"
        "try:\n"
        "    w.close()\n"
        "except InputError as error:\n"
        "    print(error, told[0])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.run(
        [sys.executable, "-c", script], env=environment, timeout=120, capture_output=True, text=True
    )
    assert process.returncode == 0 and "File too large; what it has until there can be played" in process.stdout
    failed_at = int(process.stdout.split()[-1])
    assert failed_at - 40 < len(brightness(open_media(str(tmp_path / "k.mp4")))) <= failed_at


def test_a_video_without_images_is_an_error_and_leaves_no_file(tmp_path):
    writer = VideoWriter(tmp_path / "v.mp4")
    writer.write_audio(0, np.zeros(1000, np.float32))
    with pytest.raises(InputError, match="no image"):
        writer.close()
    writer.close()
    assert not (tmp_path / "v.mp4").exists()


def test_wrong_images_clocks_and_paths(tmp_path):
    with VideoWriter(tmp_path / "v.mp4") as writer:
        writer.write_frame(0, flat(0))
        with pytest.raises(InputError, match="uint8 RGB"):
            writer.write_frame(1, np.zeros((4, 4), np.uint8))
        with pytest.raises(InputError, match="clock jumped"):
            writer.write_frame(10**9, flat(0))
        with pytest.raises(InputError, match="clock jumped"):
            writer.write_audio(10**12, np.zeros(4, np.float32))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        VideoWriter(tmp_path / "file" / "v.mp4")


# Reader


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(30), Fraction(12)])
def test_any_frame_rate_comes_onto_the_grid(tmp_path, rate):
    times = [float(i / rate) for i in range(20)]
    reader = open_media(encode(tmp_path / "v.mp4", times, rate))
    seen = brightness(reader)
    assert len(seen) == pytest.approx(25 * 20 / float(rate), abs=1)
    for index, value in enumerate(seen):
        newest = max(i for i, time in enumerate(times) if time <= index / 25 + 1e-3)
        assert abs(value - 10 * newest) < 5


def test_variable_frame_rate(tmp_path):
    times = [0.0, 0.04, 0.5, 0.51, 0.52, 1.0]
    reader = open_media(encode(tmp_path / "v.mp4", times))
    assert reader.has_video and not reader.has_audio and list(reader.audio()) == []
    expected = [0] + [10] * 12 + [40] * 12 + [50]
    np.testing.assert_allclose(brightness(reader)[:26], expected, atol=4)


def test_rotation_of_phone_videos(tmp_path):
    image = flat(0)
    image[:, :32] = 250  # bright at the left
    path = encode(tmp_path / "v.mp4", [0, 0.04], images=[image, image])
    raw = bytearray(Path(path).read_bytes())
    at = raw.index(b"tkhd") + 4 + 40  # version and flags ... up to the matrix
    quarter = [0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]  # 90 degrees clockwise
    raw[at : at + 36] = b"".join(int(v).to_bytes(4, "big", signed=True) for v in quarter)
    Path(path).write_bytes(raw)
    turned = next(open_media(path).video()).image
    assert turned.shape == (64, 48, 3)
    assert turned[:24].mean() > 200 and turned[40:].mean() < 50  # now bright at the top


@pytest.mark.parametrize("rate, channels", [(44_100, 2), (48_000, 1), (16_000, 1), (8_000, 2)])
def test_sound_files(tmp_path, rate, channels):
    mono = 0.5 * np.sin(2 * np.pi * 300 * np.arange(rate) / rate)
    path = write_wav(tmp_path / "s.wav", np.repeat(mono, channels), rate, channels)
    reader = open_media(path)
    assert reader.has_audio and not reader.has_video and reader.duration == pytest.approx(1.0)
    chunk = next(reader.audio())
    assert chunk.rate == rate and chunk.samples.shape == (rate // 50, channels) and chunk.samples.dtype == np.float32
    sound = np.concatenate(list(audio_16k(reader)))
    assert len(sound) == pytest.approx(16_000, abs=2)
    np.testing.assert_allclose(
        sound[400:15_600], 0.5 * np.sin(2 * np.pi * 300 * np.arange(16_000) / 16_000)[400:15_600], atol=0.01
    )


def test_iterators_can_be_used_again_and_side_by_side(tmp_path):
    reader = open_media(encode(tmp_path / "v.mp4", [i / 25 for i in range(10)]))
    one, other = reader.video(), reader.video()
    next(one), next(one)
    assert next(other).time == 0.0 and next(one).time == pytest.approx(0.08)
    assert len(list(reader.video())) == 10


class Holes:
    """A source of sound with a late start and a hole."""

    source = "holes"

    def audio(self):
        for time in (0.5, 0.52, 1.0, 1.02):
            yield AudioChunk(time, np.full((320, 1), 0.5, np.float32), 16_000)


def test_late_sound_and_holes_become_silence():
    sound = np.concatenate(list(audio_16k(Holes())))
    expected = np.zeros(16_640, np.float32)
    expected[8_000:8_640] = expected[16_000:] = 0.5
    np.testing.assert_array_equal(sound, expected)


def test_a_video_that_starts_late_shows_its_first_image():
    class Late:
        def video(self):
            yield VideoFrame(0.2, flat(50))
            yield VideoFrame(0.24, flat(90))

    assert brightness(Late()) == [50] * 6 + [90]


def test_unusable_files(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        open_media(str(tmp_path / "none.mp4"))
    (tmp_path / "text.mp4").write_text("this is not a video " * 100)
    with pytest.raises(InputError, match="cannot read .*text.mp4"):
        open_media(str(tmp_path / "text.mp4"))
    (tmp_path / "empty.wav").write_bytes(b"")
    with pytest.raises(InputError, match="cannot read .*empty.wav"):
        open_media(str(tmp_path / "empty.wav"))
    with pytest.raises(InputError, match="is empty"):
        open_media(write_wav(tmp_path / "nothing.wav", []))
    with pytest.raises(InputError, match="neither images nor sound"):
        (tmp_path / "words.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
        open_media(str(tmp_path / "words.srt"))
    with pytest.raises(InputError, match="webcam:NUMBER"):
        open_media("webcam:front")
    with pytest.raises(InputError, match="webcam 97"):
        open_media("webcam:97")


def test_a_video_track_without_images(tmp_path):
    with av.open(str(tmp_path / "v.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), "s16", "mono")
        frame.sample_rate = 16_000
        container.mux(sound.encode(frame))
    with pytest.raises(InputError, match="no images"):
        open_media(str(tmp_path / "v.mkv"))


def test_silence_instead_of_speech(tmp_path):
    check_sound(open_media(write_wav(tmp_path / "t.wav", 0.1 * np.sin(np.arange(1600)))))
    with pytest.raises(InputError, match="silent throughout"):
        check_sound(open_media(write_wav(tmp_path / "s.wav", np.zeros(1600))))
    with pytest.raises(InputError, match="has no sound"):
        check_sound(open_media(encode(tmp_path / "v.mp4", [0, 0.04])))


def test_a_microphone_that_is_not_there():
    with pytest.raises(InputError, match="microphone|PortAudio"):
        open_media("mic:no such microphone")


@pytest.mark.skipif(not DATA.is_dir(), reason="no clips")
@pytest.mark.parametrize(
    "name, images, seconds",
    [
        ("faces/sad_to_laugh.mp4", 493, 19.69),  # 23.98 fps
        ("faces/face_then_none.mov", 161, 6.42),  # variable rate
        ("speakers/bbaf2n.mpg", 75, 2.98),
        ("speech/french.mp3", 0, 23.46),
    ],
)
def test_real_clips(name, images, seconds):
    reader = open_media(str(DATA / name))
    assert len(list(video_on_grid(reader)) if reader.has_video else []) == pytest.approx(images, abs=1)
    assert sum(map(len, audio_16k(reader))) / 16_000 == pytest.approx(seconds, abs=0.06)


def test_side_by_side_has_both_pictures_and_both_voices_in_true_time(tmp_path):
    """The user is grey and silent for 2 s, with a voice of its own file; the avatar, 40 ms shorter, is white and hums."""

    def tone(hertz: int, seconds: float) -> np.ndarray:
        return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * 16000)) / 16000)).astype(np.float32)

    user, voice, avatar, out = (str(tmp_path / f"{name}.mp4") for name in ("user", "voice", "avatar", "out"))
    for path, frames, size, grey, sound in (
        (user, 50, (64, 48), 90, None),
        (voice, 50, (16, 16), 0, tone(300, 2)),
        (avatar, 49, (32, 32), 250, tone(1000, 1.96)),
    ):
        with VideoWriter(path, fps=25) as writer:
            for index in range(frames):
                writer.write_frame(index, np.full((size[1], size[0], 3), grey if index else 0, np.uint8))
            if sound is not None:
                writer.write_audio(0, sound)
    with open_media(user) as reader, open_media(voice) as heard:
        write_side_by_side(reader, heard, avatar, out, delay_s=0.2)
    with open_media(out) as reader:
        images = [frame.image for frame in reader.video()]
        sound = np.concatenate(list(audio_16k(reader)))
    assert len(images) == 50 and images[0].shape == (32, 64, 3)
    bright = [i for i, image in enumerate(images) if image[:, 40:].mean() > 200]
    assert bright[0] == 6  # the avatar's second frame, the delay later
    assert images[10][:, :24].mean() == pytest.approx(90, abs=6)

    def share(hertz: int, start: float) -> float:
        piece = sound[round(16000 * start) :][:1600]
        return abs(np.exp(-2j * np.pi * hertz * np.arange(1600) / 16000) @ piece) / 800

    assert share(300, 0.05) > 0.2 and share(1000, 0.05) < 0.05  # the avatar is not heard before it is seen
    assert share(300, 1.8) > 0.2 and share(1000, 1.8) > 0.2
