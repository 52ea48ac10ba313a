"""The whole network: auto-encoder, audio encoder, dual motion encoder and velocity transformer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.models.audio_encoder import audio_encoder
from avatar_forcing_ros.models.autoencoder import AutoEncoder, Identity
from avatar_forcing_ros.models.checkpoints import load_published
from avatar_forcing_ros.models.config import Anchor, ModelConfig
from avatar_forcing_ros.models.dual_motion_encoder import DualMotionEncoder
from avatar_forcing_ros.models.stream import MotionStream
from avatar_forcing_ros.models.transformer import VelocityTransformer


class AvatarForcing(nn.Module):
    """Avatar Forcing (arXiv 2601.00664). T frames, S pixels, D = motion_dim, A = audio_dim, W = width."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.autoencoder = AutoEncoder(config.image_size) if config.image_size else None
        self.audio_encoder = audio_encoder(config)
        self.dual_motion_encoder = DualMotionEncoder(config)
        self.transformer = VelocityTransformer(config)
        if config.scaled_motion:
            self.register_buffer("motion_mean", torch.zeros(config.motion_dim))
            self.register_buffer("motion_spread", torch.ones(config.motion_dim))

    @property
    def _faces(self) -> AutoEncoder:
        """Raises InputError where the network has none: motion of the rig is no picture's."""
        if self.autoencoder is None:
            raise InputError(
                "this network has no auto-encoder: give one whose image_size is set, as the published one's is"
            )
        return self.autoencoder

    @property
    def device(self) -> torch.device:
        return self.transformer.final.weight.device

    def load_published_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take weights under the authors' names. Raises InputError that lists what is missing, extra or misshapen."""
        load_published(self, state)

    def encode_identity(self, image: Tensor) -> Identity:
        """image: (1, 3, S, S) in [-1, 1]"""
        return self._faces.identity(image)

    def encode_motion(self, frames: Tensor) -> Tensor:
        """frames: (T, 3, S, S) in [-1, 1] -> motion latents (T, D)"""
        return self._faces.motion(frames)

    def to_latents(self, motion: Tensor) -> Tensor:
        """Vectors of the motion space (..., D) -> the latents that the network works on."""
        return (motion - self.motion_mean) / self.motion_spread if self.config.scaled_motion else motion

    def to_motion(self, latents: Tensor) -> Tensor:
        """The inverse of `to_latents`."""
        return latents * self.motion_spread + self.motion_mean if self.config.scaled_motion else latents

    def encode_audio(self, waveform: Tensor, frame_count: int) -> Tensor:
        """waveform: (B, N) at 16 kHz, speech at unit variance -> features (B, frame_count, A)"""
        return self.audio_encoder(waveform, frame_count)

    def condition(self, avatar_audio: Tensor, user_audio: Tensor, user_motion: Tensor) -> Tensor:
        """(B, T, A), (B, T, A), (B, T, D) -> (B, T, W)"""
        return self.dual_motion_encoder(avatar_audio, user_audio, user_motion)

    def velocity(self, noisy: Tensor, timesteps: Tensor, condition: Tensor, reference_motion: Tensor) -> Tensor:
        """(B, T, D), (B, T) in [0, 1000], (B, T, W), (B, D) -> velocity noise - data (B, T, D), one window, no cache"""
        return self.transformer.window(noisy, timesteps, condition, reference_motion)

    def stream(
        self,
        identity: Identity,
        *,
        steps: int = 10,
        audio_guidance: float = 2.0,
        user_guidance: float = 1.0,
        anchor: Anchor | None = None,
        seed: int = 0,
        commit_frames: int | None = None,
        temperature: Tensor | float = 1.0,
    ) -> MotionStream:
        """A stream of motion for this identity; without an anchor, committing whole blocks, it is the published one.

        steps: what the release calls so: network passes per block, 3 or more. The others: see MotionStream.
        """
        return MotionStream(
            self.config,
            self.dual_motion_encoder,
            self.transformer,
            identity,
            passes=steps,
            audio_guidance=audio_guidance,
            user_guidance=user_guidance,
            anchor=anchor,
            seed=seed,
            commit_frames=commit_frames,
            temperature=temperature,
        )

    def decode(self, identity: Identity, latents: Tensor) -> Tensor:
        """latents: (T, D) -> images (T, 3, S, S), in [-1, 1] but not clamped"""
        return self._faces.decode(identity, latents)
