"""The dual motion encoder: what the avatar says and what the user does become one condition per frame
(paper, its method section). First the user's motion looks at the user's sound, then the avatar's sound looks at both."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from avatar_forcing_ros.models.config import ModelConfig


class DualMotionEncoder(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        width, heads = config.audio_dim, config.condition_heads
        self.embed_motion = nn.Sequential(
            nn.Linear(config.motion_dim, width), nn.LayerNorm(width), nn.SiLU(),
            nn.Linear(width, width), nn.LayerNorm(width), nn.SiLU(),
        )
        self.user_attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.user_norm = nn.LayerNorm(width)
        self.avatar_attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.avatar_norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, config.width)

    def forward(self, avatar_audio: Tensor, user_audio: Tensor, user_motion: Tensor) -> Tensor:
        """avatar_audio, user_audio: (B, T, audio_dim); user_motion: (B, T, motion_dim) -> (B, T, width).

        Every frame of the window sees every other. An absent signal is a feature of zeros.
        """
        motion = self.embed_motion(user_motion)  # (B, T, audio_dim)
        heard = self.user_attention(motion, user_audio, user_audio, need_weights=False)[0]
        user = F.silu(self.user_norm(motion + heard))
        seen = self.avatar_attention(avatar_audio, user, user, need_weights=False)[0]
        both = F.silu(self.avatar_norm(avatar_audio + seen))
        return self.project(both)
