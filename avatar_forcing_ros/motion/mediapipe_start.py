"""Opening MediaPipe: quickly, without what it imports for its examples; and quietly, for its native libraries write about
their start to stderr whatever log level is set."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT


def solution(name: str) -> types.ModuleType:
    """MediaPipe's module `name` of its solutions, such as "face_mesh".

    The package imports matplotlib for a plot and sounddevice for a recorder, neither of which is used here: half of the time
    that it takes. They stand empty meanwhile, unless somebody has imported them before.
    """
    empty = {"matplotlib": types.ModuleType("matplotlib"), "matplotlib.pyplot": types.ModuleType("pyplot"), "sounddevice": None}
    empty = {} if "matplotlib" in sys.modules else empty
    sys.modules.update(empty)
    try:
        return importlib.import_module(f"mediapipe.python.solutions.{name}")
    finally:
        for module in empty:
            del sys.modules[module]


def face_mesh_edges() -> frozenset[tuple[int, int]]:
    """The edges of the face mesh, from MediaPipe's table alone, without the package around it."""
    folder = Path(importlib.util.find_spec("mediapipe").submodule_search_locations[0])
    table = folder / "python" / "solutions" / "face_mesh_connections.py"
    spec = importlib.util.spec_from_file_location("face_mesh_connections", table)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.FACEMESH_TESSELATION


def open_face_mesh(**options):
    """A FaceMesh in video mode, past its start: the first image is quick."""
    face_mesh = solution("face_mesh")  # most of a second to import: only who tracks pays
    with quiet_native_start():
        mesh = face_mesh.FaceMesh(static_image_mode=False, **options)
    restart(mesh)
    return mesh


def restart(mesh) -> None:
    """Forgets the video. A face is shown, which loads what it needs, then darkness, which drops the face again."""
    with quiet_native_start():
        mesh.reset()
        picture = np.ascontiguousarray(cv2.imread(str(DEFAULT_PORTRAIT))[:, :, ::-1])
        mesh.process(picture)
        mesh.process(np.zeros_like(picture))


@contextlib.contextmanager
def quiet_native_start() -> Iterator[None]:
    """While a MediaPipe graph is made and takes its first image, what native code writes to stderr is dropped.

    Errors come as Python exceptions and are not touched.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
