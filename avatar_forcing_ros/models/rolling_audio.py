"""Audio features of a live stream: a rolling window of sound is encoded again with every block.

Encoders look at sound around a frame, so a block alone would give other features than the whole recording. With
enough history they come close, or, for a causal encoder, are the same, at a constant cost. Two speakers are encoded in one batch.
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

    def push(self, speaker: int, samples: np.ndarray) -> None:
        """The newest samples (n * 640,) of one speaker; n may be 0."""
        kept = self.samples[speaker]
        count = len(samples)
        if count:
            kept[:-count] = kept[count:]
            kept[-count:] = samples

    @torch.inference_mode()
    def features(self) -> Tensor:
        """Features of the whole window (speakers, window frames, A); each speaker's last frame is the newest one pushed."""
        return self.encode(torch.from_numpy(self.samples).to(self.device), self.window_frames)
