"""Opening MediaPipe: its native libraries write about their start to stderr whatever log level is set."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import cv2
import numpy as np

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT


def open_face_mesh(**options):
    """A FaceMesh in video mode, past its start: the first image is quick."""
    from mediapipe.python.solutions.face_mesh import FaceMesh  # seconds to import: only who tracks pays

    with quiet_native_start():
        mesh = FaceMesh(static_image_mode=False, **options)
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
