"""How a screen face looks: a theme, read from YAML."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.paths import SCREEN_FACES


@dataclass(frozen=True)
class Theme:
    """How a screen face looks. Colours are '#rrggbb'. Lengths are in face units, shares from 0 to 1."""

    background: str
    head: str
    head_edge: str
    head_width: float = 1.02  # half
    head_height: float = 1.10  # half
    head_roundness: float = 2.5  # 2: ellipse; more: squarer
    eye_width: float = 0.25  # half
    eye_height: float = 0.275  # half
    eye_roundness: float = 2.2
    eye_white: str = "#ffffff"
    eye_shade: str = "#d5dce8"  # under the upper lid
    iris: str = "#3b7fb5"
    iris_light: str = "#7cc4ea"
    iris_edge: str = "#1c3f63"
    iris_size: float = 0.185  # 0: an eye of one colour
    eye_travel: float = 0.0  # how far the whole eye goes with the gaze; for eyes without an iris
    pupil: str = "#0d1622"
    highlight: str = "#ffffff"
    lash: str = "#3a2a26"
    lash_width: float = 0.035
    lid: str = "#e8b796"
    brow: str = "#5a3a2c"
    brow_width: float = 0.07
    cheek: str = "#f0806c"
    cheek_strength: float = 0.35
    nose: str = "#d99a7a"
    lip: str = "#c8584f"
    lip_line: str = "#93343a"  # where closed lips meet
    lip_width: float = 0.07
    mouth_inside: str = "#5a1620"
    teeth: str = "#fffaf2"
    tongue: str = "#e2757a"
    mouth_width: float = 0.40  # half
    smile_at_rest: float = 0.07  # how much the closed mouth curves
    glow: float = 0.0  # light that bright parts shed around them

    def colours(self) -> dict[str, tuple[int, int, int]]:
        """Each colour as RGB, 0 to 255."""
        return {f.name: colour_of(getattr(self, f.name)) for f in dataclasses.fields(self) if f.type == "str"}

    @classmethod
    def load(cls, name: str | Path) -> Theme:
        """Reads a theme by its name in the package, or a YAML file. Raises InputError that names what is wrong."""
        path = Path(name)
        if path.suffix not in (".yaml", ".yml"):
            path = SCREEN_FACES / f"{name}.yaml"
        if not path.is_file():
            raise InputError(
                f"screen face theme {name} does not exist: give a YAML file or one of {', '.join(theme_names())}"
            )
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"theme {path} is not readable YAML: {error}".replace("\n", " ")) from None
        if not isinstance(values, dict):
            raise InputError(f"theme {path} holds no keys: give name: value lines, as in {theme_names()[0]}.yaml")
        fields = {f.name: f for f in dataclasses.fields(cls)}
        for key, value in values.items():
            if key not in fields:
                raise InputError(f"theme {path}: there is no key {key}; known keys: {', '.join(fields)}")
            if fields[key].type == "str":
                colour_of(value, f"theme {path}: {key}")
            elif isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value <= 5.0:
                raise InputError(f"theme {path}: {key} is {value}: give a number from 0 to 5")
        missing = [n for n, f in fields.items() if f.default is dataclasses.MISSING and n not in values]
        if missing:
            raise InputError(f"theme {path}: add {', '.join(missing)}")
        return cls(**values)


def theme_names() -> list[str]:
    """Themes that come with the package."""
    return sorted(p.stem for p in SCREEN_FACES.glob("*.yaml"))


def colour_of(text: Any, what: str = "colour") -> tuple[int, int, int]:
    """'#rrggbb' as RGB, 0 to 255. Raises InputError that names `what`."""
    try:
        if not (isinstance(text, str) and len(text) == 7 and text[0] == "#"):
            raise ValueError
        red, green, blue = (int(text[i : i + 2], 16) for i in (1, 3, 5))
        return red, green, blue
    except ValueError:
        raise InputError(f"{what} is {text!r}: give a colour as '#rrggbb'") from None
