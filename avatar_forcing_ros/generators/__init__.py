"""The generators by name."""

from __future__ import annotations

from ..errors import InputError
from .base import BlockSignals, Generator, GeneratorStream
from .reflex import ReflexGenerator

__all__ = ["BlockSignals", "Generator", "GeneratorStream", "GENERATORS", "make_generator"]

GENERATORS = {"reflex": ReflexGenerator}


def make_generator(name: str) -> Generator:
    """The generator called `name`. Raises InputError, which lists the known ones."""
    if name not in GENERATORS:
        raise InputError(f"unknown generator '{name}'; known are {', '.join(sorted(GENERATORS))}")
    return GENERATORS[name]()
