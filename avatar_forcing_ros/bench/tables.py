"""Puts a benchmark's figures into a Markdown document, between the lines `<!-- bench: NAME -->` and `<!-- end -->`."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from avatar_forcing_ros.bench.small import camera_rate
from avatar_forcing_ros.errors import InputError


def write_tables(path: str | Path, report: dict) -> list[str]:
    """Replaces every section that the report has figures for; the names of those replaced. Text around them stays.

    report: of `avatar-forcing bench`. Raises InputError for a document without the marks of a section.
    """
    path = Path(path)
    try:
        text = path.read_text()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); give a document with sections to fill in"
        ) from error
    sections = {name: table(report[name]) for name, table in TABLES.items() if report.get(name)}
    for name, table in sections.items():
        pattern = re.compile(rf"(<!-- bench: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not pattern.search(text):
            raise InputError(f"{path}: has no section between '<!-- bench: {name} -->' and '<!-- end -->'")
        text = pattern.sub(partial(_filled, table), text)
    path.write_text(text)
    return list(sections)


def _filled(table: str, section: re.Match) -> str:
    return f"{section[1]}\n{table}\n\n{section[2]}"


def machine() -> dict:
    """What the figures were measured on."""
    import psutil

    model, vector = "unknown processor", "unknown flags"
    information = Path("/proc/cpuinfo")
    if information.is_file():
        model = next(
            (line.split(":")[1].strip() for line in information.read_text().splitlines() if "model name" in line), model
        )
        flags = information.read_text().split()
        vector = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "no AVX2"
    try:
        import torch

        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    except ModuleNotFoundError:  # an extra
        gpu = "unknown (no PyTorch)"
    return {
        "processor": f"{model} ({vector})", "cores": psutil.cpu_count(), "memory_gb": round(psutil.virtual_memory().total / 2**30), "gpu": gpu,
        "python": platform.python_version(), "torch": torch.__version__,
    }  # fmt: skip


def _machine(found: dict) -> str:
    return (
        f"{found['processor']}, {found['cores']} cores, {found['memory_gb']} GiB, GPU: {found['gpu']}; "
        f"Python {found['python']}, PyTorch {found['torch']}."
    )


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _times(run: dict, key: str, *which: str) -> str:
    values = run.get(key) or {}
    return ", ".join("-" if values.get(name) is None else f"{values[name]:.1f}" for name in which)


def _cores(run: dict) -> str:
    return f"{run['cpu_cores']['face']:.2f}; {run['cpu_cores']['all']:.2f}"


def _live(runs: list[dict]) -> str:
    rows = [
        ["seconds", *(f"{run['seconds']:g}" for run in runs)],
        ["images per second; late blocks", *(f"{run['fps']:.2f}; {run['late_blocks']}" for run in runs)],
        ["reaction latency p50, p95 ms", *(_times(run, "reaction_latency_ms", "p50", "p95") for run in runs)],
        ["of the user's sound", *(_times(run, "sound_reaction_latency_ms", "p50", "p95") for run in runs)],
        ["presentation delay p50, p95 ms", *(_times(run, "presentation_delay_ms", "p50", "p95") for run in runs)],
        ["A/V skew p50, p95 ms", *(_times(run, "av_skew_ms", "p50", "p95") for run in runs)],
        ["frame interval error p95, p99 ms", *(_times(run, "frame_interval_error_ms", "p95", "p99") for run in runs)],
        ["a step of the generator p50, p95 ms", *(_times(run, "block_compute_ms", "p50", "p95") for run in runs)],
        ["drawing an image p50, p95 ms", *(_times(run, "render_ms", "p50", "p95") for run in runs)],
        [
            "cores: face; with sources and recorder",
            *(_cores(run) for run in runs),
        ],
        ["faces that these cores would hold", *(f"{run['sessions']:.1f}" for run in runs)],
        ["memory MB; shared counted once", *(f"{run['peak_rss_mb']:.0f}; {run['peak_pss_mb']:.0f}" for run in runs)],
        ["first image s", *(f"{run['first_image_s']:.1f}" if run.get("first_image_s") else "-" for run in runs)],
    ]
    return _table(["frames committed per step", *(str(run["commit_frames"]) for run in runs)], rows)


def _small(report: dict) -> str:
    runs, seconds = {name: run for name, run in report.items() if name != "seconds"}, report["seconds"]
    rows = [
        ["images per second", *(f"{run['fps']:.2f}" for run in runs.values())],
        [
            "late blocks; after the first 10 s",
            *(f"{run['late_blocks']}; {run['late_blocks_after_10_s']}" for run in runs.values()),
        ],
        ["camera images followed per second", *(f"{camera_rate(run, seconds):.1f}" for run in runs.values())],
        ["reaction latency p50, p95 ms", *(_times(run, "reaction_latency_ms", "p50", "p95") for run in runs.values())],
        ["A/V skew p50, p95 ms", *(_times(run, "av_skew_ms", "p50", "p95") for run in runs.values())],
        ["cores: face; with sources and recorder", *(_cores(run) for run in runs.values())],
        ["memory MB, shared counted once", *(f"{run['peak_pss_mb']:.0f}" for run in runs.values())],
    ]
    return _table([f"{seconds:g} s", *runs], rows)


def _rig(stages: dict) -> str:
    return _table(
        ["stage", "p50 ms", "p95 ms"], [[name, f"{t['p50']:.1f}", f"{t['p95']:.1f}"] for name, t in stages.items()]
    )


def _network(report: dict) -> str:
    rows = [
        [stage.replace("_", " "), f"{t['plain_ms']:.0f}", f"{t['ours_ms']:.0f}", f"{t['ratio']:.2f}"]
        for stage, t in report["stages"].items()
    ]
    what = f"Ours in {report['precision']}, {report['threads']} threads, on {report['machine']}."
    unmeasured = "" if report["gpu_measured"] else " **No GPU was measured.**"
    return what + unmeasured + "\n\n" + _table(["stage", "plain ms", "ours ms", "ratio"], rows)


def _latency(runs: list[dict]) -> str:
    head = [
        "frames committed per step",
        "smile to pixels",
        "of it reported",
        "reflex' own",
        "difference",
        "speech to sound",
        "lips after the sound",
    ]
    rows = [
        [
            str(run["commit_frames"]),
            *(f"{run['smile'][key]:.0f}" for key in ("to_pixels", "reported", "generator", "difference")),
            *(f"{run['voice'][key]:.0f}" for key in ("to_sound", "lips_after_sound")),
        ]
        for run in runs
    ]
    return _table(head, rows) + "\n\nMedians in ms."


def _quantiles(found: dict) -> list[str]:
    return [f"{found[name]:g}" for name in ("p50", "p95", "max")]


def _speak(found: dict) -> str:
    words = {
        "whole": "`speak` to the first sound",
        "voice": "of it the synthesizer's own time",
        "delay": "the presentation delay",
        "rest": "what is left",
        "goal": "of that: goal, chunk, topics",
        "grid": "waiting for the frame clock (below 0: the sound begins in a frame that has begun)",
    }
    rows = [[text, *_quantiles(found[f"{name}_ms"])] for name, text in words.items()]
    return _table([f"{found['goals']} goals, ms", "p50", "p95", "max"], rows)


def _interrupt(found: dict) -> str:
    count, heard = found["interruptions"], found["while_heard"]
    rows = [
        ["`interrupt` to the end of the last sound", *_quantiles(found["silence_ms"])],
        ["from there to closed lips", *_quantiles(found["lips_closed_ms"])],
        ["error of the position told", *_quantiles(found["position_error_ms"])],
    ]
    table = _table([f"{heard} of {count} interruptions while it was heard, ms", "p50", "p95", "max"], rows)
    return (
        f"{table}\n\n{found['ended_once']} of {count} ended in exactly one finished or interrupted; "
        f"{found['positions_right']} of {heard} positions were right within 40 ms."
    )


def _barge_in(found: dict) -> str:
    count, silent, stop = found["interruptions"], found["silent_ms"], found["stop_ms"]
    lies, paused = found["back_channels"], found["paused"]
    rows = [
        ["interruptions that silence it within 300 ms", f"{100 * found['silent_within_300_ms']:.1f} % of {count}"],
        ["silence, p50 and p95", f"{silent['p50']:g}, {silent['p95']:g} ms"],
        ["the end of what it said, p50 and p95", f"{stop['p50']:g}, {stop['p95']:g} ms"],
        ["interruptions that end it at all", f"{100 * found['stopped_at_all']:.1f} %"],
        ["back-channels that end it", f"{found['false_stops']} of {lies}"],
        ["that silence it for a moment: hums, words", f"{paused['hums']}, {paused['words']} of {lies // 2} each"],
        ["ends by its own echo", f"{found['echo_stops']} in {found['echo_minutes']:g} minutes"],
    ]
    return _table([f"detector {found['detector']}", ""], rows)


TABLES: dict[str, Callable[[Any], str]] = {
    "machine": _machine,
    "live": _live,
    "small": _small,
    "rig": _rig,
    "network": _network,
    "latency": _latency,
    "speak": _speak,
    "interrupt": _interrupt,
    "barge_in": _barge_in,
}
