"""The network in the box behind the generator's seam: small, in rig space, trained by this package (docs/model_card.md)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from avatar_forcing_ros.assets import EMBEDDED_WEIGHTS
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.base import BlockSignals, checked_commit
from avatar_forcing_ros.generators.network import NetworkOptions, NetworkStream, open_stream
from avatar_forcing_ros.models import Anchor, AvatarForcing, Identity, load_model
from avatar_forcing_ros.models.runtime import prepare, resolve_device, resolve_precision
from avatar_forcing_ros.motion import rig

COMMIT_FRAMES = 2  # the default: the user is answered soonest; docs/evaluation.md has the figures of others
DEFAULTS = NetworkOptions(
    steps=10, audio_guidance=2.0, user_guidance=2.0, anchor=Anchor(dead_band=3.0), lip_temperature=0.2
)
# Guidance is in its weights. Its mouth is read off the sound, so noise only blurs it; the rest of the face varies as much as people's.
DISTILLED = replace(
    DEFAULTS, audio_guidance=1.0, user_guidance=1.0, lip_temperature=0.0, lid_temperature=1.14, face_temperature=1.1
)
# What speech decides: the mouth, but for the smile and the frown.
LIPS = [i for name, i in rig.INDEX.items() if name.startswith(("jaw", "mouth")) and "Smile" not in name and "Frown" not in name]
LIDS = [rig.INDEX["eyeBlinkLeft"], rig.INDEX["eyeBlinkRight"]]
HEAD = slice(0, 6)  # the head's pose, the first coefficients of the rig
_TAPS = np.array([0.25, 0.5, 0.25], np.float32)[:, None]  # a nod passes, the tremble of frame against frame does not


class EmbeddedStream(NetworkStream):
    """Its motion is limited to the rig's ranges, and the head follows it smoothed, one frame later."""

    def reset(self) -> None:
        super().reset()
        self._heads: np.ndarray | None = None  # the last two frames as the network made them

    def step(self, signals: BlockSignals) -> np.ndarray:
        motion = rig.clamp(super().step(signals))
        if self._heads is None:
            self._heads = np.repeat(motion[:1, HEAD], 2, axis=0)
        heads = np.concatenate([self._heads, motion[:, HEAD]])
        self._heads = heads[-2:]
        motion[:, HEAD] = sum(tap * heads[i : i + len(motion)] for i, tap in enumerate(_TAPS))
        return motion


class EmbeddedGenerator:
    """`weights`: a safetensors file of `avatar-forcing train`; empty: the one in the box. Raises InputError when they do not fit.

    Precision "auto" is float32 on a CPU: at this size a lower one costs more than it saves.
    """

    name = "embedded"
    space = rig.SPACE
    dim = rig.DIM

    def __init__(
        self, weights: str | Path = "", options: NetworkOptions | dict | None = None, model: AvatarForcing | None = None
    ) -> None:
        """options: or those that differ from what the network was made for. model: one that is already loaded, instead of
        `weights`."""
        if model is None:
            model = load_model(weights or EMBEDDED_WEIGHTS)
        if not isinstance(options, NetworkOptions):
            made_for = replace(DISTILLED, steps=model.config.passes) if model.config.distilled else DEFAULTS
            options = replace(made_for, **(options or {}))
        device = resolve_device(options.device)
        precision = "float32" if options.precision == "auto" and device.type == "cpu" else options.precision
        self.options = options
        self.model = prepare(model, device, resolve_precision(precision, device))
        if self.model.config.motion_dim != rig.DIM or not self.model.config.scaled_motion:
            raise InputError(f"{weights} holds a network of another motion space than {rig.SPACE}")

    def open(self, portrait: np.ndarray | None, seed: int, commit_frames: int | None = None) -> NetworkStream:
        """The face at rest is the identity, whatever the portrait."""
        commit = checked_commit(commit_frames, self.model.config.block_frames, COMMIT_FRAMES)
        device = self.model.device
        identity = Identity(self.model.to_latents(torch.zeros(1, rig.DIM, device=device)))
        temperature = torch.full((rig.DIM,), self.options.face_temperature)
        temperature[LIPS] = self.options.lip_temperature
        temperature[LIDS] = self.options.lid_temperature
        return open_stream(self.model, identity, self.options, seed, commit, EmbeddedStream, temperature)
