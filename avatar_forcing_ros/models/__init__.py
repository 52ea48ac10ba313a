"""The network of Avatar Forcing in PyTorch. Knows nothing of ROS, cameras or sound files.

Names are looked up when they are asked for: what only wants a configuration, as the network in the box does, needs no PyTorch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from avatar_forcing_ros.errors import missing_package

if TYPE_CHECKING:
    from avatar_forcing_ros.models.autoencoder import Identity
    from avatar_forcing_ros.models.config import Anchor, ModelConfig
    from avatar_forcing_ros.models.model import AvatarForcing
    from avatar_forcing_ros.models.stream import MotionStream
    from avatar_forcing_ros.models.weights import (
        check_weights,
        convert_weights,
        load_autoencoder,
        load_model,
        save_model,
    )

_MODULES = {
    "Anchor": "config", "AvatarForcing": "model", "Identity": "autoencoder", "ModelConfig": "config", "MotionStream": "stream",
    **dict.fromkeys(("check_weights", "convert_weights", "load_autoencoder", "load_model", "save_model"), "weights"),
}  # fmt: skip
__all__ = [
    "Anchor", "AvatarForcing", "Identity", "ModelConfig", "MotionStream",
    "check_weights", "convert_weights", "load_autoencoder", "load_model", "save_model",
]  # fmt: skip


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
