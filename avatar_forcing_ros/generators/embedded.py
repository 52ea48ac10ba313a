"""The network in the box behind the generator's seam: small, in rig space, trained by this package (docs/model_card.md).

It runs in ONNX Runtime, without PyTorch. A safetensors file, as training writes it, runs in PyTorch; both give the same
motion for the same seed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avatar_forcing_ros.assets import EMBEDDED_NETWORK
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.base import BlockSignals, checked_commit
from avatar_forcing_ros.generators.network import MotionNetwork, NetworkOptions, NetworkStream
from avatar_forcing_ros.generators.onnx_graphs import OnnxGraphs
from avatar_forcing_ros.generators.onnx_network import OnnxNetwork
from avatar_forcing_ros.models.config import Anchor, ModelConfig
from avatar_forcing_ros.motion import rig

if TYPE_CHECKING:
    from avatar_forcing_ros.models import AvatarForcing

COMMIT_FRAMES = 2  # the default: the user is answered soonest; docs/evaluation.md has the figures of others
DEFAULTS = NetworkOptions(
    passes=10, audio_guidance=2.0, user_guidance=2.0, anchor=Anchor(dead_band=3.0), lip_temperature=0.2
)
# Guidance is in its weights. Its mouth is read off the sound, so noise only blurs it; the rest of the face varies as much as people's.
DISTILLED = replace(
    DEFAULTS, audio_guidance=1.0, user_guidance=1.0, lip_temperature=0.0, lid_temperature=1.14, face_temperature=1.1
)
_TAPS = np.array([0.25, 0.5, 0.25], np.float32)[:, None]  # a nod passes, the tremble of frame against frame does not


class EmbeddedStream(NetworkStream):
    """Its motion is limited to the rig's ranges, and the head follows it smoothed, one frame later."""

    def reset(self) -> None:
        super().reset()
        self._heads: np.ndarray | None = None  # the last two frames as the network made them

    def step(self, signals: BlockSignals) -> np.ndarray:
        motion = rig.clamp(super().step(signals))
        if self._heads is None:
            self._heads = np.repeat(motion[:1, rig.HEAD], 2, axis=0)
        heads = np.concatenate([self._heads, motion[:, rig.HEAD]])
        self._heads = heads[-2:]
        motion[:, rig.HEAD] = sum(tap * heads[i : i + len(motion)] for i, tap in enumerate(_TAPS))
        return motion


class EmbeddedGenerator:
    """`weights`: a folder of `avatar-forcing weights export-onnx`, or a safetensors file of `avatar-forcing train` (which needs
    PyTorch); empty: the one in the box. Raises InputError when they do not fit, or an option is not theirs."""

    name = "embedded"
    space = rig.SPACE
    dim = rig.DIM

    def __init__(
        self, weights: str | Path = "", options: NetworkOptions | dict | None = None, model: AvatarForcing | None = None
    ) -> None:
        """options: or those that differ from what the network was made for. model: one that PyTorch has already loaded, instead of
        `weights`."""
        weights = Path(weights or EMBEDDED_NETWORK)
        self._graphs: OnnxGraphs | None = None
        self._model = model
        if model is None and weights.suffix == ".safetensors":
            from avatar_forcing_ros.models import load_model

            self._model = load_model(weights)
        elif model is None:
            given = options if isinstance(options, NetworkOptions) else NetworkOptions(**(options or {}))
            self._graphs = OnnxGraphs(weights, _provider(given))
        held = self._graphs or self._model
        assert held is not None
        self.config: ModelConfig = held.config
        if not isinstance(options, NetworkOptions):
            made_for = replace(DISTILLED, passes=self.config.passes) if self.config.distilled else DEFAULTS
            options = replace(made_for, **(options or {}))
        self.options = options
        if self.config.motion_dim != rig.DIM or not self.config.scaled_motion:
            raise InputError(f"{weights} holds a network of another motion space than {rig.SPACE}")
        if self._model is None:
            _refuse_options_of_pytorch(options)
        else:
            self._prepare()

    def _prepare(self) -> None:
        """Precision "auto" is float32 on a CPU: at this size a lower one costs more than it saves."""
        from avatar_forcing_ros.models.runtime import prepare, resolve_device, resolve_precision

        assert self._model is not None
        device = resolve_device(self.options.device)
        precision = "float32" if self.options.precision == "auto" and device.type == "cpu" else self.options.precision
        self._model = prepare(self._model, device, resolve_precision(precision, device))

    def open(self, portrait: np.ndarray | None, seed: int, commit_frames: int | None = None) -> EmbeddedStream:
        """The face at rest is the identity, whatever the portrait."""
        return EmbeddedStream(
            self._network(seed, checked_commit(commit_frames, self.config.block_frames, COMMIT_FRAMES)), seed
        )

    def _network(self, seed: int, commit: int) -> MotionNetwork:
        options = self.options
        temperature = np.full(rig.DIM, options.face_temperature, np.float32)
        temperature[rig.LIPS] = options.lip_temperature
        temperature[rig.LIDS] = options.lid_temperature
        if self._graphs is not None:
            rest = -self._graphs.constants["motion_mean"] / self._graphs.constants["motion_spread"]
            return OnnxNetwork(
                self._graphs, rest, passes=options.passes, audio_guidance=options.audio_guidance, anchor=options.anchor,
                user_guidance=options.user_guidance, seed=seed, commit_frames=commit, temperature=temperature,
            )  # fmt: skip
        from avatar_forcing_ros.generators.torch_network import TorchNetwork, identity_at

        assert self._model is not None
        return TorchNetwork(
            self._model,
            identity_at(self._model, np.zeros((1, rig.DIM), np.float32)),
            options,
            seed,
            commit,
            temperature,
        )


def _provider(options: NetworkOptions) -> str:
    """A device that was asked for is a provider too."""
    if options.device != "cpu" and options.device.partition(":")[0] not in ("auto", "cuda"):
        raise InputError(f"device {options.device!r} is unknown; use auto, cpu or cuda")
    return "cuda" if options.provider == "auto" and options.device.startswith("cuda") else options.provider


def _refuse_options_of_pytorch(options: NetworkOptions) -> None:
    if options.precision not in ("auto", "float32"):
        raise InputError(
            f"precision {options.precision!r} is for the published network; the embedded one computes in float32"
        )
    if options.compile != "none":
        raise InputError(
            f"compile {options.compile!r} is for the published network on a GPU; for the embedded one choose a provider"
        )
