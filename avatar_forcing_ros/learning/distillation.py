"""Few steps instead of many: a student learns to go in one step where its teacher goes in several small ones, guidance
included (progressive distillation, Salimans and Ho 2022; of guided models, Meng et al. 2023). Not in the paper, whose network
is sampled on a GPU: three Euler steps from noise to motion, which is what a small CPU has time for, lose half of the
motion's variance, and guidance costs a second branch. The teacher's steps are of second order (Adams and Bashforth's, which
take the last velocity into account): nine of them keep 0.98 of a Gaussian's variance where Euler's keep 0.75.

    x_0 = noise, x_i = where the teacher's guided steps of size 1 / (student's steps * substeps) lead from x_(i-1)
    L = sum_i d(student's velocity at x_(i-1), (x_i - x_(i-1)) / (sigma_i - sigma_(i-1)))
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from avatar_forcing_ros.generators.embedded import LIPS
from avatar_forcing_ros.learning import diffusion_forcing as df
from avatar_forcing_ros.learning.recipe import Recipe
from avatar_forcing_ros.models import AvatarForcing
from avatar_forcing_ros.models.flow_matching import MAX_TIME, branch_weights, schedule
from avatar_forcing_ros.models.stream import BRANCHES
from avatar_forcing_ros.motion import rig


class Distillation(nn.Module):
    """The loss of a batch; see the module. The audio encoder stays the teacher's."""

    def __init__(self, recipe: Recipe, model: AvatarForcing) -> None:
        super().__init__()
        self.recipe = recipe
        self._teacher = [copy.deepcopy(model).eval().requires_grad_(False)]  # in a list: no part of the checkpoint
        model.audio_encoder.requires_grad_(False)
        self.steps = schedule(recipe.passes)
        self.weights = branch_weights(model.config.guidance, recipe.audio_guidance, recipe.user_guidance)

    def forward(self, model: AvatarForcing, clip: df.Clip, rng: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """clip: whose past the stream goes on from. Returns the loss, and its parts as numbers. rng: on the CPU."""
        recipe, config, teacher = self.recipe, model.config, self._teacher[0]
        block, device, batch = config.block_frames, clip.avatar_motion.device, len(clip.avatar_motion)
        layout = df.Layout.draw(block, recipe.stream_share, rng)
        first = block if layout.stream else 0  # the first block of a clip is the past of the others
        with torch.no_grad():
            sound = torch.cat([clip.avatar_sound, clip.user_sound])
            features = df.encode_sound(teacher, sound, clip.avatar_motion.shape[1]).chunk(2)
        drawn = df.given_signals(recipe.hear_both, recipe.hear_avatar, recipe.hear_user, batch, rng)
        hears = tuple(x.to(device) for x in drawn)
        given = df.Given.of(clip, features, hears)
        noise = torch.randn(clip.avatar_motion.shape, generator=rng).to(device)
        if recipe.space == rig.SPACE:
            noise[..., LIPS] *= recipe.lip_temperature
        amount = recipe.context_noise * torch.rand(batch, 1, 1, generator=rng)
        past = clip.avatar_motion + (amount * torch.randn(noise.shape, generator=rng)).to(device)

        def condition(network: AvatarForcing, told: df.Given) -> Tensor:
            return df.stream_condition(network, told, layout) if layout.stream else df.whole_condition(network, told)

        def velocity(network: AvatarForcing, latents: Tensor, sigma: float, told: Tensor) -> Tensor:
            """(B, T - first, D). told: the condition"""
            levels = torch.full(latents.shape[:2], sigma, device=device)
            if layout.stream:
                return df.stream_velocity(network, past, latents, levels, told)
            return df.forcing_velocity(network, latents, levels, told)

        own, branches = condition(model, given), []  # of the student; of the teacher's branches, with their weights
        with torch.no_grad():
            for name, weight in self.weights.items():
                avatar, user = BRANCHES[name]
                told = replace(given, hears=(avatar * hears[0], user * hears[1]))
                branches.append((weight, condition(teacher, told)))

        def guided(latents: Tensor, sigma: float) -> Tensor:
            return sum(weight * velocity(teacher, latents, sigma, told) for weight, told in branches)

        loss, parts, before, latents = 0.0, {}, None, noise
        for step in self.steps:
            sigma, reached = step.time / MAX_TIME, latents.clone()
            with torch.no_grad():
                for k in range(recipe.substeps):
                    now = guided(reached, sigma + k * step.change / recipe.substeps)
                    reached[:, first:] += step.change / recipe.substeps * (now if before is None else 1.5 * now - 0.5 * before)
                    before = now
            wanted = (reached - latents)[:, first:] / step.change
            predicted = velocity(model, latents, sigma, own)
            parts[f"from {sigma:.2f}"] = df.distance(predicted, wanted, recipe.norm).mean()
            smooth = df.distance(predicted.diff(dim=1), wanted.diff(dim=1), recipe.norm).mean()
            loss = loss + parts[f"from {sigma:.2f}"] + recipe.difference_weight * smooth
            latents = reached
        return loss, {name: float(x.detach()) for name, x in parts.items()}
