"""The motion latent auto-encoder (paper, section 3.1; the family of LIA and FLOAT).

An image gives an appearance code z_S and a motion code m, both (512,), and m lies in a learned subspace of
20 directions: m = Q lambda. The decoder warps the feature maps of the portrait by flows that it reads from
z_S + m, coarse to fine, and paints the image from the warped maps.

What the training alone needs is folded in when weights are loaded (models/checkpoints.py): the run-time
scales of the equalised layers and the QR decomposition behind Q. So these are ordinary layers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LATENT_DIM = 512
MOTION_DIRECTIONS = 20
GAIN = math.sqrt(2.0)
CHANNELS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64, 512: 32, 1024: 16}


@dataclass
class Identity:
    """What one portrait gives, computed once per session.

    appearance: (1, 512) z_S. motion: (1, D) reference motion m_S. features: maps (1, C, s, s), 8 px first.
    A motion space without images has no appearance and no features.
    """

    motion: Tensor
    appearance: Tensor | None = None
    features: tuple[Tensor, ...] = ()


def activate(x: Tensor, bias: Tensor) -> Tensor:
    """Bias and leaky ReLU that keeps the variance. x: (N, C, H, W), bias: (1, C, 1, 1)."""
    return F.leaky_relu(x + bias, 0.2) * GAIN


def blur(x: Tensor, pad: tuple[int, int], gain: float = 1.0) -> Tensor:
    """Low-pass by [1, 3, 3, 1] in both directions, pad pixels before and after. x: (N, C, H, W)."""
    channels = x.shape[1]
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype, device=x.device)
    kernel = (torch.outer(taps, taps) * (gain / 64.0)).expand(channels, 1, 4, 4)
    return F.conv2d(F.pad(x, (*pad, *pad)), kernel, groups=channels)


def upsample(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2H, 2W): zeros between the pixels, then the low-pass."""
    n, c, h, w = x.shape
    spread = x.new_zeros(n, c, h, 2, w, 2)
    spread[:, :, :, 0, :, 0] = x
    return blur(spread.view(n, c, 2 * h, 2 * w), (2, 1), gain=4.0)


class Activated(nn.Module):
    """Convolution, bias, leaky ReLU; with stride 2 a blur comes first."""

    def __init__(self, inside: int, outside: int, kernel: int, halve: bool = False):
        super().__init__()
        self.halve = halve
        self.weight = nn.Parameter(torch.randn(outside, inside, kernel, kernel) / math.sqrt(inside * kernel**2))
        self.bias = nn.Parameter(torch.zeros(1, outside, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.halve:
            return activate(F.conv2d(blur(x, (2, 2)), self.weight, stride=2), self.bias)
        return activate(F.conv2d(x, self.weight, padding=self.weight.shape[-1] // 2), self.bias)


class HalvingBlock(nn.Module):
    """Residual block that halves the image: (N, C, s, s) -> (N, C', s/2, s/2)."""

    def __init__(self, inside: int, outside: int):
        super().__init__()
        self.conv1 = Activated(inside, inside, 3)
        self.conv2 = Activated(inside, outside, 3, halve=True)
        self.skip = nn.Parameter(torch.randn(outside, inside, 1, 1) / math.sqrt(inside))

    def forward(self, x: Tensor) -> Tensor:
        skip = F.conv2d(blur(x, (1, 1)), self.skip, stride=2)
        return (self.conv2(self.conv1(x)) + skip) / GAIN


class Encoder(nn.Module):
    def __init__(self, size: int):
        super().__init__()
        self.stem = Activated(3, CHANNELS[size], 1)
        sizes = [size >> i for i in range(int(math.log2(size)) - 1)]  # S, S/2, ..., 4
        self.blocks = nn.ModuleList(HalvingBlock(CHANNELS[a], CHANNELS[b]) for a, b in zip(sizes, sizes[1:]))
        self.head = nn.Parameter(torch.randn(LATENT_DIM, CHANNELS[4], 4, 4) / math.sqrt(CHANNELS[4] * 16))
        self.magnitudes = nn.Sequential(
            *(nn.Linear(LATENT_DIM, LATENT_DIM) for _ in range(4)), nn.Linear(LATENT_DIM, MOTION_DIRECTIONS)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """images (N, 3, S, S) in [-1, 1] -> codes (N, 512), magnitudes lambda (N, 20), maps, 8 px first."""
        x = self.stem(images)
        maps = [x]
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        code = F.conv2d(x, self.head).flatten(1)
        return code, self.magnitudes(code), tuple(reversed(maps[:-1]))


class ModulatedConv(nn.Module):
    """Convolution whose input channels are scaled by a style read from the latent (StyleGAN2).

    Scaling the weight per sample equals scaling the input channels before one shared convolution and
    (demodulation) the output channels after it; so a batch of frames shares one convolution.
    """

    def __init__(self, inside: int, outside: int, kernel: int, demodulate: bool = True, double: bool = False):
        super().__init__()
        self.demodulate, self.double = demodulate, double
        self.weight = nn.Parameter(torch.randn(outside, inside, kernel, kernel) / math.sqrt(inside * kernel**2))
        self.style = nn.Linear(LATENT_DIM, inside)
        nn.init.ones_(self.style.bias)

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        """x: (N, C, s, s), latent: (N, 512) -> (N, C', s, s), or twice the size."""
        style = self.style(latent)  # (N, C)
        x = x * style[:, :, None, None]
        if self.double:
            x = F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2)  # 2 s + 1 pixels
            x = blur(x, (1, 1), gain=4.0)
        else:
            x = F.conv2d(x, self.weight, padding=self.weight.shape[-1] // 2)
        if self.demodulate:
            energy = self.weight.float().square().sum((2, 3))  # (C', C)
            scale = torch.rsqrt(F.linear(style.float().square(), energy) + 1e-8).to(x.dtype)  # (N, C')
            x = x * scale[:, :, None, None]
        return x


class StyledConv(nn.Module):
    def __init__(self, inside: int, outside: int, double: bool = False):
        super().__init__()
        self.conv = ModulatedConv(inside, outside, 3, double=double)
        self.bias = nn.Parameter(torch.zeros(1, outside, 1, 1))

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        return activate(self.conv(x, latent), self.bias)


class FlowHead(nn.Module):
    """Reads a flow and a mask from the features, in logits that add up over the sizes."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = ModulatedConv(channels, 3, 1, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Tensor, latent: Tensor, coarser: Tensor | None) -> Tensor:
        """(N, C, s, s) -> (N, 3, s, s): x and y of the flow, mask."""
        logits = self.conv(x, latent) + self.bias
        return logits if coarser is None else logits + upsample(coarser)


class RgbHead(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, channels, 1, 1) / math.sqrt(channels))
        self.activation_bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, warped: Tensor, coarser: Tensor | None) -> Tensor:
        rgb = activate(F.conv2d(warped, self.weight), self.activation_bias) + self.bias
        return rgb if coarser is None else rgb + upsample(coarser)


class DecoderStage(nn.Module):
    """One doubling of the image: (N, C, s/2, s/2) -> (N, C', s, s), with the portrait's map warped in."""

    def __init__(self, inside: int, outside: int):
        super().__init__()
        self.up = StyledConv(inside, outside, double=True)
        self.conv = StyledConv(outside, outside)
        self.flow = FlowHead(outside)
        self.rgb = RgbHead(outside)

    def forward(
        self, x: Tensor, latent: Tensor, feature: Tensor, flow: Tensor | None, rgb: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        x = self.conv(self.up(x, latent), latent)
        flow = self.flow(x, latent, flow)
        mask = torch.sigmoid(flow[:, 2:])
        warped = warp(feature, torch.tanh(flow[:, :2])) * mask
        rgb = self.rgb(warped, rgb)
        return warped + x * (1.0 - mask), flow, rgb


def warp(feature: Tensor, flow: Tensor) -> Tensor:
    """Sample one map (1, C, s, s) at the pixel grid moved by flow (N, 2, s, s), in units of half the image."""
    count, _, size, _ = flow.shape
    line = torch.linspace(-1.0, 1.0, size, device=flow.device, dtype=torch.float32)
    grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)  # (s, s, 2), x first
    grid = grid + flow.float().permute(0, 2, 3, 1)  # (N, s, s, 2)
    # All frames sample the same map: they are laid below each other instead of repeating the map.
    sampled = F.grid_sample(
        feature, grid.view(1, count * size, size, 2).to(feature.dtype), mode="bilinear", align_corners=False
    )  # (1, C, N s, s)
    return sampled.view(-1, count, size, size).transpose(0, 1)


class Decoder(nn.Module):
    def __init__(self, size: int):
        super().__init__()
        self.constant = nn.Parameter(torch.randn(1, CHANNELS[4], 4, 4))
        self.first = StyledConv(CHANNELS[4], CHANNELS[4])
        sizes = [4 << i for i in range(int(math.log2(size)) - 1)]  # 4, 8, ..., S
        self.stages = nn.ModuleList(DecoderStage(CHANNELS[a], CHANNELS[b]) for a, b in zip(sizes, sizes[1:]))

    def forward(self, latent: Tensor, features: tuple[Tensor, ...]) -> Tensor:
        """latent: (N, 512) = z_S + m; features: the portrait's maps (1, C, s, s), 8 px first -> (N, 3, S, S)."""
        x = self.first(self.constant.expand(len(latent), -1, -1, -1), latent)
        flow = rgb = None
        for stage, feature in zip(self.stages, features):
            x, flow, rgb = stage(x, latent, feature, flow, rgb)
        return rgb


class AutoEncoder(nn.Module):
    def __init__(self, size: int):
        super().__init__()
        self.encoder = Encoder(size)
        self.decoder = Decoder(size)
        basis = torch.linalg.qr(torch.randn(LATENT_DIM, MOTION_DIRECTIONS)).Q
        self.basis = nn.Parameter(basis)  # Q, orthonormal columns

    def identity(self, image: Tensor) -> Identity:
        """image: (1, 3, S, S) in [-1, 1]."""
        code, magnitudes, features = self.encoder(image)
        return Identity(magnitudes @ self.basis.T, code, features)

    def motion(self, frames: Tensor) -> Tensor:
        """frames: (T, 3, S, S) in [-1, 1] -> motion latents (T, 512)."""
        return self.encoder(frames)[1] @ self.basis.T

    def decode(self, identity: Identity, latents: Tensor) -> Tensor:
        """latents: (T, 512) -> images (T, 3, S, S), in [-1, 1] but not clamped."""
        return self.decoder(identity.appearance + latents, identity.features)
