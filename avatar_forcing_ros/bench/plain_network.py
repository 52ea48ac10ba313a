"""The same network and stream written as plainly as they are described: what tests and the benchmark compare with.

Float32, one thing after the other, nothing kept that could be computed again: every pass of the solver encodes the
conditions and the times anew, positions are absolute frame numbers, the step at t = 0 that changes nothing is
taken, images are decoded one by one with weights modulated for each. It uses the modules' weights, not their code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from avatar_forcing_ros.models.autoencoder import GAIN, FlowHead, Identity, ModulatedConv, StyledConv, blur
from avatar_forcing_ros.models.model import AvatarForcing
from avatar_forcing_ros.models.transformer import ROTARY_BASE


@dataclass
class PlainStream:
    """The published stream, recomputing everything; `step` has the signature of MotionStream.step."""

    model: AvatarForcing
    identity: Identity
    passes: int = 10
    audio_guidance: float = 2.0
    user_guidance: float = 1.0
    frame: int = 0  # absolute number of the next frame
    self_cache: list = field(default_factory=list)  # per layer: (keys, values), keys rotated by absolute position
    cross_cache: list = field(default_factory=list)
    latents: Tensor | None = None
    signals: tuple[Tensor, ...] = ()

    @torch.inference_mode()
    def step(self, avatar_audio: Tensor, user_audio: Tensor, user_motion: Tensor, noise: Tensor) -> Tensor:
        config = self.model.config
        new, context = noise.shape[1], config.look_ahead if self.frame else 0
        signals = (avatar_audio, user_audio, user_motion)
        x = noise.double()
        if context:
            signals = tuple(torch.cat([a, b], 1) for a, b in zip(self.signals, signals))
            x = torch.cat([self.latents, x], 1)
        times = np.linspace(1000.0, 0.0, self.passes - 1)
        table = np.linspace(1.0, 0.0, 1000)
        sigmas = [table[np.abs(1000.0 * table - t).argmin()] for t in times] + [0.0]
        for t, sigma, following in zip(times, sigmas, sigmas[1:]):
            t_of_frames = torch.full((1, context + new), t, device=x.device)
            t_of_frames[:, :context] = 0.0
            none, audio, user = self._pass(x.float(), t_of_frames, signals)[0].double().split(1)
            v = none + self.audio_guidance * (audio - none) + self.user_guidance * (user - none)
            x[:, context:] += (following - sigma) * v[:, context:]
        _, self_new, cross_new = self._pass(x.float(), torch.zeros(1, context + new, device=x.device), signals)
        self._keep(self_new, cross_new)
        self.latents, self.signals = x[:, -config.look_ahead :], tuple(s[:, -config.look_ahead :] for s in signals)
        self.frame += new
        return x[:, context:].float()

    def _keep(self, self_new: list, cross_new: list) -> None:
        config = self.model.config
        last, cached = config.look_ahead, config.cache_frames
        if self.self_cache:
            self_new = [tuple(torch.cat(pair, 2) for pair in zip(a, b)) for a, b in zip(self.self_cache, self_new)]
        self.self_cache = [tuple(x[:, :, :-last][:, :, -cached:] for x in pair) for pair in self_new]
        self.cross_cache = [tuple(x[:, :, -2 * last : -last] for x in pair) for pair in cross_new]

    def _pass(self, x: Tensor, times: Tensor, signals: tuple[Tensor, ...]) -> tuple[Tensor, list, list]:
        """x: (1, n, D), times (1, n) -> velocity (3, n, D), this window's self and cross keys and values per layer."""
        model, config = self.model, self.model.config
        transformer, count = model.transformer, x.shape[1]
        none = tuple(torch.zeros_like(s) for s in signals)
        branches = (none, (signals[0], none[1], none[2]), (none[0], signals[1], signals[2]))
        condition = model.dual_motion_encoder(*(torch.cat(parts) for parts in zip(*branches)))
        x, times = x.expand(3, -1, -1), times.expand(3, -1)
        tokens = torch.cat([x, self.identity.motion[:, None].expand(3, count, -1)], -1)
        h = transformer.embed(tokens)
        hidden = F.silu(self._embed_times(times))
        modulation = transformer.modulation(hidden).chunk(6, -1)
        shift_out, scale_out = transformer.final_modulation(hidden).chunk(2, -1)

        first = self.frame - (config.look_ahead if self.frame else 0)
        frames = torch.arange(first, first + count, device=x.device)
        earlier = self.self_cache[0][0].shape[2] if self.self_cache else 0
        earlier_cross = self.cross_cache[0][0].shape[2] if self.cross_cache else 0
        self_keys = torch.arange(first - earlier, first + count, device=x.device)
        cross_keys = torch.arange(first - earlier_cross, first + count, device=x.device)
        self_mask = self_keys[None] <= frames[:, None] + config.look_ahead
        cross_mask = (cross_keys[None] - frames[:, None]).abs() <= config.look_ahead

        self_new, cross_new = [], []
        for i, block in enumerate(transformer.blocks):
            shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = modulation
            a = self._norm(h) * (1 + scale) + shift
            q, k, v = block.attention.qkv(a).view(3, count, 3, config.heads, -1).permute(2, 0, 3, 1, 4)
            q, k = self._rotate(q, frames), self._rotate(k, frames)
            self_new.append((k, v))
            if self.self_cache:
                k, v = torch.cat([self.self_cache[i][0], k], 2), torch.cat([self.self_cache[i][1], v], 2)
            h = h + gate * block.attention.project(self._attend(q, k, v, self_mask))
            q = block.cross.query(self._norm(h)).view(3, count, config.heads, -1).transpose(1, 2)
            k, v = block.cross.key_value(condition).view(3, count, 2, config.heads, -1).permute(2, 0, 3, 1, 4)
            cross_new.append((k, v))
            if self.cross_cache:
                k, v = torch.cat([self.cross_cache[i][0], k], 2), torch.cat([self.cross_cache[i][1], v], 2)
            h = h + block.cross.project(self._attend(q, k, v, cross_mask))
            h = h + gate_mlp * block.mlp(self._norm(h) * (1 + scale_mlp) + shift_mlp)
        return transformer.final(self._norm(h) * (1 + scale_out) + shift_out), self_new, cross_new

    def _embed_times(self, times: Tensor) -> Tensor:
        half = self.model.config.time_frequencies // 2
        angle = times[..., None] * torch.exp(-math.log(10000.0) * torch.arange(half, device=times.device) / half)
        return self.model.transformer.embed_time(torch.cat([angle.cos(), angle.sin()], -1))

    @staticmethod
    def _norm(x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], eps=1e-6)

    @staticmethod
    def _rotate(x: Tensor, frames: Tensor) -> Tensor:
        """Channel pairs as complex numbers, turned by angle = frame * 10000^(-2 i / d), in float64."""
        pairs = torch.view_as_complex(x.double().unflatten(-1, (-1, 2)).contiguous())
        count = pairs.shape[-1]
        i = torch.arange(count, dtype=torch.float64, device=x.device)
        angle = frames[:, None].double() * ROTARY_BASE ** (-i / count)
        return torch.view_as_real(pairs * torch.polar(torch.ones_like(angle), angle)).flatten(-2).float()

    @staticmethod
    def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
        return (weights @ v).transpose(1, 2).flatten(2)


def modulated_conv(conv: ModulatedConv, x: Tensor, latent: Tensor) -> Tensor:
    """StyleGAN2's form: a weight of its own for every sample, run as one grouped convolution."""
    count, channels, height, width = x.shape
    shared = conv.weight.transpose(0, 1) if conv.double else conv.weight
    out, _, k, _ = shared.shape
    weight = shared[None] * conv.style(latent)[:, None, :, None, None]  # (N, C', C, k, k)
    if conv.demodulate:
        weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)
    x = x.reshape(1, count * channels, height, width)
    if conv.double:
        weight = weight.transpose(1, 2).reshape(count * channels, out, k, k)
        x = F.conv_transpose2d(x, weight, stride=2, groups=count)
        x = x.view(count, out, *x.shape[2:])
        return blur(x, 1, gain=4.0)
    x = F.conv2d(x, weight.reshape(count * out, channels, k, k), padding=k // 2, groups=count)
    return x.view(count, out, height, width)


def upsample(x: Tensor) -> Tensor:
    """Zeros between the pixels, then the low-pass. (N, C, H, W) -> (N, C, 2H, 2W)"""
    n, c, h, w = x.shape
    spread = x.new_zeros(n, c, h, 2, w, 2)
    spread[:, :, :, 0, :, 0] = x
    return blur(F.pad(spread.view(n, c, 2 * h, 2 * w), (2, 1, 2, 1)), 0, gain=4.0)


@torch.inference_mode()
def decode(model: AvatarForcing, identity: Identity, latents: Tensor) -> Tensor:
    """latents (T, 512) -> images (T, 3, S, S), one after the other."""
    return torch.cat([_decode_one(model, identity, identity.appearance + latent) for latent in latents.split(1)])


def _decode_one(model: AvatarForcing, identity: Identity, latent: Tensor) -> Tensor:
    assert model.autoencoder is not None
    decoder = model.autoencoder.decoder

    def styled(layer: StyledConv, x: Tensor) -> Tensor:
        return F.leaky_relu(modulated_conv(layer.conv, x, latent) + layer.bias, 0.2) * GAIN

    def flow_of(head: FlowHead, x: Tensor) -> Tensor:
        return modulated_conv(head.conv, x, latent) + head.bias

    x = styled(decoder.first, decoder.constant)
    flow = rgb = None
    for stage, feature in zip(decoder.stages, identity.features):
        x = styled(stage.conv, styled(stage.up, x))
        flow = flow_of(stage.flow, x) if flow is None else flow_of(stage.flow, x) + upsample(flow)
        line = torch.linspace(-1, 1, x.shape[-1], device=x.device)
        grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)[None] + flow[:, :2].tanh().permute(0, 2, 3, 1)
        mask = flow[:, 2:].sigmoid()
        warped = F.grid_sample(feature, grid, align_corners=False) * mask
        painted = (
            F.leaky_relu(F.conv2d(warped, stage.rgb.weight) + stage.rgb.activation_bias, 0.2) * GAIN + stage.rgb.bias
        )
        rgb = painted if rgb is None else painted + upsample(rgb)
        x = warped + x * (1 - mask)
    return rgb
