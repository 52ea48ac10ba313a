"""Channels of a microphone -> one, whatever is wrong with some of them: dead, against each other, with a constant on top."""

from __future__ import annotations

import math

import numpy as np

from avatar_forcing_ros.errors import InputError

_SETTLE_S = 1.0  # levels and constants are means over about this long
_FIRST_S = 0.5  # of sound before a constant is believed: shorter tones have a mean of their own
_CONSTANT = 0.01  # of full scale; a smaller constant is left alone
_HEARD = 1e-6  # power, -60 dB: below it nothing is said about channels
_DEAD = 1e-4  # of the loudest channel's power, -40 dB
_CANCELLED = 0.2  # the mean's power, times the channels, against theirs; 1 where they are independent
_SILENT = 1e-10  # power, -100 dB: no microphone is as quiet


class Mixer:
    """One stream of sound to mono. State of fixed size.

    channel: the one to take, from 0; None: the mean of those that are alive.
    """

    def __init__(self, channel: int | None = None) -> None:
        self.channel = channel
        self.reset()

    def reset(self) -> None:
        self._seconds = 0.0  # of sound so far
        self._means = np.zeros(0)  # of each channel
        self._powers = np.zeros(0)  # of each channel about its mean
        self._mix_power = 0.0  # of the mean of all
        self._constants = np.zeros(0, np.float32)  # taken off each channel now
        self._weights = np.zeros(0, np.float32)  # of each channel now
        self.silent_s = 0.0  # of digital silence up to now

    def mono(self, samples: np.ndarray, rate: int) -> np.ndarray:
        """(n, channels) float32 -> (n,). Raises InputError where the channel that was asked for is not there."""
        channels = samples.shape[1]
        if self.channel is not None:
            if not 0 <= self.channel < channels:
                raise InputError(f"channel {self.channel} was asked for, but the sound has {channels} (counted from 0)")
            samples, channels = samples[:, self.channel : self.channel + 1], 1
        if not len(samples):
            return np.zeros(0, np.float32)
        if channels != len(self._means):
            self.reset()
            self._means, self._powers = np.zeros(channels), np.zeros(channels)
        self._measure(samples, rate)
        known = self._seconds >= _FIRST_S
        constants = np.array([m if known and abs(m) > _CONSTANT else 0.0 for m in self._means.tolist()], np.float32)
        weights = self._wanted()
        if not len(self._weights):
            self._constants, self._weights = constants, weights
        if constants.any() or self._constants.any():
            samples = samples - (self._constants + _ramp(samples) * (constants - self._constants))
        if channels == 1:
            out = samples[:, 0]
        elif weights is self._weights or np.array_equal(weights, self._weights):
            out = samples @ weights
        else:
            out = np.sum(samples * (self._weights + _ramp(samples) * (weights - self._weights)), axis=1)
        self._constants, self._weights = constants, weights
        return np.ascontiguousarray(out, np.float32)

    def line(self) -> str:
        """What is wrong with a microphone's channels, with the mend; '' where nothing is."""
        parts = []
        if self.silent_s > 10.0:
            parts.append(f"digital silence for {self.silent_s:.0f} s: is the microphone muted?")
        if len(self._weights) > 1:
            left_out = [k for k, w in enumerate(self._weights) if not w]
            if left_out:
                why = "against the others" if self._cancelled() else "dead"
                parts.append(
                    f"channel {', '.join(map(str, left_out))} of {len(self._weights)} is {why} and left out; choose one with channel"
                )
        if len(self._constants) and np.abs(self._constants).max() > 3 * _CONSTANT:
            parts.append(
                f"a constant of {100 * float(np.abs(self._constants).max()):.0f} % of full scale is taken off; look at the microphone's wiring"
            )
        return "; ".join(parts)

    def _measure(self, samples: np.ndarray, rate: int) -> None:
        seconds = len(samples) / rate
        # At first the plain mean of everything so far, later one that forgets.
        share = max(-math.expm1(-seconds / _SETTLE_S), seconds / (self._seconds + seconds))
        self._seconds = min(self._seconds + seconds, 3600.0)
        exact = samples.astype(np.float64)
        means = np.add.reduce(exact, axis=0) / len(exact)
        self._means += share * (means - self._means)
        exact -= means
        together = exact.T @ exact / len(exact)  # (channels, channels)
        powers = together.diagonal()
        self._powers += share * (powers - self._powers)
        self._mix_power += share * (float(together.sum()) / len(powers) ** 2 - self._mix_power)
        self.silent_s = self.silent_s + seconds if powers.max() < _SILENT else 0.0

    def _wanted(self) -> np.ndarray:
        loudest = float(self._powers.max())
        if len(self._powers) == 1 or loudest < _HEARD:
            return (
                self._weights if len(self._weights) else np.full(len(self._powers), 1.0 / len(self._powers), np.float32)
            )
        if self._cancelled():
            alive = self._powers >= loudest
        else:
            # Back in only when clearly alive, so that a channel does not come and go.
            was_dead = (self._weights == 0) if len(self._weights) else np.zeros(len(self._powers), bool)
            alive = self._powers > loudest * np.where(was_dead, 10 * _DEAD, _DEAD)
        return (alive / alive.sum()).astype(np.float32)

    def _cancelled(self) -> bool:
        return float(self._powers.max()) >= _HEARD and self._mix_power * len(self._powers) < _CANCELLED * float(
            self._powers.mean()
        )


def _ramp(samples: np.ndarray) -> np.ndarray:
    """(n, 1) from 0 to 1, for what changes from one piece of sound to the next."""
    return np.linspace(0.0, 1.0, len(samples), dtype=np.float32)[:, None]
