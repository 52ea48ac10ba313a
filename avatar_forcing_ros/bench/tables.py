"""Puts a benchmark's figures into a Markdown document, between the lines `<!-- bench: NAME -->` and `<!-- end -->`."""

from __future__ import annotations

import platform
import re
from pathlib import Path

from avatar_forcing_ros.errors import InputError


def write_tables(path: str | Path, report: dict) -> list[str]:
    """Replaces every section that the report has figures for; the names of those replaced. Text around them stays.

    report: of `avatar-forcing bench`. Raises InputError for a document without the marks of a section.
    """
    path = Path(path)
    try:
        text = path.read_text()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a document with sections to fill in") from error
    sections = {name: table(report[name]) for name, table in TABLES.items() if report.get(name)}
    for name, table in sections.items():
        pattern = re.compile(rf"(<!-- bench: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not pattern.search(text):
            raise InputError(f"{path}: has no section between '<!-- bench: {name} -->' and '<!-- end -->'")
        text = pattern.sub(lambda found, table=table: f"{found[1]}\n{table}\n\n{found[2]}", text)
    path.write_text(text)
    return list(sections)


def machine() -> dict:
    """What the figures were measured on."""
    import psutil
    import torch

    model = "unknown processor"
    information = Path("/proc/cpuinfo")
    if information.is_file():
        model = next((line.split(":")[1].strip() for line in information.read_text().splitlines() if "model name" in line), model)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "processor": model, "cores": psutil.cpu_count(), "memory_gb": round(psutil.virtual_memory().total / 2**30), "gpu": gpu,
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


def _live(runs: list[dict]) -> str:
    def times(run: dict, key: str, *which: str) -> str:
        values = run.get(key) or {}
        return ", ".join("-" if values.get(name) is None else f"{values[name]:.1f}" for name in which)

    rows = [
        ["seconds", *(f"{run['seconds']:g}" for run in runs)],
        ["images per second; late blocks", *(f"{run['fps']:.2f}; {run['late_blocks']}" for run in runs)],
        ["reaction latency p50, p95 ms", *(times(run, "reaction_latency_ms", "p50", "p95") for run in runs)],
        ["of the user's sound", *(times(run, "sound_reaction_latency_ms", "p50", "p95") for run in runs)],
        ["presentation delay p50, p95 ms", *(times(run, "presentation_delay_ms", "p50", "p95") for run in runs)],
        ["A/V skew p50, p95 ms", *(times(run, "av_skew_ms", "p50", "p95") for run in runs)],
        ["frame interval error p95, p99 ms", *(times(run, "frame_interval_error_ms", "p95", "p99") for run in runs)],
        ["a step of the generator p50, p95 ms", *(times(run, "block_compute_ms", "p50", "p95") for run in runs)],
        ["drawing an image p50, p95 ms", *(times(run, "render_ms", "p50", "p95") for run in runs)],
        ["cores: face; with sources and recorder", *(f"{run['cpu_cores']['face']:.2f}; {run['cpu_cores']['all']:.2f}" for run in runs)],
        ["faces that these cores would hold", *(f"{run['sessions']:.1f}" for run in runs)],
        ["first image s", *(f"{run['first_image_s']:.1f}" if run.get("first_image_s") else "-" for run in runs)],
    ]
    return _table(["frames committed per step", *(str(run["commit_frames"]) for run in runs)], rows)


def _rig(stages: dict) -> str:
    return _table(["stage", "p50 ms", "p95 ms"], [[name, f"{t['p50']:.1f}", f"{t['p95']:.1f}"] for name, t in stages.items()])


def _network(report: dict) -> str:
    rows = [
        [stage.replace("_", " "), f"{t['plain_ms']:.0f}", f"{t['ours_ms']:.0f}", f"{t['ratio']:.2f}"]
        for stage, t in report["stages"].items()
    ]
    what = f"Ours in {report['precision']}, {report['threads']} threads, on {report['machine']}."
    unmeasured = "" if report["gpu_measured"] else " **No GPU was measured.**"
    return what + unmeasured + "\n\n" + _table(["stage", "plain ms", "ours ms", "ratio"], rows)


def _latency(runs: list[dict]) -> str:
    head = ["frames committed per step", "smile to pixels", "of it reported", "reflex' own", "difference", "speech to sound", "lips after the sound"]
    rows = [
        [
            str(run["commit_frames"]),
            *(f"{run['smile'][key]:.0f}" for key in ("to_pixels", "reported", "generator", "difference")),
            *(f"{run['voice'][key]:.0f}" for key in ("to_sound", "lips_after_sound")),
        ]
        for run in runs
    ]
    return _table(head, rows) + "\n\nMedians in ms."


TABLES = {"machine": _machine, "live": _live, "rig": _rig, "network": _network, "latency": _latency}
