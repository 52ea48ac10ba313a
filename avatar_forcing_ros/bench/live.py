"""Benchmark of the whole graph: the sample conversation, live, with steps of different lengths."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from avatar_forcing_ros.assets import SAMPLE_AVATAR_AUDIO, SAMPLE_USER_VIDEO
from avatar_forcing_ros.run.session import Session

COMMITS = (1, 2, 5, 10)


def benchmark_live(
    seconds: float = 60.0,
    generator: str = "embedded",
    commits: tuple[int, ...] = COMMITS,
    show: Callable[[str], object] = print,
) -> list[dict]:
    """`seconds` of the graph with every number of frames committed per step, one after the other. Needs ROS.

    Returns for each a run's figures (report.py) with `commit_frames`, and `sessions`: how many faces the machine's
    processors would hold by what this one took.
    """
    from avatar_forcing_ros.run.live import run_live

    rows = []
    for commit in commits:
        with tempfile.TemporaryDirectory() as folder:
            session = Session(
                out=str(Path(folder) / "bench.mp4"), user_video=str(SAMPLE_USER_VIDEO), avatar_audio=str(SAMPLE_AVATAR_AUDIO),
                generator=generator, commit=commit, loop=True, duration=seconds,
            )  # fmt: skip
            session.check(offline=False)
            figures = run_live(session)
        cores = len(os.sched_getaffinity(0))
        figures |= {"commit_frames": commit, "seconds": seconds, "cores": cores}
        figures["sessions"] = round(cores / figures["cpu_cores"]["face"], 1)
        rows.append(figures)
        latency, delay = figures["reaction_latency_ms"], figures["presentation_delay_ms"]
        show(
            f"{commit:2} frames per step: reaction p50 {latency['p50']:.0f}, p95 {latency['p95']:.0f} ms; presentation delay "
            f"{delay['p50']:.0f} ms; {figures['late_blocks']} late blocks; {figures['cpu_cores']['face']:.2f} cores"
        )
    return rows
