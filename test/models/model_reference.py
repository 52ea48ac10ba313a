"""The rule that filled the published network when its outputs in test/reference were taken, and the formulas of
its inputs. Nothing here is trained: the vectors hold an implementation against the published one, digit by digit."""

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).parent / "reference"
SIZES = dict(input_size=64, dim_h=128, transformer_depth=2, num_heads=4)


def vectors() -> dict[str, torch.Tensor]:
    with np.load(FOLDER / "vectors_small.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files if name != "meta"}


def published_weights() -> dict[str, torch.Tensor]:
    """Every parameter of the small network: a normal draw seeded by its name, scaled by what it is."""
    shapes = json.loads((FOLDER / "parameters_small.json").read_text())
    return {name: _draw(name, shape) for name, shape in shapes.items()}


def _draw(name: str, shape: list[int]) -> torch.Tensor:
    seed = zlib.crc32(name.encode())
    draw = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    if name.endswith("weight_g"):
        return draw.abs() + 0.5
    is_bias, several = name.endswith("bias"), draw.numel() > 1
    if draw.dim() > 1 and max(shape) > 1 and not is_bias:
        scaled_at_run_time = name.startswith("motion_autoencoder.")
        return draw if scaled_at_run_time else draw / math.sqrt(draw[0].numel())
    if draw.dim() == 1 and several and name.endswith(".weight"):
        return 1.0 + 0.05 * draw  # a norm
    return 0.05 * draw


def image(k: int, size: int = 64) -> torch.Tensor:
    """(1, 3, size, size) in [-1, 1]"""
    line = torch.arange(size, dtype=torch.float64) / size
    y, x = torch.meshgrid(line, line, indexing="ij")
    turn = 2 * math.pi
    planes = [
        torch.sin(turn * ((c + 1 + k) * y + (2 + k) * x) + c) * torch.cos(turn * (c + 2) * x * y + k) for c in range(3)
    ]
    return torch.stack(planes).float()[None]


def waveform(frames: int, k: int) -> torch.Tensor:
    """(1, 640 frames)"""
    t = torch.arange(640 * frames, dtype=torch.float64) / 16000
    swell = 0.5 + 0.5 * torch.sin(6 * math.pi * t + k)
    low = 0.3 * torch.sin(2 * math.pi * (140 + 40 * k) * t) * swell
    return (low + 0.05 * torch.sin(2 * math.pi * (1900 + 90 * k) * t)).float()[None]


def normal(frames: int, seed: int, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(1, frames, 512, generator=torch.Generator().manual_seed(seed))


def relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    assert ours.shape == theirs.shape
    return float((ours - theirs).norm() / theirs.norm())
