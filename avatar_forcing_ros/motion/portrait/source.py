"""What is found once in a photo, and kept on disk by content: the next start of the same photo takes a fraction of the time."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np

from avatar_forcing_ros.motion.portrait.matte import behind_person, person_mask
from avatar_forcing_ros.motion.portrait.photo import crop_face, group_note, sampled, turned_note, upright
from avatar_forcing_ros.motion.tracking import mesh as face_mesh
from avatar_forcing_ros.motion.tracking.mesh import FACE_OVAL
from avatar_forcing_ros.paths import PACKAGE_ROOT

_KEPT = 12  # files in a folder; the oldest go
_CODE = ("motion", "motion/portrait", "motion/tracking")  # folders whose code makes what is kept


@dataclass
class Source:
    """A prepared photo.

    skin: (T, U, 3) uint8, the view of the face, finer than the pictures (H, W). points: (478, 3) of the face, pixels of
    the picture. mask: (H, W) float32, 1 on the person. background: (H, W, 3) uint8, the person gone. gain: (32,) float32
    of portrait/fit.py, and person (P, Q, 4) uint8 RGBA, cut out and continued beyond the view: both empty until they are made.
    notes: (n,) of text, what was chosen and should be told.
    """

    skin: np.ndarray
    points: np.ndarray
    mask: np.ndarray
    background: np.ndarray
    gain: np.ndarray
    person: np.ndarray
    notes: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray, size: int | tuple[int, int]) -> Source:
        """image: (H, W, 3) uint8 RGB. size: of the pictures, a square's side or (width, height). Raises InputError when no face is
        found."""
        size = (size, size) if isinstance(size, int) else size
        image, turned = upright(image)
        faces = face_mesh.find_faces(image)
        notes = [turned_note(turned)] * bool(turned) + [group_note(image, faces)] * (len(faces) > 1)
        # The skin is kept finer than the picture where the source allows: moved by parts of a pixel it stays sharp.
        skin, (points, *others), (left, top, right, bottom) = crop_face(image, faces, size)
        photo = sampled(skin, size)
        known = np.ascontiguousarray(photo[top : size[1] - bottom, left : size[0] - right])
        hulls = [p[FACE_OVAL, :2] - (left, top) for p in (points, *others)]
        mask = person_mask(known, hulls[0], hulls[1:])
        background = behind_person(known, mask)
        # Beyond the photo a person who is cut off by its border goes on as there, the background as in a mirror.
        mask = cv2.copyMakeBorder(mask, top, bottom, left, right, cv2.BORDER_REPLICATE)
        background = cv2.copyMakeBorder(background, top, bottom, left, right, cv2.BORDER_REFLECT_101)
        return cls(skin, points, mask, background, np.zeros(0, np.float32), np.zeros(0, np.uint8), np.array(notes, str))


def cache_file(image: np.ndarray, size: int | tuple[int, int]) -> Path:
    """Where the prepared photo is kept: in the user's cache folder (XDG_CACHE_HOME), never beside the photo.

    The name is made of the pixels, the size and this package's code, so that nothing stale is ever taken.
    """
    sides = (size, size) if isinstance(size, int) else tuple(size)
    digest = hashlib.sha256(image.tobytes() + repr((image.shape, sides)).encode())
    for room in _CODE:
        for module in sorted((PACKAGE_ROOT / room).glob("*.py")):
            digest.update(module.read_bytes())
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return folder / "avatar_forcing_ros" / f"{digest.hexdigest()[:24]}.npz"


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
