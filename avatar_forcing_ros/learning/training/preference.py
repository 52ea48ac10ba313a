"""Preference fine-tuning without labels (the paper's DPO stage): the true motion wins against motion that the model itself
makes when it is not told of the user, so what distinguishes the two, the reaction, is what gets reinforced.

    L = L_DF + 0.1 L_DPO
    L_DPO = -E log sigmoid(-beta [(d(w) - d_ref(w)) - (d(l) - d_ref(l))]),   d(m) = |velocity wanted - velocity predicted|

with the same noise and levels for winner w and loser l, all conditions on both, and the model before this stage as
reference.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from avatar_forcing_ros.learning.training import forcing as df
from avatar_forcing_ros.learning.training.batches import ClipSource
from avatar_forcing_ros.learning.training.recipe import Recipe
from avatar_forcing_ros.models import AvatarForcing
from avatar_forcing_ros.models.flow_matching import schedule


@dataclass(frozen=True)
class Reference:
    """The network before this stage, frozen. A plain object, no module: a stage that holds one does not save it."""

    network: AvatarForcing


def distances(
    network: AvatarForcing, pair: df.ClipBatch, loser: Tensor, *, noise: Tensor, sigma: Tensor, norm: str
) -> tuple[Tensor, Tensor]:
    """d of the winner, the pair's own motion, and of the loser (B, T, D): (B,) each, at noise levels sigma (B, T)."""
    batch, frames, _ = loser.shape
    features = df.encode_sound(network, torch.cat([pair.avatar_sound, pair.user_sound]), frames)
    given = torch.ones(batch, device=loser.device)
    condition = df.whole_condition(network, df.Given.of(pair, features.chunk(2), (given, given)))

    def of(motion: Tensor) -> Tensor:
        noisy = df.noisy(motion, noise, sigma)
        return df.distance(df.forcing_velocity(network, noisy, sigma, condition, pair.reference), noise - motion, norm)

    return of(pair.avatar_motion), of(loser)


class Preference(nn.Module):
    """The loss of a batch; see the module. The pairs are made once, at the start, from the recipe's seed."""

    def __init__(
        self,
        recipe: Recipe,
        model: AvatarForcing,
        source: ClipSource,
        forcing: nn.Module,
        show: Callable[[str], object] = print,
    ) -> None:
        """forcing: the loss of the first stage, a part of this one."""
        super().__init__()
        self.recipe, self.forcing = recipe, forcing
        self.reference = Reference(copy.deepcopy(model).eval().requires_grad_(False))
        self.pairs = self._make_pairs(source, show)

    @torch.no_grad()
    def _make_pairs(self, source: ClipSource, show: Callable[[str], object]) -> tuple[df.ClipBatch, Tensor]:
        """Clips with a user, whose true motion wins, and for each the loser's motion (N, T, D)."""
        recipe, reference = self.recipe, self.reference.network
        rng = torch.Generator().manual_seed(recipe.seed + 1)
        euler_steps = schedule(recipe.loser_passes)
        clips: list[df.ClipBatch] = []
        losers: list[Tensor] = []
        device = reference.device
        show(f"making {recipe.losers} losing clips with a model that does not see the user")
        with tqdm(total=recipe.losers, desc="losers", unit=" clips", mininterval=5.0) as bar:
            while sum(len(loser) for loser in losers) < recipe.losers:
                clip = source.draw(recipe.batch)
                keep = clip.user_seen.any(1)
                clip = df.ClipBatch(**{f.name: getattr(clip, f.name)[keep] for f in fields(clip)})
                on_device = df.ClipBatch(**{name: x.to(device) for name, x in vars(clip).items()})
                count, frames, _ = clip.avatar_motion.shape
                if not count:
                    continue
                features = df.encode_sound(reference, torch.cat([on_device.avatar_sound, on_device.user_sound]), frames)
                hears = (torch.ones(count, device=device), torch.zeros(count, device=device))
                seen = df.Given.of(on_device, features.chunk(2), hears)
                noise = torch.randn(clip.avatar_motion.shape, generator=rng).to(device)
                losers.append(df.euler_clip(reference, seen, noise, euler_steps, on_device.reference).cpu())
                clips.append(clip)
                bar.update(min(count, recipe.losers - bar.n))
        winners = df.ClipBatch(
            **{f.name: torch.cat([getattr(c, f.name) for c in clips])[: recipe.losers] for f in fields(df.ClipBatch)}
        )
        return winners, torch.cat(losers)[: recipe.losers]

    def forward(
        self, model: AvatarForcing, clip: df.ClipBatch, rng: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """clip: a fresh batch for L_DF; L_DPO takes as many of the pairs. Returns the loss, and its parts as numbers."""
        recipe, reference = self.recipe, self.reference.network
        loss, parts = self.forcing(model, clip, rng)
        winners, losers = self.pairs
        chosen = torch.randint(len(losers), (len(clip.avatar_motion),), generator=rng)
        device = clip.avatar_motion.device
        pair = df.ClipBatch(**{name: x[chosen].to(device) for name, x in vars(winners).items()})
        loser = losers[chosen].to(device)
        batch, frames, _ = loser.shape
        sigma = df.noise_levels(batch, frames, model.config.block_frames, rng).to(device)
        noise = torch.randn(loser.shape, generator=rng).to(device)

        levels = {"noise": noise, "sigma": sigma, "norm": recipe.norm}
        won, lost = distances(model, pair, loser, **levels)
        with torch.no_grad():
            won_before, lost_before = distances(reference, pair, loser, **levels)
        margin = (won - won_before) - (lost - lost_before)
        preference = -F.logsigmoid(-recipe.beta * margin).mean()
        parts |= {"preference": float(preference.detach()), "preferred": float((margin < 0).float().mean())}
        return loss + recipe.preference_weight * preference, parts
