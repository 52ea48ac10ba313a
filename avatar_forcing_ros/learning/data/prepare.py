"""Recordings of real conversations become a corpus: two videos per conversation, each one person with the own sound.

The motion is measured by the tracker (space rig) or by the published auto-encoder (space lia512, which needs its weights).
Where a face is not seen for a while the recording is cut there; p, b and m are not known, so `closures` is False throughout.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

from avatar_forcing_ros.audio.level import runs, speech_level
from avatar_forcing_ros.audio.normaliser import SpeechNormaliser
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.learning.data.corpus import VERSION, joined, spectra_of, write_recipe, write_shard
from avatar_forcing_ros.learning.data.recordings import VIDEO_ENDINGS, sound_of, tracked
from avatar_forcing_ros.media.grid import video_on_grid
from avatar_forcing_ros.media.open import open_media
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.space import SPACES, Network, make_tracker
from avatar_forcing_ros.timeline import FRAME_RATE, SAMPLES_PER_FRAME

LEAST_FACES = 0.5  # share of frames with a face, below which a conversation is left out
_LOST = FRAME_RATE // 2  # frames without a face that are bridged: the tracker holds the motion
_LEAST_FRAMES = 4 * FRAME_RATE  # of a stretch with both faces


def find_pairs(folder: str | Path, pairs: str | Path | None = None) -> list[tuple[Path, Path]]:
    """The two videos of each conversation, sorted by name.

    Without `pairs`: NAME_a.mp4 with NAME_b.mp4 (any video ending). pairs: a CSV file with two columns, or a YAML
    list of lists of two; names are relative to the folder. Raises InputError for a missing folder or file, a video
    without its partner, or no pair at all.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}: give one with videos NAME_a.mp4, NAME_b.mp4")
    found = _listed(folder, Path(pairs)) if pairs else _by_name(folder)
    if not found:
        raise InputError(
            f"no conversation in {folder}: give pairs of videos NAME_a.mp4, NAME_b.mp4, or list them in a file"
        )
    return found


def _by_name(folder: Path) -> list[tuple[Path, Path]]:
    sides: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in VIDEO_ENDINGS and path.stem[-2:] in ("_a", "_b"):
            both = sides.setdefault(path.stem[:-2], {})
            if path.stem[-1] in both:
                raise InputError(
                    f"{path} and {both[path.stem[-1]].name} are the same side of one conversation: keep one"
                )
            both[path.stem[-1]] = path
    alone = [next(iter(both.values())).name for both in sides.values() if len(both) == 1]
    if alone:
        raise InputError(f"without a partner in {folder}: {', '.join(alone)}; each NAME_a needs a NAME_b")
    return [(both["a"], both["b"]) for _, both in sorted(sides.items())]


def _listed(folder: Path, path: Path) -> list[tuple[Path, Path]]:
    try:
        if path.suffix.lower() == ".csv":
            with open(path, newline="", encoding="utf-8") as file:
                rows = [[cell.strip() for cell in row] for row in csv.reader(file) if any(cell.strip() for cell in row)]
        else:
            rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, csv.Error) as error:
        raise InputError(f"cannot read the pairs in {path}: {str(error).splitlines()[0]}") from error
    if not isinstance(rows, list) or not all(isinstance(r, list) and list(map(type, r)) == [str, str] for r in rows):
        raise InputError(f"{path}: give two file names in each row")
    found = [(folder / first, folder / second) for first, second in rows]
    missing = [str(one) for pair in found for one in pair if not one.is_file()]
    if missing:
        raise InputError(f"{path} lists files that are not there: {', '.join(missing[:5])}")
    return found


def prepare_folder(
    folder: str | Path, out: str | Path, *, space: str = rig.SPACE, weights: str = "", pairs: str | Path | None = None,
    device: str = "auto", precision: str = "auto",
    progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> list[str]:  # fmt: skip
    """Writes the conversations of `folder` as a corpus to `out` and returns what was left out and why, a line each.

    space: rig or lia512; weights, device, precision: of the published auto-encoder. pairs: see find_pairs. progress: called
    with conversations done, conversations in all and the name of the next. Shards that are there are kept, so it
    can be stopped and resumed. Raises InputError for bad input, or where no conversation is left.
    """
    if space not in SPACES:
        raise InputError(f"motion space '{space}' is unknown; use one of {', '.join(SPACES)}")
    if space != rig.SPACE and not weights:
        raise InputError(f"the space {space} needs the published weights: give weights (docs/weights.md)")
    found = find_pairs(folder, pairs)
    out = Path(out)
    recipe = {"version": VERSION, "space": space, "source": str(Path(folder).resolve())}
    shards: list[str] = []
    left_out: list[str] = []
    for index, pair in enumerate(found):
        progress(index, len(found), pair[0].stem)
        names = (
            "_".join(one.relative_to(folder).with_suffix("").parts) if one.is_relative_to(folder) else one.stem
            for one in pair
        )
        path = out / f"shard_{'-'.join(names)}.npz"
        if path.name in shards:
            left_out.append(
                f"{pair[0]} and {pair[1].name} would be {path.name}, which another conversation is: rename them"
            )
            continue
        if not path.exists():
            try:
                arrays = _conversation(pair, space, Network(weights, device, precision))
            except InputError as error:
                left_out.append(str(error))
                continue
            write_recipe(out, {**recipe, "shards": [*shards, path.name]})
            write_shard(path, arrays)
        shards.append(path.name)
    progress(len(found), len(found), "")
    if not shards:
        raise InputError(f"no usable conversation in {folder}: {left_out[0]}")
    write_recipe(out, {**recipe, "shards": shards})
    return left_out


def _conversation(pair: tuple[Path, Path], space: str, network: Network) -> dict[str, np.ndarray]:
    """A shard's arrays of one recording: its stretches with both faces. Raises InputError where it is unusable."""
    motion, confidence = zip(*(_motion(path, space, network) for path in pair))
    count = min(map(len, motion))
    for path, seen in zip(pair, confidence):
        share = float((seen > 0).mean())
        if share < LEAST_FACES:
            raise InputError(
                f"{path} shows a face in {100 * share:.0f} % of its frames, less than {100 * LEAST_FACES:.0f} %"
            )
    samples = [sound_of(path, count) for path in pair]
    normal = [SpeechNormaliser(side).push(one) for side, one in enumerate(samples)]
    if space == rig.SPACE:
        sound = np.stack([spectra_of(one) for one in normal])
    else:
        sound = np.stack(normal).reshape(2, count, SAMPLES_PER_FRAME).astype(np.float16)
    whole = {
        "sound": sound, "motion": np.stack([one[:count] for one in motion]).astype(np.float16),
        "speaking": np.stack([speech_level(one)[1] for one in samples]), "closures": np.zeros((2, count), bool),
        "starts": np.zeros(1, np.int64), "seen": np.ones((1, 2), bool), "heard": np.ones((1, 2), bool),
    }  # fmt: skip
    stretches = seen_together(confidence[0][:count] > 0, confidence[1][:count] > 0)
    if not stretches:
        least = _LEAST_FRAMES / FRAME_RATE
        raise InputError(f"{pair[0]} and {pair[1].name} show both faces for less than {least:g} s at a time")
    cut = ("sound", "motion", "speaking", "closures")
    return joined([{**whole, **{name: whole[name][:, a:b] for name in cut}} for a, b in stretches])


def seen_together(first: np.ndarray, second: np.ndarray) -> list[tuple[int, int]]:
    """[begin, end) of the stretches of at least 4 s in which no face (n,) bool is lost for longer than half a second."""
    lost = np.zeros(len(first), bool)
    for seen in (first, second):
        for a, b in runs(~seen):
            lost[a:b] |= b - a > _LOST
    return [(int(a), int(b)) for a, b in runs(~lost) if b - a >= _LEAST_FRAMES]


def _motion(path: Path, space: str, network: Network) -> tuple[np.ndarray, np.ndarray]:
    """(motion (n, D), confidence (n,)) of the face in a video."""
    if space == rig.SPACE:
        return tracked(path)
    tracker = make_tracker(space, network=network)
    try:
        with open_media(str(path)) as reader:
            faces = [tracker.track(image, index / FRAME_RATE) for index, image in video_on_grid(reader)]
    finally:
        tracker.close()
    if not faces:
        raise InputError(f"{path} has no images")
    motion, confidence = np.stack([face.motion for face in faces]), np.array([face.confidence for face in faces])
    return motion.astype(np.float32), confidence.astype(np.float32)
