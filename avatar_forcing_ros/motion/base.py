"""What every face is: latents in, pictures out."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from avatar_forcing_ros.motion import rig


class Avatar(ABC):
    """A face. Stateless: the same latent at the same frame gives the same picture.

    `render` is all that a face has to bring: a picture is due at a moment of its own, so who shows it asks for one at a time.
    `render_block` is for who has a block and wants all of its pictures; a face for which that is cheaper (a network on a GPU)
    overrides it and sets draws_blocks.
    space: its motion space. draws_blocks: whether a block at once is cheaper than its latents one after the other.
    """

    space: str = rig.SPACE
    draws_blocks: bool = False
    notes: list[str] = []  # noqa: RUF012  what a user should know of how it was made

    @property
    def rest(self) -> np.ndarray:
        """The latent (dim,) of the face at rest."""
        return rig.neutral()

    @abstractmethod
    def render(self, latent: np.ndarray, frame: int | None = None) -> np.ndarray:
        """latent (dim,) -> picture (H, W, 3) uint8 RGB. frame: its index on the clock; given, a face that can breathe does."""

    def render_block(self, latents: np.ndarray, first_frame: int | None = None) -> np.ndarray:
        """latents (n, dim) of frames from `first_frame` on -> pictures (n, H, W, 3) uint8 RGB."""
        frames = [None] * len(latents) if first_frame is None else range(first_frame, first_frame + len(latents))
        return np.stack([self.render(latent, frame) for latent, frame in zip(latents, frames)])
