"""The dual motion encoder: what the avatar says and what the user does become one condition per frame
(paper, its method section). First the user's motion looks at the user's sound, then the avatar's sound looks at both."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avatar_forcing_ros.models.config import ModelConfig


class DualMotionEncoder(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        width, heads = config.audio_dim, config.condition_heads
        self.embed_motion = nn.Sequential(
            nn.Linear(config.motion_dim, width),
            nn.LayerNorm(width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.LayerNorm(width),
            nn.SiLU(),
        )
        self.user_attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.user_norm = nn.LayerNorm(width)
        self.avatar_attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.avatar_norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, config.width)
        self.align_user = nn.Linear(width, config.width, bias=False) if config.aligned_user else None
        self.align_sound = nn.Linear(width, config.width, bias=False) if config.aligned_sound else None
        # What stands for a signal that has not come yet: avatar audio, user audio, user motion.
        sizes = (width, width, config.motion_dim) if config.known_mask else ()
        self.unknown = nn.ParameterList(nn.Parameter(torch.zeros(size)) for size in sizes)

    def mark_unknown(self, signals: tuple[Tensor, Tensor, Tensor], known: tuple[Tensor, Tensor, Tensor]) -> tuple:
        """Signals (B, T, A), (B, T, A), (B, T, D) with the learned features where `known` (B, T) bool is False.

        A network without such features gets the signals as they are: its caller has held the last known frame.
        """
        if not len(self.unknown):
            return signals
        return tuple(torch.where(k[..., None], x, u.to(x.dtype)) for x, k, u in zip(signals, known, self.unknown))

    def forward(
        self, avatar_audio: Tensor, user_audio: Tensor, user_motion: Tensor, blocked: Tensor | None = None
    ) -> Tensor:
        """avatar_audio, user_audio: (B, T, audio_dim); user_motion: (B, T, motion_dim) -> (B, T, width).

        Every frame of the window sees every other, but for the pairs (query, key) where `blocked` (T, T) is True
        (training: a clip holds several windows). An absent signal is a feature of zeros.
        """
        motion = self.embed_motion(user_motion)  # (B, T, audio_dim)
        heard = self.user_attention(motion, user_audio, user_audio, need_weights=False, attn_mask=blocked)[0]
        user = F.silu(self.user_norm(motion + heard))
        seen = self.avatar_attention(avatar_audio, user, user, need_weights=False, attn_mask=blocked)[0]
        both = F.silu(self.avatar_norm(avatar_audio + seen))
        condition = self.project(both)
        if self.align_user is not None:
            condition = condition + self.align_user(user)
        return condition if self.align_sound is None else condition + self.align_sound(user_audio)
