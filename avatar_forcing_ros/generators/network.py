"""A network of models/ behind the generator's seam: sound is normalised and encoded over a rolling window, inputs that
are absent, silent or have not come yet are told apart, the stream is primed before anybody looks. Shared by every network
back end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from avatar_forcing_ros.audio.normaliser import SpeechNormaliser
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.base import BlockSignals
from avatar_forcing_ros.models import Anchor, AvatarForcing, Identity, MotionStream
from avatar_forcing_ros.models.rolling_audio import WINDOW_FRAMES, RollingAudio
from avatar_forcing_ros.models.runtime import COMPILE_MODES, speed_up
from avatar_forcing_ros.timeline import SAMPLES_PER_FRAME

AVATAR, USER = 0, 1  # the speakers


@dataclass(frozen=True)
class NetworkOptions:
    """How a network runs.

    device: "auto" (a GPU when there is one), "cpu", "cuda", "cuda:1". precision: "auto" (see the back end), "float32",
    "bfloat16", "float16". compile: "none", "compile" (torch.compile) or "graph" (the whole block as one CUDA graph), both
    for a GPU. steps: network passes per block as the release counts them. Guidance scales: 1 follows the condition, more
    exaggerates it, 0 ignores it. anchor: None lets the slow mean pose drift. lip_temperature: scale of the noise that the
    mouth's motion begins as, in the rig space: speech says what a mouth does, so less is left to chance there;
    lid_temperature: of the lids', where chance is all: few steps draw blinks less often than they are; face_temperature: of all
    else. The published space has no such parts, and all of its noise is of scale 1.
    """

    device: str = "auto"
    precision: str = "auto"
    compile: str = "none"
    steps: int = 10
    audio_guidance: float = 2.0
    user_guidance: float = 1.0
    anchor: Anchor | None = Anchor()
    lip_temperature: float = 1.0
    lid_temperature: float = 1.0
    face_temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.compile not in COMPILE_MODES:
            raise InputError(f"compile is {self.compile!r}; use one of {', '.join(COMPILE_MODES)}")
        if not 3 <= self.steps <= 200:
            raise InputError(f"steps is {self.steps}; give 3 to 200 network passes per block")


class NetworkStream:
    """One session. Takes the signals of 10 frames per step, gives the motion of the first s; see generators/base.py.

    The avatar that says nothing is silent: its sound is low noise, so the mouth rests. A user who was neither heard
    nor seen for 2.4 s is absent: the network gets no user condition at all, as it was trained to. Sound or motion that is
    not finite counts as not there. Frames that are still to come are marked as unknown, where the network was
    trained with such marks; else the last known one is held.
    """

    frame_causal = False

    def __init__(self, model: AvatarForcing, motion: MotionStream, seed: int = 0) -> None:
        """motion: a stream that was not primed; it is primed here with a quiet scene, and begins behind that."""
        self.model, self.motion = model, motion
        self.block_frames, self.dim = model.config.block_frames, model.config.motion_dim
        self.commit_frames = motion.commit_frames
        self._normalisers = (SpeechNormaliser(2 * seed), SpeechNormaliser(2 * seed + 1))
        # A causal encoder needs its history only.
        history = getattr(model.audio_encoder, "history_frames", WINDOW_FRAMES)
        window = min(WINDOW_FRAMES, self.block_frames + history)
        self._audio = RollingAudio(model.encode_audio, window_frames=window, device=motion.device)
        zeros = np.zeros(window * SAMPLES_PER_FRAME, np.float32)
        self._silence = np.stack([normaliser.push(zeros) for normaliser in self._normalisers])
        self._audio.reset(self._silence)
        quiet = self._audio.features()  # (2, window, A)
        missing = model.config.clip_frames - quiet.shape[1]
        if missing > 0:
            quiet = torch.cat([quiet[:, :1].expand(-1, missing, -1), quiet], 1)
        motion.prime(avatar_audio=quiet[:1, -model.config.clip_frames :])
        self.reset()

    def reset(self) -> None:
        """Forget the session: the next step is as the first after opening, to the last digit."""
        for normaliser in self._normalisers:
            normaliser.reset()
        self._audio.reset(self._silence)
        self.motion.reset()
        self._heard_ahead = [0, 0]  # frames of the coming block that each speaker's window already holds
        self._user_absent_frames = WINDOW_FRAMES

    def step(self, signals: BlockSignals) -> np.ndarray:
        """(s, dim) float32. Raises InputError when the signals have another shape than 10 frames of this space."""
        self._check(signals)
        seen = (signals.user_confidence > 0) & np.isfinite(signals.user_motion).all(axis=1)
        present = bool(seen[: self.commit_frames].any() or signals.user_audio_known[: self.commit_frames].any())
        self._user_absent_frames = 0 if present else min(self._user_absent_frames + self.commit_frames, WINDOW_FRAMES)

        counts = (
            self._listen(AVATAR, signals.avatar_audio, signals.avatar_audio_known),
            self._listen(USER, signals.user_audio, signals.user_audio_known),
        )
        features = self._audio.features()
        avatar_audio, user_audio = (self._of_block(features[who], counts[who]) for who in (AVATAR, USER))
        if self._user_absent_frames >= WINDOW_FRAMES:
            user_audio = user_motion = None
        else:
            user_motion = torch.zeros(1, self.block_frames, self.dim)
            if seen.any():
                held = torch.from_numpy(_hold(signals.user_motion.astype(np.float32), seen)).to(self.motion.device)
                user_motion = self.model.to_latents(held)[None]
        if self.model.config.known_mask:
            frame = np.arange(self.block_frames)
            known = (frame < counts[AVATAR], (frame < counts[USER]) & signals.user_audio_known, seen & signals.user_motion_known)
            avatar_audio, user_audio, user_motion = self._marked(avatar_audio, user_audio, user_motion, known)
        return self.model.to_motion(self.motion.step(avatar_audio, user_audio, user_motion))[0].cpu().numpy()

    def _listen(self, who: int, samples: np.ndarray, known: np.ndarray) -> int:
        """Takes in the sound that is new since the last step. Returns how many frames of the block are heard: all up to
        the first that has not come, but at least those that are committed now (without sound they are silent)."""
        missing = np.flatnonzero(~known)
        before = self._heard_ahead[who]
        count = max(int(missing[0]) if len(missing) else self.block_frames, self.commit_frames, before)
        new = samples[before * SAMPLES_PER_FRAME : count * SAMPLES_PER_FRAME]
        self._audio.push(who, self._normalisers[who].push(new, known[before:count]))
        self._heard_ahead[who] = count - self.commit_frames
        return count

    def _of_block(self, features: Tensor, count: int) -> Tensor:
        """One speaker's features of the window (frames, A), whose last `count` are the block's first -> the block's
        (1, 10, A); the last known frame is held."""
        known = features[len(features) - count :]
        return torch.cat([known, known[-1:].expand(self.block_frames - count, -1)])[None]

    def _marked(self, avatar_audio: Tensor, user_audio: Tensor | None, user_motion: Tensor | None, known) -> tuple:
        """The signals with the learned features of what is not known; a user who is absent stays absent."""
        given = tuple(torch.from_numpy(mask)[None].to(avatar_audio.device) for mask in known)
        absent = user_audio is None
        filled = (
            avatar_audio, avatar_audio if absent else user_audio,
            avatar_audio.new_zeros(1, self.block_frames, self.dim) if absent else user_motion.to(avatar_audio),
        )  # fmt: skip
        with torch.inference_mode():
            marked = self.model.dual_motion_encoder.mark_unknown(filled, given)
        return (marked[0], None, None) if absent else marked

    def _check(self, signals: BlockSignals) -> None:
        count = self.block_frames
        shape = (signals.user_motion.shape, len(signals.user_confidence), len(signals.avatar_audio), len(signals.user_audio))
        wanted = ((count, self.dim), count, count * SAMPLES_PER_FRAME, count * SAMPLES_PER_FRAME)
        if shape != wanted:
            raise InputError(
                f"block of signals: user motion, its confidence, avatar audio, user audio are of sizes {shape}; "
                f"a block of this generator is {wanted}"
            )


def open_stream(
    model: AvatarForcing, identity: Identity, options: NetworkOptions, seed: int, commit_frames: int,
    kind: type[NetworkStream] = NetworkStream, temperature: Tensor | float = 1.0,
) -> NetworkStream:
    """A session for this identity, primed and warm: its first step is like any other. Raises InputError for a
    commit_frames that the network's look-ahead does not allow."""
    if commit_frames < model.config.look_ahead:
        raise InputError(f"commit_frames is {commit_frames}; this network commits at least {model.config.look_ahead}")
    motion = model.stream(
        identity, options.steps, options.audio_guidance, options.user_guidance, options.anchor, seed, commit_frames, temperature
    )
    stream = kind(model, speed_up(motion, options.compile), seed)
    count = stream.block_frames
    silence, nothing = np.zeros(count * SAMPLES_PER_FRAME, np.float32), np.zeros(count, bool)
    rest, confidence = np.zeros((count, stream.dim), np.float32), np.zeros(count, np.float32)
    for _ in range(2):  # compilation and first allocations are paid for now
        stream.step(BlockSignals(0, silence, silence, rest, confidence, nothing, nothing, nothing))
    stream.reset()
    return stream


def _hold(motion: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Frames (n, D) where no face was seen repeat the last seen one, or the first that follows."""
    index = np.where(seen, np.arange(len(seen)), -1)
    last = np.maximum.accumulate(index)
    return motion[np.where(last < 0, index[seen][0], last)]
