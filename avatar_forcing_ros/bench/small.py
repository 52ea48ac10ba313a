"""Benchmark of small machines: the whole graph on one core, and two faces at once on all cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from avatar_forcing_ros.assets import SAMPLE_AVATAR_AUDIO, SAMPLE_USER_VIDEO
from avatar_forcing_ros.errors import AvatarForcingError

_COMMAND = (sys.executable, "-c", "import sys; from avatar_forcing_ros.cli import main; sys.exit(main())")
_PATIENCE_S = 240.0  # beyond the seconds of the run, for start and end on a slow machine


def benchmark_small(
    seconds: float = 60.0, options: Iterable[str] = (), show: Callable[[str], object] = print
) -> dict[str, dict]:
    """`seconds` of the sample conversation with recording: "one core", and "first of two faces" with "second of two faces". Needs ROS.

    options: more for `avatar-forcing run`. Returns a run's figures for each. Raises AvatarForcingError where a run fails.
    """
    cores = sorted(os.sched_getaffinity(0))
    found = dict(zip(["one core"], _runs(1, seconds, cores[:1], options), strict=True))
    names = ["first of two faces", "second of two faces"]
    found |= dict(zip(names, _runs(2, seconds, cores, options), strict=True))
    for name, figures in found.items():
        latency = figures["reaction_latency_ms"]
        show(
            f"{name}: {figures['fps']:.2f} images per second, {figures['late_blocks']} late blocks, "
            f"{figures['late_blocks_after_10_s']} of them after 10 s; {camera_rate(figures, seconds):.1f} camera images per second "
            f"followed; reaction p50 {latency['p50']:.0f}, p95 {latency['p95']:.0f} ms"
        )
    return found


def camera_rate(figures: dict, seconds: float) -> float:
    """Camera images per second that were tracked."""
    return figures["user_frames"] / seconds


def _runs(count: int, seconds: float, cores: list[int], options: Iterable[str]) -> list[dict]:
    """The figures of `count` runs at once on these cores."""
    with tempfile.TemporaryDirectory() as folder:
        outs = [Path(folder) / f"face{i}.mp4" for i in range(count)]
        processes = []
        for out in outs:
            words = ["run", "--user-video", SAMPLE_USER_VIDEO, "--avatar-audio", SAMPLE_AVATAR_AUDIO, "--loop"]
            words += ["--duration", seconds, "--out", out, *options]
            process = subprocess.Popen(
                [*_COMMAND, *map(str, words)], cwd=folder, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            os.sched_setaffinity(process.pid, cores)  # before it starts its nodes, which inherit it
            processes.append(process)
        for process in processes:
            try:
                _, said = process.communicate(timeout=seconds + _PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise AvatarForcingError(f"a face did not end within {_PATIENCE_S:.0f} s of its time") from None
            if process.returncode:
                raise AvatarForcingError(f"a face ended with status {process.returncode}: {said.strip()[-300:]}")
        return [json.loads(out.with_suffix(".json").read_text()) for out in outs]
