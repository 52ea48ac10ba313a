"""What one setting is: its type, range, unit and words, in one place, without rclpy.

A node's settings are a frozen dataclass whose fields are made by `setting` (ros/settings.py). ROS parameters (ros/parameters.py), options of the
command line, arguments of the launch files and docs/parameters.md are all made from those fields.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import MISSING, Field, field, fields, replace
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from avatar_forcing_ros.errors import InputError

S = TypeVar("S")

# When a node reads a setting; a change at another time is refused.
PROCESS = "process start"
CONFIGURE = "configure"
ACTIVATE = "activate"
RUNNING = "running"


def setting(
    default: Any,
    description: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    empty: Any = None,
    none_means: str = "",
    read_at: str = CONFIGURE,
) -> Any:
    """A field of a settings dataclass.

    low, high: the range, both included, of a number. choices: all that a text may be. A setting that may be None names
    the value that stands for None where there is none (a ROS parameter, an empty launch argument): `empty`, by default ""
    for a text, and what None means. read_at: CONFIGURE, ACTIVATE, RUNNING (a change counts at once) or PROCESS.
    """
    words = {"description": description, "unit": unit, "low": low, "high": high, "choices": choices, "empty": empty}
    return field(default=default, metadata={**words, "none_means": none_means, "read_at": read_at})


def group(kind: type[S]) -> S:
    """A field of a settings dataclass that is a settings dataclass itself: its settings are called FIELD.NAME, as nested ROS
    parameters are."""
    made: Any = field(default_factory=kind, metadata={"group": kind})
    return made


class Setting:
    """A field that `setting` made, as it is read: `kind` is bool, int, float or str; `optional`: it may be None."""

    def __init__(self, made: Field, annotation: Any) -> None:
        self.name = made.name
        self.default = made.default
        self.optional = get_origin(annotation) in (Union, UnionType) and NoneType in get_args(annotation)
        self.kind: type = next(t for t in get_args(annotation) if t is not NoneType) if self.optional else annotation
        words = made.metadata
        self.description: str = words["description"]
        self.unit: str = words["unit"]
        self.low, self.high = words["low"], words["high"]
        self.choices: tuple[str, ...] = words["choices"]
        self.none_means: str = words["none_means"]
        self.read_at: str = words["read_at"]
        self.empty = "" if self.optional and self.kind is str and words["empty"] is None else words["empty"]
        if self.kind not in (bool, int, float, str) or self.default is MISSING or self.optional == (self.empty is None):
            raise TypeError(f"setting {self.name}: needs a plain type, a default, and `empty` where it may be None")

    def within(self, group_name: str) -> Setting:
        """The same, of a group's field."""
        made = copy.copy(self)
        made.name = f"{group_name}.{self.name}"
        return made

    @property
    def text(self) -> str:
        """The description with unit and what None means, in one line."""
        unit = f" ({self.unit})" if self.unit else ""
        none = f"; {self.empty if self.empty != '' else 'empty'}: {self.none_means}" if self.optional else ""
        return f"{self.description}{unit}{none}"

    @property
    def range(self) -> str:
        """What it may be, for people: "128 to 2160", "one of a, b", or nothing."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        return "" if self.low is None else f"{_number(self.low)} to {_number(self.high)}"

    def to_ros(self, value: Any) -> Any:
        """The value as a ROS parameter has it."""
        return self.empty if value is None else self.kind(value)

    def from_ros(self, value: Any) -> Any:
        """A ROS parameter's value as the node has it. Raises InputError, in one line, where it is not one that it may be."""
        if self.optional and value == self.empty:
            return None
        return self.checked(value)

    def parse(self, text: str) -> Any:
        """A text of the command line or of a launch file. Raises InputError."""
        try:
            if self.kind is bool:
                return {"true": True, "false": False}[text.lower()]
            value = self.kind(text)
        except (ValueError, KeyError):
            kinds = {bool: "true or false", int: "a whole number", float: "a number"}
            raise InputError(f"{self.name} is '{text}'; give {kinds[self.kind]}") from None
        return self.from_ros(value)

    def checked(self, value: Any) -> Any:
        """`value`, if it is in range or among the choices; else InputError."""
        inside = self.low is None or self.low <= value <= self.high  # NaN is in no range
        if self.choices and value not in self.choices:
            raise InputError(f"{self.name} '{value}' is unknown; use one of {', '.join(self.choices)}")
        if not inside:
            unit = f" {self.unit}" if self.unit else ""
            other = f", or {self.empty} for: {self.none_means}" if self.optional else ""
            raise InputError(f"{self.name} is {value}; give {self.range}{unit}{other}")
        return value


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def settings_in(kind: type) -> dict[str, Setting]:
    """The settings of a dataclass by name, in their order; those of a group as GROUP.NAME."""
    return _settings_in(kind)


def with_values(settings: S, values: Mapping[str, Any]) -> S:
    """The settings with other values, by the names of `settings_in`."""
    own: dict[str, Any] = {}
    groups: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        head, _, rest = name.partition(".")
        if rest:
            groups.setdefault(head, {})[rest] = value
        else:
            own[name] = value
    inner = {name: with_values(getattr(settings, name), some) for name, some in groups.items()}
    return replace(settings, **own, **inner)  # type: ignore[type-var]


@cache
def _settings_in(kind: type) -> dict[str, Setting]:
    hints = get_type_hints(kind)
    found = {}
    for made in fields(kind):
        if "read_at" in made.metadata:
            found[made.name] = Setting(made, hints[made.name])
        elif "group" in made.metadata:
            inner = (one.within(made.name) for one in _settings_in(made.metadata["group"]).values())
            found |= {one.name: one for one in inner}
    return found
