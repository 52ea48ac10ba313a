"""The network in the box as ONNX files, which run without PyTorch (generators/onnx_network.py).

A step is a loop of a few calls, so four small graphs are written instead of one: then the number of passes, guidance and
the frames that a step commits are still chosen at run time. Names and shapes (b branches, n frames of motion, m frames
of conditions, p frames before them, k times, L depth, h heads, d = W / h):

    sound      spectra (s, m, 4 * bands)                                        -> features (s, m, A)
    condition  avatar_audio, user_audio (1, m, A), user_motion (1, m, D), hears_avatar, hears_user (b, 1, 1)
                                                        -> condition (b, m, W), keys, values (L, b, h, m, d)
    time       times (k,)                                                       -> modulations (k, 8, W)
    motion     latents (1, n, D), reference (1, D), modulations (n, 8, W), condition (b, n, W), angles (2, n, d / 2),
               self_mask (n, p + n), cross_mask (n, m) added to the scores, cross_keys, cross_values (L, b, h, m, d),
               past_keys, past_values (L, b, h, p, d)
                                                        -> velocity (b, n, D), keys, values (L, b, h, n, d)

Weights are stored in float16 where they are exactly that, as those in the box are, and calculated with in float32.
Needs the packages of the extra `train`.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.models import transformer
from avatar_forcing_ros.models.model import AvatarForcing
from avatar_forcing_ros.models.transformer import Memory

OPSET = 20
GRAPHS = ("sound", "condition", "time", "motion")


class _Sound(nn.Module):
    def __init__(self, model: AvatarForcing) -> None:
        super().__init__()
        self.encoder = model.audio_encoder

    def forward(self, spectra: Tensor) -> Tensor:
        return self.encoder.features(spectra)


class _Condition(nn.Module):
    def __init__(self, model: AvatarForcing) -> None:
        super().__init__()
        self.encoder, self.transformer = model.dual_motion_encoder, model.transformer

    def forward(
        self, avatar_audio: Tensor, user_audio: Tensor, user_motion: Tensor, hears_avatar: Tensor, hears_user: Tensor
    ):
        condition = self.encoder(avatar_audio * hears_avatar, user_audio * hears_user, user_motion * hears_user)
        memory = self.transformer.condition_memory(condition)
        return condition, memory.keys, memory.values


class _Time(nn.Module):
    def __init__(self, model: AvatarForcing) -> None:
        super().__init__()
        self.transformer = model.transformer

    def forward(self, times: Tensor) -> Tensor:
        return self.transformer.modulations(times)


class _Motion(nn.Module):
    def __init__(self, model: AvatarForcing) -> None:
        super().__init__()
        self.transformer = model.transformer

    def forward(  # noqa: PLR0917 (the exporter gives them by their places)
        self, latents: Tensor, reference: Tensor, modulations: Tensor, condition: Tensor, angles: Tensor, self_mask: Tensor,
        cross_mask: Tensor, cross_keys: Tensor, cross_values: Tensor, past_keys: Tensor, past_values: Tensor,
    ):  # fmt: skip
        velocity, memory = self.transformer(
            latents,
            reference,
            modulations,
            cross=Memory(cross_keys, cross_values),
            angles=angles,
            self_mask=self_mask,
            cross_mask=cross_mask,
            past=Memory(past_keys, past_values),
            condition=condition,
        )
        return velocity, memory.keys, memory.values


def export_onnx(model: AvatarForcing, out: str | Path) -> list[Path]:
    """Writes the four graphs of a network in rig space into the folder `out`, and says what they were made from in their
    metadata. Raises InputError for a network of another kind, and where the exporter's packages are missing."""
    try:
        import onnx
        import onnxscript  # noqa: F401 (torch.onnx.export imports it late and says less)
    except ImportError as error:
        raise InputError(
            "writing ONNX files needs onnx and onnxscript: pip install 'avatar_forcing_ros[train]'"
        ) from error
    config = model.config
    if config.audio_front_end != "log_mel" or not config.token_condition:
        raise InputError("only a network like the embedded one can be written as ONNX files: rig space, log-mel sound")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    model = model.float().eval().requires_grad_(False)
    metadata = {
        "format": "avatar_forcing_ros",
        "config": json.dumps(config.to_dict()),
        "constants": json.dumps(_constants(model)),
    }
    written = []
    for name, (module, inputs, outputs, dynamic) in _parts(model).items():
        with warnings.catch_warnings(), patch.object(transformer, "rotate", _rotate):  # the exporter warns of itself
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module.eval(), tuple(inputs.values()), dynamo=True, verbose=False, opset_version=OPSET, optimize=True,
                input_names=list(inputs), output_names=outputs, dynamic_shapes=dynamic,
            )  # fmt: skip
        proto = program.model_proto
        _store_float16(proto, onnx)
        del proto.metadata_props[:]
        onnx.helper.set_model_props(proto, metadata)
        _forget_sources(proto.graph)
        written.append(out / f"{name}.onnx")
        written[-1].write_bytes(proto.SerializeToString())
    return written


def _parts(model: AvatarForcing) -> dict[str, tuple]:
    """Graph -> (module, example inputs by name, names of outputs, dimensions that vary)."""
    config, dim = model.config, torch.export.Dim
    b, n, m, p, k, s = (
        dim(name, min=1, max=4096) for name in ("branches", "frames", "window", "past", "times", "speakers")
    )
    branches, frames, window, past = 3, 11, 13, 37
    depth, heads, d = config.depth, config.heads, config.width // config.heads

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape)

    sound = {"spectra": draw(2, 19, 4 * config.mel_bands)}
    condition = {
        "avatar_audio": draw(1, window, config.audio_dim), "user_audio": draw(1, window, config.audio_dim),
        "user_motion": draw(1, window, config.motion_dim), "hears_avatar": draw(branches, 1, 1), "hears_user": draw(branches, 1, 1),
    }  # fmt: skip
    motion = {
        "latents": draw(1, frames, config.motion_dim), "reference": draw(1, config.motion_dim), "modulations": draw(frames, 8, config.width),
        "condition": draw(branches, frames, config.width), "angles": draw(2, frames, d // 2), "self_mask": draw(frames, past + frames),
        "cross_mask": draw(frames, window), "cross_keys": draw(depth, branches, heads, window, d),
        "cross_values": draw(depth, branches, heads, window, d), "past_keys": draw(depth, branches, heads, past, d),
        "past_values": draw(depth, branches, heads, past, d),
    }  # fmt: skip
    auto = dim.DYNAMIC
    return {
        "sound": (_Sound(model), sound, ["features"], ({0: s, 1: m},)),
        "condition": (
            _Condition(model), condition, ["condition", "keys", "values"], ({1: m}, {1: m}, {1: m}, {0: b}, {0: b})
        ),
        "time": (_Time(model), {"times": torch.tensor([1000.0, 400.0, 0.0])}, ["modulations"], ({0: k},)),
        "motion": (
            _Motion(model), motion, ["velocity", "keys", "values"],
            ({1: n}, {}, {0: n}, {0: b, 1: n}, {1: n}, {0: n, 1: auto}, {0: n, 1: m}, {1: b, 3: m}, {1: b, 3: m}, {1: b, 3: p}, {1: b, 3: p}),
        ),
    }  # fmt: skip


def _rotate(x: Tensor, angles: Tensor) -> Tensor:
    """As transformer.rotate, in four operators instead of a dozen."""
    cos, sin = angles.repeat_interleave(2, -1)
    size = x.shape[-1]
    swap = torch.zeros(size, size)
    odd = torch.arange(1, size, 2)
    swap[odd, odd - 1], swap[odd - 1, odd] = -1.0, 1.0  # (even, odd) -> (-odd, even)
    return x * cos + (x @ swap) * sin


def _constants(model: AvatarForcing) -> dict[str, list[float]]:
    """What is calculated outside the graphs."""
    names = ("avatar_audio", "user_audio", "user_motion")
    unknown = {f"unknown_{name}": value.tolist() for name, value in zip(names, model.dual_motion_encoder.unknown)}
    scale = (
        {"motion_mean": model.motion_mean.tolist(), "motion_spread": model.motion_spread.tolist()}
        if model.config.scaled_motion
        else {}
    )
    return {**unknown, **scale}


def _store_float16(proto, onnx) -> None:
    """Large float32 weights that float16 holds exactly become float16 with a cast behind them; the runtime undoes the cast
    once, when it loads the graph."""
    casts = []
    for tensor in list(proto.graph.initializer):
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        array = onnx.numpy_helper.to_array(tensor)
        half = array.astype(np.float16)
        if array.size < 64 or not np.array_equal(half.astype(np.float32), array):
            continue
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(half, name + ".half"))
        casts.append(onnx.helper.make_node("Cast", [name + ".half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def _forget_sources(graph) -> None:
    """The exporter notes file names and lines of the machine it ran on; they are nobody's business and half of the file."""
    graph.doc_string = ""
    del graph.metadata_props[:], graph.value_info[:]
    for node in graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.doc_string = ""
        if hasattr(value, "metadata_props"):
            del value.metadata_props[:]
