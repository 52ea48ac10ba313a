"""Audio features of a live stream: a rolling window of sound is encoded again with every block.

Encoders look at sound around a frame, so a block alone would give other features than the whole recording. With
2.4 s of history they come close, at a constant cost. Two speakers are encoded in one batch.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from avatar_forcing_ros.timeline import SAMPLES_PER_FRAME

WINDOW_FRAMES = 60  # 2.4 s


class RollingAudio:
    """encode: (B, N) waveform at unit speech level, frame count -> (B, T, A), as AvatarForcing.encode_audio."""

    def __init__(
        self,
        encode: Callable[[Tensor, int], Tensor],
        speakers: int = 2,
        window_frames: int = WINDOW_FRAMES,
        device: torch.device | str = "cpu",
    ) -> None:
        self.encode, self.window_frames = encode, window_frames
        self.device = torch.device(device)
        self.samples = np.zeros((speakers, window_frames * SAMPLES_PER_FRAME), dtype=np.float32)

    def reset(self, silence: np.ndarray) -> None:
        """Fill the window with what these speakers' silence sounds like. silence: (speakers, window samples)."""
        self.samples[:] = silence

    @torch.inference_mode()
    def push(self, samples: np.ndarray) -> Tensor:
        """The newest samples (speakers, n * 640) of all speakers -> their features (speakers, n, A)."""
        count = samples.shape[1]
        frames = count // SAMPLES_PER_FRAME
        self.samples[:, :-count] = self.samples[:, count:]
        self.samples[:, -count:] = samples
        window = torch.from_numpy(self.samples).to(self.device)
        return self.encode(window, self.window_frames)[:, -frames:]

    def features(self) -> Tensor:
        """Features of the whole window (speakers, window frames, A)."""
        with torch.inference_mode():
            window = torch.from_numpy(self.samples).to(self.device)
            return self.encode(window, self.window_frames)
