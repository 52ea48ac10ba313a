"""The motion generator: a transformer that predicts the velocity of noisy motion latents (paper, its method section).

Every frame has its own time t (diffusion forcing). Blocks are adaLN-modulated by t, look at the frames by
self-attention with rotary positions, at the condition by cross-attention over the near frames.

One forward pass serves the whole window (training, the first clip) and the stream (a block with cached keys).
Cached keys are kept WITHOUT their rotation and are rotated to their place in the window when used: attention
depends on distances only, so positions stay below `clip_frames` however long a session lasts.

Shapes: B branches or samples, n tokens (frames), W = width, h heads of d = W / h.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avatar_forcing_ros.models.config import ROTARY_BASE, ModelConfig

MODULATIONS = 8  # shift, scale, gate of self-attention; shift, scale, gate of the MLP; shift, scale of the output


@dataclass(frozen=True)
class Memory:
    """Keys and values of all layers: each (depth, B, h, n, d). Keys of self-attention are not rotated."""

    keys: Tensor
    values: Tensor

    def frames(self, start: int, stop: int | None) -> Memory:
        return Memory(self.keys[..., start:stop, :], self.values[..., start:stop, :])

    def then(self, later: Memory) -> Memory:
        return Memory(torch.cat([self.keys, later.keys], -2), torch.cat([self.values, later.values], -2))


def rotary_angles(count: int, head_dim: int, device: torch.device | str = "cpu") -> Tensor:
    """Cosines and sines (2, count, d / 2) of position * 10000^(-2 i / d), made in float64."""
    position = torch.arange(count, dtype=torch.float64)
    frequency = ROTARY_BASE ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    angle = torch.outer(position, frequency)
    return torch.stack([angle.cos(), angle.sin()]).float().to(device)


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Turn the channel pairs (2 i, 2 i + 1) of x (..., n, d) by angles (2, n, d / 2)."""
    cos, sin = angles.to(x.dtype)
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)


def look_ahead_mask(queries: Tensor, keys: Tensor, look_ahead: int) -> Tensor:
    """(n,), (m,) frame indices -> (n, m) bool: a frame sees the past and `look_ahead` frames after itself."""
    return keys[None, :] <= queries[:, None] + look_ahead


def near_mask(queries: Tensor, keys: Tensor, reach: int) -> Tensor:
    """(n,), (m,) frame indices -> (n, m) bool: a frame sees the frames within `reach`."""
    return (keys[None, :] - queries[:, None]).abs() <= reach


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return normalise(x) * (1.0 + scale) + shift


def normalise(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


class SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def split(self, x: Tensor, count: int) -> Tensor:
        """(B, n, count * W) -> (count, B, h, n, d)"""
        return x.unflatten(-1, (count, self.heads, -1)).permute(2, 0, 3, 1, 4)

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        _, keys, values = self.split(self.qkv(x), 3)
        return keys, values

    def forward(
        self, x: Tensor, angles: Tensor, past: tuple[Tensor, Tensor] | None, mask: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x: (B, n, W); past: rotated keys and values (B, h, p, d); mask: (n, p + n). Returns also the new keys
        (not rotated) and values."""
        queries, keys, values = self.split(self.qkv(x), 3)
        seen_keys, seen_values = rotate(keys, angles), values
        if past is not None:
            seen_keys, seen_values = torch.cat([past[0], seen_keys], 2), torch.cat([past[1], values], 2)
        out = F.scaled_dot_product_attention(rotate(queries, angles), seen_keys, seen_values, attn_mask=mask)
        return self.project(out.transpose(1, 2).flatten(2)), (keys, values)


class CrossAttention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.project = nn.Linear(width, width)

    def keys_values(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """(B, n, W) -> keys and values (B, h, n, d)"""
        keys, values = self.key_value(condition).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return keys, values

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """x: (B, n, W), or (1, n, W) for all of the B branches; keys, values: (B, h, m, d); mask: (n, m)"""
        queries = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2).expand(len(keys), -1, -1, -1)
        out = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        return self.project(out.transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    def __init__(self, width: int, heads: int, mlp_ratio: int):
        super().__init__()
        self.attention = SelfAttention(width, heads)
        self.cross = CrossAttention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, mlp_ratio * width), nn.GELU(approximate="tanh"), nn.Linear(mlp_ratio * width, width)
        )


class VelocityTransformer(nn.Module):
    """The sum over the blocks stays in float32; the layers run in the precision of their weights."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.embed = nn.Linear(2 * config.motion_dim, width)
        self.embed_condition = nn.Linear(width, width, bias=False) if config.token_condition else None
        self.embed_time = nn.Sequential(nn.Linear(config.time_frequencies, width), nn.SiLU(), nn.Linear(width, width))
        self.modulation = nn.Linear(width, 6 * width)  # shared by all blocks
        self.blocks = nn.ModuleList(
            TransformerBlock(width, config.heads, config.mlp_ratio) for _ in range(config.depth)
        )
        self.final_modulation = nn.Linear(width, 2 * width)
        self.final = nn.Linear(width, config.motion_dim)

    def modulations(self, times: Tensor) -> Tensor:
        """times (...) in [0, 1000] -> (..., 8, W) float32: everything that a frame's time decides."""
        half = self.config.time_frequencies // 2
        frequency = torch.exp(-math.log(10_000.0) * torch.arange(half, device=times.device, dtype=torch.float32) / half)
        angle = times.float()[..., None] * frequency
        sinusoids = torch.cat([angle.cos(), angle.sin()], dim=-1)
        hidden = F.silu(self.embed_time(sinusoids.to(self.final.weight.dtype)))
        both = torch.cat([self.modulation(hidden), self.final_modulation(hidden)], dim=-1)
        return both.unflatten(-1, (MODULATIONS, -1)).float()

    def condition_memory(self, condition: Tensor) -> Memory:
        """Keys and values of cross-attention in every layer from condition (B, n, W)."""
        keys, values = zip(*(block.cross.keys_values(condition) for block in self.blocks))
        return Memory(torch.stack(keys), torch.stack(values))

    def forward(
        self,
        latents: Tensor,
        reference: Tensor,
        modulations: Tensor,
        *,
        cross: Memory,
        angles: Tensor,
        self_mask: Tensor,
        cross_mask: Tensor,
        past: Memory | None = None,
        memory_only: bool = False,
        condition: Tensor | None = None,
    ) -> tuple[Tensor | None, Memory]:
        """Velocity of n frames, and the self-attention memory of these frames.

        latents: (b, n, D) with b = B or 1 (the same for every branch); reference: (b, 1, D) or (b, D) motion m_S.
        modulations: (n, 8, W) or (b, n, 8, W). cross: memory of the condition (B branches, m frames).
        angles: (2, n, d / 2) of the frames' places in the window. self_mask: (n, p + n); cross_mask: (n, m).
        past: rotated memory of p earlier frames. condition: (B, n, W) of the frames themselves, for a network with
        token_condition. memory_only: stop once the last layer's keys are known.
        Returns (velocity (B, n, D) float32 or None, memory with keys not rotated).
        """
        dtype = self.final.weight.dtype
        branches, count = cross.keys.shape[1], latents.shape[1]
        reference = reference.reshape(len(reference), 1, -1).expand(len(latents), count, -1)
        x = self.embed(torch.cat([latents, reference], dim=-1).to(dtype)).float()
        if self.embed_condition is not None:
            x = x + self.embed_condition(condition)
        # (b, n, W): with one latent for all branches these are alike until they first look at their conditions, in
        # the first cross-attention; from there on x is (B, n, W).
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp, shift_out, scale_out = modulations.unbind(-2)
        keys, values = [], []
        for i, block in enumerate(self.blocks):
            h = modulate(x, shift, scale).to(dtype)
            stop = memory_only and i == len(self.blocks) - 1
            if stop:
                key, value = block.attention.keys_values(h)
            else:
                seen = None if past is None else (past.keys[i][: len(x)], past.values[i][: len(x)])
                h, (key, value) = block.attention(h, angles, seen, self_mask)
            keys.append(key.expand(branches, -1, -1, -1))
            values.append(value.expand(branches, -1, -1, -1))
            if stop:
                return None, Memory(torch.stack(keys), torch.stack(values))
            x = x + gate * h
            x = x + block.cross(normalise(x).to(dtype), cross.keys[i], cross.values[i], cross_mask)
            x = x + gate_mlp * block.mlp(modulate(x, shift_mlp, scale_mlp).to(dtype))
        velocity = self.final(modulate(x, shift_out, scale_out).to(dtype)).float()
        return velocity, Memory(torch.stack(keys), torch.stack(values))

    def window(self, latents: Tensor, times: Tensor, condition: Tensor, reference: Tensor) -> Tensor:
        """Velocity (B, n, D) of a whole window without a cache, as in training: frames see the past and `look_ahead`.

        latents: (B, n, D); times: (B, n) in [0, 1000]; condition: (B, n, W); reference: (B, D).
        """
        config, count = self.config, latents.shape[1]
        frames = torch.arange(count, device=latents.device)
        angles = rotary_angles(count, config.width // config.heads, latents.device)
        return self(
            latents,
            reference,
            self.modulations(times),
            cross=self.condition_memory(condition),
            angles=angles,
            self_mask=look_ahead_mask(frames, frames, config.look_ahead),
            cross_mask=near_mask(frames, frames, config.look_ahead),
            condition=condition,
        )[0]
