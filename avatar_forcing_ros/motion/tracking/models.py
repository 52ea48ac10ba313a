"""The face models: which there are, where they lie, and how ONNX Runtime opens them.

They are Google's, from MediaPipe (Apache-2.0), and no part of this package: `avatar-forcing models fetch` brings them
(fetch.py).
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnxruntime

from avatar_forcing_ros.errors import InputError

ENVIRONMENT = "AVATAR_FORCING_FACE_MODELS"  # names the folder
SHORT_RANGE, FULL_RANGE = "face_detection_short_range", "face_detection_full_range_sparse"
MESH, SEGMENTATION = "face_landmark_with_attention", "selfie_segmentation"
TABLES = "face_mesh.npz"  # edges (E, 2) of the mesh; lips, eyeRight, eyeLeft: which points the crops refine
FILES = (*(f"{name}.onnx" for name in (SHORT_RANGE, FULL_RANGE, MESH, SEGMENTATION)), TABLES)


def default_folder() -> Path:
    """Where `models fetch` puts them: in the environment's own folder for a virtual one, else in the user's data."""
    if sys.prefix != sys.base_prefix:
        return Path(sys.prefix) / "share" / "avatar_forcing_ros" / "face_models"
    return (
        Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "avatar_forcing_ros" / "face_models"
    )


def folder() -> Path:
    """The folder that is used: the one that the environment names, else the default one."""
    return Path(os.environ[ENVIRONMENT]).expanduser() if os.environ.get(ENVIRONMENT) else default_folder()


def find(name: str) -> Path:
    """One of `FILES`. Raises InputError that says how to get it where it is missing."""
    path = folder() / name
    if not path.is_file():
        raise InputError(
            f"the face models are missing ({path}): run `avatar-forcing models fetch`, with `--wheel FILE` where there is no network; "
            f"or name their folder in {ENVIRONMENT}"
        )
    return path


class Network:
    """A model on one thread. Its first input and all its outputs are float32."""

    def __init__(self, name: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        path = find(f"{name}.onnx")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has a type of its own for every kind of damage
            raise InputError(
                f"the face model {path} cannot be read ({type(error).__name__}): run `avatar-forcing models fetch`"
            ) from error
        self._input = self._session.get_inputs()[0].name
        self.side: int = self._session.get_inputs()[0].shape[1]

    def __call__(self, image: np.ndarray) -> list[np.ndarray]:
        """image: (1, side, side, 3) float32"""
        return self._session.run(None, {self._input: image})


@lru_cache
def network(name: str) -> Network:
    """A model by its name, opened once; it may be used by several threads."""
    return Network(name)


@lru_cache
def table(name: str) -> np.ndarray:
    """An array of `TABLES`."""
    with np.load(find(TABLES)) as tables:
        return tables[name]
