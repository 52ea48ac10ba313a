"""From what the page drew and what the graph told to figures. Plain arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar_forcing_ros.timeline import FRAME_RATE

_NEAR_FRAMES = 25  # within which a drawn latent is looked for around the time it was drawn at
_CHANGED = 0.5  # mean grey levels of the face by which pixels count as changed
_REACH_S = 1.5  # a stimulus later than this has no answer


@dataclass(frozen=True)
class Drawn:
    """One drawing of the page. time_s: when it was presented, on the clock of the graph; latent (32,); grey (64,): 8x8 of the face."""

    time_s: float
    latent: np.ndarray
    grey: np.ndarray


@dataclass(frozen=True)
class Sent:
    """One frame that the graph told. camera_s: when the newest camera image in it was taken; 0 for none."""

    frame: int
    latent: np.ndarray
    due_s: float
    camera_s: float


def quantiles(values: list[float] | np.ndarray, digits: int = 1) -> dict[str, float | None]:
    if not len(values):
        return {"p50": None, "p95": None}
    return {
        "p50": round(float(np.percentile(values, 50)), digits),
        "p95": round(float(np.percentile(values, 95)), digits),
    }


def drawn_frames(drawn: list[Drawn], sent: list[Sent]) -> np.ndarray:
    """Which frame each drawing shows, as a number between frames (n,) float: the page draws between two frames. NaN: not found."""
    found = np.full(len(drawn), np.nan)
    if len(sent) < 2:
        return found
    sent = sorted(sent, key=lambda s: s.frame)
    frames = np.array([s.frame for s in sent])
    latents = np.stack([s.latent for s in sent])
    dues = np.array([s.due_s for s in sent])
    for i, one in enumerate(drawn):
        low, high = np.searchsorted(dues, [one.time_s - _NEAR_FRAMES / FRAME_RATE, one.time_s + 2 / FRAME_RATE])
        best = np.inf
        for k in range(max(low, 0), min(high, len(sent) - 1)):
            if frames[k + 1] != frames[k] + 1:
                continue
            along = latents[k + 1] - latents[k]
            share = float(
                np.clip(np.dot(one.latent - latents[k], along) / max(float(np.dot(along, along)), 1e-9), 0, 1)
            )
            error = float(np.abs(latents[k] + share * along - one.latent).max())
            if error < best:
                best, found[i] = error, frames[k] + share
        if best > 0.02:  # half floats and rounding make 0.002
            found[i] = np.nan
    return found


def reactions_ms(drawn: list[Drawn], sent: list[Sent]) -> list[float]:
    """For every camera image that reached the face: from its capture to the first pixels that changed by a frame that used it, in ms."""
    shown = drawn_frames(drawn, sent)
    changed = np.zeros(len(drawn), bool)
    for i in range(1, len(drawn)):
        changed[i] = float(np.abs(drawn[i].grey - drawn[i - 1].grey).max()) >= _CHANGED
    first_use: dict[float, int] = {}
    for one in sorted(sent, key=lambda s: s.frame):
        if one.camera_s > 0:
            first_use.setdefault(one.camera_s, one.frame)
    times = np.array([d.time_s for d in drawn])
    found = []
    for camera_s, frame in first_use.items():
        # A drawing past frame - 1 has a share of the frame in it.
        hits = np.flatnonzero((shown > frame - 1) & (times > camera_s) & changed)
        if len(hits) and shown[hits[0]] < frame + FRAME_RATE and 0 < times[hits[0]] - camera_s < _REACH_S:
            if np.any(shown[: hits[0]] <= frame - 1):  # else the recording began after it
                found.append(1000 * (times[hits[0]] - camera_s))
    return found


def capture_error_ms(camera_s: list[float], stamps_s: list[float]) -> float | None:
    """Median distance of the stamps that the graph has from the times at which the browser's camera gave its images."""
    if not camera_s or not stamps_s:
        return None
    taken = np.sort(np.asarray(camera_s))
    inside = [s for s in stamps_s if taken[0] <= s <= taken[-1]]
    if not inside:
        return None
    at = np.clip(np.searchsorted(taken, inside), 1, len(taken) - 1)
    return round(1000 * float(np.median(np.minimum(np.abs(taken[at] - inside), np.abs(taken[at - 1] - inside)))), 1)
