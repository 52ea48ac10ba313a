"""The user's voice, frame by frame: nobody, a voice, a back-channel, or somebody who takes the turn. The avatar's own voice is none."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from avatar_forcing_ros.audio.level import SpeechLevel, rms_db
from avatar_forcing_ros.timeline import NANOSECONDS, SAMPLE_RATE, SAMPLES_PER_FRAME, time_of
from avatar_forcing_ros.voice.listening.back_channel import LEAST_S, takes_the_turn
from avatar_forcing_ros.voice.listening.echo import EchoGuard
from avatar_forcing_ros.voice.listening.vad import VoiceDetector, make_detector

NONE, VOICE, BACK_CHANNEL, INTERRUPTION = range(4)  # states, as in VoiceActivity.msg
_KEPT_FRAMES = 24  # of the voice, for whoever tells what it wants
_ONSET_FRAMES = 12  # in which an onset and what was before it are looked for
_BACK_FRAMES = 4  # a voice may have begun so long before it is told
_HANG_FRAMES = 8  # 320 ms without a voice end it
_MAY_BE, _SURE = (
    -2.0,
    4.0,
)  # of the network's score (logarithm of odds): from there somebody may take the turn, and does
_LONG_FRAMES = 22  # 880 ms of voice, whatever it is, take the turn
_OVER_ECHO_DB = 1.0  # over the estimated echo, where what is left of it is no voice
_OVER_NOISE_DB = 9.0  # where the avatar speaks, so that what is left of its echo is no voice
_ALIKE = 0.2  # with the avatar's voice: what is left of it, before the filter has learned
_ALIKE_LEARNED = 0.45  # two voices of one pitch may be so alike by chance
_ONSET_DB = 10.0  # over what was before
_PART = SAMPLE_RATE // 200  # samples: onsets are found to 5 ms


class Heard(NamedTuple):
    """state: NONE ...; frame: of the sound; onset_ns: when the voice began (0 for NONE); duration_ns: of the voice so far, or of the
    one that has just ended; own: the avatar's voice may be in the microphone; claims: it sounds as if somebody took the turn, which
    is not sure yet."""

    state: int
    frame: int
    onset_ns: int
    duration_ns: int
    probability: float
    own: bool
    claims: bool = False


class Ear:
    """Takes the microphone's frames of 640 samples in order, with the avatar's voice of the same time. State of fixed size."""

    def __init__(self, detector: VoiceDetector | None = None) -> None:
        self._detector = detector or make_detector()
        self._guard, self._level = EchoGuard(), SpeechLevel()
        self.reset()

    def reset(self) -> None:
        self._detector.reset()
        self._guard.reset()
        self._level.reset()
        self._kept = np.zeros((_KEPT_FRAMES, SAMPLES_PER_FRAME), np.float32)
        self._frame: int | None = None
        self._state, self._onset, self._silent, self._voiced, self._last_voice = NONE, 0, 0, 0, 0
        self._first = 0  # frame at which the voice was told
        self._claims = False

    def push(self, frame: int, microphone: np.ndarray, known: bool, voice: np.ndarray) -> Heard:
        """microphone, voice: (640,) float32. A frame that does not follow the one before begins anew."""
        if self._frame is not None and frame != self._frame + 1:
            self._detector.reset()
            self._kept[:] = 0.0
            self._state = NONE
        self._frame = frame
        clean = self._guard.push(microphone, voice)
        self._kept = np.concatenate([self._kept[1:], clean.samples[None]])
        activity, level = self._detector.push(clean.samples, known), self._level.push(clean.samples, known)
        speaks = activity.active and known
        if speaks and clean.own and (self._state in (NONE, VOICE)):
            left = level.db - rms_db(clean.echo)
            speaks = (
                left > _OVER_ECHO_DB
                and level.db - level.floor_db > _OVER_NOISE_DB
                and self._guard.alike() < (_ALIKE_LEARNED if self._guard.learned else _ALIKE)
            )
        self._follow(speaks, clean.own)
        duration = 0
        if self._state != NONE:
            duration = time_of(frame + 1) - self._onset
        elif self._last_voice:
            duration, self._last_voice = self._last_voice, 0
        onset = self._onset if self._state != NONE else 0
        return Heard(
            state=self._state, frame=frame, onset_ns=onset, duration_ns=duration, probability=activity.probability,
            own=clean.own, claims=self._claims,
        )  # fmt: skip

    def _follow(self, speaks: bool, own: bool) -> None:
        assert self._frame is not None
        self._claims = self._state == INTERRUPTION
        if self._state == NONE:
            if not speaks:
                return
            self._state, self._onset, self._silent, self._voiced = VOICE, self._find_onset(), 0, 0
            self._first = self._frame
        self._silent = 0 if speaks else self._silent + 1
        self._voiced += speaks
        if self._silent >= _HANG_FRAMES:
            self._last_voice = time_of(self._frame + 1 - self._silent) - self._onset
            self._state = NONE
            return
        # The guard may doubt single frames of a voice.
        if (
            self._state in (VOICE, BACK_CHANNEL)
            and self._silent < 3
            and 2 * self._voiced >= max(4, self._frame - self._first)
        ):
            since = (time_of(self._frame + 1) - self._onset) * SAMPLE_RATE // NANOSECONDS
            since = min(since, self._kept.size)
            if since >= LEAST_S * SAMPLE_RATE:
                score = takes_the_turn(self._kept.reshape(-1)[-since:])
                self._claims = score > _MAY_BE
                if score > _SURE or self._voiced >= _LONG_FRAMES:
                    self._state = INTERRUPTION
                else:
                    self._state = VOICE if self._claims else BACK_CHANNEL

    def _find_onset(self) -> int:
        """Where the voice that was just told began: the first sound over what was before it."""
        assert self._frame is not None
        kept = self._kept[-_ONSET_FRAMES:].reshape(-1)
        heard = kept[-(_BACK_FRAMES + 1) * SAMPLES_PER_FRAME :].reshape(-1, _PART)
        levels = 10 * np.log10(np.mean(heard**2, axis=1) + 1e-9)
        before = kept[: -(_BACK_FRAMES + 1) * SAMPLES_PER_FRAME].reshape(-1, _PART)
        floor = max(float(np.median(10 * np.log10(np.mean(before**2, axis=1) + 1e-9))), -65.0)
        loud = levels > max(floor + _ONSET_DB, float(levels.max()) - 25.0)
        # Back from the newest sound, over pauses of up to 40 ms.
        first, gap = len(loud) - 1, 0
        for i in range(len(loud) - 1, -1, -1):
            gap = 0 if loud[i] else gap + 1
            if loud[i]:
                first = i
            if gap > 8:
                break
        return time_of(self._frame + 1) - (len(loud) - first) * _PART * NANOSECONDS // SAMPLE_RATE


class SpokenVoice:
    """The avatar's voice as it left, at 16 kHz mono, by the time at which it sounds. Bounded."""

    def __init__(self, seconds: float = 2.0) -> None:
        self._size = int(seconds * SAMPLE_RATE)
        self._samples = np.zeros(self._size, np.float32)
        self._end: int | None = None  # place on the clock after the newest sample

    def put(self, stamp_ns: int, samples: np.ndarray) -> None:
        """samples (n,) float32, 16 kHz, the first of which sounds at stamp_ns."""
        place = (stamp_ns * SAMPLE_RATE + NANOSECONDS // 2) // NANOSECONDS
        if self._end is None or abs(place - self._end) > self._size:
            self._samples[:] = 0.0
            self._end = place
        end = place + len(samples)
        if end > self._end:
            self._samples = np.concatenate([self._samples[end - self._end :], np.zeros(end - self._end, np.float32)])[
                -self._size :
            ]
            self._end = end
        first = self._size - (self._end - place)
        skip = max(0, -first)
        self._samples[first + skip : first + len(samples)] = samples[skip:]

    def get(self, frame: int) -> np.ndarray:
        """(640,) of a frame of the clock; zeros where nothing is known."""
        out = np.zeros(SAMPLES_PER_FRAME, np.float32)
        if self._end is None:
            return out
        first = self._size - (self._end - frame * SAMPLES_PER_FRAME)
        have = slice(max(0, first), max(0, min(self._size, first + SAMPLES_PER_FRAME)))
        if have.stop > have.start:
            out[have.start - first : have.stop - first] = self._samples[have]
        return out
