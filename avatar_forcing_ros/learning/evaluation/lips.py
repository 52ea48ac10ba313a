"""Figures of lips: how a mouth's curves follow the true ones, closures at p, b and m, and silence."""

from __future__ import annotations

import numpy as np

from avatar_forcing_ros.learning.evaluation import metrics as m
from avatar_forcing_ros.learning.world.conversation import Conversation

LIP_REACH = 5  # frames of lag that are looked at
LIP_WITHIN = 2  # frames of lag that a viewer does not see (ITU-R BT.1359: about 45 ms early, 125 ms late)


def mean_of(values: list[float]) -> float:
    """NaN where nothing is known; a list of nothing but NaN says so without a warning."""
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")


def mouth_figures(curves: list[np.ndarray]) -> dict:
    """Means over recordings of lag curves (11,). A lag chosen for each recording always finds something; the one that is
    common to all does not."""
    best = [m.best_lag(curve, LIP_WITHIN) for curve in curves]
    wide = [m.best_lag(curve, LIP_REACH) for curve in curves]
    together = np.array([mean_of([curve[i] for curve in curves]) for i in range(2 * LIP_REACH + 1)])
    common = m.best_lag(together, LIP_REACH)
    return {
        "r_lag_0": mean_of([curve[LIP_REACH] for curve in curves]),
        "r_within_2": mean_of([r for r, _ in best]),
        "r_within_5": mean_of([r for r, _ in wide]),
        "median_lag": float(np.median([float(lag) for r, lag in wide if np.isfinite(r)] or [np.nan])),
        "r_common_lag": common[0], "common_lag": common[1], "recordings": sum(np.isfinite(r) for r, _ in best),
    }  # fmt: skip


def made_lips(talks: list[Conversation], moved: list[np.ndarray], seed: int) -> dict:
    """Lips on held-out made speech: r while speaking, closures, silence."""
    rng = np.random.default_rng(seed)
    spoken = [(talk, latents) for talk, latents in zip(talks, moved) if talk.speaking[0].any()]
    closed, frames = np.sum([m.closed_in_silence(x, talk.samples[0]) for talk, x in zip(talks, moved)], axis=0)
    each = [m.closure_hits(latents, talk.closures[0]) for talk, latents in spoken]
    chance = [m.closure_chance(latents, talk.closures[0], talk.speaking[0], rng) for talk, latents in spoken]
    hits = np.concatenate(each) if each else np.zeros(0, bool)
    figures = {
        "closure": {"rate": mean_of(hits.tolist()), "events": len(hits), "chance": mean_of(chance)},
        "silence": {"closed": closed / frames if frames else float("nan"), "frames": int(frames)},
    }
    for part in ("jaw", "width"):
        of = m.MOUTH[part]
        figures[part] = mouth_figures(
            [m.lagged_correlation(of(t.motion[0]), of(latents), LIP_REACH, t.speaking[0]) for t, latents in spoken]
        )
    return figures
