"""The authors' parameter names and ours. Files are the matter of models/weights.py.

Our parameters are the ones that inference needs. `sources` is the table that says from which published
parameters each is made, and how: equalised scales, the QR decomposition of the motion directions and weight
norms are folded in here, once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from avatar_forcing_ros.errors import InputError

# (our name, published name, how it is made); {i} stands for a number, {j} = i + 1, {a} = 2 i, {b} = 2 i + 1.
TABLE: tuple[tuple[str, str, str], ...] = (
    ("autoencoder.basis", "motion_autoencoder.dec.direction.weight", "basis"),
    ("autoencoder.encoder.stem.weight", "motion_autoencoder.enc.net_app.convs.0.0.weight", "equalised"),
    ("autoencoder.encoder.stem.bias", "motion_autoencoder.enc.net_app.convs.0.1.bias", "copy"),
    (
        "autoencoder.encoder.blocks.{i}.conv1.weight",
        "motion_autoencoder.enc.net_app.convs.{j}.conv1.0.weight",
        "equalised",
    ),
    ("autoencoder.encoder.blocks.{i}.conv1.bias", "motion_autoencoder.enc.net_app.convs.{j}.conv1.1.bias", "copy"),
    (
        "autoencoder.encoder.blocks.{i}.conv2.weight",
        "motion_autoencoder.enc.net_app.convs.{j}.conv2.1.weight",
        "equalised",
    ),
    ("autoencoder.encoder.blocks.{i}.conv2.bias", "motion_autoencoder.enc.net_app.convs.{j}.conv2.2.bias", "copy"),
    ("autoencoder.encoder.blocks.{i}.skip", "motion_autoencoder.enc.net_app.convs.{j}.skip.1.weight", "equalised"),
    ("autoencoder.encoder.head", "motion_autoencoder.enc.net_app.convs.{last}.weight", "equalised"),
    ("autoencoder.encoder.magnitudes.{i}.weight", "motion_autoencoder.enc.fc.{i}.weight", "equalised"),
    ("autoencoder.encoder.magnitudes.{i}.bias", "motion_autoencoder.enc.fc.{i}.bias", "copy"),
    ("autoencoder.decoder.constant", "motion_autoencoder.dec.input.input", "copy"),
    ("autoencoder.decoder.first", "motion_autoencoder.dec.conv1", "styled"),
    ("autoencoder.decoder.stages.{i}.up", "motion_autoencoder.dec.convs.{a}", "styled"),
    ("autoencoder.decoder.stages.{i}.conv", "motion_autoencoder.dec.convs.{b}", "styled"),
    ("autoencoder.decoder.stages.{i}.flow", "motion_autoencoder.dec.to_flows.{i}", "styled"),
    ("autoencoder.decoder.stages.{i}.rgb.weight", "motion_autoencoder.dec.to_rgbs.{i}.conv.0.weight", "equalised"),
    ("autoencoder.decoder.stages.{i}.rgb.activation_bias", "motion_autoencoder.dec.to_rgbs.{i}.conv.1.bias", "copy"),
    ("autoencoder.decoder.stages.{i}.rgb.bias", "motion_autoencoder.dec.to_rgbs.{i}.bias", "copy"),
    (
        "audio_encoder.trunk.encoder.pos_conv_embed.conv.weight",
        "audio_encoder.wav2vec2.encoder.pos_conv_embed.conv.weight",
        "weight_norm",
    ),
    ("audio_encoder.trunk", "audio_encoder.wav2vec2", "copy"),
    ("audio_encoder.project", "audio_encoder.audio_projection", "copy"),
    ("dual_motion_encoder.embed_motion", "flow_transformer.c_embedder.motion_embedder", "copy"),
    ("dual_motion_encoder.user_attention", "flow_transformer.c_embedder.dual_modal_attn", "copy"),
    ("dual_motion_encoder.user_norm", "flow_transformer.c_embedder.ln1", "copy"),
    ("dual_motion_encoder.avatar_attention", "flow_transformer.c_embedder.user_agent_attn", "copy"),
    ("dual_motion_encoder.avatar_norm", "flow_transformer.c_embedder.ln2", "copy"),
    ("dual_motion_encoder.project", "flow_transformer.c_embedder.to_cond_user", "copy"),
    ("transformer.embed", "flow_transformer.x_embedder.proj", "copy"),
    ("transformer.embed_time", "flow_transformer.t_embedder.mlp", "copy"),
    ("transformer.modulation", "flow_transformer.adaLN_modulation.1", "copy"),
    ("transformer.blocks.{i}.attention.qkv", "flow_transformer.blocks.{i}.attn.qkv", "copy"),
    ("transformer.blocks.{i}.attention.project", "flow_transformer.blocks.{i}.attn.proj", "copy"),
    ("transformer.blocks.{i}.cross.query", "flow_transformer.blocks.{i}.cross_attn.q", "copy"),
    ("transformer.blocks.{i}.cross.key_value", "flow_transformer.blocks.{i}.cross_attn.kv", "copy"),
    ("transformer.blocks.{i}.cross.project", "flow_transformer.blocks.{i}.cross_attn.proj", "copy"),
    ("transformer.blocks.{i}.mlp.0", "flow_transformer.blocks.{i}.mlp.fc1", "copy"),
    ("transformer.blocks.{i}.mlp.2", "flow_transformer.blocks.{i}.mlp.fc2", "copy"),
    ("transformer.final_modulation", "flow_transformer.final_layer.adaLN_modulation.1", "copy"),
    ("transformer.final", "flow_transformer.final_layer.linear", "copy"),
)
STYLED_ENDINGS = {
    "conv.style.weight": "conv.modulation.weight",
    "conv.style.bias": "conv.modulation.bias",
    "conv.weight": "conv.weight",
    "bias": "activate.bias",
}
# Buffers and training-only heads that checkpoints of these parts carry and that nothing here needs.
HARMLESS = re.compile(
    r"(^|\.)(kernel|inv_freq|freqs\w*|rotary\w*|pos_embed|num_batches_tracked|lm_head\.\w+|"
    r"(quantizer|project_q|project_hid)\..+)$"
)


@dataclass(frozen=True)
class Source:
    """How one of our parameters is made: from published tensors of these names and shapes, by `make`."""

    shapes: dict[str, tuple[int, ...]]
    make: Callable[..., Tensor]


def _equalised(weight: Tensor) -> Tensor:
    return weight / math.sqrt(math.prod(weight.shape[1:]))


def _orthonormal(directions: Tensor) -> Tensor:
    return torch.linalg.qr(directions.float() + 1e-8).Q


def _weight_norm(size: Tensor, direction: Tensor) -> Tensor:
    return direction * (size / direction.norm(dim=(0, 1), keepdim=True))


def _source(published: str, shape: tuple[int, ...], kind: str) -> Source:
    if kind == "equalised":
        return Source({published: shape}, _equalised)
    if kind == "modulated":
        return Source({published: (1, *shape)}, lambda weight: _equalised(weight[0]))
    if kind == "modulated, transposed":
        turned = (1, shape[1], shape[0], *shape[2:])
        return Source({published: turned}, lambda weight: _equalised(weight[0]).transpose(0, 1))
    if kind == "basis":
        return Source({published: shape}, _orthonormal)
    if kind == "weight_norm":
        return Source({published + "_g": (1, 1, shape[2]), published + "_v": shape}, _weight_norm)
    return Source({published: shape}, lambda weight: weight)


def sources(model: nn.Module) -> dict[str, Source]:
    """Our parameter name -> where it comes from, for a model of the published kind."""
    patterns = [
        (re.compile(re.escape(ours).replace(r"\{i\}", r"(?P<i>\d+)") + r"(?:\.(?P<rest>.+))?"), theirs, kind)
        for ours, theirs, kind in TABLE
    ]
    last = str(len(model.autoencoder.encoder.blocks) + 1)
    found = {}
    for name, parameter in model.named_parameters():
        match, theirs, kind = next(
            ((m, theirs, kind) for pattern, theirs, kind in patterns if (m := pattern.fullmatch(name))), (None, "", "")
        )
        if match is None:
            raise KeyError(f"{name} has no line in the table of published names")
        i = int(match.groupdict().get("i") or 0)
        theirs = theirs.format(i=i, j=i + 1, a=2 * i, b=2 * i + 1, last=last)
        rest = match["rest"]
        if kind == "styled":
            flow_bias = rest == "bias" and ".to_flows." in theirs
            theirs += "." + ("bias" if flow_bias else STYLED_ENDINGS[rest])
            kind = {"conv.weight": "modulated", "conv.style.weight": "equalised"}.get(rest, "copy")
            if kind == "modulated" and name.endswith(".up.conv.weight"):
                kind = "modulated, transposed"
        elif rest:
            theirs += "." + rest
        found[name] = _source(theirs, tuple(parameter.shape), kind)
    return found


def unused(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Parameters that the published network carries and never uses, with their shapes."""
    decoder = "motion_autoencoder.dec."
    channels = model.autoencoder.decoder.constant.shape[1]
    stages = len(model.autoencoder.decoder.stages)
    return {
        "audio_encoder.wav2vec2.masked_spec_embed": (model.config.audio_width,),
        decoder + "to_rgb1.bias": (1, 3, 1, 1),
        decoder + "to_rgb1.conv.0.weight": (3, channels, 1, 1),
        decoder + "to_rgb1.conv.1.bias": (1, 3, 1, 1),
        decoder + "conv1.noise.weight": (1,),
        **{f"{decoder}convs.{i}.noise.weight": (1,) for i in range(2 * stages)},
    }


def _listed(names: Iterable[str], limit: int = 6) -> str:
    names = sorted(names)
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


@dataclass
class Fit:
    """How a set of published tensors fits the network: published names."""

    fitting: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)  # "name is (3,), wanted (4,)"
    left_over: list[str] = field(default_factory=list)
    harmless: list[str] = field(default_factory=list)  # left over and known to serve nothing here
    unused: list[str] = field(default_factory=list)  # the network has them and never uses them

    def misfit(self, left_over_too: bool = False) -> str:
        """One line that says what does not fit, or an empty string."""
        parts = [("missing", self.missing), ("misshapen", self.misshapen)]
        if left_over_too:
            parts.append(("extra", self.left_over + self.harmless))
        return "; ".join(f"{len(names)} {what}: {_listed(names)}" for what, names in parts if names)


def fit(model: nn.Module, shapes: Mapping[str, tuple[int, ...]], need_unused: bool = False, part: str = "") -> Fit:
    """Hold published names and shapes against the model, or one part of it (the beginning of our names).

    need_unused: the never-used ones count as missing, too.
    """
    table = {name: source for name, source in sources(model).items() if name.startswith(part)}
    needed = {name: shape for source in table.values() for name, shape in source.shapes.items()}
    spare = unused(model)
    result = Fit(missing=[name for name in needed if name not in shapes])
    if need_unused:
        result.missing += [name for name in spare if name not in shapes]
    for name, shape in shapes.items():
        wanted = needed.get(name, spare.get(name))
        if wanted is None:
            (result.harmless if HARMLESS.search(name) else result.left_over).append(name)
        elif tuple(shape) != wanted:
            result.misshapen.append(f"{name} is {tuple(shape)}, wanted {wanted}")
        elif name in needed:
            result.fitting.append(name)
        else:
            result.unused.append(name)
    return result


def current_name(name: str) -> str:
    """Newer torch names the two parts of a weight norm differently; the older names are the published ones."""
    for new, old in (
        ("parametrizations.weight.original0", "weight_g"),
        ("parametrizations.weight.original1", "weight_v"),
    ):
        if name.endswith(new):
            return name.removesuffix(new) + old
    return name


def make_parameters(model: nn.Module, state: Mapping[str, Tensor], part: str = "") -> dict[str, Tensor]:
    """Our parameters, or those of one part, from published tensors that are known to fit."""
    return {
        name: source.make(*(state[published] for published in source.shapes))
        for name, source in sources(model).items()
        if name.startswith(part)
    }


def fill(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Set every parameter from published tensors that are known to fit."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in make_parameters(model, state).items():
            parameters[name].copy_(value)


def load_published(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Strict: exactly the published names, else InputError with what is missing, extra or misshapen."""
    state = {current_name(name): tensor for name, tensor in state.items()}
    misfit = fit(model, {name: tuple(t.shape) for name, t in state.items()}, need_unused=True).misfit(
        left_over_too=True
    )
    if misfit:
        raise InputError(f"the weights do not fit the network: {misfit}")
    fill(model, state)
