"""A network that PyTorch computes, as generators/network.py asks for one: the published network, and one of ours in a
safetensors file."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.network import NetworkOptions
from avatar_forcing_ros.models import AvatarForcing, Identity
from avatar_forcing_ros.models.rolling_audio import WINDOW_FRAMES, RollingAudio
from avatar_forcing_ros.models.runtime import speed_up


class TorchNetwork:
    """See MotionNetwork. Arrays go to the model's device and back with every step."""

    def __init__(
        self, model: AvatarForcing, identity: Identity, options: NetworkOptions, seed: int, commit_frames: int,
        temperature: np.ndarray | float = 1.0,
    ) -> None:  # fmt: skip
        self.model, self.config, self._mode = model, model.config, options.compile
        if isinstance(temperature, np.ndarray):
            temperature = torch.from_numpy(np.asarray(temperature, np.float32))
        self.motion = model.stream(
            identity,
            steps=options.passes,
            audio_guidance=options.audio_guidance,
            user_guidance=options.user_guidance,
            anchor=options.anchor,
            seed=seed,
            commit_frames=commit_frames,
            temperature=temperature,
        )
        # A causal encoder needs its history only.
        history = getattr(model.audio_encoder, "history_frames", WINDOW_FRAMES)
        self.window_frames = min(WINDOW_FRAMES, self.config.block_frames + history)
        self._audio = RollingAudio(model.encode_audio, window_frames=self.window_frames, device=self.motion.device)
        marks = model.dual_motion_encoder.unknown
        self.unknown = tuple(mark.detach().float().cpu().numpy() for mark in marks)
        self._fixed: int | None = None  # frames that every step commits, once the block is a CUDA graph

    @property
    def commit_frames(self) -> int:
        return self.motion.commit_frames

    @commit_frames.setter
    def commit_frames(self, count: int) -> None:
        if self._fixed not in (None, count):
            raise InputError(
                "a network in a CUDA graph commits as many frames per step as when it was opened; use compile none"
            )
        self.motion.commit_frames = count

    def to_latents(self, motion: np.ndarray) -> np.ndarray:
        return self.model.to_latents(self._tensor(motion)).cpu().numpy()

    def to_motion(self, latents: np.ndarray) -> np.ndarray:
        return self.model.to_motion(self._tensor(latents)).cpu().numpy()

    def reset_sound(self, silence: np.ndarray) -> None:
        self._audio.reset(silence)

    def push_sound(self, speaker: int, samples: np.ndarray) -> None:
        self._audio.push(speaker, samples)

    def features(self) -> np.ndarray:
        return self._audio.features().float().cpu().numpy()

    def prime(self, avatar_audio: np.ndarray) -> None:
        self.motion.prime(avatar_audio=self._tensor(avatar_audio)[None])
        speed_up(self.motion, self._mode)
        self._fixed = self.motion.commit_frames if self._mode == "graph" else None

    def step(
        self, avatar_audio: np.ndarray, user_audio: np.ndarray | None, user_motion: np.ndarray | None
    ) -> np.ndarray:
        given = (None if x is None else self._tensor(x)[None] for x in (avatar_audio, user_audio, user_motion))
        return self.motion.step(*given)[0].cpu().numpy()

    def reset(self) -> None:
        self.motion.reset()

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(self.motion.device)


def identity_at(model: AvatarForcing, motion: np.ndarray) -> Identity:
    """The identity whose reference motion is `motion` (1, D), a vector of the motion space."""
    return Identity(model.to_latents(torch.from_numpy(motion).to(model.device)))
