"""Whole runs: offline in lockstep, live through the ROS graph, and what a user gets for bad input."""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from avatar_forcing_ros import cli
from avatar_forcing_ros.assets import DEFAULT_PORTRAIT, SAMPLE_AVATAR_AUDIO, SAMPLE_USER_VIDEO
from avatar_forcing_ros.media.grid import audio_16k
from avatar_forcing_ros.media.open import open_media
from avatar_forcing_ros.media.video_writer import VideoWriter

SMALL = ("--avatar", "screen_face", "--size", "256")
KEYS = {
    "frames", "fps", "late_blocks", "block_compute_ms", "render_ms", "reaction_latency_ms", "av_skew_ms", "user_face_share",
}  # fmt: skip
COMMAND = (sys.executable, "-c", "import sys; from avatar_forcing_ros.cli import main; sys.exit(main())", "run")


def run(*arguments) -> int:
    return cli.main(["run", *map(str, arguments)])


def images_of(path) -> np.ndarray:
    with open_media(str(path)) as reader:
        return np.stack([frame.image for frame in reader.video()])


def sound_of(path) -> np.ndarray:
    with open_media(str(path)) as reader:
        return np.concatenate(list(audio_16k(reader)))


def write_wave(path, samples: np.ndarray, rate: int = 16000) -> str:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return str(path)


class Segments:
    """Shared memory that processes map (17 MB each): what they leave behind stays until the machine is started again."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def look(self, pids) -> None:
        for pid in pids:
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
                    name = line.rpartition("/dev/shm/")[2]
                    if name.startswith(("fastdds_", "fastrtps_")) and "_port" not in name:  # the latter: Jazzy's
                        self.seen.add(name.removesuffix(" (deleted)"))

    def left(self) -> set[str]:
        """Of those that were seen and that no living process has: our nodes map those of others in their domain, too."""
        there = {name for name in self.seen if Path("/dev/shm", name).exists()}
        others = Segments()
        others.look([int(path.name) for path in Path("/proc").glob("[0-9]*")])
        return there - others.seen


@pytest.fixture
def voice(tmp_path) -> str:
    """Two seconds of a voice-like sound with pauses."""
    t = np.arange(32000) / 16000
    loud = np.sin(2 * np.pi * 3 * t) > 0
    return write_wave(
        tmp_path / "voice.wav", 0.3 * loud * np.sign(np.sin(2 * np.pi * 140 * t)) * np.sin(2 * np.pi * 600 * t)
    )


# --- offline ----------------------------------------------------------------------------------------------------


def test_offline_gives_the_same_frames_for_the_same_seed_and_others_for_another(tmp_path):
    results = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        out = tmp_path / f"{name}.mp4"
        inputs = ("--user-video", SAMPLE_USER_VIDEO, "--avatar-audio", SAMPLE_AVATAR_AUDIO)
        assert run(*inputs, "--out", out, "--offline", "--seed", seed, "--duration", 3.2, *SMALL) == 0
        results.append(images_of(out))
        figures = json.loads(out.with_suffix(".json").read_text())
        assert KEYS | {"peak_rss_mb"} <= figures.keys() and figures["mode"] == "offline" and figures["frames"] == 80
        assert figures["user_face_share"] > 0.9
        assert out.with_suffix(".timeline.png").is_file()
    assert (results[0] == results[1]).all()
    assert results[0].shape == (80, 256, 256, 3) and (results[0] != results[2]).any()


@pytest.mark.parametrize("which", ["--avatar-audio", "--user-audio", "--user-video"])
def test_any_input_may_be_absent(tmp_path, voice, which):
    source = SAMPLE_USER_VIDEO if which == "--user-video" else voice
    out = tmp_path / "o.mp4"
    assert run(which, source, "--out", out, "--offline", "--duration", 1.2, *SMALL) == 0
    assert json.loads(out.with_suffix(".json").read_text())["frames"] == 30


def test_offline_mp4_carries_the_speech_in_step_with_the_lips(tmp_path, voice):
    out = tmp_path / "o.mp4"
    assert run("--avatar-audio", voice, "--out", out, "--offline", *SMALL) == 0
    spoken, given = sound_of(out), sound_of(voice)
    lag = np.argmax(np.correlate(np.abs(spoken), np.abs(given[:16000]), "valid")[:3200])
    assert lag < 160  # within 10 ms


# --- live -------------------------------------------------------------------------------------------------------


def test_live_run_through_the_ros_graph_and_its_bag_as_the_next_input(tmp_path, domain):
    out, bag = tmp_path / "live.mp4", tmp_path / "bag"
    inputs = ("--user-video", SAMPLE_USER_VIDEO, "--avatar-audio", SAMPLE_AVATAR_AUDIO)
    patient = tmp_path / "patient.yaml"  # speech is released late enough for a machine that is busy with other things
    patient.write_text(
        "/**/speech: {ros__parameters: {speaker: avatar, release_delay: 0.5}}\n"
        "/**/face: {ros__parameters: {reliable: true}}\n"
    )
    options = ("--duration", 7, "--size", 256, "--avatar", "portrait", "--delay", 0.8, "--config", patient)
    assert run(*inputs, "--out", out, "--bag", bag, *options) == 0
    figures = json.loads(out.with_suffix(".json").read_text())
    assert KEYS | {"peak_rss_mb"} <= figures.keys()
    assert figures["mode"] == "live" and figures["frames"] > 0
    assert figures["lost_blocks"] == 0 or figures["fps"] < 20  # a machine as busy as that leaves out records too
    assert figures["user_face_share"] > 0.9
    assert figures["presentation_delay_ms"]["p50"] == figures["presentation_delay_ms"]["start"] == 800
    assert figures["first_image_s"] > 0 and 0 < figures["cpu_cores"]["face"] < figures["cpu_cores"]["all"]
    assert {"/avatar/renderer", "/avatar/motion_generator", "/avatar/user/face"} <= figures["real_time_factor"].keys()
    # Every image that used a frame of the user left after that frame, and within the delay of the slowest machine.
    for key in ("reaction_latency_ms", "sound_reaction_latency_ms"):
        if figures[key]["p50"] is None and figures["fps"] < 20:
            continue  # so busy a machine that no image of the user's came in time
        assert 0 < figures[key]["p50"] <= figures[key]["p95"] <= figures[key]["max"]
    # The file is one timeline: the speech lies where the source has it. Where the recorder had to leave out sound, on a machine
    # that is busy with other things, too little of it may be left to tell.
    spoken, given = sound_of(out)[:64000], sound_of(SAMPLE_AVATAR_AUDIO)[:64000]
    lags = np.arange(-3200, 3200, 16)
    scores = [np.dot(np.roll(spoken, -lag), given) for lag in lags]
    assert abs(lags[int(np.argmax(scores))]) <= 160 or figures["dropped_by_recorder"]

    again = tmp_path / "again.mp4"
    options = ["--user-video", bag, "--out", again, "--offline", "--duration", "2", *SMALL]
    process = subprocess.run([*COMMAND, *map(str, options)], cwd=tmp_path, capture_output=True, text=True)
    assert process.returncode == 0 and "Traceback" not in process.stderr  # the bag is closed before its end
    assert json.loads(again.with_suffix(".json").read_text())["user_face_share"] > 0.9


# --- bad input --------------------------------------------------------------------------------------------------


def error_of(capsys, *arguments) -> str:
    assert run(*arguments) == 1
    text = capsys.readouterr().err
    lines = [line for line in text.splitlines() if line.startswith("avatar-forcing: ")]
    assert len(lines) == 1 and "Traceback" not in text
    return lines[0]


def test_bad_input_gets_one_clear_line(tmp_path, capsys, voice):
    out = tmp_path / "o.mp4"
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video at all" * 100)
    empty = write_wave(tmp_path / "empty.wav", np.zeros(0))
    silent = write_wave(tmp_path / "silent.wav", np.zeros(16000))
    wall = tmp_path / "wall.png"
    import cv2

    cv2.imwrite(str(wall), np.full((300, 300, 3), 128, np.uint8))
    tail = ("--out", out, "--offline")
    assert "nowhere.mp4" in error_of(capsys, "--user-video", tmp_path / "nowhere.mp4", *tail)
    assert "broken.mp4" in error_of(capsys, "--user-video", broken, *tail)
    assert "empty.wav" in error_of(capsys, "--avatar-audio", empty, *tail)
    assert "silent" in error_of(capsys, "--avatar-audio", silent, *tail)
    assert "no video" in error_of(capsys, "--user-video", voice, *tail)
    assert "face" in error_of(capsys, "--avatar-audio", voice, "--portrait", wall, *tail)
    assert "nowhere.png" in error_of(capsys, "--avatar-audio", voice, "--portrait", "nowhere.png", *tail)
    assert "reflex" in error_of(capsys, "--avatar-audio", voice, "--generator", "magic", *tail)
    assert "portrait" in error_of(capsys, "--avatar-audio", voice, "--avatar", "magic", *tail)
    assert ".mp4" in error_of(capsys, "--avatar-audio", voice, "--out", tmp_path / "o.gif", "--offline")
    assert "folder" in error_of(capsys, "--avatar-audio", voice, "--out", tmp_path / "no" / "o.mp4", "--offline")
    assert "live" in error_of(capsys, "--user-audio", "mic:", "--avatar-audio", voice, *tail)
    for option, value, words in (
        ("--loop", None, "real time"), ("--bag", tmp_path / "bag", "real time"), ("--delay", 0.3, "real time"),
        ("--config", "a.yaml", "offline"), ("--seed", -1, "seed is -1"), ("--timeline", "t.foo", ".png"),
        ("--timeline", "/proc/none.png", "cannot be written"), ("--domain", "user", "real time"),
    ):  # fmt: skip
        assert words in error_of(capsys, "--avatar-audio", voice, *tail, option, *([] if value is None else [value]))
    live = ("--avatar-audio", voice, "--out", out)
    assert "exists already" in error_of(capsys, *live, "--bag", tmp_path)
    assert "cannot be written" in error_of(capsys, "--avatar-audio", voice, "--out", "/proc/o.mp4")
    assert "from 0 to 232" in error_of(capsys, *live, "--domain", "500")
    assert not out.exists()


def test_no_result_is_written_over_its_source(tmp_path, capsys):
    mine, picture = tmp_path / "mine.mp4", tmp_path / "mine.jpg"
    shutil.copy(SAMPLE_USER_VIDEO, mine), shutil.copy(DEFAULT_PORTRAIT, picture)
    before = mine.read_bytes(), picture.read_bytes()
    assert "another name" in error_of(capsys, "--user-video", mine, "--out", mine, "--offline")
    options = ("--out", tmp_path / "o.mp4", "--offline", "--side-by-side", mine)
    assert "another name" in error_of(capsys, "--user-video", mine, *options)
    for words in (["reenact", "--driver", mine, "--out", mine], ["face", picture, "--out", picture]):
        assert cli.main([str(word) for word in words]) == 1
        assert "another name" in capsys.readouterr().err
    assert (mine.read_bytes(), picture.read_bytes()) == before


def test_a_portrait_without_a_face_ends_a_live_run_with_one_line(tmp_path, capsys, voice, domain):
    import cv2

    wall = tmp_path / "wall.png"
    cv2.imwrite(str(wall), np.full((300, 300, 3), 128, np.uint8))
    line = error_of(capsys, "--avatar-audio", voice, "--portrait", wall, "--out", tmp_path / "o.mp4")
    assert "wall.png" in line and "face" in line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_ended_from_outside_a_run_keeps_its_film_and_leaves_nothing_behind(tmp_path, voice, number, domain):
    import psutil

    out, segments = tmp_path / "o.mp4", Segments()
    process = subprocess.Popen(
        [*COMMAND, "--generator", "reflex", "--avatar-audio", voice, "--loop", "--duration", "120", "--out", str(out), *SMALL], cwd=tmp_path,
        # Tests in the background of a shell ignore the one, below nohup the other.
        preexec_fn=lambda: [signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGHUP)],
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 90
        while not (out.is_file() and out.stat().st_size > 2000) and time.monotonic() < deadline:
            time.sleep(0.2)
        nodes = psutil.Process(process.pid).children(recursive=True)
        assert len(nodes) >= 5
        killed = number == signal.SIGKILL
        own = 2 if killed else 0  # segments of a command that was killed stay; those of its nodes must not
        segments.look([process.pid, *(node.pid for node in nodes)])
        assert segments.seen
        process.send_signal(number)
        assert process.wait(90) in ((-number,) if killed else (0, 130))
    finally:
        process.kill()
    # Of a command that was killed the nodes end by themselves, the recorder with its film.
    _, alive = psutil.wait_procs(nodes, timeout=90)
    assert not alive and len(segments.left()) <= own
    assert json.loads(out.with_suffix(".json").read_text())["frames"] > 0 and len(images_of(out)) > 0


def test_a_video_without_a_face_gives_a_calm_face_and_a_note(tmp_path, capsys):
    film = tmp_path / "room.mp4"
    rng = np.random.default_rng(0)
    with VideoWriter(str(film)) as writer:
        for i in range(40):
            writer.write_frame(i, rng.integers(90, 110, (240, 320, 3)).astype(np.uint8))
    out = tmp_path / "o.mp4"
    assert run("--user-video", film, "--out", out, "--offline", *SMALL) == 0
    assert "no face was seen" in capsys.readouterr().out
    figures = json.loads(out.with_suffix(".json").read_text())
    assert figures["user_face_share"] == 0
    images = images_of(out).astype(int)
    assert np.abs(np.diff(images, axis=0)).mean() < 3  # calm
