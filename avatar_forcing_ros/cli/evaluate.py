"""The command `avatar-forcing evaluate`."""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial

from avatar_forcing_ros.errors import InputError

MODELS = {
    "reflex": "the baseline without a network",
    "reflex_no_user": "the baseline without the user's signals",
    "before": "the network before the preference training (--before)",
    "embedded": "the embedded network, or that of --weights",
    "no_user": "that network without the user's signals",
}


def add_evaluate(commands) -> None:
    """Registers the subcommand."""
    evaluate = commands.add_parser(
        "evaluate", help="measure how models move their lips, react and stay lively, beside the true motion",
        description="One table for all models: lips on real speakers, reactions in held-out synthetic conversations, "
        "liveliness, drift. " + " ".join(f"Model {name}: {meaning}." for name, meaning in MODELS.items())
        + " Model NAME=FILE: other weights under a name of your own.",
    )  # fmt: skip
    add = evaluate.add_argument
    add(
        "--models",
        default="",
        metavar="A,B",
        help="models to measure (default: reflex,embedded,no_user, and before with --before)",
    )
    add("--weights", default="", metavar="FILE", help="weights of the model embedded (default: those of this package)")
    add("--before", default="", metavar="FILE", help="weights before the preference training")
    add("--speakers", default="", metavar="DIR", help="videos of talking people, for the lips")
    add(
        "--conversations",
        type=int,
        default=20,
        metavar="N",
        help="number of held-out conversations (default 20; 0: none)",
    )
    add("--seconds", type=float, default=60.0, metavar="S", help="length of each conversation (default 60)")
    add("--drift-minutes", type=float, default=30.0, metavar="M", help="length of the long run (default 30; 0: none)")
    add("--commit", type=int, default=None, metavar="FRAMES", help="frames that a step commits (default: the model's)")
    add(
        "--known",
        type=int,
        default=None,
        metavar="K",
        help="frames of a block that have arrived when its step begins (default: as live)",
    )
    add("--passes", type=int, default=None, metavar="N", help="network passes per block (default: the network's)")
    add(
        "--audio-guidance",
        type=float,
        default=None,
        metavar="G",
        help="guidance scale of the avatar's speech (default: the network's)",
    )
    add(
        "--user-guidance",
        type=float,
        default=None,
        metavar="G",
        help="guidance scale of the user (default: the network's)",
    )
    add("--user-video", default="", metavar="VIDEO", help="video of a real user, for the sample measure")
    add("--avatar-audio", default="", metavar="SOUND", help="the avatar's speech with that video (default: silence)")
    add("--seed", type=int, default=0, help="seed of conversations and noise (default 0)")
    add("--json", default="", metavar="FILE", help="write the figures")
    add("--plots", default="", metavar="DIR", help="write plots of lips, smiles and gain")
    evaluate.set_defaults(work=_evaluate)


def candidates(names: list[str], weights: str = "", before: str = "", options: dict | None = None) -> dict:
    """The models by name, ready for `evaluate`. options: of the networks, fields of NetworkOptions. Raises InputError for an unknown
    name or weights that do not fit."""
    from avatar_forcing_ros.generators import make_generator
    from avatar_forcing_ros.learning.evaluation.evaluate import Candidate

    made, found = {}, {}
    for name in names:
        name, _, file = name.partition("=")
        if name not in MODELS and not file:
            raise InputError(f"model '{name}' is unknown; use some of {', '.join(MODELS)}, or NAME=FILE for weights")
        if name in found or (name in MODELS and file):
            raise InputError(f"model '{name}' is given twice, or is no free name for {file or 'weights'}")
        if name == "before" and not before:
            raise InputError("model 'before' needs --before FILE, the weights before the preference training")
        back_end = "reflex" if name.startswith("reflex") and not file else "embedded"
        key = (back_end, file or (before if name == "before" else weights if back_end == "embedded" else ""))
        if key not in made:
            made[key] = make_generator(*key, options)
        generator = made[key]
        found[name] = Candidate(partial(generator.open, None), user="no_user" not in name)
    return found


def _evaluate(arguments: argparse.Namespace) -> None:
    from avatar_forcing_ros.run.threads import few_threads

    few_threads()
    from tqdm import tqdm

    from avatar_forcing_ros.learning.evaluation.evaluate import evaluate
    from avatar_forcing_ros.learning.evaluation.tables import print_table, write_figures, write_plots

    if arguments.avatar_audio and not arguments.user_video:
        raise InputError("--avatar-audio belongs to the sample measure: give --user-video too")
    chosen = arguments.models or ("reflex,before,embedded,no_user" if arguments.before else "reflex,embedded,no_user")
    names = [name for part in chosen.split(",") if (name := part.strip())]
    given = {
        "passes": arguments.passes,
        "audio_guidance": arguments.audio_guidance,
        "user_guidance": arguments.user_guidance,
    }
    options = {name: value for name, value in given.items() if value is not None}
    models = candidates(names, arguments.weights, arguments.before, options)
    interval = 0.3 if sys.stderr.isatty() else 30.0
    shown = -interval
    with tqdm(bar_format="{desc} [{elapsed}]") as bar:

        def show(what: str) -> None:
            nonlocal shown
            if time.monotonic() - shown >= interval:
                shown = time.monotonic()
                bar.set_description_str(what)

        result = evaluate(
            models, speakers=arguments.speakers or None, conversations=arguments.conversations, seconds=arguments.seconds,
            drift_minutes=arguments.drift_minutes,
            sample=(arguments.user_video, arguments.avatar_audio) if arguments.user_video else None,
            commit=arguments.commit, known=arguments.known, seed=arguments.seed, progress=show,
        )  # fmt: skip
        bar.set_description_str("done")
    result.figures["settings"] |= {
        "weights": arguments.weights or None,
        "before": arguments.before or None,
        "network": options,
    }
    print_table(result.figures)
    if arguments.json:
        write_figures(arguments.json, result.figures)
    if arguments.plots:
        print("\n".join(str(path) for path in write_plots(arguments.plots, result)))
