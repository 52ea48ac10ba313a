"""What a mouth does while it says timed phones: rig curves with co-articulation.

Each phone has a target mouth. How far it reaches into its neighbours is told by dominance functions (Cohen & Massaro,
"Modeling coarticulation in synthetic visual speech", 1993): the curve of a coefficient is the mean of all targets,
weighted by dominances that decay exponentially with the distance from their phone. Rounding decays slowly ahead of its
phone, since lips round early (Perkell & Matthies 1992 give 100 to 300 ms); vowels rule the opening, most consonants give way.
What opens is what a camera sees, and a tracker of faces measures as `jawOpen`: the gap between the lips, not the jaw
behind them. Rounded lips all but close it, however low the jaw (u, w, r; Fromkin, "Lip positions in American English
vowels", 1964), f and v do, and spread lips show the teeth of an i or an s.
A short phone is overruled by its neighbours, so fast speech opens less. Lips that must meet (p, b, m) do, always.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d

from avatar_forcing_ros.learning.world.phones import VOWELS, Phone
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.timeline import FRAME_RATE

MOUTH: tuple[str, ...] = tuple(rig.NAMES[i] for i in rig.SPOKEN)  # the rig coefficients that speech moves


class _Viseme(NamedTuple):
    jaw: float  # jawOpen: the gap between the lips
    stretch: float
    pucker: float
    funnel: float
    upper: float
    lower: float
    hold_jaw: float  # dominance of the jaw's target
    hold_lips: float  # dominance of the lips' targets


_VISEMES: dict[str, _Viseme] = {
    "pau": _Viseme(0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 1.0, 0.6),
    # Vowels: the gap follows their height and whether the lips are spread (front vowels: wider) or rounded (narrower).
    "iy": _Viseme(0.21, 0.27, 0.00, 0.00, 0.08, 0.14, 1.0, 1.0),
    "ih": _Viseme(0.19, 0.15, 0.00, 0.00, 0.07, 0.12, 0.9, 0.7),
    "e": _Viseme(0.26, 0.22, 0.00, 0.00, 0.08, 0.14, 1.0, 0.9),
    "ey": _Viseme(0.28, 0.22, 0.00, 0.00, 0.08, 0.14, 1.0, 0.9),
    "eh": _Viseme(0.30, 0.14, 0.00, 0.00, 0.08, 0.14, 1.0, 0.7),
    "ae": _Viseme(0.38, 0.13, 0.00, 0.00, 0.10, 0.15, 1.1, 0.7),
    "a": _Viseme(0.42, 0.07, 0.00, 0.00, 0.08, 0.14, 1.1, 0.6),
    "aa": _Viseme(0.44, 0.00, 0.00, 0.06, 0.07, 0.13, 1.1, 0.6),
    "ah": _Viseme(0.23, 0.03, 0.00, 0.02, 0.06, 0.10, 0.9, 0.5),
    "ax": _Viseme(0.14, 0.03, 0.00, 0.02, 0.05, 0.08, 0.6, 0.3),
    "er": _Viseme(0.12, 0.00, 0.17, 0.22, 0.04, 0.10, 0.9, 0.9),
    "ao": _Viseme(0.25, 0.00, 0.14, 0.34, 0.05, 0.08, 1.1, 1.0),
    "o": _Viseme(0.16, 0.00, 0.29, 0.32, 0.02, 0.05, 1.0, 1.2),
    "uh": _Viseme(0.12, 0.00, 0.22, 0.22, 0.02, 0.05, 0.9, 0.9),
    "uw": _Viseme(0.08, 0.00, 0.47, 0.28, 0.00, 0.04, 1.0, 1.3),
    "ue": _Viseme(0.09, 0.00, 0.42, 0.30, 0.02, 0.05, 1.0, 1.3),
    "oe": _Viseme(0.17, 0.00, 0.27, 0.36, 0.03, 0.06, 1.0, 1.2),
    # Consonants.
    "p": _Viseme(0.02, 0.01, 0.03, 0.00, 0.00, 0.00, 1.0, 0.4),
    "b": _Viseme(0.02, 0.01, 0.03, 0.00, 0.00, 0.00, 1.0, 0.4),
    "m": _Viseme(0.02, 0.03, 0.02, 0.00, 0.00, 0.00, 1.0, 0.4),
    "bh": _Viseme(0.04, 0.01, 0.04, 0.00, 0.00, 0.02, 0.8, 0.5),
    "f": _Viseme(0.02, 0.06, 0.00, 0.00, 0.22, 0.00, 1.2, 0.8),
    "v": _Viseme(0.02, 0.06, 0.00, 0.00, 0.20, 0.00, 1.1, 0.8),
    "w": _Viseme(0.00, 0.00, 0.53, 0.22, 0.00, 0.02, 1.3, 1.4),
    "th": _Viseme(0.13, 0.06, 0.00, 0.00, 0.08, 0.14, 0.6, 0.4),
    "dh": _Viseme(0.13, 0.06, 0.00, 0.00, 0.07, 0.12, 0.5, 0.4),
    "t": _Viseme(0.14, 0.07, 0.00, 0.00, 0.06, 0.14, 0.6, 0.3),
    "d": _Viseme(0.14, 0.07, 0.00, 0.00, 0.06, 0.13, 0.5, 0.3),
    "n": _Viseme(0.13, 0.07, 0.00, 0.00, 0.06, 0.12, 0.45, 0.3),
    "l": _Viseme(0.15, 0.04, 0.00, 0.00, 0.06, 0.12, 0.4, 0.3),
    "s": _Viseme(0.14, 0.15, 0.00, 0.00, 0.10, 0.24, 1.1, 0.5),
    "z": _Viseme(0.14, 0.14, 0.00, 0.00, 0.10, 0.22, 1.0, 0.5),
    "sh": _Viseme(0.09, 0.00, 0.24, 0.42, 0.10, 0.18, 1.1, 1.1),
    "zh": _Viseme(0.09, 0.00, 0.22, 0.40, 0.10, 0.18, 1.0, 1.1),
    "ch": _Viseme(0.09, 0.00, 0.22, 0.40, 0.10, 0.18, 1.0, 1.0),
    "jh": _Viseme(0.09, 0.00, 0.20, 0.38, 0.10, 0.18, 1.0, 1.0),
    "ny": _Viseme(0.14, 0.14, 0.00, 0.00, 0.06, 0.12, 0.5, 0.5),
    "k": _Viseme(0.18, 0.04, 0.00, 0.02, 0.05, 0.10, 0.4, 0.2),
    "g": _Viseme(0.18, 0.04, 0.00, 0.02, 0.05, 0.10, 0.35, 0.2),
    "ng": _Viseme(0.17, 0.04, 0.00, 0.02, 0.05, 0.10, 0.35, 0.2),
    "x": _Viseme(0.18, 0.03, 0.00, 0.03, 0.05, 0.10, 0.35, 0.2),
    "r": _Viseme(0.06, 0.00, 0.26, 0.30, 0.03, 0.08, 1.1, 1.0),
    "rr": _Viseme(0.15, 0.04, 0.00, 0.02, 0.05, 0.10, 0.4, 0.3),
    "y": _Viseme(0.17, 0.21, 0.00, 0.00, 0.06, 0.12, 0.5, 0.8),
    "hh": _Viseme(0.20, 0.03, 0.00, 0.00, 0.05, 0.08, 0.12, 0.08),
    "q": _Viseme(0.15, 0.03, 0.00, 0.00, 0.05, 0.08, 0.12, 0.08),
}
# A diphthong is two mouths in one phone: (first, second, part of the time that the first has).
_GLIDES = {
    "ay": ("aa", "ih", 0.6),
    "aw": ("ae", "uh", 0.6),
    "oy": ("ao", "ih", 0.55),
    "ow": ("o", "uw", 0.55),
}
# The part of a bilabial in which the lips are shut; what follows in a plosive is its release.
_SHUT = {"p": 0.65, "b": 0.75, "m": 0.95}

_FINE = 200  # Hz of the curves before they become frames
_MARGIN = 0.6  # seconds around an utterance in which its mouth still moves
# Seconds by which the mouth is ahead of its sound, besides what dominance anticipates: little in running speech
# (Schwartz & Savariaux, "No, there is no 150 ms lead of visual speech on auditory speech", 2014).
_LEAD = 0.01
_REACH_JAW, _REACH_LIPS = 0.035, 0.06  # seconds in which a dominance decays to 1/e
_REACH_ROUND = 0.09  # the same ahead of a rounded phone
_JAW_SIGMA, _LIP_SIGMA = 0.024, 0.020  # seconds; a jaw moves up to 5.5 Hz (-3 dB = 0.1325 / sigma), lips up to 6.6 Hz
_FLANK = 0.055  # seconds in which lips come to meet
_PRESS = 0.45  # of lips that are shut


def mouth(phones: Sequence[Phone], frame_count: int, start: float = 0.0, articulation: float = 1.0) -> np.ndarray:
    """Rig latents (frame_count, 32) float32 of a mouth that says `phones`; all but the coefficients MOUTH are zero.

    Frame f shows the time (f + 0.5) / 25 s; the phones' time 0 is at `start` seconds of the same clock and may lie
    before or after the frames. articulation: how far the mouth moves, 1 is clear speech, 0.6 mumbled; lips meet at any.
    """
    latents = np.zeros((frame_count, rig.DIM), np.float32)
    segments = _segments(phones)
    if not segments or frame_count == 0:
        return latents
    begin, end = phones[0].start - _MARGIN, phones[-1].end + _MARGIN
    grid = np.arange(begin, end, 1.0 / _FINE)
    jaw, lips = _dominated(segments, grid + _LEAD)
    jaw = gaussian_filter1d(jaw, _JAW_SIGMA * _FINE, mode="nearest") * articulation
    lips = gaussian_filter1d(lips, _LIP_SIGMA * _FINE, axis=0, mode="nearest") * articulation
    shut = _shut(phones, grid)
    stretch, pucker, funnel, upper, lower = lips.T
    open_ = 1.0 - shut
    curves = {
        "jawOpen": jaw * open_,
        "mouthStretchLeft": stretch,
        "mouthStretchRight": stretch,
        "mouthPucker": pucker,
        "mouthFunnel": funnel * (1.0 - 0.8 * shut),
        "mouthUpperUp": upper * open_,
        "mouthLowerDown": lower * open_,
        "mouthPress": _PRESS * shut,
    }
    times = _middles(frame_count) - start
    for name in MOUTH:
        latents[:, rig.INDEX[name]] = np.interp(times, grid, curves[name], left=0.0, right=0.0)
    return rig.clamp(latents)


def closures(phones: Sequence[Phone], frame_count: int, start: float = 0.0) -> np.ndarray:
    """(frame_count,) bool: frames whose middle lies where p, b or m keep the lips shut. Clock as in mouth()."""
    times = _middles(frame_count) - start
    shut = np.zeros(frame_count, bool)
    for a, b in _closed_times(phones):
        shut |= (a <= times) & (times < b)
    return shut


def _middles(frame_count: int) -> np.ndarray:
    return (np.arange(frame_count) + 0.5) / FRAME_RATE


def _closed_times(phones: Sequence[Phone]) -> list[tuple[float, float]]:
    return [(p.start, p.start + _SHUT[p.symbol] * (p.end - p.start)) for p in phones if p.symbol in _SHUT]


def _segments(phones: Sequence[Phone]) -> list[Phone]:
    """The phones with diphthongs split in two, between two silences."""
    if not phones:
        return []
    parts = [Phone("pau", phones[0].start - 2 * _MARGIN, phones[0].start)]
    for phone in phones:
        if phone.symbol in _GLIDES:
            first, second, part = _GLIDES[phone.symbol]
            middle = phone.start + part * (phone.end - phone.start)
            parts += [Phone(first, phone.start, middle), Phone(second, middle, phone.end)]
        else:
            parts.append(phone)
    parts.append(Phone("pau", phones[-1].end, phones[-1].end + 2 * _MARGIN))
    return parts


def _dominated(segments: list[Phone], times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(jaw (n,), lips (n, 5)): the targets' means at `times`, weighted by dominance."""
    jaw, jaw_weight = np.zeros(len(times)), np.full(len(times), 1e-6)
    lips, lip_weight = np.zeros((len(times), 5)), np.full(len(times), 1e-6)
    for phone in segments:
        viseme = _VISEMES[phone.symbol]
        length = phone.end - phone.start
        core = min(0.25 * length, 0.03)
        first, last = phone.start + core, phone.end - core
        a, b = np.searchsorted(times, (first - _MARGIN, last + _MARGIN))
        near = times[a:b]
        ahead, after = np.maximum(0.0, first - near), np.maximum(0.0, near - last)
        opening = viseme.jaw
        if phone.symbol in VOWELS:  # a long one is usually stressed, and opens more
            opening *= 0.75 + 0.5 * np.clip((length - 0.05) / 0.15, 0.0, 1.0)
        weight = viseme.hold_jaw * np.exp(-(ahead + after) / _REACH_JAW)
        jaw[a:b] += weight * opening
        jaw_weight[a:b] += weight
        rounded = viseme.pucker + viseme.funnel > 0.3
        weight = viseme.hold_lips * np.exp(-ahead / (_REACH_ROUND if rounded else _REACH_LIPS) - after / _REACH_LIPS)
        lips[a:b] += weight[:, None] * np.array(viseme[1:6])
        lip_weight[a:b] += weight
    return jaw / jaw_weight, lips / lip_weight[:, None]


def _shut(phones: Sequence[Phone], times: np.ndarray) -> np.ndarray:
    """(n,): 1 while the lips are shut, falling to 0 on smooth flanks."""
    shut = np.zeros(len(times))
    for a, b in _closed_times(phones):
        i, j = np.searchsorted(times, (a - _FLANK, b + _FLANK))
        near = times[i:j]
        away = np.maximum(np.maximum(a - near, near - b), 0.0) / _FLANK
        shut[i:j] = np.maximum(shut[i:j], 0.5 + 0.5 * np.cos(np.pi * np.minimum(away, 1.0)))
    return shut
