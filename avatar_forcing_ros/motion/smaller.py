"""A face that may be drawn smaller than it is shown, where the machine has no time for all of its pixels."""

from __future__ import annotations

import threading
from collections.abc import Callable

import cv2
import numpy as np

from avatar_forcing_ros.motion.base import Avatar


class ScaledFace(Avatar):
    """make: (width, height) in pixels -> a face. size: at which images are shown, whatever the size at which they are drawn.

    A smaller face is made beside the running one when it is first asked for, and kept; until it is there, the one before
    stays.
    """

    def __init__(self, make: Callable[[tuple[int, int]], Avatar], size: tuple[int, int]) -> None:
        self._make, self._size = make, size
        self._full = make(size)
        self._faces: dict[float, Avatar] = {1.0: self._full}
        self._wanted, self.scale = 1.0, 1.0  # scale: of the face that is drawn now
        self._lock = threading.Lock()
        self._making: threading.Thread | None = None
        self.space, self.draws_blocks, self.notes = self._full.space, self._full.draws_blocks, self._full.notes

    @property
    def rest(self) -> np.ndarray:
        return self._full.rest

    def want(self, scale: float) -> None:
        """0 < scale <= 1; returns at once. A face that draws blocks has its own size."""
        with self._lock:
            self._wanted = 1.0 if self.draws_blocks else round(scale, 3)
            if self._wanted in self._faces:
                self.scale = self._wanted
            elif self._making is None:
                self._making = threading.Thread(target=self._prepare, daemon=True)
                self._making.start()

    def _prepare(self) -> None:
        while True:
            with self._lock:
                scale = self._wanted
                if scale in self._faces:
                    self.scale, self._making = scale, None
                    return
            width, height = (max(64, 2 * round(side * scale / 2)) for side in self._size)
            face = self._make((width, height))
            with self._lock:
                self._faces[scale] = face

    def render(self, latent: np.ndarray, first_frame: int | None = None) -> np.ndarray:
        face = self._faces[self.scale]
        image = face.render(latent, first_frame)
        return image if face is self._full else cv2.resize(image, self._size, interpolation=cv2.INTER_LINEAR)

    def render_block(self, latents: np.ndarray, first_frame: int | None = None) -> np.ndarray:
        if self.draws_blocks:
            return self._full.render_block(latents, first_frame)
        return super().render_block(latents, first_frame)

    def join(self) -> None:
        """Until a face that is being made is there."""
        making = self._making
        if making is not None:
            making.join()
