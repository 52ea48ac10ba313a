"""The network in the box as ONNX files, which run without PyTorch (generators/onnx_network.py).

A step is a loop of a few calls, so four small graphs are written instead of one: then the number of passes, guidance and
the frames that a step commits are still chosen at run time. At this size a step costs as much as its graphs have operators, so
they compute what models/transformer.py and models/dual_motion_encoder.py do in as few as can be. Names and shapes (b branches,
n frames of motion, m frames of conditions, p frames before them, k times, L depth, h heads, d = W / h):

    sound      spectra (s, m, 4 * bands)                                        -> features (s, m, A)
    condition  avatar_audio, user_audio (1, m, A), user_motion (1, m, D), hears_avatar, hears_user (b, 1, 1)
                                                        -> condition (b, m, W), embedded; keys, values (b, L h, m, d)
    time       times (k,)                                                       -> modulations (k, 8 W)
    motion     latents (1, n, D), reference (1, D), modulations (n, 8 W), condition (b, n, W), cosines, sines (n, 2 W),
               self_mask (n, p + n), cross_mask (n, m) added to the scores, cross_keys, cross_values (b, L h, m, d),
               past_keys, past_values (b, L h, p, d)
                                                        -> velocity (b, n, D), keys, values (b, n, L W)

Weights are stored in float16 where they are exactly that, as those in the box are, and calculated with in float32.
Needs the packages of the extra `train`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.models import transformer
from avatar_forcing_ros.models.config import ONNX_FORMAT
from avatar_forcing_ros.models.model import AvatarForcing

OPSET = 20


class _Sound(nn.Module):
    def __init__(self, model: AvatarForcing) -> None:
        super().__init__()
        self.encoder = model.audio_encoder
        # A convolution over three frames is a product with the three side by side.
        self.weights = nn.ParameterList(conv.weight.permute(0, 2, 1).flatten(1) for conv in self.encoder.convs)

    def forward(self, spectra: Tensor) -> Tensor:
        encoder, linear = self.encoder, nn.functional.linear
        x = encoder.embed(spectra)
        for weight, conv, norm in zip(self.weights, encoder.convs, encoder.norms):
            past = nn.functional.pad(norm(x), (0, 0, 2, 0))
            three = torch.cat([past[:, :-2], past[:, 1:-1], past[:, 2:]], -1)
            x = x + nn.functional.silu(linear(three, weight, conv.bias))
        return encoder.project(x)


class _Condition(nn.Module):
    def __init__(self, model: AvatarForcing) -> None:
        super().__init__()
        self.encoder, embed = model.dual_motion_encoder, model.transformer.embed_condition
        assert embed is not None  # `export_onnx` takes no other networks
        self.embed = embed
        cross = [block.cross for block in model.transformer.blocks]
        self.depth, self.heads, width = len(cross), cross[0].heads, cross[0].query.in_features
        # All layers' keys, then all layers' values.
        self.memory = _linear(*(c.key_value for c in cross), rows=[slice(0, width), slice(width, 2 * width)])

    def forward(
        self, avatar_audio: Tensor, user_audio: Tensor, user_motion: Tensor, hears_avatar: Tensor, hears_user: Tensor
    ):
        encoder = self.encoder
        avatar_audio, user_audio = avatar_audio * hears_avatar, user_audio * hears_user
        motion = encoder.embed_motion(user_motion * hears_user)
        user = nn.functional.silu(encoder.user_norm(motion + _attend(encoder.user_attention, motion, user_audio)))
        seen = _attend(encoder.avatar_attention, avatar_audio, user)
        condition = encoder.project(nn.functional.silu(encoder.avatar_norm(avatar_audio + seen)))
        if encoder.align_user is not None:
            condition = condition + encoder.align_user(user)
        if encoder.align_sound is not None:
            condition = condition + encoder.align_sound(user_audio)
        keys, values = _heads(self.memory(condition), 2 * self.depth * self.heads).split(self.depth * self.heads, 1)
        return self.embed(condition), keys, values


class _Time(nn.Module):
    def __init__(self, model: AvatarForcing) -> None:
        super().__init__()
        self.transformer = model.transformer
        scales = torch.zeros(transformer.MODULATIONS, 1)
        scales[[1, 4, 7]] = 1.0  # what is multiplied with, is 1 + the scale
        self.register_buffer("one", scales)

    def forward(self, times: Tensor) -> Tensor:
        return (self.transformer.modulations(times) + self.one).flatten(1)


class _Motion(nn.Module):
    def __init__(self, model: AvatarForcing) -> None:
        super().__init__()
        self.transformer = model.transformer
        width = model.config.width
        # Queries, keys, values, and queries and keys turned by a quarter: with those a rotation is two products and a sum.
        self.projections = nn.ModuleList()
        for block in model.transformer.blocks:
            all_three = block.attention.qkv
            turned = _linear(all_three, rows=[slice(0, 2 * width)])
            order = torch.arange(2 * width).view(-1, 2).flip(1).flatten()  # (even, odd) -> (-odd, even)
            sign = torch.tensor([-1.0, 1.0]).repeat(width)
            turned.weight.data, turned.bias.data = turned.weight[order] * sign[:, None], turned.bias[order] * sign
            self.projections.append(_linear(all_three, turned))

    def forward(  # noqa: PLR0917 (the exporter gives them by their places)
        self, latents: Tensor, reference: Tensor, modulations: Tensor, condition: Tensor, cosines: Tensor, sines: Tensor,
        self_mask: Tensor, cross_mask: Tensor, cross_keys: Tensor, cross_values: Tensor, past_keys: Tensor, past_values: Tensor,
    ):  # fmt: skip
        network, dim, width = self.transformer, latents.shape[-1], condition.shape[-1]
        heads = network.config.heads
        embed = network.embed
        at_rest = nn.functional.linear(reference, embed.weight[:, dim:], embed.bias)
        x = nn.functional.linear(latents, embed.weight[:, :dim]) + at_rest + condition
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp, shift_out, scale_out = modulations.chunk(8, -1)
        layers = (memory.split(heads, 1) for memory in (cross_keys, cross_values, past_keys, past_values))
        keys, values = [], []
        for block, project, (seen_keys, seen_values, old_keys, old_values) in zip(
            network.blocks, self.projections, zip(*layers)
        ):
            normal = transformer.normalise(x) * scale + shift
            both, value, turned = project(normal).split((2 * width, width, 2 * width), -1)
            keys.append(both[..., width:])
            values.append(value)
            query, key = _heads(both * cosines + turned * sines, 2 * heads).split(heads, 1)
            key, value = torch.cat([old_keys, key], 2), torch.cat([old_values, _heads(value, heads)], 2)
            x = x + gate * block.attention.project(_weighed(query, key, value, self_mask))
            query = _heads(block.cross.query(transformer.normalise(x)), heads)
            x = x + block.cross.project(_weighed(query, seen_keys, seen_values, cross_mask))
            x = x + gate_mlp * block.mlp(transformer.normalise(x) * scale_mlp + shift_mlp)
        velocity = network.final(transformer.normalise(x) * scale_out + shift_out)
        return velocity, torch.cat(keys, -1), torch.cat(values, -1)


def _linear(*layers: nn.Linear, rows: Sequence[slice] = (slice(None),)) -> nn.Linear:
    """One layer that gives these rows of each, side by side: first those of the first slice."""
    weights = torch.cat([layer.weight[r] for r in rows for layer in layers])
    out = nn.Linear(weights.shape[1], weights.shape[0])
    out.weight.data, out.bias.data = weights, torch.cat([layer.bias[r] for r in rows for layer in layers])
    return out.requires_grad_(False)


def _heads(x: Tensor, count: int) -> Tensor:
    """(b, n, count * d) -> (b, count, n, d)"""
    return x.unflatten(-1, (count, -1)).transpose(1, 2)


def _weighed(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention: (b, h, n, d), (b, h, m, d) twice, a mask (n, m) that is added -> (b, n, h d)"""
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    scores = scores if mask is None else scores + mask
    return (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)


def _attend(attention: nn.MultiheadAttention, x: Tensor, seen: Tensor) -> Tensor:
    """As the module does without a mask, its keys and values in one product. x: (b, n, A); seen: (b, m, A)"""
    width, heads = attention.embed_dim, attention.num_heads
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    query = _heads(nn.functional.linear(x, weight[:width], bias[:width]), heads)
    memory = nn.functional.linear(seen, weight[width:], bias[width:])
    key, value = _heads(memory, 2 * heads).split(heads, 1)
    return attention.out_proj(_weighed(query, key, value))


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
        "format": ONNX_FORMAT,
        "config": json.dumps(config.to_dict()),
        "constants": json.dumps(_constants(model)),
    }
    written = []
    for name, (module, inputs, outputs, dynamic) in _parts(model).items():
        with warnings.catch_warnings():  # the exporter warns of itself
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
    heads, d = config.depth * config.heads, config.width // config.heads

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape)

    sound = {"spectra": draw(2, 19, 4 * config.mel_bands)}
    condition = {
        "avatar_audio": draw(1, window, config.audio_dim), "user_audio": draw(1, window, config.audio_dim),
        "user_motion": draw(1, window, config.motion_dim), "hears_avatar": draw(branches, 1, 1), "hears_user": draw(branches, 1, 1),
    }  # fmt: skip
    motion = {
        "latents": draw(1, frames, config.motion_dim), "reference": draw(1, config.motion_dim), "modulations": draw(frames, 8 * config.width),
        "condition": draw(branches, frames, config.width), "cosines": draw(frames, 2 * config.width), "sines": draw(frames, 2 * config.width),
        "self_mask": draw(frames, past + frames), "cross_mask": draw(frames, window),
        "cross_keys": draw(branches, heads, window, d), "cross_values": draw(branches, heads, window, d),
        "past_keys": draw(branches, heads, past, d), "past_values": draw(branches, heads, past, d),
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
            ({1: n}, {}, {0: n}, {0: b, 1: n}, {0: n}, {0: n}, {0: n, 1: auto}, {0: n, 1: m}, {0: b, 2: m}, {0: b, 2: m}, {0: b, 2: p}, {0: b, 2: p}),
        ),
    }  # fmt: skip


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
