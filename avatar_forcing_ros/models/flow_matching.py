"""Conditional flow matching as the release samples it: the schedule and its Euler steps (paper, its method section).

The network predicts v = noise - data at time t in [0, 1000]; x = (1 - sigma) data + sigma noise, so an Euler
step from sigma to a smaller one adds (sigma_next - sigma) v. t = 1000 is pure noise, t = 0 is data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_TIME = 1000.0
BRANCHES = {  # of guidance -> which signals it hears: the avatar's audio, the user's audio and motion
    "none": (0.0, 0.0), "audio": (1.0, 0.0), "user": (0.0, 1.0), "both": (1.0, 1.0)
}  # fmt: skip
TABLE_ENTRIES = 1000  # entries of the sigma table that a time is rounded to


@dataclass(frozen=True)
class EulerStep:
    time: float  # t of the velocity
    change: float  # sigma_next - sigma, negative


def schedule(passes: int) -> tuple[EulerStep, ...]:
    """Euler steps of the release's solver with `passes` >= 3 per block.

    Of these passes one writes the cache and the release spends one more on an Euler step at t = 0 that changes nothing;
    it is left out here, so passes - 2 Euler steps remain.
    """
    if passes < 3:
        raise ValueError(f"passes is {passes}; give at least 3 (one Euler step, the end, the cache)")
    times = np.linspace(MAX_TIME, 0.0, passes - 1)
    table = np.linspace(1.0, 0.0, TABLE_ENTRIES)
    sigmas = [table[np.abs(table * MAX_TIME - time).argmin()] for time in times]
    return tuple(EulerStep(float(t), float(b - a)) for t, a, b in zip(times, sigmas, sigmas[1:]))


def branch_weights(mode: str, audio_guidance: float, user_guidance: float) -> dict[str, float]:
    """Classifier-free guidance over two conditions as a weighted sum of the velocities of branches.

    a, u: scales of the avatar's audio and of the user. Branches: "none", "audio" (the avatar's alone), "user" (alone), "both".
    separate (published): v = v_none + a (v_audio - v_none) + u (v_user - v_none).
    nested: v = v_none + a (v_audio - v_none) + u (v_both - v_audio); with a = u = 1 one branch is enough.
    Branches of weight 0 are left out. Returns branch -> weight; the weights' sum is 1.
    """
    a, u = audio_guidance, user_guidance
    if mode == "separate":
        weights = {"none": 1.0 - a - u, "audio": a, "user": u}
    else:
        weights = {"none": 1.0 - a, "audio": a - u, "both": u}
    return {branch: weight for branch, weight in weights.items() if weight != 0.0}


class Noise:
    """What a session's motion begins as. The same seed draws the same on every machine, device and runtime, however many frames
    are drawn at a time."""

    def __init__(self, seed: int, dim: int) -> None:
        self._rng, self._dim = np.random.default_rng(seed), dim

    def draw(self, frames: int) -> np.ndarray:
        """(frames, dim) float32, standard normal"""
        return self._rng.standard_normal((frames, self._dim), dtype=np.float32)
