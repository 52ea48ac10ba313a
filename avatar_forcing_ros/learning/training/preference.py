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
from dataclasses import fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from avatar_forcing_ros.learning import diffusion_forcing as df
from avatar_forcing_ros.learning.batches import ClipSource
from avatar_forcing_ros.learning.recipe import Recipe
from avatar_forcing_ros.models import AvatarForcing
from avatar_forcing_ros.models.flow_matching import schedule


class Preference(nn.Module):
    """The loss of a batch; see the module. The pairs are made once, at the start, from the recipe's seed."""

    def __init__(self, recipe: Recipe, model: AvatarForcing, source: ClipSource, forcing: nn.Module,
                 show: Callable[[str], object] = print) -> None:
        """forcing: the loss of the first stage, a part of this one."""
        super().__init__()
        self.recipe, self.forcing = recipe, forcing
        self._reference = [copy.deepcopy(model).eval().requires_grad_(False)]  # in a list: no part of the checkpoint
        self.pairs = self._make_pairs(source, show)

    @torch.no_grad()
    def _make_pairs(self, source: ClipSource, show: Callable[[str], object]) -> tuple[df.Clip, Tensor]:
        """Clips with a user, whose true motion wins, and for each the loser's motion (N, T, D)."""
        recipe, reference = self.recipe, self._reference[0]
        rng = torch.Generator().manual_seed(recipe.seed + 1)
        steps = schedule(recipe.guidance_steps)
        clips, losers = [], []
        device = reference.device
        show(f"making {recipe.losers} losing clips with a model that does not see the user")
        with tqdm(total=recipe.losers, desc="losers", unit=" clips", mininterval=5.0) as bar:
            while sum(map(len, losers)) < recipe.losers:
                clip = source.draw(recipe.batch)
                keep = clip.user_seen.any(1)
                clip = df.Clip(**{f.name: getattr(clip, f.name)[keep] for f in fields(clip)})
                on_device = df.Clip(**{name: x.to(device) for name, x in vars(clip).items()})
                count, frames, _ = clip.avatar_motion.shape
                if not count:
                    continue
                features = df.encode_sound(reference, torch.cat([on_device.avatar_sound, on_device.user_sound]), frames)
                hears = (torch.ones(count, device=device), torch.zeros(count, device=device))
                seen = df.Given.of(on_device, features.chunk(2), hears)
                noise = torch.randn(clip.avatar_motion.shape, generator=rng).to(device)
                losers.append(df.euler_clip(reference, seen, noise, steps, on_device.reference).cpu())
                clips.append(clip)
                bar.update(min(count, recipe.losers - bar.n))
        winners = df.Clip(**{f.name: torch.cat([getattr(c, f.name) for c in clips])[: recipe.losers] for f in fields(df.Clip)})
        return winners, torch.cat(losers)[: recipe.losers]

    def forward(self, model: AvatarForcing, clip: df.Clip, rng: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """clip: a fresh batch for L_DF; L_DPO takes as many of the pairs. Returns the loss, and its parts as numbers."""
        recipe, reference = self.recipe, self._reference[0]
        loss, parts = self.forcing(model, clip, rng)
        winners, losers = self.pairs
        chosen = torch.randint(len(losers), (len(clip.avatar_motion),), generator=rng)
        device = clip.avatar_motion.device
        pair = df.Clip(**{name: x[chosen].to(device) for name, x in vars(winners).items()})
        loser = losers[chosen].to(device)
        batch, frames, _ = loser.shape
        sigma = df.noise_levels(batch, frames, model.config.block_frames, rng).to(device)
        noise = torch.randn(loser.shape, generator=rng).to(device)

        def distances(network: AvatarForcing) -> tuple[Tensor, Tensor]:
            """d of winner and loser, (B,) each."""
            features = df.encode_sound(network, torch.cat([pair.avatar_sound, pair.user_sound]), frames)
            given = torch.ones(batch, device=device)
            condition = df.whole_condition(network, df.Given.of(pair, features.chunk(2), (given, given)))

            def of(motion: Tensor) -> Tensor:
                velocity = df.forcing_velocity(network, df.noisy(motion, noise, sigma), sigma, condition, pair.reference)
                return df.distance(velocity, noise - motion, recipe.norm)

            return of(pair.avatar_motion), of(loser)

        won, lost = distances(model)
        with torch.no_grad():
            won_before, lost_before = distances(reference)
        margin = (won - won_before) - (lost - lost_before)
        preference = -F.logsigmoid(-recipe.beta * margin).mean()
        parts |= {"preference": float(preference.detach()), "preferred": float((margin < 0).float().mean())}
        return loss + recipe.preference_weight * preference, parts
