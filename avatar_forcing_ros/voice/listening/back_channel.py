"""Whether the first moments of the user's voice take the turn, or are an "mhm" or a "yeah" that asks to go on.

A small recurrent network (a GRU) reads the spectrum from the voice's onset on, 20 ms a step, and says at each step how likely somebody
takes the turn. Its numbers are in assets/back_channel.json, made from synthetic voices by tools/assets/make_back_channel.py.
"""

from __future__ import annotations

import json
from functools import lru_cache

import numpy as np

from avatar_forcing_ros.assets import BACK_CHANNEL
from avatar_forcing_ros.timeline import SAMPLE_RATE

WINDOW, HOP = 640, 320  # samples of one spectrum, and to the next one
LEAST_S, MOST_S = 0.16, 0.80  # of voice that it looks at
_BANDS, _LOW_HZ, _HIGH_HZ = 18, 100.0, 7000.0
_FLOOR = 10**-3.5  # power of a band, of the loudest spectrum so far, that counts as nothing
FEATURES = _BANDS + 1


@lru_cache
def _bands() -> np.ndarray:
    """(18, 321): triangles of equal width in mel."""
    mel = np.linspace(2595 * np.log10(1 + _LOW_HZ / 700), 2595 * np.log10(1 + _HIGH_HZ / 700), _BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    bins = np.arange(WINDOW // 2 + 1) * SAMPLE_RATE / WINDOW
    rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.clip(np.minimum(rise, fall), 0.0, None)


def features(samples: np.ndarray) -> np.ndarray:
    """(steps, 19) of the voice's beginning: samples (n,) at 16 kHz from its onset on. How loud somebody is says nothing; a step
    knows nothing of what comes after it."""
    steps = max(0, (len(samples) - WINDOW) // HOP + 1)
    if not steps:
        return np.zeros((0, FEATURES))
    windows = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), WINDOW)[::HOP][:steps]
    power = np.abs(np.fft.rfft(windows * np.hanning(WINDOW), axis=1)) ** 2 @ _bands().T
    total = power.sum(axis=1)
    loudest = np.maximum.accumulate(total) + 1e-9
    shape = np.log(power / loudest[:, None] + _FLOOR)
    return np.c_[shape, np.log(total / loudest + _FLOOR)] / 3.0 + 1.0


@lru_cache
def _numbers() -> dict[str, np.ndarray]:
    return {name: np.array(values) for name, values in json.loads(BACK_CHANNEL.read_text()).items()}


def takes_the_turn(samples: np.ndarray) -> float:
    """Above 0: the voice that begins with these samples, at least 160 ms, says something; below: it agrees or hums."""
    n = _numbers()
    gates = features(samples[: round(MOST_S * SAMPLE_RATE)]) @ n["input"].T + n["input_bias"]
    size = n["hidden"].shape[1]
    state = np.zeros(size)
    for gate in gates:
        own = n["hidden"] @ state + n["hidden_bias"]
        reset, update = 1.0 / (1.0 + np.exp(-(gate[: 2 * size] + own[: 2 * size]))).reshape(2, size)
        state = (1.0 - update) * np.tanh(gate[2 * size :] + reset * own[2 * size :]) + update * state
    return float(state @ n["out"] + n["bias"] - n["offsets"][len(gates) - 1])
