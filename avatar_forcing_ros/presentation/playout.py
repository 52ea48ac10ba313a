"""What the face does at each frame when blocks of motion arrive late, twice or not at all: it never stalls and never jumps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar_forcing_ros.timeline import FRAME_RATE

KEPT_FRAMES = 8 * FRAME_RATE  # motion that is further ahead or behind than this is not kept
HOLD_FRAMES = FRAME_RATE // 2  # a missing frame holds the last pose for so long
EASE_FRAMES = FRAME_RATE  # and then returns to rest over so long
REJOIN_FRAMES = 5  # after a gap the face glides back onto the motion that has arrived


@dataclass(frozen=True)
class PlayedFrame:
    latent: np.ndarray  # (dim,)
    block: int  # sequence of the block it came from; -1 while none has come
    camera_stamp_ns: int  # newest camera frame used; 0 for none
    user_audio_stamp_ns: int  # newest frame of the user's sound used; 0 for none
    held: bool  # no motion had arrived for this frame


class MotionPlayout:
    """Motion by frame index. `frame_at(f)` is to be called with f rising; it returns at once, whatever has arrived.

    rest: the latent (dim,) of the face at rest.
    """

    def __init__(self, rest: np.ndarray) -> None:
        self._rest = np.asarray(rest, dtype=np.float32)
        self.reset()

    def reset(self) -> None:
        self._latents = np.zeros((KEPT_FRAMES, len(self._rest)), dtype=np.float32)
        self._frames = np.full(KEPT_FRAMES, -1, dtype=np.int64)
        self._blocks = np.zeros(KEPT_FRAMES, dtype=np.int64)
        self._stamps = np.zeros((KEPT_FRAMES, 2), dtype=np.int64)  # of the camera, of the user's sound
        self._shown = self._rest.copy()
        self._missing = 0  # frames in a row without motion
        self._rejoin = 0
        self._block = -1
        self._stamp = (0, 0)

    def put(self, first_frame: int, latents: np.ndarray, block: int, stamps_ns: np.ndarray) -> None:
        """A block of latents (n, dim) from `first_frame` on; stamps_ns (n, 2) int64: newest camera frame and newest frame of
        the user's sound used."""
        for i, latent in enumerate(latents):
            slot = (first_frame + i) % KEPT_FRAMES
            self._latents[slot], self._frames[slot] = latent, first_frame + i
            self._blocks[slot], self._stamps[slot] = block, stamps_ns[i]

    def has(self, frame: int) -> bool:
        return bool(self._frames[frame % KEPT_FRAMES] == frame)

    def frame_at(self, frame: int) -> PlayedFrame:
        slot = frame % KEPT_FRAMES
        if self._frames[slot] == frame:
            if self._missing:
                self._rejoin = REJOIN_FRAMES
                self._missing = 0
            target = self._latents[slot]
            self._shown = self._shown + (target - self._shown) / (self._rejoin + 1)
            self._rejoin = max(self._rejoin - 1, 0)
            self._block, self._stamp = int(self._blocks[slot]), tuple(self._stamps[slot].tolist())
            return PlayedFrame(self._shown.copy(), self._block, *self._stamp, held=False)
        self._missing += 1
        if self._missing > HOLD_FRAMES:
            left = max(EASE_FRAMES - (self._missing - HOLD_FRAMES), 0)
            self._shown = self._rest + (self._shown - self._rest) * (left / (left + 1))
        return PlayedFrame(self._shown.copy(), self._block, *self._stamp, held=True)
