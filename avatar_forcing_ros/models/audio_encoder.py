"""From sound to one feature vector per video frame (paper, its method section).

Two front ends with one interface: the published wav2vec2 trunk, and a small causal one on log-mel frames.
Both take a waveform that is already at its normal level: speech of unit variance (models/rolling_audio.py).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avatar_forcing_ros.models.config import ModelConfig
from avatar_forcing_ros.timeline import SAMPLE_RATE


def fit_length(waveform: Tensor, samples: int) -> Tensor:
    """Cut (B, N) to `samples`, or repeat the last sample up to them."""
    missing = samples - waveform.shape[1]
    if missing > 0:
        waveform = torch.cat([waveform, waveform[:, -1:].expand(-1, missing)], dim=1)
    return waveform[:, :samples]


class Wav2Vec2Encoder(nn.Module):
    """wav2vec2-base at the video's frame rate; the outputs of its twelve layers, side by side, projected."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        # Imported here: the embedded network runs without transformers.
        from transformers import Wav2Vec2Config, Wav2Vec2Model

        self.samples_per_frame = config.samples_per_frame
        trunk = Wav2Vec2Model(
            Wav2Vec2Config(
                hidden_size=config.audio_width,
                num_hidden_layers=config.audio_layers,
                num_attention_heads=config.audio_width // 64,
                intermediate_size=4 * config.audio_width,
                hidden_dropout=0.0,
                activation_dropout=0.0,
                attention_dropout=0.0,
                feat_proj_dropout=0.0,  # a frozen trunk hears the same each time
            )
        )
        position = trunk.encoder.pos_conv_embed.conv
        nn.utils.parametrize.remove_parametrizations(position, "weight")  # the weight norm is folded in at load
        weight = position.weight.detach().clone()
        del position.weight  # left behind as a buffer where gradients are off
        position.weight = nn.Parameter(weight)
        del trunk.masked_spec_embed  # serves its own training only
        self.trunk = trunk
        self.project = nn.Sequential(
            nn.Linear(config.audio_layers * config.audio_width, config.audio_dim),
            nn.LayerNorm(config.audio_dim),
            nn.SiLU(),
        )

    def forward(self, waveform: Tensor, frame_count: int) -> Tensor:
        """waveform (B, N) at 16 kHz, unit variance -> (B, frame_count, audio_dim)."""
        trunk = self.trunk
        waveform = fit_length(waveform, frame_count * self.samples_per_frame).to(self.project[1].weight.dtype)
        x = trunk.feature_extractor(waveform)  # (B, 512, about 2 per frame)
        x = F.interpolate(x, size=frame_count, mode="linear", align_corners=True).transpose(1, 2)  # (B, T, 512)
        x, _ = trunk.feature_projection(x)  # (B, T, 768)
        x = trunk.encoder.layer_norm(x + trunk.encoder.pos_conv_embed(x))
        outputs = []
        for layer in trunk.encoder.layers:
            x = layer(x)
            x = x[0] if isinstance(x, tuple) else x  # transformers 4 returns a tuple, 5 a tensor
            outputs.append(x)
        return self.project(torch.cat(outputs, dim=-1))  # (B, T, 12 * 768) -> (B, T, audio_dim)


def mel_filters(bands: int, bins: int) -> Tensor:
    """Triangular filters (bands, bins) on the mel scale from 60 Hz to 7600 Hz, each with a peak of 1."""
    low, high = (2595.0 * math.log10(1.0 + hertz / 700.0) for hertz in (60.0, 7600.0))
    edges = 700.0 * (10.0 ** (torch.linspace(low, high, bands + 2) / 2595.0) - 1.0)  # Hz
    frequencies = torch.linspace(0.0, SAMPLE_RATE / 2, bins)
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0.0)


def amplify(spectra: Tensor, decibels: Tensor) -> Tensor:
    """Spectra of the same sound with each band amplified: (..., 4 * bands) as `LogMelEncoder.spectra` gives them. decibels: what
    broadcasts to that. Silence stays silence."""
    power = ((4.0 * (spectra + 0.5)).exp() - LogMelEncoder.FLOOR).clamp(min=0.0)
    return (power * 10.0 ** (decibels / 10.0) + LogMelEncoder.FLOOR).log() / 4.0 - 0.5


class LogMelEncoder(nn.Module):
    """Four log-mel spectra per frame and a few causal convolutions: a frame never sees sound after its end,
    so encoding a stream piece by piece, with the history that `history_frames` tells, equals encoding the whole."""

    WINDOW, SPECTRA = 512, 4  # samples of one spectrum; spectra per frame
    FLOOR = 1e-2  # power of a band that is silent

    def __init__(self, config: ModelConfig):
        super().__init__()
        width = config.audio_width
        self.samples_per_frame = config.samples_per_frame
        self.register_buffer("filters", mel_filters(config.mel_bands, self.WINDOW // 2 + 1), persistent=False)
        self.register_buffer("taper", torch.hann_window(self.WINDOW), persistent=False)
        self.embed = nn.Linear(self.SPECTRA * config.mel_bands, width)
        self.convs = nn.ModuleList(nn.Conv1d(width, width, 3) for _ in range(config.audio_layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(config.audio_layers))
        self.project = nn.Sequential(nn.Linear(width, config.audio_dim), nn.LayerNorm(config.audio_dim), nn.SiLU())

    @property
    def history_frames(self) -> int:
        """Earlier frames that still change a frame's feature."""
        return 2 * len(self.convs) + 1

    def spectra(self, waveform: Tensor, frame_count: int) -> Tensor:
        """(B, N) -> (B, T, 4 * bands): log-mel spectra about zero mean and unit spread for speech of unit variance."""
        hop = self.samples_per_frame // self.SPECTRA
        waveform = fit_length(waveform, frame_count * self.samples_per_frame)
        windows = F.pad(waveform, (self.WINDOW - hop, 0)).unfold(1, self.WINDOW, hop)  # (B, 4 T, window)
        power = torch.fft.rfft(windows.float() * self.taper.float()).abs().square()
        mel = power @ self.filters.float().T  # (B, 4 T, bands)
        return ((mel + self.FLOOR).log() / 4.0 - 0.5).unflatten(1, (frame_count, self.SPECTRA)).flatten(2)

    def forward(self, waveform: Tensor, frame_count: int) -> Tensor:
        """waveform (B, N) at 16 kHz, unit variance -> (B, frame_count, audio_dim)."""
        return self.features(self.spectra(waveform, frame_count))

    def features(self, spectra: Tensor) -> Tensor:
        """Spectra (B, T, 4 * bands) as `spectra` gives them -> (B, T, audio_dim)"""
        x = self.embed(spectra.to(self.project[1].weight.dtype))  # (B, T, width)
        for conv, norm in zip(self.convs, self.norms):
            past = F.pad(norm(x).transpose(1, 2), (2, 0))
            x = x + F.silu(conv(past)).transpose(1, 2)
        return self.project(x)


def audio_encoder(config: ModelConfig) -> nn.Module:
    return Wav2Vec2Encoder(config) if config.audio_front_end == "wav2vec2" else LogMelEncoder(config)
