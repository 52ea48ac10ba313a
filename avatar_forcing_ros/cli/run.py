"""avatar-forcing run: a session through the ROS graph, or offline in lockstep."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.ros.setting import Setting, settings_in
from avatar_forcing_ros.run.session import Session, check_writable

_METAVARS = {
    "user_video": "SOURCE", "user_audio": "SOURCE", "avatar_audio": "SOURCE", "portrait": "IMAGE", "weights": "DIR",
    "commit": "FRAMES", "delay": "SECONDS", "duration": "SECONDS", "camera_topic": "TOPIC", "audio_topic": "TOPIC",
    "bag": "FOLDER", "timeline": "PNG", "size": "PIXELS",
}  # fmt: skip


def add_run(commands) -> None:
    run = commands.add_parser(
        "run", help="run a session: the ROS graph in real time, or --offline in lockstep",
        description="Runs a session and writes OUT (mp4 with the avatar's speech) and OUT's .json and .timeline.png. "
        "A source is a file, a rosbag2, webcam:N or mic:NAME. Without sources the sample conversation is played.",
    )  # fmt: skip
    run.add_argument("--out", required=True, metavar="MP4", help="the film to write")
    for name, one in settings_in(Session).items():
        _add_option(run, name, one)
    run.add_argument(
        "--side-by-side", default="", metavar="MP4", help="write user and avatar beside each other, at the same moments"
    )
    run.add_argument(
        "--config",
        default="",
        metavar="YAML",
        help="parameters of the nodes (real time only); the options of this command win",
    )
    run.add_argument("--offline", action="store_true", help="lockstep: the same frames for the same inputs and seed")
    run.set_defaults(work=_run)


def _add_option(parser: argparse.ArgumentParser, name: str, one: Setting) -> None:
    """An option for a field of Session, with its words, range and default."""
    words = one.description + (f" ({one.unit})" if one.unit else "") + (f"; {one.range}" if one.range else "")
    if one.kind is bool:
        parser.add_argument(_flag(name), action="store_true", help=one.description)
        return
    default = one.none_means if one.default is None else one.default
    if name == "avatar":  # follows from the generator's motion space
        one_default, default = None, f"{one.default}, with published neural"
    else:
        one_default = one.default
    parser.add_argument(
        _flag(name), type=one.kind, default=one_default, metavar=_METAVARS.get(name, name.upper().replace("_", "-")),
        help=f"{words} (default: {default})".replace("%", "%%"),
    )  # fmt: skip


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _started() -> float:
    """When this process was started, in seconds of the system's clock. (psutil's is off by up to a second: it counts from a boot time
    of whole seconds.)"""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:  # another system than Linux
        return time.time()
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))


def _run(arguments: argparse.Namespace) -> None:
    from tqdm import tqdm

    from avatar_forcing_ros.assets import SAMPLE_AVATAR_AUDIO, SAMPLE_USER_VIDEO
    from avatar_forcing_ros.generators import back_end
    from avatar_forcing_ros.media.video_writer import refuse_to_overwrite

    values = {"out": arguments.out}
    for name, one in settings_in(Session).items():
        value = getattr(arguments, name)
        values[name] = None if value is None else one.from_ros(value)
    if not (arguments.user_video or arguments.user_audio or arguments.avatar_audio):
        values |= {"user_video": str(SAMPLE_USER_VIDEO), "avatar_audio": str(SAMPLE_AVATAR_AUDIO)}
    values["avatar"] = values["avatar"] or back_end(arguments.generator).avatar
    session = Session(**values)
    session.check(offline=arguments.offline)
    if arguments.offline and arguments.config:
        raise InputError(
            "--config sets parameters of nodes, and an offline run has none: leave out --config or --offline"
        )
    if arguments.side_by_side:
        check_writable(Path(arguments.side_by_side))
        sources = filter(None, (session.user_video, session.user_audio, session.avatar_audio))
        refuse_to_overwrite(arguments.side_by_side, session.out, *sources)
    style = {"unit": " frames", "desc": "offline"} if arguments.offline else {"unit": " s", "desc": "live"}
    interval = 0.3 if sys.stderr.isatty() else 10.0
    with tqdm(bar_format="{desc}: {n:.0f}{unit} [{elapsed}]", mininterval=interval, **style) as bar:

        def show(done, *_) -> None:
            bar.update(done - bar.n)

        if arguments.offline:
            from avatar_forcing_ros.run.offline import run_offline

            figures = run_offline(session, show)
        else:
            from avatar_forcing_ros.run.live import run_live

            figures = run_live(session, arguments.config, show, _started(), bar.write)
    _print_figures(session.out, figures)
    if arguments.side_by_side:
        _write_side_by_side(
            session,
            arguments.side_by_side,
            0.0 if arguments.offline else figures["presentation_delay_ms"]["start"] / 1000,
        )


def _write_side_by_side(session, out: str, delay_s: float) -> None:
    from contextlib import ExitStack

    from avatar_forcing_ros.media.open import is_live, open_media
    from avatar_forcing_ros.media.side_by_side import write_side_by_side

    if not session.user_video or is_live(session.user_video):
        print(f"{out}: not written; it needs a video of the user that can be read twice")
        return
    with ExitStack() as open_readers:
        user = open_readers.enter_context(open_media(session.user_video, session.camera_topic, session.audio_topic))
        voice: Any = user  # a MediaReader, or None
        if session.user_audio:
            voice = (
                None
                if is_live(session.user_audio)
                else open_readers.enter_context(open_media(session.user_audio, audio_topic=session.audio_topic))
            )
        write_side_by_side(user, voice, session.out, out, delay_s)
    print(f"{out}: user and avatar beside each other")


def _print_figures(out: str, figures: dict) -> None:
    def times(key: str) -> str:
        value = figures.get(key)
        return "-" if not value or value["p50"] is None else f"p50 {value['p50']:.1f}, p95 {value['p95']:.1f} ms"

    print(f"{out}: {figures['frames']} frames, {figures['fps'] or 0:.2f} fps, {figures['late_blocks']} late blocks")
    for key in (
        "block_compute_ms", "render_ms", "reaction_latency_ms", "sound_reaction_latency_ms", "presentation_delay_ms", "av_skew_ms",
    ):  # fmt: skip
        print(f"  {key.removesuffix('_ms').replace('_', ' '):22} {times(key)}")
    if figures.get("cpu_cores"):
        cores = figures["cpu_cores"]
        print(
            f"  {'processor':22} {cores['face']:.2f} cores for the face, {cores['all']:.2f} with sources and recorder"
        )
    if figures.get("first_image_s"):
        print(f"  {'first image':22} after {figures['first_image_s']:.1f} s")
    if figures.get("user_face_share") is not None and figures["user_face_share"] < 0.05:
        print("  note: no face was seen in the user's video, so the avatar could not react to it")
