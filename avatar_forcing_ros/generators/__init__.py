"""The generators by name."""

from __future__ import annotations

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.base import BlockSignals, Generator, GeneratorStream

__all__ = ["BlockSignals", "GENERATORS", "Generator", "GeneratorStream", "make_generator"]

GENERATORS = {"embedded": "rig", "reflex": "rig", "published": "lia512"}  # name -> motion space


def make_generator(name: str, weights: str = "", options: dict | None = None) -> Generator:
    """The generator called `name`. Raises InputError, which lists the known ones.

    weights: of a network, see the back end; options: fields of NetworkOptions that differ from the back end's
    defaults. Both are of no use to reflex.
    """
    if name == "reflex":
        from avatar_forcing_ros.generators.reflex import ReflexGenerator

        return ReflexGenerator()
    if name == "embedded":
        from avatar_forcing_ros.generators.embedded import EmbeddedGenerator

        return EmbeddedGenerator(weights, options)
    if name == "published":
        from avatar_forcing_ros.generators.published import NetworkOptions, PublishedGenerator

        return PublishedGenerator(weights, NetworkOptions(**(options or {})))
    raise InputError(f"generator '{name}' is unknown; use one of {', '.join(GENERATORS)}")
