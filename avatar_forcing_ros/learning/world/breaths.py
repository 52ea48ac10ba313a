"""Breaths before speech. Who is about to talk opens the mouth and breathes in, which a microphone near by hears.

Most turns are taken just after an inhalation (Rochet-Capellan & Fuchs, "Take a breath and take the turn", 2014), long answers
more than short ones (Torreira, Bögels & Levinson, "Breathing for answering", 2015); two thirds are made so here, and half of the
long pauses inside a turn. Air comes through nose and mouth at once in most (Lester & Hoit, "Nasal and oral inspiration
during natural speech breathing", 2014); through the nose alone it leaves the lips and these sounds as they are.
A breath is noise from about 0.5 to 5 kHz with broad peaks near 0.85 and 1.6 kHz (Nakano et al., "Analysis and automatic detection
of breath sounds in unaccompanied singing voice", 2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar_forcing_ros.learning.world.phones import BILABIALS
from avatar_forcing_ros.learning.world.voices.speech import LEVEL
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.timeline import FRAME_RATE, SAMPLE_RATE

SHARE, SHARE_IN_PAUSES = 0.65, 0.5  # of turns that begin, and of pauses long enough
_ORAL = 0.8  # of breaths, through the mouth too
_LEAST_PAUSE, _LEAST = 0.45, 0.25  # seconds: of a pause with a breath; of a breath
_PARTS = {"mouthUpperUp": 0.25, "mouthLowerDown": 0.4}  # of the jaw's opening
_OPENS, _CLOSES = 0.12, 0.1  # seconds


@dataclass(frozen=True)
class Breath:
    """Seconds from `start` to `end`, when speech begins; sounds: until when air is heard. opening: of jawOpen. level: RMS.
    shuts: the first sound needs the lips together."""

    start: float
    sounds: float
    end: float
    opening: float
    level: float
    shuts: bool


def draw_breath(rng: np.random.Generator, free: float, speech: float, first: str, opens: bool) -> Breath | None:
    """A breath through the mouth before speech that begins at `speech` (s) with the phone `first`, or None. free: when the person's last
    utterance ended. opens: it begins a turn."""
    share, pause = (SHARE, 0.0) if opens else (SHARE_IN_PAUSES, _LEAST_PAUSE)
    drawn, length, gap = rng.random(), float(rng.lognormal(np.log(0.5), 0.3)), float(rng.uniform(0.02, 0.14))
    opening, level = float(rng.lognormal(np.log(0.17), 0.4)), LEVEL * 10 ** (rng.uniform(-42.0, -20.0) / 20)
    start = max(free + 0.08, speech - gap - length, 0.0)
    if drawn > share * _ORAL or speech - free < pause or speech - gap - start < _LEAST:
        return None
    return Breath(start, speech - gap, speech, min(opening, 0.4), level, first in BILABIALS)


def breath_lips(breath: Breath, frame_count: int) -> np.ndarray:
    """Rig latents (frame_count, 32) float32 of the open mouth, which speech then takes over."""
    times = (np.arange(frame_count) + 0.5) / FRAME_RATE
    gone = breath.end if breath.shuts else breath.end + _CLOSES
    corners = [breath.start - 0.04, breath.start - 0.04 + _OPENS, gone - _CLOSES, gone]
    share = np.interp(times, np.maximum.accumulate(corners), [0.0, 1.0, 1.0, 0.0])
    latents = np.zeros((frame_count, rig.DIM), np.float32)
    for name, part in {"jawOpen": 1.0, **_PARTS}.items():
        latents[:, rig.INDEX[name]] = part * breath.opening * (0.5 - 0.5 * np.cos(np.pi * share))
    return latents


def breath_sound(rng: np.random.Generator, breath: Breath, gain: float) -> np.ndarray:
    """(n,) float32 at 16 kHz from `start` on. gain: the person's volume."""
    count = round((breath.sounds - breath.start) * SAMPLE_RATE)
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hertz = np.maximum(np.fft.rfftfreq(count, 1 / SAMPLE_RATE), 1.0)
    spread = 2 ** rng.uniform(-0.25, 0.25)  # of heads
    shape = sum(
        weight * np.exp(-0.5 * (np.log2(hertz / (spread * centre)) / width) ** 2)
        for centre, width, weight in (
            (850.0, 0.35, 1.0),
            (1650.0, 0.3, 1.0),
            (3500.0, 0.5, 10 ** rng.uniform(-0.8, 0.1)),
        )
    )
    times = np.arange(count) / SAMPLE_RATE
    swell = np.interp(
        times, [0.0, rng.uniform(0.05, 0.2), times[-1] - 0.05, times[-1]], [0.0, 1.0, rng.uniform(0.5, 1.0), 0.0]
    )
    sound = np.fft.irfft(spectrum * shape, count) * swell
    return (gain * breath.level * sound / max(float(np.sqrt(np.mean(sound**2))), 1e-9)).astype(np.float32)
