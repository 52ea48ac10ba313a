"""What is found once in a photo, and kept on disk by content: the next start of the same photo takes a fraction of the time."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from avatar_forcing_ros.motion import face_mesh
from avatar_forcing_ros.motion.face_mesh import FACE_OVAL
from avatar_forcing_ros.motion.matte import behind_person, person_mask
from avatar_forcing_ros.motion.photo import crop_face, sampled

_FOLDER = ".avatar_forcing"  # beside the photo
_KEPT = 12  # files in a folder; the oldest go
_HERE = Path(__file__).resolve().parent


@dataclass
class Source:
    """A prepared photo.

    skin: (T, T, 3) uint8, the square view of the face, finer than the pictures. points: (478, 3) of the face, pixels of
    the picture. mask: (S, S) float32, 1 on the person. background: (S, S, 3) uint8, the person gone. gain: (32,) float32
    of portrait_fit.py, empty until it is fitted.
    """

    skin: np.ndarray
    points: np.ndarray
    mask: np.ndarray
    background: np.ndarray
    gain: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray, size: int) -> Source:
        """image: (H, W, 3) uint8 RGB. Raises InputError when no face is found."""
        # The skin is kept finer than the picture where the source allows: moved by parts of a pixel it stays sharp.
        skin, (points, *others) = crop_face(image, face_mesh.find_faces(image), size)
        photo = sampled(skin, size)
        mask = person_mask(photo, points[FACE_OVAL, :2], [p[FACE_OVAL, :2] for p in others])
        return cls(skin, points, mask, behind_person(photo, mask), np.zeros(0, np.float32))


def cache_file(path: Path, image: np.ndarray, size: int) -> Path:
    """Where the prepared photo is kept: beside the photo, or in the user's cache where that folder cannot be written.

    The name is made of the pixels, the size and this package's code, so that nothing stale is ever taken.
    """
    digest = hashlib.sha256(image.tobytes() + repr((image.shape, size)).encode())
    for module in sorted(_HERE.glob("*.py")):
        digest.update(module.read_bytes())
    folder = path.resolve().parent
    # A folder without write bits is not meant to be written, even by who could.
    writable = os.access(folder, os.W_OK) and folder.stat().st_mode & 0o222
    if _HERE.parent in (folder, *folder.parents) or not writable:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return folder / "avatar_forcing_ros" / f"{digest.hexdigest()[:24]}.npz"
    return folder / _FOLDER / f"{digest.hexdigest()[:24]}.npz"


def load(file: Path) -> Source | None:
    """A kept source; None where there is none or it is damaged."""
    try:
        with np.load(file, allow_pickle=False) as kept:
            return Source(**{f.name: kept[f.name] for f in fields(Source)})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def store(file: Path, source: Source) -> None:
    """Keeps a source, whole or not at all. A disk that cannot be written costs the next start some seconds, no more."""
    name = ""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, suffix=".part")
        with os.fdopen(handle, "wb") as out:
            np.savez(out, **{f.name: getattr(source, f.name) for f in fields(Source)})
        os.replace(name, file)
        for old in sorted(file.parent.glob("*.npz"), key=lambda p: p.stat().st_mtime)[:-_KEPT]:
            old.unlink()
    except OSError:
        with contextlib.suppress(OSError):  # the half that a full disk has taken
            os.unlink(name)
