"""A network behind the generator's seam: sound is normalised, inputs that are absent, silent or have not come yet are told
apart, the stream is primed before anybody looks. Shared by every network back end, whatever runtime computes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from avatar_forcing_ros.audio.normaliser import SpeechNormaliser
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.base import BlockSignals
from avatar_forcing_ros.models.config import Anchor, ModelConfig
from avatar_forcing_ros.timeline import SAMPLES_PER_FRAME

AVATAR, USER = 0, 1  # the speakers
ABSENT_FRAMES = 60  # 2.4 s without a user's face and voice: nobody is there
COMPILE_MODES = ("none", "compile", "graph")


@dataclass(frozen=True)
class NetworkOptions:
    """How a network runs.

    provider: of ONNX Runtime, for the network in the box: "auto" (the CPU), "cpu", "cuda", "tensorrt", "openvino".
    device: of PyTorch: "auto" (a GPU when there is one), "cpu", "cuda", "cuda:1". precision: "auto" (see the back end), "float32",
    "bfloat16", "float16". compile: "none", "compile" (torch.compile) or "graph" (the whole block as one CUDA graph), both
    for a GPU. passes: of the network per block, as the release counts them. Guidance scales: 1 follows the condition, more
    exaggerates it, 0 ignores it. anchor: None lets the slow mean pose drift. lip_temperature: scale of the noise that the
    mouth's motion begins as, in the rig space: speech says what a mouth does, so less is left to chance there;
    lid_temperature: of the lids', where chance is all: few passes draw blinks less often than they are; face_temperature: of all
    else. The published space has no such parts, and all of its noise is of scale 1.
    """

    provider: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    compile: str = "none"
    passes: int = 10
    audio_guidance: float = 2.0
    user_guidance: float = 1.0
    anchor: Anchor | None = Anchor()
    lip_temperature: float = 1.0
    lid_temperature: float = 1.0
    face_temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.compile not in COMPILE_MODES:
            raise InputError(f"compile is {self.compile!r}; use one of {', '.join(COMPILE_MODES)}")
        if not 3 <= self.passes <= 200:
            raise InputError(f"passes is {self.passes}; give 3 to 200 network passes per block")


class MotionNetwork(Protocol):
    """One session of a network, in arrays: a window of two speakers' sound, and the rolling stream of motion.

    commit_frames: s, may be changed between steps. window_frames: frames of sound that `features` looks at. unknown: the learned
    features of what has not come (avatar audio, user audio, user motion), empty for a network without such marks.
    """

    config: ModelConfig
    commit_frames: int

    @property
    def window_frames(self) -> int: ...

    @property
    def unknown(self) -> tuple[np.ndarray, ...]: ...

    def to_latents(self, motion: np.ndarray) -> np.ndarray: ...

    def to_motion(self, latents: np.ndarray) -> np.ndarray: ...

    def reset_sound(self, silence: np.ndarray) -> None:
        """silence: (2, window samples), what the window holds before anything was heard."""

    def push_sound(self, speaker: int, samples: np.ndarray) -> None:
        """The newest samples (n * 640,) of one speaker; n may be 0."""

    def features(self) -> np.ndarray:
        """(2, window_frames, A); each speaker's last frame is the newest one pushed."""

    def prime(self, avatar_audio: np.ndarray) -> None:
        """Begin every session behind a quiet clip of these features (clip_frames, A)."""

    def step(
        self, avatar_audio: np.ndarray, user_audio: np.ndarray | None, user_motion: np.ndarray | None
    ) -> np.ndarray:
        """Features (n, A) and latents (n, D) of a block, None where absent -> the first s latents (s, D) float32."""

    def reset(self) -> None: ...


class NetworkStream:
    """One session. Takes the signals of 10 frames per step, gives the motion of the first s; see generators/base.py.

    The avatar that says nothing is silent: its sound is low noise, so the mouth rests. A user who was neither heard
    nor seen for 2.4 s is absent: the network gets no user condition at all, as it was trained to. Sound or motion that is
    not finite counts as not there. Frames that are still to come are marked as unknown, where the network was
    trained with such marks; else the last known one is held.
    """

    frame_causal = False

    def __init__(self, network: MotionNetwork, seed: int = 0) -> None:
        """network: one that was not primed; it is primed and warmed here, so that the first step is like any other."""
        self.network = network
        self.block_frames, self.dim = network.config.block_frames, network.config.motion_dim
        self._normalisers = (SpeechNormaliser(2 * seed), SpeechNormaliser(2 * seed + 1))
        zeros = np.zeros(network.window_frames * SAMPLES_PER_FRAME, np.float32)
        self._silence = np.stack([normaliser.push(zeros) for normaliser in self._normalisers])
        network.reset_sound(self._silence)
        quiet, clip = network.features()[AVATAR], network.config.clip_frames  # (window, A)
        network.prime(np.concatenate([quiet[:1].repeat(max(clip - len(quiet), 0), 0), quiet])[-clip:])
        self.reset()
        nothing = np.zeros(self.block_frames, bool)
        silence, rest = (
            zeros[: self.block_frames * SAMPLES_PER_FRAME],
            np.zeros((self.block_frames, self.dim), np.float32),
        )
        for _ in range(2):  # compilation and first allocations are paid for now
            self.step(
                BlockSignals(
                    first_frame=0, avatar_audio=silence, user_audio=silence, user_motion=rest, user_confidence=rest[:, 0],
                    avatar_audio_known=nothing, user_audio_known=nothing, user_motion_known=nothing,
                )
            )  # fmt: skip
        self.reset()

    @property
    def commit_frames(self) -> int:
        """May be changed between steps."""
        return self.network.commit_frames

    @commit_frames.setter
    def commit_frames(self, count: int) -> None:
        self.network.commit_frames = count

    def reset(self) -> None:
        """Forget the session: the next step is as the first after opening, to the last digit."""
        for normaliser in self._normalisers:
            normaliser.reset()
        self.network.reset_sound(self._silence)
        self.network.reset()
        self._heard_ahead = [0, 0]  # frames of the coming block that each speaker's window already holds
        self._user_absent_frames = ABSENT_FRAMES

    def step(self, signals: BlockSignals) -> np.ndarray:
        """(s, dim) float32. Raises InputError when the signals have another shape than 10 frames of this space."""
        self._check(signals)
        seen = (signals.user_confidence > 0) & np.isfinite(signals.user_motion).all(axis=1)
        present = bool(seen[: self.commit_frames].any() or signals.user_audio_known[: self.commit_frames].any())
        self._user_absent_frames = 0 if present else min(self._user_absent_frames + self.commit_frames, ABSENT_FRAMES)

        counts = (
            self._listen(AVATAR, signals.avatar_audio, signals.avatar_audio_known),
            self._listen(USER, signals.user_audio, signals.user_audio_known),
        )
        features = self.network.features()
        avatar_audio, user_audio = (self._of_block(features[who], counts[who]) for who in (AVATAR, USER))
        user_motion = np.zeros((self.block_frames, self.dim), np.float32)
        if seen.any():
            user_motion = self.network.to_latents(_hold(signals.user_motion.astype(np.float32), seen))
        if self.network.unknown:
            frame = np.arange(self.block_frames)
            known = (
                frame < counts[AVATAR],
                (frame < counts[USER]) & signals.user_audio_known,
                seen & signals.user_motion_known,
            )
            avatar_audio, user_audio, user_motion = (
                np.where(there[:, None], signal, mark)
                for there, signal, mark in zip(known, (avatar_audio, user_audio, user_motion), self.network.unknown)
            )
        if self._user_absent_frames >= ABSENT_FRAMES:
            return self.network.to_motion(self.network.step(avatar_audio, None, None))
        return self.network.to_motion(self.network.step(avatar_audio, user_audio, user_motion))

    def _listen(self, who: int, samples: np.ndarray, known: np.ndarray) -> int:
        """Takes in the sound that is new since the last step. Returns how many frames of the block are heard: all up to
        the first that has not come, but at least those that are committed now (without sound they are silent)."""
        missing = np.flatnonzero(~known)
        before = self._heard_ahead[who]
        count = max(int(missing[0]) if len(missing) else self.block_frames, self.commit_frames, before)
        new = samples[before * SAMPLES_PER_FRAME : count * SAMPLES_PER_FRAME]
        self.network.push_sound(who, self._normalisers[who].push(new, known[before:count]))
        self._heard_ahead[who] = count - self.commit_frames
        return count

    def _of_block(self, features: np.ndarray, count: int) -> np.ndarray:
        """One speaker's features of the window (frames, A), whose last `count` are the block's first -> the block's
        (10, A); the last known frame is held."""
        known = features[len(features) - count :]
        return np.concatenate([known, known[-1:].repeat(self.block_frames - count, 0)])

    def _check(self, signals: BlockSignals) -> None:
        count = self.block_frames
        shape = (
            signals.user_motion.shape,
            len(signals.user_confidence),
            len(signals.avatar_audio),
            len(signals.user_audio),
        )
        wanted = ((count, self.dim), count, count * SAMPLES_PER_FRAME, count * SAMPLES_PER_FRAME)
        if shape != wanted:
            raise InputError(
                f"block of signals: user motion, its confidence, avatar audio, user audio are of sizes {shape}; "
                f"a block of this generator is {wanted}"
            )


def _hold(motion: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Frames (n, D) where no face was seen repeat the last seen one, or the first that follows."""
    index = np.where(seen, np.arange(len(seen)), -1)
    last = np.maximum.accumulate(index)
    return motion[np.where(last < 0, index[seen][0], last)]
