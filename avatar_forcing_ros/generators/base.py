"""The generator's seam: what every back end (reflex, embedded, published) takes and gives.

A generator is opened for an identity and gives a stream. A stream is stepped with one block of signals
and returns one block of motion latents. It keeps its own state of fixed size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from avatar_forcing_ros.errors import InputError

MAX_SEED = 2**31 - 1
LOOK_AHEAD = 2  # frames of the avatar's speech that a rolling step waits for beyond those that it commits


@dataclass(frozen=True, kw_only=True)
class BlockSignals:
    """The signals of one block of n frames, on the frame clock. Missing signals are zeros with a False mask.

    first_frame: frame-clock index of the block's first frame.
    avatar_audio, user_audio: (n * 640,) float32 in [-1, 1], 16 kHz.
    user_motion: (n, dim) latents of the generator's motion space; a frame without a face repeats the last one.
    user_confidence: (n,) float32 in [0, 1]; 0 where no face was seen.
    avatar_audio_known, user_audio_known: (n,) bool; False where no sound has arrived for that frame.
    user_motion_known: (n,) bool; False where the frame's camera image has not come (yet) and an earlier one is held.
    """

    first_frame: int
    avatar_audio: np.ndarray
    user_audio: np.ndarray
    user_motion: np.ndarray
    user_confidence: np.ndarray
    avatar_audio_known: np.ndarray
    user_audio_known: np.ndarray
    user_motion_known: np.ndarray

    @property
    def frame_count(self) -> int:
        return len(self.user_motion)


class GeneratorStream(Protocol):
    commit_frames: int  # frames of motion that a step returns; the next step begins so many frames later. May be changed between steps
    frame_causal: bool  # a frame of motion uses the signals up to its own only; else those of the whole block

    @property
    def block_frames(self) -> int:
        """Frames of signals that a step takes."""

    def step(self, signals: BlockSignals) -> np.ndarray:
        """Signals of `block_frames` frames, the later ones as far as they are known -> the motion latents
        (commit_frames, dim) of the first of them, float32."""

    def reset(self) -> None:
        """Forget the session: the next step is as the first after opening."""


def frames_known(stream: GeneratorStream, commit_frames: int | None = None) -> int:
    """How many frames of a step's signals are there when it begins: those that it commits (or commit_frames), and LOOK_AHEAD
    more, as far as its block goes. A live node need not wait for more than the committed ones of a frame-causal stream."""
    return min((commit_frames or stream.commit_frames) + LOOK_AHEAD, stream.block_frames)


class Generator(Protocol):
    name: str  # the back end's name, as in messages and parameters
    space: str  # the motion space of its latents
    dim: int

    def open(self, portrait: np.ndarray | None, seed: int, commit_frames: int | None = None) -> GeneratorStream:
        """A fresh stream for an identity. portrait: (H, W, 3) uint8 RGB, where the back end needs one.
        commit_frames: 1 to the block's length; None: the back end's default. Raises InputError outside that."""


def checked_commit(commit_frames: int | None, block_frames: int, default: int | None = None) -> int:
    """The frames that a step commits; None is `default`, or the whole block. Raises InputError outside the block."""
    commit = (default or block_frames) if commit_frames is None else commit_frames
    if not 1 <= commit <= block_frames:
        raise InputError(f"commit_frames is {commit}; give 1 to {block_frames}, the length of a block")
    return commit
