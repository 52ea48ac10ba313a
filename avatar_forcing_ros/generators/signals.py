"""Signals that arrive frame by frame, in any order and with gaps, become the blocks that a generator takes.

The same buffer serves the live node and the offline run, so both feed a generator the same numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from avatar_forcing_ros.generators.base import BlockSignals
from avatar_forcing_ros.timeline import FRAME_NS, FRAME_RATE, SAMPLES_PER_FRAME

AVATAR_AUDIO, USER_AUDIO, USER_MOTION = "avatar audio", "user audio", "user motion"  # the inputs

KEPT_FRAMES = 4 * FRAME_RATE  # older frames are overwritten: the buffer never grows
HOLD_FRAMES = FRAME_RATE // 2  # how long the last seen face stands in for a missing one at full confidence
FADE_FRAMES = FRAME_RATE  # over which its confidence then falls to 0


class UsedInput(NamedTuple):
    """What of the user a block of n frames was told, for each of its frames.

    camera_stamps: (n,) int64, stamp in ns of the camera frame used; 0 for none.
    user_audio_stamps: (n,) int64, start in ns of the newest frame of the user's sound up to this one; 0 for none.
    """

    camera_stamps: np.ndarray
    user_audio_stamps: np.ndarray

    def of_step(self, commit_frames: int, frame_causal: bool) -> UsedInput:
        """What the motion of the first `commit_frames` frames has used: a back end that is not frame-causal looks at its
        whole block, so each of them has used the newest of all."""
        if frame_causal:
            return UsedInput(self.camera_stamps[:commit_frames], self.user_audio_stamps[:commit_frames])
        return UsedInput(*(np.full(commit_frames, stamps.max()) for stamps in self))


class _AudioTrack:
    """One speaker's sound, a ring of frames addressed by frame index."""

    def __init__(self) -> None:
        self.samples = np.zeros((KEPT_FRAMES, SAMPLES_PER_FRAME), dtype=np.float32)
        self.known = np.zeros(KEPT_FRAMES, dtype=bool)
        self.frame = np.full(KEPT_FRAMES, -1, dtype=np.int64)
        self.newest = -1

    def put(self, first_frame: int, samples: np.ndarray, known: np.ndarray) -> None:
        for i, one in enumerate(samples.reshape(-1, SAMPLES_PER_FRAME)):
            frame = first_frame + i
            slot = frame % KEPT_FRAMES
            self.samples[slot], self.known[slot], self.frame[slot] = one, known[i], frame
            self.newest = max(self.newest, frame)

    def get(self, first_frame: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Samples (count * 640,) and whether each frame is known (count,)."""
        frames = np.arange(first_frame, first_frame + count)
        slots = frames % KEPT_FRAMES
        known = (self.frame[slots] == frames) & self.known[slots]
        return np.where(known[:, None], self.samples[slots], 0).reshape(-1).astype(np.float32), known


class SignalBuffer:
    """Collects the user's sound, the avatar's speech and the user's motion; hands out blocks.

    dim: size of the motion space's latents. Not thread-safe: the owner locks.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.reset()

    def reset(self) -> None:
        self._user_audio, self._avatar_audio = _AudioTrack(), _AudioTrack()
        self._motion = np.zeros((KEPT_FRAMES, self.dim), dtype=np.float32)
        self._confidence = np.zeros(KEPT_FRAMES, dtype=np.float32)
        self._stamp = np.zeros(KEPT_FRAMES, dtype=np.int64)
        self._frame = np.full(KEPT_FRAMES, -1, dtype=np.int64)
        self._newest_motion = -1

    def put_user_audio(self, first_frame: int, samples: np.ndarray, known: np.ndarray) -> None:
        """samples (n * 640,) float32 from `first_frame` on, known (n,) bool."""
        self._user_audio.put(first_frame, samples, known)

    def put_avatar_audio(self, first_frame: int, samples: np.ndarray, known: np.ndarray) -> None:
        self._avatar_audio.put(first_frame, samples, known)

    def put_user_motion(self, frame: int, stamp_ns: int, latent: np.ndarray, confidence: float) -> None:
        """The motion (dim,) of the camera frame stamped `stamp_ns`; of two in one frame the later one counts."""
        slot = frame % KEPT_FRAMES
        self._motion[slot], self._confidence[slot] = latent, confidence
        self._stamp[slot], self._frame[slot] = stamp_ns, frame
        self._newest_motion = max(self._newest_motion, frame)

    def missing(self, last: int) -> list[str]:
        """Names of the inputs that have not yet reached frame `last` but were alive within the 2 s before it."""
        return [name for name, frame in self._newest().items() if last - 2 * FRAME_RATE <= frame < last]

    def alive(self, last: int) -> set[str]:
        """Names of the inputs that came within the 2 s before frame `last`, or later."""
        return {name for name, frame in self._newest().items() if last - 2 * FRAME_RATE <= frame}

    def speech_after(self, frame: int) -> int:
        """How many frames of the avatar's speech have come from `frame` on."""
        return max(0, self._avatar_audio.newest - frame + 1)

    def _newest(self) -> dict[str, int]:
        return {
            AVATAR_AUDIO: self._avatar_audio.newest, USER_AUDIO: self._user_audio.newest, USER_MOTION: self._newest_motion,
        }  # fmt: skip

    def block(self, first_frame: int, count: int) -> tuple[BlockSignals, UsedInput]:
        """The signals of frames [first_frame, first_frame + count) as far as they are there, and which of the user's they are.

        A frame without a camera frame repeats the newest earlier one; after half a second its confidence falls to 0.
        """
        user_audio, user_known = self._user_audio.get(first_frame, count)
        avatar_audio, avatar_known = self._avatar_audio.get(first_frame, count)
        motion = np.zeros((count, self.dim), dtype=np.float32)
        confidence = np.zeros(count, dtype=np.float32)
        stamps = np.zeros(count, dtype=np.int64)
        frames = np.arange(first_frame, first_frame + count)
        known = self._frame[frames % KEPT_FRAMES] == frames
        for i in range(count):
            slot = self._newest_at(first_frame + i)
            if slot is None:
                continue
            age = first_frame + i - self._frame[slot]
            fade = min(max(1 - (age - HOLD_FRAMES) / FADE_FRAMES, 0), 1)
            motion[i], confidence[i] = self._motion[slot], self._confidence[slot] * fade
            stamps[i] = self._stamp[slot]
        signals = BlockSignals(
            first_frame=first_frame,
            avatar_audio=avatar_audio,
            user_audio=user_audio,
            user_motion=motion,
            user_confidence=confidence,
            avatar_audio_known=avatar_known,
            user_audio_known=user_known,
            user_motion_known=known,
        )
        heard = np.maximum.accumulate(np.where(user_known, frames, -1))
        return signals, UsedInput(stamps, np.where(heard >= 0, heard * FRAME_NS, 0))

    def _newest_at(self, frame: int) -> int | None:
        """Slot of the newest camera frame at or before `frame`, no older than the hold and the fade."""
        for age in range(HOLD_FRAMES + FADE_FRAMES):
            slot = (frame - age) % KEPT_FRAMES
            if self._frame[slot] == frame - age:
                return slot
        return None
