"""Conditional flow matching as the release samples it: the schedule and its Euler steps (paper, its method section).

The network predicts v = noise - data at time t in [0, 1000]; x = (1 - sigma) data + sigma noise, so a step from
sigma to a smaller one adds (sigma_next - sigma) v. t = 1000 is pure noise, t = 0 is data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

MAX_TIME = 1000.0
TABLE_ENTRIES = 1000  # entries of the sigma table that a time is rounded to


@dataclass(frozen=True)
class EulerStep:
    time: float  # t of the velocity
    change: float  # sigma_next - sigma, negative


def schedule(evaluations: int) -> tuple[EulerStep, ...]:
    """Euler steps of the release's solver with `evaluations` >= 3 network passes per block.

    Of these passes one writes the cache and the release spends one more on a step at t = 0 that changes nothing;
    it is left out here, so evaluations - 2 steps remain.
    """
    if evaluations < 3:
        raise ValueError(f"evaluations = {evaluations}: at least 3 are needed (one step, the end, the cache)")
    times = np.linspace(MAX_TIME, 0.0, evaluations - 1)
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


def guided(velocity: Tensor, weights: Tensor) -> Tensor:
    """velocity: (branches, T, D), weights: (branches,) -> (1, T, D)"""
    return torch.einsum("btd,b->td", velocity, weights)[None]
