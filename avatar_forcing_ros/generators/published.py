"""The authors' network behind the generator's seam (motion space lia512). Weights: docs/weights.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.base import BlockSignals
from avatar_forcing_ros.generators.network import NetworkStream
from avatar_forcing_ros.models import Anchor, AvatarForcing, Identity, load_model
from avatar_forcing_ros.models.runtime import COMPILE_MODES, prepare, resolve_device, resolve_precision, speed_up
from avatar_forcing_ros.motion.neural import SPACE, portrait_image
from avatar_forcing_ros.timeline import SAMPLES_PER_FRAME


@dataclass(frozen=True)
class PublishedOptions:
    """How the network runs.

    device: "auto" (a GPU when there is one), "cpu", "cuda", "cuda:1". precision: "auto" (bfloat16 where the
    hardware calculates in it, else float32), "float32", "bfloat16", "float16". compile: "none", "compile" (torch.compile)
    or "graph" (the whole block as one CUDA graph), both for a GPU. steps: network passes per block as the release counts them. Guidance scales: 1 follows the
    condition, more exaggerates it, 0 ignores it. anchor: None is exactly the published stream, which drifts.
    """

    device: str = "auto"
    precision: str = "auto"
    compile: str = "none"
    steps: int = 10
    audio_guidance: float = 2.0
    user_guidance: float = 1.0
    anchor: Anchor | None = Anchor()

    def __post_init__(self) -> None:
        if self.compile not in COMPILE_MODES:
            raise InputError(f"compile is {self.compile!r}; use one of {', '.join(COMPILE_MODES)}")
        if not 3 <= self.steps <= 200:
            raise InputError(f"steps is {self.steps}; give 3 to 200 network passes per block")


class PublishedGenerator:
    """`weights`: the folder or file of docs/weights.md. Raises InputError when they are missing or do not fit."""

    name = "published"
    space = SPACE

    def __init__(
        self, weights: str | Path = "", options: PublishedOptions = PublishedOptions(), model: AvatarForcing | None = None
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

    def open(self, portrait: np.ndarray | None, seed: int) -> NetworkStream:
        """portrait: (H, W, 3) uint8 RGB with a face. The stream is primed and warm: the first step is like any other.

        Takes seconds: it belongs into a node's configure, before the session. Raises InputError without a face.
        """
        if portrait is None:
            raise InputError("the generator 'published' needs a portrait: set the parameter `portrait` to an image file")
        image = portrait_image(portrait, self.model.config.image_size)
        with torch.inference_mode():
            identity = self.model.encode_identity(image.to(self.model.autoencoder.basis.device))
        # The motion generator draws nothing: let go of the features.
        return self.open_identity(Identity(identity.motion), seed)

    def open_identity(self, identity: Identity, seed: int = 0) -> NetworkStream:
        """As `open`, for an identity that is already encoded."""
        options = self.options
        motion = self.model.stream(
            identity, options.steps, options.audio_guidance, options.user_guidance, options.anchor, seed
        )
        stream = NetworkStream(self.model, speed_up(motion, options.compile), seed)
        self.warm_up(stream)
        return stream

    def warm_up(self, stream: NetworkStream) -> None:
        """Run a block, so that compilation and first allocations are paid for; then begin anew."""
        count = self.model.config.block_frames
        silence, nothing = np.zeros(count * SAMPLES_PER_FRAME, np.float32), np.zeros(count, bool)
        motion, confidence = np.zeros((count, self.dim), np.float32), np.zeros(count, np.float32)
        for _ in range(2):
            stream.step(BlockSignals(0, silence, silence, motion, confidence, nothing, nothing, nothing))
        stream.reset()
