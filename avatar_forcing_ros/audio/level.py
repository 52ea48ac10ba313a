"""Speech level and activity as a stream, frame by frame, without looking ahead.

Loudness is measured against two slow references: the noise floor below and the speaker's usual peak above. The
floor is the quietest frame of the last one to two seconds: speech dips at every syllable, noise does not. The peak
never comes nearer than 18 dB to the floor nor below -45 dB, so a room without speech is never blown up into it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from avatar_forcing_ros.timeline import FRAME_RATE, SAMPLES_PER_FRAME

SILENCE_DB = -90.0
_FLOOR_START_DB = -50.0  # before anything was heard: an ordinary room
_FLOOR_MIN_DB = -60.0  # digital silence between utterances says nothing about the noise under them
_FLOOR_MAX_DB = -30.0  # speech, however steady, is not taken for noise above this
_FLOOR_WINDOW = FRAME_RATE  # frames; the quietest of one to two windows is the floor
_FLOOR_FALL = 0.3  # per frame, of the distance: quiet is believed within some frames
_FLOOR_RISE = 0.15  # per frame, of the distance
_PEAK_START_DB = -22.0
_PEAK_MIN_DB = -45.0
_PEAK_OVER_FLOOR_DB = 18.0
_PEAK_RISE = 0.25  # per frame, of the distance
_PEAK_FALL_DB = 2.0 / FRAME_RATE  # per frame: 2 dB per second of speech
_ON_DB, _OFF_DB = 9.0, 5.0  # over the floor: where activity begins and ends
_HANG_FRAMES = 6  # activity outlives the sound by 240 ms, the pauses within words


class Level(NamedTuple):
    """db: RMS in dB full scale; floor_db: the noise floor's estimate; strength: 0 (noise floor) .. 1 (loud speech);
    active: somebody speaks, pauses within words included."""

    db: float
    floor_db: float
    strength: float
    active: bool


def rms_db(samples: np.ndarray) -> float:
    """RMS of samples (n,) in dB full scale, not below -90."""
    power = float(np.dot(samples, samples)) / max(1, len(samples))
    return max(SILENCE_DB, 10.0 * math.log10(power)) if power > 0.0 else SILENCE_DB


class SpeechLevel:
    """The level of one stream of sound. State of fixed size."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._floor = _FLOOR_START_DB
        self._peak = _PEAK_START_DB
        self._hang = 0
        self._quietest = [_FLOOR_START_DB, _FLOOR_MAX_DB]  # of the window before, of this window
        self._window = 0  # frames of this window

    def push(self, samples: np.ndarray, known: bool = True) -> Level:
        """The level after one frame (640,) of sound. known False: no sound arrived, nothing is learned from it."""
        db = rms_db(samples)
        if not known:
            self._hang = max(0, self._hang - 1)
            return Level(db, self._floor, 0.0, self._hang > 0)
        self._quietest[1] = min(self._quietest[1], max(db, _FLOOR_MIN_DB))
        self._window += 1
        if self._window == _FLOOR_WINDOW:
            self._quietest, self._window = [self._quietest[1], _FLOOR_MAX_DB], 0
        away = min(self._quietest) - self._floor
        self._floor += (_FLOOR_RISE if away > 0 else _FLOOR_FALL) * away
        over = db - self._floor
        if over > _ON_DB or (self._hang and over > _OFF_DB):
            self._hang = _HANG_FRAMES
            self._peak += _PEAK_RISE * (db - self._peak) if db > self._peak else -_PEAK_FALL_DB
        else:
            self._hang = max(0, self._hang - 1)
        self._peak = max(self._peak, _PEAK_MIN_DB, self._floor + _PEAK_OVER_FLOOR_DB)
        strength = (over - _OFF_DB) / (self._peak - self._floor - _OFF_DB)
        return Level(db, self._floor, min(1.0, max(0.0, strength)), self._hang > 0)


def speech_level(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(strength (n,) 0..1, sounding (n,) bool) of a voice, frame by frame, as audio/level.py follows it.

    A sounding frame is loud enough to be speech; the pauses within words that `active` bridges are not.
    """
    level = SpeechLevel()
    levels = [level.push(frame) for frame in samples.reshape(-1, SAMPLES_PER_FRAME)]
    strength = np.array([one.strength for one in levels])
    return strength, np.array([one.active for one in levels], bool) & (strength > 0)


def runs(mask: np.ndarray) -> np.ndarray:
    """Stretches of True in a mask (n,): (k, 2) of first frame and frame after the last."""
    edges = np.diff(np.concatenate([[0], np.asarray(mask, np.int8), [0]]))
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], axis=1)
