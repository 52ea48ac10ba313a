"""The command `avatar-forcing`."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from dataclasses import fields

from avatar_forcing_ros import __version__
from avatar_forcing_ros.errors import AvatarForcingError, InputError
from avatar_forcing_ros.learning.commands import add_learning
from avatar_forcing_ros.learning.evaluate_command import add_evaluate


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="avatar-forcing", description="The face of a robot that listens, live.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands)
    _add_face(commands)
    _add_weights(commands)
    _add_bench(commands)
    add_learning(commands)
    add_evaluate(commands)
    return parser


def _add_run(commands) -> None:
    run = commands.add_parser(
        "run", help="run a session: the ROS graph in real time, or --offline in lockstep",
        description="Runs a session and writes OUT (mp4 with the avatar's speech) and OUT's .json and .timeline.png. "
        "A source is a file, a rosbag2, webcam:N or mic:NAME. Without sources the sample conversation is played.",
    )  # fmt: skip
    run.add_argument("--user-video", default="", metavar="SOURCE", help="the user's camera, with sound where it has some")
    run.add_argument("--user-audio", default="", metavar="SOURCE", help="the user's voice, instead of the video's sound")
    run.add_argument("--avatar-audio", default="", metavar="SOURCE", help="the avatar's own speech")
    run.add_argument("--portrait", default="", metavar="IMAGE", help="the face to animate; default: the one in the box")
    run.add_argument("--out", required=True, metavar="MP4")
    run.add_argument("--generator", default="embedded", help="embedded (default: the network in the box), reflex (rules), or published")
    run.add_argument("--avatar", default="", help="portrait (default), screen_face, or neural (goes with published)")
    run.add_argument("--weights", default="", metavar="DIR", help="of embedded: a file of `avatar-forcing train`; of published: docs/weights.md")
    run.add_argument("--device", default="auto", help="of the network: auto (default), cpu, cuda")
    run.add_argument("--precision", default="auto", help="of the network: auto (default), float32, bfloat16, float16")
    run.add_argument("--theme", default="", help="theme of the screen face")
    run.add_argument("--size", type=int, default=512, help="side of the images in pixels (default 512)")
    run.add_argument("--seed", type=int, default=0)
    run.add_argument("--commit", type=int, default=0, metavar="FRAMES", help="frames that a step of the generator commits (default: the back end's)")
    run.add_argument("--delay", type=float, default=0.0, metavar="SECONDS", help="presentation delay (default: measured, as short as it can be)")
    run.add_argument("--duration", type=float, default=0.0, metavar="SECONDS", help="stop after so long")
    run.add_argument("--loop", action="store_true", help="play the sources again and again (with --duration)")
    run.add_argument("--camera-topic", default="", metavar="TOPIC", help="camera topic in a bag (default: the first)")
    run.add_argument("--audio-topic", default="", metavar="TOPIC", help="sound topic in a bag (default: the first)")
    run.add_argument("--bag", default="", metavar="FOLDER", help="record a rosbag2 as well (real time only)")
    run.add_argument("--timeline", default="", metavar="PNG", help="the plot (default: beside OUT, .timeline.png)")
    run.add_argument("--side-by-side", default="", metavar="MP4", help="user and avatar beside each other, in true time")
    run.add_argument("--config", default="", metavar="YAML", help="parameters of the nodes (real time only); what has an option here is told by the option")
    run.add_argument("--offline", action="store_true", help="lockstep: the same frames for the same inputs and seed")
    run.set_defaults(work=_run)


def _run(arguments: argparse.Namespace) -> None:
    from tqdm import tqdm

    from avatar_forcing_ros.assets import SAMPLE_AVATAR_AUDIO, SAMPLE_USER_VIDEO
    from avatar_forcing_ros.media.writer import refuse_to_overwrite
    from avatar_forcing_ros.session import Session

    values = {f.name: getattr(arguments, f.name) for f in fields(Session)}
    if not (arguments.user_video or arguments.user_audio or arguments.avatar_audio):
        values |= {"user_video": str(SAMPLE_USER_VIDEO), "avatar_audio": str(SAMPLE_AVATAR_AUDIO)}
    values["avatar"] = values["avatar"] or ("neural" if arguments.generator == "published" else "portrait")
    session = Session(**values)
    session.check(arguments.offline)
    if arguments.offline and arguments.config:
        raise InputError("--config is of a run in real time, whose nodes have parameters: leave it out, or --offline")
    if arguments.side_by_side:
        refuse_to_overwrite(arguments.side_by_side, session.out, session.user_video, session.user_audio, session.avatar_audio)
    style = {"unit": " frames", "desc": "offline"} if arguments.offline else {"unit": " s", "desc": "live"}
    interval = 0.3 if sys.stderr.isatty() else 10.0
    with tqdm(bar_format="{desc}: {n:.0f}{unit} [{elapsed}]", mininterval=interval, **style) as bar:

        def show(done, *_) -> None:
            bar.update(done - bar.n)

        if arguments.offline:
            from avatar_forcing_ros.offline import run_offline

            figures = run_offline(session, show)
        else:
            import psutil

            from avatar_forcing_ros.supervisor import run_live

            figures = run_live(session, arguments.config, show, psutil.Process().create_time())
    _print_figures(session.out, figures)
    if arguments.side_by_side:
        _write_side_by_side(session, arguments.side_by_side, 0.0 if arguments.offline else figures["presentation_delay_ms"]["start"] / 1000)


def _write_side_by_side(session, out: str, delay_s: float) -> None:
    from contextlib import ExitStack

    from avatar_forcing_ros.media.reader import is_live, open_media
    from avatar_forcing_ros.media.side_by_side import write_side_by_side

    if not session.user_video or is_live(session.user_video):
        print(f"{out}: not written; it needs a user's video that can be read again")
        return
    with ExitStack() as open_readers:
        user = open_readers.enter_context(open_media(session.user_video, session.camera_topic or None, session.audio_topic or None))
        voice = user
        if session.user_audio:
            voice = None if is_live(session.user_audio) else open_readers.enter_context(
                open_media(session.user_audio, audio_topic=session.audio_topic or None)
            )
        write_side_by_side(user, voice, session.out, out, delay_s)
    print(f"{out}: user and avatar beside each other")


def _add_face(commands) -> None:
    face = commands.add_parser(
        "face", help="a sheet and a turn-table of what a face can do",
        description="Writes a sheet of expressions (OUT) and a turn-table video (OUT's .mp4), and says what is wrong with "
        "a photo as a source. Where a photo cannot be used: --avatar screen_face draws a face instead.",
    )  # fmt: skip
    face.add_argument("portrait", metavar="IMAGE", nargs="?", default="", help="default: the one in the box")
    face.add_argument("--out", required=True, metavar="PNG")
    face.add_argument("--video", default="", metavar="MP4", help="the turn-table (default: beside OUT, .mp4; none: no video)")
    face.set_defaults(work=_face)
    reenact = commands.add_parser("reenact", help="put the tracked motion of a video on a face")
    reenact.add_argument("--driver", required=True, metavar="VIDEO")
    reenact.add_argument("--out", required=True, metavar="MP4")
    reenact.set_defaults(work=_reenact)
    reenact.add_argument("--portrait", default="", metavar="IMAGE", help="default: the one in the box")
    for parser in (face, reenact):
        parser.add_argument("--avatar", default="portrait", help="portrait (default) or screen_face")
        parser.add_argument("--theme", default="", help="theme of the screen face")
        parser.add_argument("--size", type=int, default=512)


def _face(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    import cv2

    from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
    from avatar_forcing_ros.media.writer import refuse_to_overwrite
    from avatar_forcing_ros.motion import make_avatar
    from avatar_forcing_ros.motion.photo import read_picture
    from avatar_forcing_ros.motion.source_check import source_notes
    from avatar_forcing_ros.reenact import contact_sheet, turntable

    refuse_to_overwrite(arguments.out, arguments.portrait)
    if arguments.avatar == "portrait":
        picture = arguments.portrait or str(DEFAULT_PORTRAIT)
        try:
            notes = source_notes(read_picture(picture))
        except InputError as error:
            text = str(error)
            raise InputError(text if picture in text else f"{picture}: {text}; or draw a face: --avatar screen_face") from None
        for note in notes or ["a good source"]:
            print(f"{picture}: {note}")
    avatar = make_avatar(arguments.avatar, arguments.portrait, arguments.size, arguments.theme)
    sheet = contact_sheet(avatar)
    try:
        written = cv2.imwrite(arguments.out, sheet[:, :, ::-1])
    except cv2.error:  # an ending that it does not know
        written = False
    if not written:
        raise InputError(f"{arguments.out}: cannot be written; give a .png or .jpg in a folder that exists")
    print(f"{arguments.out}: what this face can do")
    if arguments.video != "none":
        video = arguments.video or str(Path(arguments.out).with_suffix(".mp4"))
        turntable(avatar, video)
        print(f"{video}: this face, turning and speaking")


def _reenact(arguments: argparse.Namespace) -> None:
    from tqdm import tqdm

    from avatar_forcing_ros.motion import make_avatar
    from avatar_forcing_ros.reenact import reenact

    avatar = make_avatar(arguments.avatar, arguments.portrait, arguments.size, arguments.theme)
    with tqdm(unit=" frames", mininterval=0.3 if sys.stderr.isatty() else 10.0) as bar:
        figures = reenact(arguments.driver, avatar, arguments.out, lambda done: bar.update(done - bar.n))
    print(f"{arguments.out}: {figures['frames']} frames, a face in {100 * figures['face_share']:.0f} % of them")


def _add_weights(commands) -> None:
    weights = commands.add_parser("weights", help="check or convert the authors' weights (docs/weights.md)")
    works = weights.add_subparsers(dest="what", required=True, metavar="check|convert")
    check = works.add_parser("check", help="list what fits, what is missing, what is left over")
    check.add_argument("folder", metavar="DIR")
    check.set_defaults(work=_check_weights)
    convert = works.add_parser("convert", help="write one safetensors file, which loads faster")
    convert.add_argument("folder", metavar="DIR")
    convert.add_argument("out", metavar="OUT.safetensors")
    convert.set_defaults(work=_convert_weights)


def _check_weights(arguments: argparse.Namespace) -> None:
    from avatar_forcing_ros.models.weights import check_weights

    check_weights(arguments.folder)
    print("the weights fit")


def _convert_weights(arguments: argparse.Namespace) -> None:
    from avatar_forcing_ros.models.weights import convert_weights

    print(f"written: {convert_weights(arguments.folder, arguments.out)}")


def _add_bench(commands) -> None:
    bench = commands.add_parser(
        "bench", help="measure each stage on this machine",
        description="The whole graph, live, with 2, 5 and 10 frames per step; the rig's stages on one core; the published "
        "network (weights made up): the stream as published, written plainly, against ours, in one run; the latency of "
        "the graph from outside.",
    )  # fmt: skip
    bench.add_argument("--json", default="", metavar="FILE", help="write the figures")
    bench.add_argument("--document", default="", metavar="MD", help="put the tables between the marks of this document")
    bench.add_argument("--only", default="", choices=("live", "rig", "network", "latency", "soak"),
                       help="one part alone; latency: the ROS graph from outside, pixels against what it reports; soak: 30 simulated minutes of a stream that is made to drift")
    bench.add_argument("--seconds", type=float, default=60.0, help="of the live graph, for each length of a step (default 60)")
    bench.add_argument("--generator", default="embedded", help="of the live graph: embedded (default) or reflex")
    bench.add_argument("--device", default="auto", help="of the network: auto (default), cpu, cuda")
    bench.add_argument("--precision", default="auto", help="of our stream: auto (default), float32, bfloat16, float16")
    bench.add_argument("--compile", default="none", help="of our stream: none (default), compile, graph (GPU)")
    bench.add_argument("--repeats", type=int, default=3)
    bench.set_defaults(work=_bench)


def _bench(arguments: argparse.Namespace) -> None:
    import json
    from pathlib import Path

    from avatar_forcing_ros.bench_report import machine, write_tables

    for file in filter(None, (arguments.json, arguments.document)):
        if not Path(file).parent.is_dir():
            raise InputError(f"{file}: its folder does not exist; make it first")
    if arguments.document and not Path(arguments.document).is_file():
        raise InputError(f"{arguments.document}: no such document; its tables stand between marks, as in docs/benchmarks.md")
    parts = (arguments.only,) if arguments.only else ("live", "rig", "network", "latency")
    report: dict = {"machine": machine()}
    if "live" in parts:
        from avatar_forcing_ros.bench_live import benchmark_live

        print("the graph, live:")
        report["live"] = benchmark_live(arguments.seconds, arguments.generator)
    if "rig" in parts:
        from avatar_forcing_ros.bench_rig import benchmark_rig

        print("rig, one core:")
        report["rig"] = benchmark_rig()
    if "network" in parts:
        from avatar_forcing_ros.bench import benchmark

        print("published network:")
        report["network"] = benchmark(
            device=arguments.device, precision=arguments.precision, compile_mode=arguments.compile, repeats=arguments.repeats
        )
    if "latency" in parts:
        from avatar_forcing_ros.bench_graph import stimulus_test

        report["latency"] = []
        for commit in (2, 5, 10):
            print(f"latency from outside, {commit} frames per step:")
            report["latency"].append(stimulus_test(commit))
    if "soak" in parts:
        from avatar_forcing_ros.bench import soak

        report["soak"] = soak()
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(report, indent=2) + "\n")
    if arguments.document:
        print(f"{arguments.document}: {', '.join(write_tables(arguments.document, report))}")


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
        print(f"  {'processor':22} {cores['face']:.2f} cores for the face, {cores['all']:.2f} with sources and recorder")
    if figures.get("first_image_s"):
        print(f"  {'first image':22} after {figures['first_image_s']:.1f} s")
    if figures.get("user_face_share") is not None and figures["user_face_share"] < 0.05:
        print("  note: no face was seen in the user's video, so the avatar could not react to it")


def main(argv: list[str] | None = None) -> int:
    """Exit status 0, or 1 with one clear line on what the user can mend."""
    logging.getLogger("absl").setLevel(logging.ERROR)
    arguments = _parser().parse_args(argv)
    if threading.current_thread() is threading.main_thread():  # ended from outside, a session ends its nodes as after Ctrl-C
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        arguments.work(arguments)
    except AvatarForcingError as error:
        print(f"avatar-forcing: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
