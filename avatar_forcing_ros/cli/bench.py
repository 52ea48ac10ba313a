"""avatar-forcing bench: what each stage costs on this machine."""

from __future__ import annotations

import argparse

from avatar_forcing_ros.errors import InputError


def add_bench(commands) -> None:
    bench = commands.add_parser(
        "bench", help="measure each stage on this machine",
        description="Measures four things. The whole graph, live, with 2, 5 and 10 frames per step. The stages of the rig on "
        "one core. The published network with random weights, in one run: its stream without optimisation, and ours. "
        "The latency of the graph, seen from outside.",
    )  # fmt: skip
    bench.add_argument("--json", default="", metavar="FILE", help="write the figures")
    bench.add_argument(
        "--document", default="", metavar="MD", help="write the tables between the bench marks of this document"
    )
    bench.add_argument(
        "--only",
        default="",
        choices=("live", "rig", "network", "small", "latency", "soak", "fuzz", "speak", "interrupt", "barge-in"),
        help="measure one part. `small`: the graph on one core, then two faces at once. `latency`: the time from outside, beside what the graph reports. "
        "`soak`: 30 simulated minutes of a stream that is made to drift. `fuzz`: mutated inputs for every decoder. `speak`: from the action to the first sound, in parts. "
        "`interrupt`: to silence and closed lips. `barge-in`: synthetic interruptions, back-channels and own echo, without ROS.",
    )
    bench.add_argument("--seconds", type=float, default=60.0, help="length of each run of the live graph (default 60)")
    bench.add_argument(
        "--generator", default="embedded", help="back end of the live graph: embedded (default) or reflex"
    )
    bench.add_argument("--device", default="auto", help="device of the published network: auto (default), cpu, cuda")
    bench.add_argument(
        "--precision", default="auto", help="precision of our stream: auto (default), float32, bfloat16, float16"
    )
    bench.add_argument(
        "--compile", default="none", help="how our stream is sped up: none (default), compile, graph (GPU)"
    )
    bench.add_argument(
        "--count",
        type=int,
        default=0,
        help="mutated inputs for each decoder (default 100000), goals of speak (50), interruptions (100), cases of barge-in (200)",
    )
    bench.add_argument("--minutes", type=float, default=30.0, help="minutes of own echo in barge-in (default 30)")
    bench.add_argument("--voice", default="auto", help="voice for speak and interrupt, as for `avatar-forcing say`")
    bench.add_argument(
        "--seed", type=int, default=1, help="seed of the moments and cases of speak, interrupt and barge-in (default 1)"
    )
    bench.add_argument("--repeats", type=int, default=3, help="runs of the published network (default 3)")
    bench.set_defaults(work=_bench)


def _bench(arguments: argparse.Namespace) -> None:
    import json
    from pathlib import Path

    from avatar_forcing_ros.bench.tables import machine, write_tables

    for file in filter(None, (arguments.json, arguments.document)):
        if not Path(file).parent.is_dir():
            raise InputError(f"{file}: its folder does not exist; make it first")
    if arguments.document and not Path(arguments.document).is_file():
        raise InputError(
            f"{arguments.document}: no such document; give one with bench marks, such as docs/benchmarks.md"
        )
    parts = (arguments.only,) if arguments.only else ("live", "small", "rig", "network", "latency")
    report: dict = {"machine": machine()}
    if "fuzz" in parts:
        from avatar_forcing_ros.bench.fuzz import benchmark_fuzz

        report["fuzz"] = benchmark_fuzz(arguments.count or 100_000)
    report |= _talk(parts, arguments)
    if "live" in parts:
        from avatar_forcing_ros.bench.live import benchmark_live

        print("the graph, live:")
        report["live"] = benchmark_live(arguments.seconds, arguments.generator)
    if "small" in parts:
        from avatar_forcing_ros.bench.small import benchmark_small

        print("one core, then two faces at once:")
        report["small"] = {"seconds": arguments.seconds, **benchmark_small(arguments.seconds)}
    if "rig" in parts:
        from avatar_forcing_ros.bench.stages import benchmark_rig

        print("rig, one core:")
        report["rig"] = benchmark_rig()
    if "network" in parts:
        from avatar_forcing_ros.bench.network import benchmark

        print("published network:")
        report["network"] = benchmark(
            device=arguments.device,
            precision=arguments.precision,
            compile_mode=arguments.compile,
            repeats=arguments.repeats,
        )
    if "latency" in parts:
        from avatar_forcing_ros.bench.latency import stimulus_test

        report["latency"] = []
        for commit in (2, 5, 10):
            print(f"latency from outside, {commit} frames per step:")
            report["latency"].append(stimulus_test(commit))
    if "soak" in parts:
        from avatar_forcing_ros.bench.network import soak

        report["soak"] = soak()
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(report, indent=2) + "\n")
    if arguments.document:
        print(f"{arguments.document}: {', '.join(write_tables(arguments.document, report))}")


def _talk(parts: tuple[str, ...], arguments: argparse.Namespace) -> dict:
    """The figures of a conversation (docs/voice.md)."""
    report: dict = {}
    if "speak" in parts:
        from avatar_forcing_ros.bench.talk.speak import benchmark_speak

        report["speak"] = benchmark_speak(arguments.count or 50, arguments.voice, arguments.seed)
    if "interrupt" in parts:
        from avatar_forcing_ros.bench.talk.interrupt import benchmark_interrupt

        report["interrupt"] = benchmark_interrupt(arguments.count or 100, arguments.voice, arguments.seed)
    if "barge-in" in parts:
        from avatar_forcing_ros.bench.talk.barge_in import benchmark as benchmark_barge_in

        report["barge_in"] = benchmark_barge_in(arguments.count or 200, arguments.minutes, seed=arguments.seed)
    for name, figures in report.items():
        print(f"{name}: {figures}")
    return report
