"""Brings speech to the level that audio encoders were trained at, without ever blowing up silence.

wav2vec2 was trained on utterances of zero mean and unit variance. Normalising every short window that way turns a
pause into a roar, and the avatar babbles. So the speaker's level is tracked over the speech alone, and pauses stay
as quiet as they are. All-zero sound was never seen in training either and opens the mouth: low noise lies under
everything, as in any recording.
"""

from __future__ import annotations

import math

import numpy as np

from avatar_forcing_ros.audio.level import SpeechLevel
from avatar_forcing_ros.timeline import FRAME_RATE, SAMPLES_PER_FRAME

START_RMS = 0.06  # of full scale, -24 dB: usual speech before any has been heard
LEAST_RMS = 0.003  # -50 dB: quieter speech is not raised further
SETTLE_SECONDS = 2.0  # of speech, over which the level is averaged
SPEECH_OVER_FLOOR_DB = 9.0
START_WEIGHT_FRAMES = 6  # how many frames of speech the start value counts for
POWER_OVER_MEAN_DB = 2.0  # speech: its power in dB lies so far over the mean of its frames' dB
NOISE_RMS = 0.005  # under speech of RMS 1, -46 dB


class SpeechNormaliser:
    """One speaker's stream of sound -> the same at RMS 1 while they speak. State of fixed size.

    The gain moves once per frame and is interpolated inside it, so it never clicks. seed: of the low noise.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self.reset()

    def reset(self) -> None:
        self._level = SpeechLevel()
        self._mean_db = 20.0 * math.log10(START_RMS) - POWER_OVER_MEAN_DB
        self._gain = 1.0 / START_RMS
        self._spoken_frames: float = START_WEIGHT_FRAMES
        self._noise = np.random.default_rng(self._seed)

    def push(self, samples: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
        """samples (n * 640,) float32 in [-1, 1], known (n,) bool -> (n * 640,) float32.

        A frame that is not known is silence, and nothing is learned from it; the same for samples that are not finite.
        """
        frames = np.asarray(samples, np.float32).reshape(-1, SAMPLES_PER_FRAME)
        if not np.isfinite(frames).all():
            frames = np.nan_to_num(frames, nan=0.0, posinf=0.0, neginf=0.0)
        known = np.ones(len(frames), bool) if known is None else known
        out = np.empty_like(frames)
        for i, frame in enumerate(frames):
            frame = frame if known[i] else np.zeros_like(frame)
            before = self._gain
            self._learn(frame, bool(known[i]))
            out[i] = frame * (np.float32(before) if before == self._gain else self._ramp(before))
        noise = self._noise.standard_normal(out.shape, dtype=np.float32)
        return (out + NOISE_RMS * noise).reshape(-1)

    def _ramp(self, before: float) -> np.ndarray:
        return np.linspace(before, self._gain, SAMPLES_PER_FRAME, dtype=np.float32)

    def _learn(self, frame: np.ndarray, known: bool) -> None:
        level = self._level.push(frame, known)
        # The hang-over after a word counts as active too; only frames with sound in them tell the level.
        if known and level.active and level.db > level.floor_db + SPEECH_OVER_FLOOR_DB:
            self._spoken_frames = min(self._spoken_frames + 1, SETTLE_SECONDS * FRAME_RATE)
            self._mean_db += (level.db - self._mean_db) / self._spoken_frames
            self._gain = 1.0 / max(LEAST_RMS, 10.0 ** ((self._mean_db + POWER_OVER_MEAN_DB) / 20.0))
