"""The generators by name."""

from __future__ import annotations

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.base import BlockSignals, Generator, GeneratorStream

__all__ = ["BlockSignals", "GENERATORS", "Generator", "GeneratorStream", "make_generator"]

GENERATORS = {"reflex": "rig", "published": "lia512"}  # name -> motion space


def make_generator(name: str, weights: str = "", options: dict | None = None) -> Generator:
    """The generator called `name`. Raises InputError, which lists the known ones.

    weights: folder or file of the published network; options: fields of PublishedOptions. Of no use to reflex.
    """
    if name == "reflex":
        from avatar_forcing_ros.generators.reflex import ReflexGenerator

        return ReflexGenerator()
    if name == "published":
        from avatar_forcing_ros.generators.published import PublishedGenerator, PublishedOptions

        return PublishedGenerator(weights, PublishedOptions(**(options or {})))
    raise InputError(f"generator '{name}' is unknown; use one of {', '.join(GENERATORS)}")
