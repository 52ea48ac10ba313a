"""What a page needs to measure its visitor's face by itself: the face models and tables of this installation, as files."""

from __future__ import annotations

import json
from pathlib import Path

from avatar_forcing_ros.motion.tracking import measured, models

_MODELS = {f"{name}.onnx" for name in (models.MESH, models.SHORT_RANGE)}


def tracking_file(name: str) -> Path | bytes | None:
    """A file under /tracking/ that is no part of the page's bundle: a model's path, the tables as JSON, or None.

    Raises InputError that says how to get the models where they are missing.
    """
    if name in _MODELS:
        return models.find(name)
    if name == "tables.json":
        crops = {part: models.table(part).tolist() for part in ("lips", "eyeRight", "eyeLeft")}
        return json.dumps(measured.tables() | {"crops": crops}).encode()
    return None
