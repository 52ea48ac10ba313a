"""avatar-forcing models: the face models, which are no part of the package."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_models(commands) -> None:
    models = commands.add_parser("models", help="fetch the models that find and measure faces (docs/tracking.md)")
    works = models.add_subparsers(dest="what", required=True, metavar="fetch|where")
    fetch = works.add_parser("fetch", help="download MediaPipe's wheel and take the face models out of it")
    fetch.add_argument("--wheel", type=Path, metavar="FILE", help="a wheel that is on this machine already")
    fetch.add_argument(
        "--to", type=Path, metavar="DIR", help="folder to write to (default: where the package looks for them)"
    )
    fetch.set_defaults(work=_fetch)
    works.add_parser("where", help="print the folder that is used").set_defaults(work=_where)


def _fetch(arguments: argparse.Namespace) -> None:
    from avatar_forcing_ros.motion.tracking.fetch import fetch

    print(f"face models: {fetch(arguments.to, arguments.wheel)}")


def _where(arguments: argparse.Namespace) -> None:
    from avatar_forcing_ros.motion.tracking.models import folder

    print(folder())
