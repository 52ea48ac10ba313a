"""The back ends: one entry each, which says all that others have to know of it. Code elsewhere asks the entry, never the name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from avatar_forcing_ros.errors import InputError, missing_package
from avatar_forcing_ros.generators.base import Generator

if TYPE_CHECKING:
    from avatar_forcing_ros.generators.network import NetworkOptions


@dataclass(frozen=True)
class BackEnd:
    """name: as in messages, parameters and options. space: the motion space of its latents, which the camera's side and the face
    must share. avatar: the face that goes with it by default. about: for people.

    needs_weights: it has none of its own. one_core: a step computes on one core for some milliseconds, so it may run before
    other threads. defaults: the options that its network was made for; None: it has no network, weights and options are of no use.
    make: (weights, options that differ from the defaults) -> the generator; imports what it needs when it is called.
    """

    name: str
    space: str
    avatar: str
    about: str
    make: Callable[[str, dict], Generator]
    needs_weights: bool = False
    one_core: bool = True
    defaults: Callable[[], NetworkOptions] | None = None


def _reflex(weights: str, options: dict) -> Generator:
    from avatar_forcing_ros.generators.reflex import ReflexGenerator

    return ReflexGenerator()


def _embedded(weights: str, options: dict) -> Generator:
    from avatar_forcing_ros.generators.embedded import EmbeddedGenerator

    return EmbeddedGenerator(weights, options)


def _embedded_defaults() -> NetworkOptions:
    from avatar_forcing_ros.generators.embedded import DEFAULTS

    return DEFAULTS


def _published(weights: str, options: dict) -> Generator:
    from avatar_forcing_ros.generators.network import NetworkOptions
    from avatar_forcing_ros.generators.published import PublishedGenerator

    return PublishedGenerator(weights, NetworkOptions(**options))


def _published_defaults() -> NetworkOptions:
    from avatar_forcing_ros.generators.network import NetworkOptions

    return NetworkOptions()


BACK_ENDS = {
    back_end.name: back_end
    for back_end in (
        BackEnd("embedded", "rig", "portrait", "the network of this package", _embedded, defaults=_embedded_defaults),
        BackEnd("reflex", "rig", "portrait", "rules without weights", _reflex),
        BackEnd(
            "published",
            "lia512",
            "neural",
            "the authors' network",
            _published,
            needs_weights=True,
            one_core=False,
            defaults=_published_defaults,
        ),
    )  # fmt: skip
}


def back_end(name: str) -> BackEnd:
    """The entry called `name`. Raises InputError, which lists the known ones."""
    if name not in BACK_ENDS:
        raise InputError(f"generator '{name}' is unknown; use one of {', '.join(BACK_ENDS)}")
    return BACK_ENDS[name]


def make_generator(name: str, weights: str = "", options: dict | None = None) -> Generator:
    """The generator called `name`. Raises InputError for an unknown one, weights that do not fit, or a package that is missing.

    weights: of a network, see the back end; options: fields of NetworkOptions that differ from the back end's
    defaults. Both are of no use to one without a network.
    """
    try:
        return back_end(name).make(weights, options or {})
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
