"""A network of models/ behind the generator's seam: sound is normalised and encoded over a rolling window, absent
inputs are told from silent ones, the stream is primed before anybody looks. Shared by every network back end."""

from __future__ import annotations

import numpy as np
import torch

from avatar_forcing_ros.audio.normaliser import SpeechNormaliser
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.base import BlockSignals
from avatar_forcing_ros.models import AvatarForcing, MotionStream
from avatar_forcing_ros.models.rolling_audio import WINDOW_FRAMES, RollingAudio
from avatar_forcing_ros.timeline import SAMPLES_PER_FRAME


class NetworkStream:
    """One session. Takes 10 frames per step, gives 10 latents; see generators/base.py.

    The avatar that says nothing is silent: its sound is low noise, so the mouth rests. A user who was neither heard
    nor seen for the length of the audio window is absent: the network gets no user condition at all, as it was
    trained to. Sound or motion that is not finite counts as not there.
    """

    def __init__(self, model: AvatarForcing, motion: MotionStream, seed: int = 0) -> None:
        """motion: a stream that was not primed; it is primed here with a quiet scene, and begins behind that."""
        self.motion = motion
        self.block_frames, self.dim = model.config.block_frames, model.config.motion_dim
        self._normalisers = (SpeechNormaliser(2 * seed), SpeechNormaliser(2 * seed + 1))  # the avatar, the user
        self._audio = RollingAudio(model.encode_audio, device=motion.device)
        self._silence = self._quiet_window()
        self._audio.reset(self._silence)
        quiet = self._audio.features()  # (2, 60, A)
        missing = model.config.clip_frames - quiet.shape[1]
        if missing > 0:
            quiet = torch.cat([quiet[:, :1].expand(-1, missing, -1), quiet], 1)
        motion.prime(avatar_audio=quiet[:1, -model.config.clip_frames :])
        self.reset()

    def _quiet_window(self) -> np.ndarray:
        zeros = np.zeros(WINDOW_FRAMES * SAMPLES_PER_FRAME, np.float32)
        return np.stack([normaliser.push(zeros) for normaliser in self._normalisers])

    def reset(self) -> None:
        """Forget the session: the next step is as the first after opening, to the last digit."""
        for normaliser in self._normalisers:
            normaliser.reset()
        self._audio.reset(self._silence)
        self.motion.reset()
        self._user_absent_frames = WINDOW_FRAMES

    def step(self, signals: BlockSignals) -> np.ndarray:
        """(10, dim) float32. Raises InputError when the signals have another shape than 10 frames of this space."""
        self._check(signals)
        seen = (signals.user_confidence > 0) & np.isfinite(signals.user_motion).all(axis=1)
        present = bool(seen.any() or signals.user_audio_known.any())
        self._user_absent_frames = 0 if present else min(self._user_absent_frames + len(seen), WINDOW_FRAMES)

        sound = np.stack([
            self._normalisers[0].push(signals.avatar_audio, signals.avatar_audio_known),
            self._normalisers[1].push(signals.user_audio, signals.user_audio_known),
        ])  # fmt: skip
        avatar_audio, user_audio = self._audio.push(sound).split(1)  # (1, 10, A) each
        user_motion = None
        if self._user_absent_frames >= WINDOW_FRAMES:
            user_audio = None
        elif seen.any():
            user_motion = torch.from_numpy(_hold(signals.user_motion.astype(np.float32), seen))[None]
        return self.motion.step(avatar_audio, user_audio, user_motion)[0].cpu().numpy()

    def _check(self, signals: BlockSignals) -> None:
        count = self.block_frames
        shape = (signals.user_motion.shape, len(signals.user_confidence), len(signals.avatar_audio), len(signals.user_audio))
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
