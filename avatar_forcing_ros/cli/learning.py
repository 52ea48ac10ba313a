"""The commands `avatar-forcing learning make|prepare|average` and `avatar-forcing train`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.learning.world.voices.synthesizers import INSTALL

CHANGES = (
    "corpus",
    "valid",
    "start",
    "teacher",
    "training_steps",
    "seed",
    "device",
    "threads",
)  # keys of a recipe that are options too


def add_learning(commands) -> None:
    """Registers the commands with argparse."""
    learning = commands.add_parser(
        "learning", help="make or prepare conversations to learn from (docs/conversations.md)"
    )
    works = learning.add_subparsers(dest="what", required=True, metavar="make|prepare|average")
    make = works.add_parser(
        "make", help="make synthetic conversations",
        description=f"Makes a corpus of two-person conversations with free synthesizers ({INSTALL}). "
        "It can be stopped and started again: finished files are kept.",
    )  # fmt: skip
    make.add_argument("folder", metavar="DIR", help="folder of the corpus")
    make.add_argument("--hours", type=float, default=8.0, help="hours of conversation (default 8)")
    make.add_argument("--seed", type=int, default=1, help="seed of everything that is drawn (default 1)")
    make.add_argument("--held-out", action="store_true", help="use the voices that are kept out of training")
    make.add_argument("--processes", type=int, default=2, help="processes that work at once (default 2)")
    make.set_defaults(work=_make)
    prepare = works.add_parser(
        "prepare", help="make a corpus of recordings of real conversations",
        description="DIR holds pairs of videos, NAME_a.mp4 and NAME_b.mp4. Each shows one person with that person's sound.",
    )  # fmt: skip
    prepare.add_argument("folder", metavar="DIR", help="folder of the recordings")
    prepare.add_argument("out", metavar="CORPUS", help="folder of the corpus to write")
    prepare.add_argument(
        "--space", default="rig", help="rig (default: the tracker), or lia512 (the published auto-encoder)"
    )
    prepare.add_argument("--weights", default="", metavar="DIR", help="the authors' weights, for lia512")
    prepare.add_argument("--pairs", default=None, metavar="FILE", help="CSV or YAML that lists the pairs")
    prepare.set_defaults(work=_prepare)

    average = works.add_parser(
        "average", help="write the mean of networks",
        description="Writes the weighted mean of networks of one training, or one network unchanged. --half writes it "
        "as the package ships it.",
    )  # fmt: skip
    average.add_argument(
        "files", metavar="FILE[=SHARE]", nargs="+", help="a network, and its share of the mean (default 1)"
    )
    average.add_argument("--out", required=True, metavar="OUT.safetensors", help="the file to write")
    average.add_argument("--half", action="store_true", help="write float16, half as large")
    average.set_defaults(work=_average)
    train = commands.add_parser(
        "train", help="train a network (docs/training.md)",
        description="Trains a network by a recipe (see config/learning/) and writes DIR/model.safetensors, checkpoint.pt, log.jsonl and "
        "training.png.",
    )  # fmt: skip
    train.add_argument("recipe", metavar="YAML", help="the recipe")
    train.add_argument("--out", required=True, metavar="DIR", help="folder to write to")
    train.add_argument("--resume", action="store_true", help="go on from DIR/checkpoint.pt")
    for name in CHANGES:
        kind = int if name in ("training_steps", "seed", "threads") else str
        train.add_argument(
            f"--{name.replace('_', '-')}", type=kind, default=None, help=f"instead of the recipe's {name}"
        )
    train.set_defaults(work=_train)


def _bar(**settings):
    from tqdm import tqdm

    return tqdm(mininterval=0.3 if sys.stderr.isatty() else 10.0, **settings)


def _make(arguments: argparse.Namespace) -> None:
    from avatar_forcing_ros.learning.data.corpus import make_corpus

    with _bar(desc="corpus", unit=" shards") as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        make_corpus(
            arguments.folder, arguments.hours, arguments.seed,
            held_out=arguments.held_out, processes=arguments.processes, progress=show,
        )  # fmt: skip
    print(f"{arguments.folder}: {arguments.hours:g} hours of synthetic conversation")


def _prepare(arguments: argparse.Namespace) -> None:
    from avatar_forcing_ros.learning.data.prepare import prepare_folder

    with _bar(desc="recordings", unit=" pairs") as bar:

        def show(done: int, total: int, name: str) -> None:
            bar.total = total
            bar.set_postfix_str(name)
            bar.update(done - bar.n)

        left_out = prepare_folder(
            arguments.folder,
            arguments.out,
            space=arguments.space,
            weights=arguments.weights,
            pairs=arguments.pairs,
            progress=show,
        )
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)
    print(f"{arguments.out}: a corpus of the recordings in {arguments.folder}")


def _average(arguments: argparse.Namespace) -> None:
    import torch

    from avatar_forcing_ros.media.video_writer import refuse_to_overwrite
    from avatar_forcing_ros.models.weights import average_weights, save_model

    shares = {}
    for given in arguments.files:
        file, _, share = given.rpartition("=") if "=" in given else (given, "", "1")
        if file in shares:
            raise InputError(f"{file} is given twice: give it once, with its share as in {file}=0.3")
        try:
            shares[file] = float(share)
        except ValueError:
            raise InputError(f"{given}: a share is a number, as in {file}=0.3") from None
    refuse_to_overwrite(arguments.out, *shares)
    print(f"written: {save_model(average_weights(shares), arguments.out, torch.float16 if arguments.half else None)}")


def _train(arguments: argparse.Namespace) -> None:
    from avatar_forcing_ros.learning.training.recipe import Recipe
    from avatar_forcing_ros.learning.training.trainer import Trainer

    recipe = Recipe.read(arguments.recipe, **{name: getattr(arguments, name) for name in CHANGES})
    if not recipe.corpus:
        raise InputError(
            f"{arguments.recipe}: names no corpus; give --corpus DIR, or make one with `avatar-forcing learning make`"
        )
    if recipe.valid and not Path(recipe.valid).is_dir() and arguments.valid is None:
        print(f"{recipe.valid}: no such folder; training without validation", file=sys.stderr)
        recipe = replace(recipe, valid="")
    trainer = Trainer(recipe, arguments.out, arguments.resume)
    with _bar(desc="training", unit=" steps", total=recipe.training_steps, initial=trainer.step) as bar:
        for row in trainer.steps():
            bar.update(row["step"] - bar.n)
            bar.set_postfix_str(f"loss {row['loss']:.3f}", refresh=False)
    print(f"{trainer.out}/model.safetensors: trained for {trainer.step} training steps; the losses are in training.png")
