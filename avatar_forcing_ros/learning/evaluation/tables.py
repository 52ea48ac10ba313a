"""What an evaluation leaves: JSON, a table, plots."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.learning.evaluation import metrics
from avatar_forcing_ros.learning.evaluation.evaluate import SMILE_BEFORE, TRUE, Evaluation
from avatar_forcing_ros.timeline import FRAME_RATE

_GROUPS = ("expression", "pose")


def _each(path: str, *keys: str) -> list[str]:
    return [f"{path}/{key}" for key in keys]


def _at(figures: dict, path: str) -> Any:
    """The value at "a/b/c", or None."""
    found: Any = figures
    for key in path.split("/"):
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _value(figures: dict, path: str, digits: int, scale: float) -> str:
    value = _at(figures, path)
    return "-" if value is None or not math.isfinite(value) else f"{scale * value:.{digits}f}"


def _joined(values: list[str], unit: str = "") -> str:
    return "-" if set(values) == {"-"} else ", ".join(values) + unit


def _number(digits: int, *paths: str, scale: float = 1.0) -> Callable[[dict], str]:
    return lambda figures: _joined([_value(figures, path, digits, scale) for path in paths])


def _percent(*paths: str) -> Callable[[dict], str]:
    return lambda figures: _joined([_value(figures, path, 1, 100) for path in paths], " %")


def _lips(path: str) -> Callable[[dict], str]:
    def show(figures: dict) -> str:
        found = _at(figures, path)
        if found is None:
            return "-"
        return (
            f"{found['r_lag_0']:.2f}, {found['r_within_2']:.2f}, {found['r_common_lag']:.2f} ({found['common_lag']:+d})"
        )

    return show


def _answered(path: str) -> Callable[[dict], str]:
    def show(figures: dict) -> str:
        found = _at(figures, path)
        if found is None or not found["events"]:
            return "-"
        rates = ", ".join(f"{100 * rate:.0f}" for rate in found["rate"].values())
        chance = ", ".join(f"{100 * rate:.0f}" for rate in found["chance"].values())
        return f"{rates} % ({chance} %), n {found['events']}"

    return show


def _delay(path: str) -> Callable[[dict], str]:
    def show(figures: dict) -> str:
        found = _at(figures, path + "/delay_s")
        if found is None or not math.isfinite(found["median"]):
            return "-"
        return f"{found['median']:.2f} s ({found['q25']:.2f} to {found['q75']:.2f})"

    return show


def _gain(path: str) -> Callable[[dict], str]:
    def show(figures: dict) -> str:
        found = _at(figures, path)
        if found is None:
            return "-"
        return f"{found['gain']:+.3f} (noise {found['noise_95'][0]:+.3f} to {found['noise_95'][1]:+.3f})"

    return show


def _best(path: str) -> Callable[[dict], str]:
    def show(figures: dict) -> str:
        found = _at(figures, path)
        if found is None or not math.isfinite(found["r"]):
            return "-"
        chance = f" ({found['chance_95']:.2f})" if math.isfinite(found.get("chance_95", math.nan)) else ""
        return f"{found['r']:+.2f} at {found['lag']:+d}{chance}"

    return show


ROWS: tuple[tuple[str, Callable[[dict], str]], ...] = (
    ("Real speakers: jaw r at lag 0, within 2, common lag", _lips("lips/jaw")),
    ("  mouth width", _lips("lips/width")),
    ("  pucker", _lips("lips/pucker")),
    ("  closed after half a second of silence", _percent("lips/silence/closed")),
    ("  talked over: jaw", _lips("lips/talked_over/jaw")),
    ("  talked over: opening, share of that alone", _percent("lips/talked_over/opening_ratio")),
    ("Synthetic speech: jaw", _lips("made_speech/jaw")),
    ("  mouth width", _lips("made_speech/width")),
    ("  lips met at p, b, m; anywhere in speech", _percent(*_each("made_speech/closure", "rate", "chance"))),
    ("  closed after half a second of silence", _percent("made_speech/silence/closed")),
    ("Smile answered in 1, 1.5 s (chance)", _answered("reaction/smile")),
    ("  delay: median (quartiles)", _delay("reaction/smile")),
    ("Nod in the user's pause in 1, 1.5 s (chance)", _answered("reaction/nod_in_pause")),
    ("Nod to the user's nod in 1, 1.5 s (chance)", _answered("reaction/nod_to_nod")),
    ("Gaze after the user's, rad (97.5 % of chance)", _number(3, *_each("reaction/gaze_following", "radians", "chance_97.5"))),
    ("Looks at the user listening, silent, speaking", _percent(*_each("reaction/looks_at_user", "listening", "silent", "speaking"))),
    ("Gain of the user's signals", _gain("reaction/gain")),
    ("  of strangers (control)", _gain("reaction/gain_of_strangers")),
    ("rPCC expression, pose (0 is best)", _number(3, *_each("reaction/rpcc", *_GROUPS))),
    ("SID expression, pose (bits)", _number(2, *_each("liveliness/sid", *_GROUPS))),
    ("Variance expression, pose (x 1000)", _number(2, *_each("liveliness/variance", *_GROUPS), scale=1000)),
    ("Blinks per minute", _number(1, "liveliness/blinks_per_minute")),
    ("Jerk pose, jaw (x 1000)", _number(2, *_each("liveliness/jerk", "pose", "jaw"), scale=1000)),
    ("Jump, kink at borders over elsewhere", _number(2, *_each("liveliness/borders", "jump", "kink"))),
    ("  with whole blocks committed", _number(2, *_each("liveliness/borders_of_whole_blocks", "jump", "kink"))),
    ("Drift: furthest minute, last", _number(3, *_each("drift", "furthest", "last"))),
    ("  furthest with the same signals", _number(3, "drift/same_signals")),
    ("  spread of the last 5 minutes over the first", _number(2, "drift/spread_ratio")),
    ("Sample: smile against the user's, r at lag (95 % of chance)", _best("sample/smile")),
    ("  mouth width", _best("sample/mouth_width")),
    ("  pitch", _best("sample/headPitch")),
    ("  yaw", _best("sample/headYaw")),
    ("  roll", _best("sample/headRoll")),
    ("  yaw: spread over the user's", _number(2, "sample/headYaw/std_ratio")),
    ("  jaw against the speech's energy", _best("sample/jaw_against_energy")),
)  # fmt: skip


def print_table(figures: dict, console: Console | None = None) -> None:
    """One row per figure, one column per model and one of the true motion. Rows without any figure are left out."""
    names = list(figures["models"])
    table = Table(title="evaluation (definitions: docs/evaluation.md)", title_justify="left")
    table.add_column("figure")
    for name in names:
        table.add_column(name)
    for title, show in ROWS:
        cells = [show(figures["models"][name]) for name in names]
        if any(cell != "-" for cell in cells):
            table.add_row(title, *cells)
    console = console or Console(width=None if Console().is_terminal else 60 + 34 * len(names))
    console.print(table)
    for name, found in figures.get("baseline", {}).items():
        console.print(f"speech {name} alone against real jaws: r {_lips('r')({'r': found})}", highlight=False)
    for reason in figures["settings"].get("clips_left_out", []):
        console.print(f"left out: {reason}", highlight=False)


def finite(value):
    """The same figures with None for what is not a number, which JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    if isinstance(value, (float, np.floating)):
        return round(float(value), 6) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def write_figures(path: str | Path, figures: dict) -> None:
    """JSON. Raises InputError where it cannot be written."""
    try:
        Path(path).write_text(json.dumps(finite(figures), indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error


def write_plots(folder: str | Path, result: Evaluation) -> list[Path]:
    """lips.png, smiles.png and gain.png, as far as they were measured. Raises InputError for an unusable folder."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made a folder for the plots: {error.strerror}") from error
    written = []

    def save(figure, name: str) -> None:
        figure.savefig(folder / name, dpi=100)
        plt.close(figure)
        written.append(folder / name)

    if result.clip is not None:
        figure, axes = plt.subplots(3, 1, figsize=(10, 7), sharex=True, layout="constrained")
        times = np.arange(len(result.clip.motion)) / FRAME_RATE
        for axis, (part, of) in zip(axes, metrics.MOUTH.items()):
            axis.plot(times, of(result.clip.motion), color="black", linewidth=2, label="tracked")
            for name, latents in result.lips.items():
                axis.plot(times, of(latents), label=name)
            axis.set_ylabel(part)
            axis.grid(alpha=0.3)
        axes[0].legend(ncols=5, fontsize="small")
        axes[-1].set_xlabel("seconds")
        figure.suptitle(f"lips of {result.clip.name}: true, and from the sound alone")
        save(figure, "lips.png")
    if any(len(pieces) for pieces in result.smiles.values()):
        figure, axis = plt.subplots(figsize=(8, 4.5), layout="constrained")
        for name, pieces in result.smiles.items():
            if not len(pieces):
                continue
            times = (np.arange(pieces.shape[1]) - SMILE_BEFORE) / FRAME_RATE
            mean, wide = pieces.mean(axis=0), 1.96 * pieces.std(axis=0) / np.sqrt(len(pieces))
            (line,) = axis.plot(times, mean, label=name, **({"color": "black"} if name == TRUE else {}))
            axis.fill_between(times, mean - wide, mean + wide, color=line.get_color(), alpha=0.15)
        axis.axvline(0, color="grey", linewidth=0.8)
        axis.set_xlabel("seconds from the beginning of the user's smile")
        axis.set_ylabel("change of the avatar's smile (95 % of the mean)")
        axis.legend(fontsize="small")
        axis.grid(alpha=0.3)
        save(figure, "smiles.png")
    if result.gains:
        columns = len(result.gains)
        figure, axes = plt.subplots(
            1, columns, figsize=(3.2 * columns, 3.2), sharey=True, layout="constrained", squeeze=False
        )
        for axis, (name, gain) in zip(axes[0], result.gains.items()):
            axis.hist(gain.shifted, bins=20, color="lightgrey", edgecolor="grey")
            axis.axvline(gain.raw, color="tab:red")
            axis.set_title(f"{name}\n{gain.gain:+.3f}, p {gain.p:.2f}", fontsize="medium")
        axes[0, 0].set_ylabel("time shifts of the user")
        figure.supxlabel("gain in R^2: shifted in time (grey), in place (red)")
        save(figure, "gain.png")
    return written
