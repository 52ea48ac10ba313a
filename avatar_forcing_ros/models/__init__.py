"""The network of Avatar Forcing in PyTorch. Knows nothing of ROS, cameras or sound files."""

from avatar_forcing_ros.models.autoencoder import Identity
from avatar_forcing_ros.models.config import ModelConfig
from avatar_forcing_ros.models.model import AvatarForcing
from avatar_forcing_ros.models.stream import Anchor, MotionStream
from avatar_forcing_ros.models.weights import check_weights, convert_weights, load_autoencoder, load_model, save_model

__all__ = [
    "Anchor", "AvatarForcing", "Identity", "ModelConfig", "MotionStream",
    "check_weights", "convert_weights", "load_autoencoder", "load_model", "save_model",
]
