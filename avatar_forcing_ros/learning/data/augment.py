"""Rooms, microphones and backgrounds that clean synthetic speech has never been through. All at 16 kHz, none delays."""

from __future__ import annotations

import numpy as np

from avatar_forcing_ros.timeline import SAMPLE_RATE

NOISES = ("white", "pink", "babble", "hum")


def room(rng: np.random.Generator, samples: np.ndarray) -> np.ndarray:
    """`samples` (n,) as heard in a small room, float32 (n,) with the same RMS.

    The room's answer is noise that decays by 60 dB in 0.1 to 0.5 s (Polack's model of late reverberation) behind the
    direct sound, which stays where it is; what it carries relative to the direct sound is drawn from -15 to +3 dB.
    """
    decay = rng.uniform(0.1, 0.5)
    times = np.arange(round(decay * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(times)) * 10 ** (-3 * times / decay)
    tail[: round(rng.uniform(0.001, 0.006) * SAMPLE_RATE)] = 0.0  # way of the first echo
    tail = np.convolve(tail, [0.6, 0.4])[: len(tail)]  # walls swallow high tones
    tail *= 10 ** (rng.uniform(-15, 3) / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    length = _fast_length(len(samples) + len(tail))
    heard = np.fft.irfft(np.fft.rfft(samples, length) * np.fft.rfft(tail, length), length)
    return _level(heard[: len(samples)], samples)


def tilt(rng: np.random.Generator, samples: np.ndarray) -> np.ndarray:
    """`samples` (n,) through a random microphone and line, float32 (n,) with the same RMS.

    A smooth gain over frequency within about 10 dB; sometimes the band of a telephone (300 to 3400 Hz) or of a poor
    microphone (to 4 kHz); sometimes soft clipping, or quantisation to the 8 bits of mu-law (ITU-T G.711).
    """
    count = len(samples)
    spectrum = np.fft.rfft(samples, _fast_length(count))
    frequencies = np.fft.rfftfreq(_fast_length(count), 1 / SAMPLE_RATE)
    octaves = np.log2(np.maximum(frequencies, 60.0) / 1000.0)
    knots = np.linspace(-4.1, 3.0, 6)
    gains = rng.uniform(-2.5, 2.5) * knots + rng.uniform(-4.0, 4.0, len(knots))
    gain = 10 ** (np.clip(np.interp(octaves, knots, gains), -12.0, 12.0) / 20)
    kind = rng.random()
    if kind < 0.12:
        gain *= _band(frequencies, 300.0, 3400.0)
    elif kind < 0.22:
        gain *= _band(frequencies, 80.0, 4000.0)
    out = _level(np.fft.irfft(spectrum * gain)[:count], samples)
    kind, loudest = rng.random(), max(float(np.max(np.abs(out))), 1e-9)
    if kind < 0.15:
        drive = rng.uniform(1.0, 4.0) / loudest
        out = _level(np.tanh(drive * out), samples)
    elif kind < 0.3:
        steps = 127.0 * np.sign(out) * np.log1p(255 * np.abs(out) / loudest) / np.log(256)
        out = loudest * np.sign(steps) * np.expm1(np.abs(np.round(steps)) / 127 * np.log(256)) / 255
    return out.astype(np.float32)


def noise(rng: np.random.Generator, count: int) -> np.ndarray:
    """A background (count,) float32 with an RMS of 1: white or pink noise, a babble of far voices, or a mains hum."""
    kind = str(rng.choice(NOISES))
    length = _fast_length(count)
    frequencies = np.fft.rfftfreq(length, 1 / SAMPLE_RATE)
    spectrum = rng.standard_normal(len(frequencies)) + 1j * rng.standard_normal(len(frequencies))
    if kind == "pink":
        spectrum /= np.sqrt(np.maximum(frequencies, 30.0))
    elif kind == "babble":  # the long-term spectrum of speech: flat to 500 Hz, then about -9 dB an octave
        spectrum *= np.minimum(1.0, (500.0 / np.maximum(frequencies, 1.0)) ** 1.5) * (frequencies > 80.0)
    elif kind == "hum":
        spectrum /= np.maximum(frequencies, 20.0)
    sound = np.fft.irfft(spectrum, length)[:count]
    times = np.arange(count) / SAMPLE_RATE
    if kind == "babble":  # syllables: slow random loudness
        at = np.arange(0.0, count / SAMPLE_RATE + 0.4, 0.12)
        sound *= np.interp(times, at, np.exp(0.5 * rng.standard_normal(len(at))))
    elif kind == "hum":
        mains = rng.choice((50.0, 60.0))
        sound /= max(float(np.std(sound)), 1e-9)
        for harmonic in (1, 2, 3, 4, 6):
            sound += rng.uniform(0.0, 1.5) / harmonic * np.sin(2 * np.pi * (mains * harmonic * times + rng.random()))
    return (sound / max(np.sqrt(np.mean(sound**2)), 1e-9)).astype(np.float32)


def _fast_length(count: int) -> int:
    from scipy.fft import next_fast_len

    return max(2, next_fast_len(count, real=True))


def _band(frequencies: np.ndarray, low: float, high: float) -> np.ndarray:
    """Gain of a band-pass with flanks of 24 dB an octave."""
    return 1.0 / np.sqrt((1.0 + (low / np.maximum(frequencies, 1.0)) ** 8) * (1.0 + (frequencies / high) ** 8))


def _level(changed: np.ndarray, like: np.ndarray) -> np.ndarray:
    power = np.mean(np.square(changed))
    scale = np.sqrt(np.mean(np.square(like, dtype=np.float64)) / power) if power > 0.0 else 1.0
    return (changed * scale).astype(np.float32)
