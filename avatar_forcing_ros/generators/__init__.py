"""The generators: signals of a block in, motion latents out. registry.py lists them."""

from __future__ import annotations

from avatar_forcing_ros.generators.base import BlockSignals, Generator, GeneratorStream
from avatar_forcing_ros.generators.registry import BACK_ENDS, back_end, make_generator

__all__ = ["BACK_ENDS", "BlockSignals", "Generator", "GeneratorStream", "back_end", "make_generator"]
