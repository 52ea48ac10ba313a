"""Where this installation keeps its executables and shared files: under colcon, in a venv, or in a source tree."""

from __future__ import annotations

import sys
from pathlib import Path

from avatar_forcing_ros.errors import AvatarForcingError

PACKAGE = "avatar_forcing_ros"
PACKAGE_ROOT = Path(__file__).resolve().parent
SCREEN_FACES = PACKAGE_ROOT / "assets" / "screen_faces"


def _prefixes() -> list[Path]:
    prefixes = []
    try:
        from ament_index_python.packages import PackageNotFoundError, get_package_prefix

        try:
            prefixes.append(Path(get_package_prefix(PACKAGE)))
        except (PackageNotFoundError, OSError):  # AMENT_PREFIX_PATH is not set, as in a venv that was not sourced
            pass
    except ImportError:
        pass
    prefixes.append(Path(sys.prefix))
    return prefixes


def node_executable(name: str) -> Path:
    """The executable of a node. Raises AvatarForcingError where only the plain Python library is installed."""
    for prefix in _prefixes():
        path = prefix / "lib" / PACKAGE / name
        if path.exists():
            return path
    raise AvatarForcingError(
        f"the ROS node '{name}' is not installed: build the package with colcon, or run `make install`; "
        "without ROS use `run --offline`"
    )


def share_file(relative: str) -> Path:
    """A file of launch/ or config/. Raises AvatarForcingError where it was not installed."""
    for folder in [p / "share" / PACKAGE for p in _prefixes()] + [PACKAGE_ROOT.parent]:
        if (folder / relative).exists():
            return folder / relative
    raise AvatarForcingError(f"{relative} is not installed with the package")
