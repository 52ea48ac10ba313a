"""The faces that the page may draw, as files: those of this package exported once, those of others as they are."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from avatar_forcing_ros import __version__
from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.paths import PACKAGE_ROOT, SCREEN_FACES

MODELS = (".glb", ".vrm")
PORTRAIT = "portrait"
SIZE = 512  # pixels of the picture that a portrait's export is made from
_EXPORT_TIMEOUT_S = 180.0


def is_model(avatar: str) -> bool:
    """Whether an avatar is a model file of somebody else's."""
    return avatar.lower().endswith(MODELS)


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "avatar_forcing_ros" / "faces"


def face_files(avatar: str, portrait: str = "", theme: str = "", folder: Path | None = None) -> dict[str, Path]:
    """Name -> file of every face that a kiosk with this avatar offers, the chosen one first; empty where a face is pixels alone.

    avatar: portrait, screen_face, neural, or a .glb or .vrm file. What is not in `folder` (default: the user's cache) is exported
    by a process of its own, which takes some seconds. Raises InputError on a picture or theme that cannot be used.
    """
    if is_model(avatar):
        if not Path(avatar).is_file():
            raise InputError(f"{avatar}: no such file; give a model of a face (.glb or .vrm)")
        return {Path(avatar).stem: Path(avatar)}
    themes = sorted(file.stem for file in SCREEN_FACES.glob("*.yaml"))
    if avatar == "portrait":
        wanted = [(PORTRAIT, portrait or str(DEFAULT_PORTRAIT)), *((name, "") for name in themes)]
    elif avatar == "screen_face":
        first = theme or themes[0]
        name = Path(first).stem
        wanted = [(name, first), *((other, "") for other in themes if other != name)]
    else:
        return {}
    folder = folder or cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f"{name}-{_digest(name, source)}.glb" for name, source in wanted}
    missing = [(name, source) for name, source in wanted if not files[name].is_file()]
    if missing:
        command = [sys.executable, "-m", "avatar_forcing_ros.web.faces"]
        for name, source in missing:
            command += [name, source, str(files[name])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_EXPORT_TIMEOUT_S)
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            raise InputError(lines[-1] if lines else f"the face '{missing[0][0]}' could not be exported")
    return files


def _digest(name: str, source: str) -> str:
    """Changes with the picture or theme and with the code that exports it."""
    seen = hashlib.sha256(f"{__version__} {name} {SIZE} {source}".encode())
    if source and Path(source).is_file():
        seen.update(Path(source).read_bytes())
    for file in sorted((PACKAGE_ROOT / "motion").rglob("*.py")):
        seen.update(file.read_bytes())
    return seen.hexdigest()[:16]


def _export(name: str, source: str, out: Path) -> None:
    from avatar_forcing_ros.motion.gltf import export_face
    from avatar_forcing_ros.motion.space import make_avatar

    if name == PORTRAIT:
        avatar = make_avatar("portrait", source, SIZE)
    else:
        avatar = make_avatar("screen_face", "", SIZE, source or name)
    unfinished = out.with_suffix(f".{os.getpid()}")
    unfinished.write_bytes(export_face(avatar, name))
    unfinished.replace(out)


def main() -> int:
    """NAME SOURCE OUT, any number of times."""
    values = sys.argv[1:]
    try:
        for i in range(0, len(values), 3):
            _export(values[i], values[i + 1], Path(values[i + 2]))
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
