"""The authors' network behind the generator's seam (motion space lia512). Weights: docs/weights.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.base import checked_commit
from avatar_forcing_ros.generators.network import NetworkOptions, NetworkStream
from avatar_forcing_ros.generators.torch_network import TorchNetwork
from avatar_forcing_ros.models import AvatarForcing, Identity, load_model
from avatar_forcing_ros.models.runtime import prepare, resolve_device, resolve_precision
from avatar_forcing_ros.motion.neural import SPACE, portrait_image


class PublishedGenerator:
    """`weights`: the folder or file of docs/weights.md. Raises InputError when they are missing or do not fit.

    Precision "auto" is bfloat16 where the hardware calculates in it, else float32. Without an anchor, committing whole
    blocks, it is exactly the published stream, which drifts.
    """

    name = "published"
    space = SPACE

    def __init__(
        self, weights: str | Path = "", options: NetworkOptions = NetworkOptions(), model: AvatarForcing | None = None
    ) -> None:
        """model: a network that is already loaded, instead of `weights`."""
        if model is None and not str(weights):
            raise InputError(
                "the generator 'published' needs the authors' weights: set the parameter `weights` to their folder; "
                "docs/weights.md says where they are published"
            )
        device = resolve_device(options.device)
        precision = resolve_precision(options.precision, device)
        self.options = options
        self.model = prepare(load_model(weights) if model is None else model, device, precision)
        if self.model.autoencoder is None or self.model.config.motion_dim != 512:
            raise InputError(f"{weights} holds a network of another motion space than {SPACE}")
        self.dim = self.model.config.motion_dim

    def open(self, portrait: np.ndarray | None, seed: int, commit_frames: int | None = None) -> NetworkStream:
        """portrait: (H, W, 3) uint8 RGB with a face. The stream is primed and warm: the first step is like any other.

        Takes seconds: it belongs into a node's configure, before the session. Raises InputError without a face.
        """
        if portrait is None:
            raise InputError(
                "the generator 'published' needs a portrait: set the parameter `portrait` to an image file"
            )
        autoencoder, side = self.model.autoencoder, self.model.config.image_size
        assert autoencoder is not None and side is not None
        image = portrait_image(portrait, side)
        with torch.inference_mode():
            identity = self.model.encode_identity(image.to(autoencoder.basis.device))
        # The motion generator draws nothing: let go of the features.
        return self.open_identity(Identity(identity.motion), seed, commit_frames)

    def open_identity(self, identity: Identity, seed: int = 0, commit_frames: int | None = None) -> NetworkStream:
        """As `open`, for an identity that is already encoded."""
        commit = checked_commit(commit_frames, self.model.config.block_frames)
        return NetworkStream(TorchNetwork(self.model, identity, self.options, seed, commit), seed)
