"""The motion latent auto-encoder (paper, its method section; the family of LIA and FLOAT).

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


def blur(x: Tensor, pad: int, gain: float = 1.0, bias: Tensor | None = None) -> Tensor:
    """Low-pass by [1, 3, 3, 1] in both directions, with `pad` zeros around. x: (N, C, H, W), bias: (C,)."""
    channels = x.shape[1]
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype, device=x.device)
    kernel = (torch.outer(taps, taps) * (gain / 64.0)).expand(channels, 1, 4, 4)
    return F.conv2d(x, kernel, bias, padding=pad, groups=channels)


def upsample(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2H, 2W): zeros between the pixels, then the low-pass.

    With these four taps that is bilinear interpolation of the image with a border of zeros.
    """
    doubled = F.interpolate(F.pad(x, (1, 1, 1, 1)), scale_factor=2, mode="bilinear", align_corners=False)
    return doubled[:, :, 2:-2, 2:-2]


class Activated(nn.Module):
    """Convolution, bias, leaky ReLU; with stride 2 a blur comes first."""

    def __init__(self, inside: int, outside: int, kernel: int, halve: bool = False):
        super().__init__()
        self.halve = halve
        self.weight = nn.Parameter(torch.randn(outside, inside, kernel, kernel) / math.sqrt(inside * kernel**2))
        self.bias = nn.Parameter(torch.zeros(1, outside, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.halve:
            return activate(F.conv2d(blur(x, 2), self.weight, stride=2), self.bias)
        return activate(F.conv2d(x, self.weight, padding=self.weight.shape[-1] // 2), self.bias)


class HalvingBlock(nn.Module):
    """Residual block that halves the image: (N, C, s, s) -> (N, C', s/2, s/2)."""

    def __init__(self, inside: int, outside: int):
        super().__init__()
        self.conv1 = Activated(inside, inside, 3)
        self.conv2 = Activated(inside, outside, 3, halve=True)
        self.skip = nn.Parameter(torch.randn(outside, inside, 1, 1) / math.sqrt(inside))

    def forward(self, x: Tensor) -> Tensor:
        skip = F.conv2d(blur(x, 1), self.skip, stride=2)
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


@dataclass(frozen=True)
class Style:
    """What the latents of N frames make of one modulated convolution: factors of its channels."""

    before: Tensor  # (N, C)
    after: Tensor  # (N, C')

    def frame(self, i: int) -> Style:
        return Style(self.before[i : i + 1], self.after[i : i + 1])


class ModulatedConv(nn.Module):
    """Convolution whose input channels are scaled by a style read from the latent (StyleGAN2).

    Scaling the weight for every frame equals scaling the input channels before one convolution of all frames and
    (demodulation) the output channels behind it. For one large image the weight is the smaller of the two.
    """

    def __init__(self, inside: int, outside: int, kernel: int, demodulate: bool = True, double: bool = False):
        super().__init__()
        self.demodulate, self.double = demodulate, double
        # A transposed convolution keeps its weight with the input channels first.
        shape = (inside, outside) if double else (outside, inside)
        self.weight = nn.Parameter(torch.randn(*shape, kernel, kernel) / math.sqrt(inside * kernel**2))
        self.style = nn.Linear(LATENT_DIM, inside)
        nn.init.ones_(self.style.bias)

    def styles(self, latent: Tensor, gain: float = 1.0) -> Style:
        """latent: (N, 512); gain: factor of the result."""
        before = self.style(latent)
        if not self.demodulate:
            return Style(before, before.new_full((len(latent), 1), gain))
        energy = self.weight.float().square().sum((2, 3))  # (C', C) or (C, C')
        after = torch.rsqrt(before.float().square() @ (energy if self.double else energy.T) + 1e-8)
        return Style(before, (gain * after).to(before.dtype))

    def forward(self, x: Tensor, style: Style, bias: Tensor) -> Tensor:
        """x: (N, C, s, s), bias: (1, C', 1, 1) -> (N, C', s, s), or twice the size."""
        before, after = style.before[:, :, None, None], style.after[:, :, None, None]
        if len(x) == 1 and self.weight.numel() < x.numel():
            first, second = (before, after) if not self.double else (after, before)
            weight = self.weight * first * second.transpose(0, 1)
            return self._convolve(x, weight, bias.flatten())
        x = self._convolve(x * before, self.weight, None)
        return torch.addcmul(bias, x, after)

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not self.double:
            return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
        x = F.conv_transpose2d(x, weight, stride=2)  # 2 s + 1 pixels
        return blur(x, 1, 4.0, bias)


class StyledConv(nn.Module):
    def __init__(self, inside: int, outside: int, double: bool = False):
        super().__init__()
        self.conv = ModulatedConv(inside, outside, 3, double=double)
        self.bias = nn.Parameter(torch.zeros(1, outside, 1, 1))

    def styles(self, latent: Tensor) -> Style:
        # The gain behind the leaky ReLU may as well go before it, where it costs nothing.
        return self.conv.styles(latent, GAIN)

    def forward(self, x: Tensor, style: Style) -> Tensor:
        return F.leaky_relu(self.conv(x, style, self.bias * GAIN), 0.2, inplace=not torch.is_grad_enabled())


class FlowHead(nn.Module):
    """Reads a flow and a mask from the features, in logits that add up over the sizes."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = ModulatedConv(channels, 3, 1, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Tensor, style: Style, coarser: Tensor | None) -> Tensor:
        """(N, C, s, s) -> (N, 3, s, s) float32: x and y of the flow, mask."""
        # Planes side by side, not channels: they are taken apart again.
        logits = self.conv(x, style, self.bias).float().contiguous()
        return logits if coarser is None else logits + upsample(coarser)


class RgbHead(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, channels, 1, 1) / math.sqrt(channels))
        self.activation_bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, warped: Tensor, mask: Tensor, coarser: Tensor | None) -> Tensor:
        """warped: (N, C, s, s), not yet masked; mask: (N, 1, s, s) float32 -> (N, 3, s, s) float32."""
        # A 1x1 convolution without bias commutes with the mask, and three channels are cheaper to mask than C.
        rgb = torch.einsum("oc,nchw->nohw", self.weight[:, :, 0, 0], warped).float() * mask
        rgb = activate(rgb, self.activation_bias) + self.bias
        return rgb if coarser is None else rgb + upsample(coarser)


class DecoderStage(nn.Module):
    """One doubling of the image: (N, C, s/2, s/2) -> (N, C', s, s), with the portrait's map warped in."""

    def __init__(self, inside: int, outside: int):
        super().__init__()
        self.up = StyledConv(inside, outside, double=True)
        self.conv = StyledConv(outside, outside)
        self.flow = FlowHead(outside)
        self.rgb = RgbHead(outside)

    def styles(self, latent: Tensor) -> tuple[Style, Style, Style]:
        return self.up.styles(latent), self.conv.styles(latent), self.flow.conv.styles(latent)

    def forward(
        self, x: Tensor, styles: tuple[Style, ...], feature: Tensor, flow: Tensor | None, rgb: Tensor | None, last: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        x = self.conv(self.up(x, styles[0]), styles[1])
        flow = self.flow(x, styles[2], flow)
        mask = torch.sigmoid(flow[:, 2:])
        warped = warp(feature, torch.tanh(flow[:, :2])).to(x.dtype)
        rgb = self.rgb(warped, mask, rgb)
        if not last:
            x = torch.lerp(x, warped, mask.to(x.dtype))  # warped * mask + x * (1 - mask)
        return x, flow, rgb


def warp(feature: Tensor, flow: Tensor) -> Tensor:
    """Sample one map (1, C, s, s) at the pixel grid moved by flow (N, 2, s, s), in units of half the image.

    In float32 whatever the precision of the rest: 8 bits of mantissa would move pixels by half of one.
    """
    count, _, size, _ = flow.shape
    line = torch.linspace(-1.0, 1.0, size, device=flow.device)
    grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)  # (s, s, 2), x first
    grid = grid + flow.permute(0, 2, 3, 1)  # (N, s, s, 2)
    # All frames sample the same map: they are laid below each other instead of repeating the map.
    grid = grid.reshape(1, count * size, size, 2)
    sampled = (
        sample_rows(feature, grid)
        if grid.device.type == "cpu"
        else F.grid_sample(feature.float(), grid, mode="bilinear", align_corners=False)
    )  # (1, C, N s, s)
    return sampled[0].unflatten(1, (count, size)).transpose(0, 1)


def sample_rows(feature: Tensor, grid: Tensor) -> Tensor:
    """What F.grid_sample does, several times faster on a CPU where the channels of a pixel lie side by side: a sample is
    a weighted sum of four rows of channels. feature: (1, C, s, s), grid: (1, h, w, 2) -> (1, C, h, w)."""
    _, channels, size, _ = feature.shape
    rows = feature.float().permute(0, 2, 3, 1).reshape(-1, channels)
    place = ((grid.reshape(-1, 2) + 1.0) * size - 1.0) / 2.0  # (h w, 2) in pixels, x first
    low = place.floor().clamp_(-1, size - 1)
    share = (place - low).clamp_(0, 1)  # of the higher neighbour
    near, far = ((1.0 - share) * (low >= 0)).unbind(-1), (share * (low < size - 1)).unbind(-1)  # nothing lies outside
    x, y = low.to(torch.int32).unbind(-1)
    first = y * size + x
    index = torch.stack([first, first + 1, first + size, first + size + 1], 1).clamp_(0, len(rows) - 1)
    weight = torch.stack([near[1] * near[0], near[1] * far[0], far[1] * near[0], far[1] * far[0]], 1)
    sampled = F.embedding_bag(index, rows, mode="sum", per_sample_weights=weight)  # (h w, C)
    return sampled.view(1, *grid.shape[1:3], channels).permute(0, 3, 1, 2)


class Decoder(nn.Module):
    def __init__(self, size: int):
        super().__init__()
        self.constant = nn.Parameter(torch.randn(1, CHANNELS[4], 4, 4))
        self.first = StyledConv(CHANNELS[4], CHANNELS[4])
        sizes = [4 << i for i in range(int(math.log2(size)) - 1)]  # 4, 8, ..., S
        self.stages = nn.ModuleList(DecoderStage(CHANNELS[a], CHANNELS[b]) for a, b in zip(sizes, sizes[1:]))

    def forward(self, latent: Tensor, features: tuple[Tensor, ...]) -> Tensor:
        """latent: (N, 512) = z_S + m; features: the portrait's maps (1, C, s, s), 8 px first -> (N, 3, S, S) float32."""
        first = self.first.styles(latent)
        styles = [stage.styles(latent) for stage in self.stages]
        if latent.device.type != "cpu":
            return self._paint(first, styles, features)
        # A GPU wants many frames at once. A CPU wants one, whose maps stay in its cache.
        return torch.cat([
            self._paint(first.frame(i), [tuple(s.frame(i) for s in stage) for stage in styles], features)
            for i in range(len(latent))
        ])  # fmt: skip

    def _paint(self, first: Style, styles: list[tuple[Style, ...]], features: tuple[Tensor, ...]) -> Tensor:
        x = self.first(self.constant.expand(len(first.before), -1, -1, -1), first)
        flow = rgb = None
        for i, (stage, feature) in enumerate(zip(self.stages, features)):
            x, flow, rgb = stage(x, styles[i], feature, flow, rgb, last=i == len(self.stages) - 1)
        return rgb


class AutoEncoder(nn.Module):
    def __init__(self, size: int):
        super().__init__()
        self.size = size
        self.encoder = Encoder(size)
        self.decoder = Decoder(size)
        basis = torch.linalg.qr(torch.randn(LATENT_DIM, MOTION_DIRECTIONS)).Q
        self.basis = nn.Parameter(basis)  # Q, orthonormal columns

    def identity(self, image: Tensor) -> Identity:
        """image: (1, 3, S, S) in [-1, 1]."""
        code, magnitudes, features = self.encoder(image.to(self.encoder.head.dtype))
        # The maps are only ever sampled, in float32 and best with the channels of a pixel side by side.
        features = tuple(x.float().contiguous(memory_format=torch.channels_last) for x in features)
        return Identity(self._motion(magnitudes), code.float(), features)

    def motion(self, frames: Tensor) -> Tensor:
        """frames: (T, 3, S, S) in [-1, 1] -> motion latents (T, 512) float32."""
        return self._motion(self.encoder(frames.to(self.encoder.head.dtype))[1])

    def _motion(self, magnitudes: Tensor) -> Tensor:
        return magnitudes.float() @ self.basis.float().T

    def decode(self, identity: Identity, latents: Tensor) -> Tensor:
        """latents: (T, 512) -> images (T, 3, S, S) float32, in [-1, 1] but not clamped."""
        codes = identity.appearance + latents
        return self.decoder(codes.to(self.decoder.constant.dtype), identity.features)
