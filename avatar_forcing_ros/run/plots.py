"""The timeline plot of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.run.statistics import RunStatistics
from avatar_forcing_ros.timeline import NANOSECONDS

SHOWN = {  # rows of the timeline: title -> coefficients whose mean is drawn
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "mouth opening": ("jawOpen",),
    "head pitch (rad)": ("headPitch",),
    "head yaw (rad)": ("headYaw",),
}


def _series(track, start: float, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    if not track:
        return np.zeros(0), np.zeros(0)
    times = np.array([t for t, _ in track]) - start
    values = np.array([latent for _, latent in track])[:, [rig.INDEX[n] for n in names]].mean(axis=1)
    return times, values


def plot_timeline(path: Path, statistics: RunStatistics, start_ns: int, title: str = "") -> None:
    """User and avatar over time, row by row, and the reaction latency of every camera frame below."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = len(SHOWN) + bool(statistics.camera_latency.track)
    figure, axes = plt.subplots(rows, 1, figsize=(11, 1.7 * rows + 0.8), sharex=True, layout="constrained")
    start = start_ns / NANOSECONDS
    for axis, (name, coefficients) in zip(axes, SHOWN.items(), strict=False):
        axis.plot(*_series(statistics.user_track, start, coefficients), color="tab:orange", label="user, as tracked")
        axis.plot(
            *_series(statistics.avatar_track, start, coefficients), color="tab:blue", label="avatar, as generated"
        )
        axis.set_ylabel(name)
        axis.grid(alpha=0.3)
    axes[0].legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)  # beside the title: it covers no curve
    if statistics.camera_latency.track:
        times, values = np.array(statistics.camera_latency.track).T
        axes[-1].plot(times - start, values, color="tab:green", linewidth=0.8)
        axes[-1].set_ylabel("reaction\nlatency (ms)")
        axes[-1].set_ylim(0, values.max() * 1.2)
        axes[-1].grid(alpha=0.3)
    axes[-1].set_xlabel("seconds on the frame clock; the avatar is shown after the presentation delay")
    figure.suptitle(title)
    figure.savefig(path, dpi=90)
    plt.close(figure)
