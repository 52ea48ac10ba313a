"""The baseline that learning must beat: a generator without weights, made of rules.

Lips follow the energy and the spectral balance of the avatar's own speech. The user's smile and head are mirrored,
softer and about 250 ms later. The rest is a small repertoire: a nod where the user pauses after a while of talk,
blinks, small saccades, brows on the accents of the own speech, idle sway.

Everything is computed frame by frame from the frames up to that one (frame-causal, state of fixed size), so blocks
of any length give the same motion, and nothing happens at their borders.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from avatar_forcing_ros.audio.level import SpeechLevel
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.base import BlockSignals, checked_commit
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.timeline import BLOCK_FRAMES, FRAME_RATE, SAMPLE_RATE, SAMPLES_PER_FRAME

MIRROR_DELAY_FRAMES = 6  # 240 ms: people mirror each other later than that, but the rest of the chain adds its own
SMILE_GAIN = 0.9
HEAD_GAIN = 0.45
COMMIT_FRAMES = 2  # the default; the motion is the same for every length

_I = rig.INDEX
_MIRRORED = [*rig.TURN, _I["browInnerUp"], *rig.SMILE]

_BLINKS = ((0.7, 1.0, 0.45), (0.6, 1.0, 0.8, 0.3), (0.5, 1.0, 1.0, 0.6, 0.2))  # 120, 160, 200 ms
_NOD_FRAMES = 22
_NOD_DEPTH = 0.11  # radians
_BROW_FRAMES = 12
_TALK_FRAMES = FRAME_RATE  # talk of a second before a pause earns a nod
# Idle sway: (coefficient, hertz, amplitude); frequencies without a common period.
_SWAY = (
    ("headYaw", 0.071, 0.026), ("headYaw", 0.173, 0.012), ("headPitch", 0.089, 0.015), ("headPitch", 0.211, 0.008),
    ("headRoll", 0.059, 0.020), ("headRoll", 0.137, 0.008), ("headX", 0.047, 0.020), ("headY", 0.26, 0.006),
)  # fmt: skip

_WINDOW = np.hanning(SAMPLES_PER_FRAME).astype(np.float32)
_HERTZ = np.fft.rfftfreq(SAMPLES_PER_FRAME, 1 / SAMPLE_RATE)
_FIRST_BAND = (_HERTZ >= 250) & (_HERTZ < 1100)  # first formant: higher where the mouth is more open
_VOWEL_BAND = (_HERTZ >= 250) & (_HERTZ < 3200)  # with the second: high for spread lips (ee), low for round ones (oo)
_HISS_BAND = _HERTZ >= 4000  # s, sh, f
_TILT = (_HERTZ / 1000.0) ** 2  # speech falls by 6 to 12 dB per octave; half of it is made up for


def _toward(value: float, target: float, rise: float, fall: float) -> float:
    """One step of a first-order filter with its own speed (share per frame) up and down."""
    return value + (rise if target > value else fall) * (target - value)


class Lips:
    """One voice -> mouth coefficients, frame by frame. Also what moves the lips of a made user.

    After `push`: `strength` is the smoothed loudness 0..1, `speaking` whether the voice is active.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._level = SpeechLevel()
        self._jaw = self._spread = self._round = self._hiss = 0.0
        self._mean = 0.0  # loudness of the last second
        self._first, self._vowel = math.log(0.6), math.log(1.2)  # mean balance of the voice, in log kHz
        self.strength = 0.0
        self.speaking = False
        self.accent = False

    def push(self, samples: np.ndarray, known: bool = True) -> np.ndarray:
        """The mouth (32,) for one frame of sound (640,); coefficients that are not of the mouth stay 0."""
        level = self._level.push(samples, known)
        self.speaking = level.active
        loud = level.strength if level.active else 0.0
        was = self.strength
        self.strength = _toward(self.strength, loud, 0.7, 0.35)
        self._mean += 0.05 * (loud - self._mean)
        self.accent = self.strength - self._mean > 0.28 and was - self._mean <= 0.28
        opened, spread, rounded, hiss = self._shape(samples) if loud > 0.0 else (0.0, 0.0, 0.0, 0.0)
        # Syllables stand out from the loudness around them; what is only loud does not hold the mouth open.
        target = loud * (0.35 + 0.65 * opened) + 0.6 * min(0.0, loud - self._mean)
        self._jaw = _toward(self._jaw, max(0.0, target), 0.75, 0.6)
        self._spread = _toward(self._spread, spread * loud, 0.45, 0.35)
        self._round = _toward(self._round, rounded * loud, 0.45, 0.35)
        self._hiss = _toward(self._hiss, hiss, 0.6, 0.5)
        mouth = rig.neutral()
        mouth[_I["jawOpen"]] = 0.33 * self._jaw * (1.0 - 0.6 * self._hiss)
        mouth[rig.STRETCH] = 0.30 * self._spread + 0.12 * self._hiss
        mouth[_I["mouthPucker"]] = 0.35 * self._round
        mouth[_I["mouthFunnel"]] = 0.30 * self._round * min(1.0, 2.0 * self._jaw) + 0.12 * self._hiss
        mouth[_I["mouthUpperUp"]] = 0.16 * self._jaw + 0.10 * self._hiss
        mouth[_I["mouthLowerDown"]] = 0.22 * self._jaw + 0.20 * self._hiss
        return mouth

    def _shape(self, samples: np.ndarray) -> tuple[float, float, float, float]:
        """(open, spread, rounded, hiss), each 0..1: a guess from the balance of the spectrum.

        Voices and microphones differ more than vowels do, so the balance counts against its own running mean.
        """
        power = np.abs(np.fft.rfft(samples * _WINDOW)) ** 2
        hiss = min(1.0, max(0.0, 2.0 * float(power[_HISS_BAND].sum()) / (float(power.sum()) + 1e-9) - 0.5))
        power *= _TILT
        first, vowel = _centroid(power, _FIRST_BAND), _centroid(power, _VOWEL_BAND)
        share = 0.03 * (1.0 - hiss)
        self._first += share * (first - self._first)
        self._vowel += share * (vowel - self._vowel)
        opened = min(1.0, max(0.1, 0.55 + 1.5 * (first - self._first)))
        spread = min(1.0, max(0.0, 1.6 * (vowel - self._vowel) - 0.15))
        rounded = min(1.0, max(0.0, 1.6 * (self._vowel - vowel) - 0.25))
        return opened * (1.0 - hiss), spread * (1.0 - hiss), rounded * (1.0 - hiss), hiss


def _centroid(power: np.ndarray, band: np.ndarray) -> float:
    """Natural logarithm of the mean frequency in kHz of a band."""
    total = float(power[band].sum())
    return math.log(float(np.dot(power[band], _HERTZ[band])) / total / 1000.0) if total > 1e-12 else math.log(0.7)


class ReflexStream:
    """See the module. Deterministic for a seed. A step takes any number of frames and returns as many."""

    frame_causal = True

    def __init__(self, seed: int, commit_frames: int = COMMIT_FRAMES) -> None:
        self._seed = seed
        self.commit_frames = commit_frames  # may be changed between steps
        self.reset()

    @property
    def block_frames(self) -> int:
        return self.commit_frames

    def reset(self) -> None:
        self._rng = np.random.default_rng(self._seed)
        self._lips = Lips()
        self._ears = SpeechLevel()
        self._frame = 0  # frames since the start
        self._phases = self._rng.uniform(0.0, 2.0 * math.pi, len(_SWAY))
        self._seen = deque([np.zeros(len(_MIRRORED))] * MIRROR_DELAY_FRAMES, MIRROR_DELAY_FRAMES)
        self._usual = np.zeros(4)  # the user's mean head pose and brows: how somebody sits is not mirrored
        self._frames_seen = 0.0
        self._head = np.zeros(3)  # mirrored
        self._presence = 0.0  # the user's face is there, eased
        self._smile = np.zeros(2)
        self._brow = 0.0
        self._talked = 0  # frames of the user's present turn
        self._pause = 0  # frames since the user fell silent
        self._nod = self._lift = -1  # age of the present nod, of the present lift of the brows; -1: none
        self._nod_gain = 1.0
        self._rest = 0  # frames before the next nod may start
        self._blink: tuple[float, ...] = ()
        self._next_blink = int(self._rng.uniform(1.0, 4.0) * FRAME_RATE)
        self._gaze = np.zeros(2)
        self._gaze_target = np.zeros(2)
        self._next_saccade = 0
        self._listening = 0.0
        self._beat = 0.0

    def step(self, signals: BlockSignals) -> np.ndarray:
        """The block's latents (n, 32) float32. Raises InputError where the signals' shapes do not fit."""
        count = signals.frame_count
        if np.shape(signals.user_motion) != (count, rig.DIM):
            raise InputError(f"reflex takes user motion of (frames, {rig.DIM}), not {np.shape(signals.user_motion)}")
        for name in ("avatar_audio", "user_audio"):
            if len(getattr(signals, name)) != count * SAMPLES_PER_FRAME:
                raise InputError(
                    f"{name} has {len(getattr(signals, name))} samples for {count} frames of {SAMPLES_PER_FRAME}"
                )
        voice = np.reshape(signals.avatar_audio, (count, SAMPLES_PER_FRAME))
        heard = np.reshape(signals.user_audio, (count, SAMPLES_PER_FRAME))
        return np.stack(
            [
                self._step(
                    voice[i], bool(signals.avatar_audio_known[i]), heard[i], bool(signals.user_audio_known[i]),
                    signals.user_motion[i], float(signals.user_confidence[i]),
                )
                for i in range(count)
            ]
        )  # fmt: skip

    def _step(
        self,
        voice: np.ndarray,
        voice_known: bool,
        heard: np.ndarray,
        heard_known: bool,
        user: np.ndarray,
        confidence: float,
    ) -> np.ndarray:
        latent = self._lips.push(voice, voice_known)
        listened = self._ears.push(heard, heard_known)
        self._mirror(latent, user, confidence)
        self._back_channel(latent, listened.active)
        self._accents(latent)
        self._sway(latent)
        self._look(latent)
        self._blinks(latent)
        self._frame += 1
        return rig.clamp(latent).astype(np.float32)

    def _mirror(self, latent: np.ndarray, user: np.ndarray, confidence: float) -> None:
        """Smile, brows and head of the user as a mirror shows them, later and softer; eased away without a face."""
        confidence = min(1.0, max(0.0, confidence))
        self._presence = _toward(self._presence, confidence, 0.08, 0.08)
        now = np.nan_to_num(rig.mirror(np.asarray(user, np.float64))[_MIRRORED])
        if confidence > 0.0:
            self._frames_seen += confidence
            # At first the mean of all that was seen, then of about the last four seconds.
            self._usual += confidence * max(0.01, 1.0 / (1.0 + self._frames_seen)) * (now[:4] - self._usual)
            now[:4] -= self._usual
        else:
            now = self._seen[-1]
        before = self._seen[0]
        self._seen.append(now)
        self._head += 0.22 * (self._presence * before[:3] - self._head)
        smile = np.maximum(0.0, before[4:] - 0.08) * self._presence
        smile = 0.35 * smile + 0.65 * smile.mean()  # a tracker sees more asymmetry than there is
        self._smile += np.where(smile > self._smile, 0.22, 0.10) * (smile - self._smile)
        self._brow = _toward(self._brow, self._presence * max(0.0, before[3] - 0.1), 0.25, 0.15)
        latent[rig.TURN] += HEAD_GAIN * np.clip(self._head, -0.6, 0.6)
        smile = SMILE_GAIN * self._smile + 0.05
        latent[rig.SMILE] += smile * (1.0 - 0.4 * self._beat)  # a speaking mouth smiles less
        latent[rig.STRETCH] *= 1.0 - 0.6 * np.minimum(1.0, smile)
        latent[rig.SQUINT] += 0.5 * self._smile
        latent[_I["browInnerUp"]] += 0.4 * self._brow

    def _back_channel(self, latent: np.ndarray, user_speaks: bool) -> None:
        """A nod where the user pauses after talk; a slight tilt while they talk."""
        self._rest = max(0, self._rest - 1)
        if user_speaks:
            self._talked += 1
            self._pause = 0
        else:
            self._pause += 1
            if self._pause == 2:
                if self._talked >= _TALK_FRAMES and not self._rest and not self._lips.speaking:
                    self._nod, self._rest = 0, 2 * FRAME_RATE
                    self._nod_gain = float(self._rng.uniform(0.7, 1.1))
                self._talked = 0
        if self._nod >= 0:
            phase = self._nod / _NOD_FRAMES
            # Down and up twice, the second time less: 1 - cos has no velocity at either end.
            dip = 0.5 * (1.0 - math.cos(4.0 * math.pi * phase)) * (1.0 if phase < 0.5 else 0.5)
            latent[_I["headPitch"]] -= _NOD_DEPTH * self._nod_gain * dip
            self._nod = self._nod + 1 if self._nod < _NOD_FRAMES else -1
        attentive = float(user_speaks and not self._lips.speaking)
        self._listening = _toward(self._listening, attentive, 0.05, 0.03)
        latent[_I["headRoll"]] += 0.035 * self._listening
        latent[_I["browInnerUp"]] += 0.06 * self._listening

    def _accents(self, latent: np.ndarray) -> None:
        """The own speech moves the head a little; some of its accents lift the brows."""
        self._beat += 0.18 * (self._lips.strength - self._beat)
        latent[_I["headPitch"]] -= 0.05 * (self._beat - 0.5 * self._lips.strength)
        if self._lips.accent and self._lift < 0 and self._rng.random() < 0.35:
            self._lift = 0
        if self._lift >= 0:
            lift = 0.5 * (1.0 - math.cos(2.0 * math.pi * self._lift / _BROW_FRAMES))
            latent[_I["browInnerUp"]] += 0.22 * lift
            latent[rig.BROW_OUTER] += 0.18 * lift
            self._lift = self._lift + 1 if self._lift < _BROW_FRAMES else -1

    def _sway(self, latent: np.ndarray) -> None:
        for (name, hertz, amplitude), phase in zip(_SWAY, self._phases):
            latent[_I[name]] += amplitude * math.sin(2.0 * math.pi * hertz * self._frame / FRAME_RATE + phase)

    def _look(self, latent: np.ndarray) -> None:
        """To the viewer, whatever the head does, with small saccades; speaking looks aside now and then."""
        if self._frame >= self._next_saccade:
            aside = self._lips.speaking and self._rng.random() < 0.2
            spread = (0.30, 0.12) if aside else (0.07, 0.04)
            self._gaze_target = np.clip(self._rng.normal(0.0, spread), -0.5, 0.5)
            self._next_saccade = self._frame + int(self._rng.uniform(0.6, 1.2 if aside else 2.6) * FRAME_RATE)
        self._gaze += 0.6 * (self._gaze_target - self._gaze)
        # gazeX 1 is about 0.65 rad of the eye, gazeY 1 about 0.3 rad; the eyes make up most of the head's turn.
        latent[_I["gazeX"]] += self._gaze[0] - np.clip(1.2 * latent[_I["headYaw"]], -0.5, 0.5)
        latent[_I["gazeY"]] += self._gaze[1] - np.clip(2.0 * latent[_I["headPitch"]], -0.5, 0.5)

    def _blinks(self, latent: np.ndarray) -> None:
        if self._frame >= self._next_blink:
            self._blink = _BLINKS[int(self._rng.integers(len(_BLINKS)))]
            self._next_blink = self._frame + int(self._rng.uniform(2.0, 5.0) * FRAME_RATE)
        if self._blink:
            latent[rig.LIDS] = self._blink[0]
            self._blink = self._blink[1:]


class ReflexGenerator:
    """The back end `reflex`: no weights, any face."""

    name = "reflex"
    space = rig.SPACE
    dim = rig.DIM

    def open(self, portrait: np.ndarray | None, seed: int, commit_frames: int | None = None) -> ReflexStream:
        return ReflexStream(seed, checked_commit(commit_frames, BLOCK_FRAMES, COMMIT_FRAMES))
