"""Few steps instead of many: a student learns to go in one step where its teacher goes in several small ones, guidance
included (progressive distillation, Salimans and Ho 2022; of guided models, Meng et al. 2023). Not in the paper, whose network
is sampled on a GPU: three Euler steps from noise to motion, which is what a small CPU has time for, lose half of the
motion's variance, and guidance costs a second branch. The teacher's steps are of second order (Adams and Bashforth's, which
take the last velocity into account): nine of them keep 0.98 of a Gaussian's variance where Euler's keep 0.75.

    x_0 = noise, x_i = where the teacher's guided steps of size 1 / (student's steps * substeps) lead from x_(i-1)
    L = sum_i d(student's velocity at x_(i-1), (x_i - x_(i-1)) / (sigma_i - sigma_(i-1)))

The opening of the mouth in x_i may lean to (1 - sigma_i) reading + sigma_i noise instead, where the reading is that of a lip
reader, which is trained before, on the same sounds through other microphones. What a voice that was never heard tells of the opening, it
tells more surely than a teacher that also listens to the mouth's own past. A head on the student's sound features learns to read
the whole mouth as it does, so that these hold what a mouth is told by. And the student may hear a part of the clips through another
microphone, where the teacher hears them as they are: a noisy student (Xie et al. 2020). There the opening alone is judged: the
width of a mouth and the answers to a user are in details of the sound that such a student misses. What is hard to hear would be told from
who else speaks, and from how far the mouth was open: the first is a stranger there, the second a stranger's in every clip.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.base import LOOK_AHEAD
from avatar_forcing_ros.generators.embedded import LIPS
from avatar_forcing_ros.learning import diffusion_forcing as df
from avatar_forcing_ros.learning.batches import ClipSource, through_another_microphone
from avatar_forcing_ros.learning.recipe import Recipe
from avatar_forcing_ros.models import AvatarForcing
from avatar_forcing_ros.models.flow_matching import MAX_TIME, branch_weights, schedule
from avatar_forcing_ros.models.stream import BRANCHES
from avatar_forcing_ros.models.weights import load_model
from avatar_forcing_ros.motion import rig


OPENING = [rig.INDEX[name] for name in ("jawOpen", "mouthPress", "mouthUpperUp", "mouthLowerDown")]
OPENING_READ = [LIPS.index(i) for i in OPENING]  # of what a lip reader reads
READER_BATCH, READER_RATE = 24, 1e-3
STRETCH_BATCHES = 16  # that its spread is measured on


def told_ahead(features: Tensor) -> Tensor:
    """Features (B, T, A) -> (B, T, 3 A): of a frame and the two after it, which is what a step knows at least."""
    return torch.cat([F.pad(features[:, n:], (0, 0, 0, n)) for n in range(LOOK_AHEAD + 1)], -1)


class LipReader(nn.Module):
    """The mouth that belongs to a sound, of the sound alone: an audio encoder and a linear layer."""

    def __init__(self, model: AvatarForcing) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(model.audio_encoder)
        self.last = nn.Linear((LOOK_AHEAD + 1) * model.config.audio_dim, len(LIPS))

    def forward(self, sound: Tensor, frames: int) -> Tensor:
        """Spectra as in a Clip -> latents (B, frames, len(LIPS)) of the mouth; the last two frames know less."""
        return self.last(told_ahead(self.encoder.features(sound)[:, -frames:]))


def train_reader(model: AvatarForcing, source: ClipSource, recipe: Recipe, show: Callable[[str], object]) -> LipReader:
    """A lip reader that begins with the model's audio encoder and has heard its speakers through other microphones, its
    answers stretched about the mean to the spread of what it reads: a regression tells less than there is, and a mouth that follows it
    mumbles."""
    device = model.device
    reader = LipReader(model).to(device).requires_grad_(True)
    rng = torch.Generator().manual_seed(recipe.seed)
    optimiser = torch.optim.AdamW(reader.parameters(), lr=READER_RATE, weight_decay=recipe.weight_decay)
    decay = torch.optim.lr_scheduler.OneCycleLR(optimiser, READER_RATE, total_steps=recipe.reading_steps, pct_start=0.05)

    def batch() -> tuple[Tensor, Tensor]:
        clip = source.draw(READER_BATCH)
        return clip.avatar_sound.to(device), clip.avatar_motion[..., LIPS].to(device)

    show(f"training a lip reader in {recipe.reading_steps} steps")
    for _ in range(recipe.reading_steps):
        sound, lips = batch()
        read = reader(through_another_microphone(sound, recipe.response_spread, rng), lips.shape[1])
        optimiser.zero_grad()
        df.error_size((read - lips)[:, :-LOOK_AHEAD], recipe.norm).mean().backward()
        optimiser.step()
        decay.step()
    reader.requires_grad_(False)
    pairs = [(reader(sound, lips.shape[1]), lips) for sound, lips in (batch() for _ in range(STRETCH_BATCHES))]
    read, true = (torch.cat([pair[i][:, :-LOOK_AHEAD].flatten(0, 1) for pair in pairs]) for i in range(2))
    stretch = true.std(0) / read.std(0).clamp(min=1e-6)
    reader.last.bias.copy_(stretch * (reader.last.bias - read.mean(0)) + true.mean(0))
    reader.last.weight.mul_(stretch[:, None])
    return reader


def with_strangers(clip: df.Clip, where: Tensor) -> df.Clip:
    """The clip with the user of the clip before it in the batch, for those `where` (B,)."""
    order = torch.arange(len(where), device=where.device)
    order = torch.where(where, order.roll(1), order)
    return replace(clip, **{f.name: getattr(clip, f.name)[order] for f in fields(clip) if f.name.startswith("user_")})


class Distillation(nn.Module):
    """The loss of a batch; see the module. Without another microphone the audio encoder stays the teacher's."""

    def __init__(
        self, recipe: Recipe, model: AvatarForcing, source: ClipSource, show: Callable[[str], object] = print, resumed: bool = False
    ) -> None:
        """source: of the clips that the lip reader is trained on. resumed: it is in the checkpoint, which is loaded next."""
        super().__init__()
        self.recipe = recipe
        teacher = load_model(recipe.teacher) if recipe.teacher else copy.deepcopy(model)
        for name in ("motion_dim", "block_frames", "audio_front_end"):
            theirs, own = getattr(teacher.config, name), getattr(model.config, name)
            if theirs != own:
                raise InputError(f"{recipe.teacher}: has {name} {theirs}, the student {own}; give a teacher that hears and moves alike")
        self._teacher = [teacher.to(model.device).eval().requires_grad_(False)]  # in a list: no part of the checkpoint
        self.shares_encoder = not recipe.response_spread
        model.audio_encoder.requires_grad_(not self.shares_encoder)
        self.steps = schedule(recipe.passes)
        self.weights = branch_weights(model.config.guidance, recipe.audio_guidance, recipe.user_guidance)
        self.reader = None
        if recipe.opening_reading:
            self.reader = LipReader(model).to(model.device).requires_grad_(False) if resumed else train_reader(model, source, recipe, show)
        hears = recipe.opening_reading and recipe.mouth_weight and not self.shares_encoder  # a shared one has nothing to learn
        self.mouth = copy.deepcopy(self.reader.last).requires_grad_(True) if hears else None  # thrown away after training

    def forward(self, model: AvatarForcing, clip: df.Clip, rng: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """clip: whose past the stream goes on from. Returns the loss, and its parts as numbers. rng: on the CPU."""
        recipe, config, teacher, reader = self.recipe, model.config, self._teacher[0], self.reader
        block, device, batch = config.block_frames, clip.avatar_motion.device, len(clip.avatar_motion)
        layout = df.Layout.draw(block, recipe.stream_share, rng)
        first = block if layout.stream else 0  # the first block of a clip is the past of the others
        frames = clip.avatar_motion.shape[1]
        judged = torch.ones(batch, frames, config.motion_dim, device=device)
        if not self.shares_encoder:
            clear = torch.rand(batch, 1, 1, generator=rng).to(device) < recipe.clear_share
            clip = with_strangers(clip, ~clear.flatten()) if recipe.strangers else clip
            judged = clear.float().repeat(1, frames, config.motion_dim)
            judged[..., OPENING] = 1.0
        sound = torch.cat([clip.avatar_sound, clip.user_sound])
        with torch.no_grad():
            features = heard = df.encode_sound(teacher, sound, frames).chunk(2)
            reading = reader(sound, frames) if reader is not None else None  # (2 B, T, LIPS)
        if not self.shares_encoder:
            changed = through_another_microphone(sound, recipe.response_spread, rng)
            heard = df.encode_sound(model, torch.where(clear.repeat(2, 1, 1), sound, changed), frames).chunk(2)
        drawn = df.given_signals(recipe.hear_both, recipe.hear_avatar, recipe.hear_user, batch, rng)
        hears = tuple(x.to(device) for x in drawn)
        given = df.Given.of(clip, features, hears)
        noise = torch.randn(clip.avatar_motion.shape, generator=rng).to(device)
        if recipe.space == rig.SPACE:
            noise[..., LIPS] *= recipe.lip_temperature
        amount = recipe.context_noise * torch.rand(batch, 1, 1, generator=rng)
        past = clip.avatar_motion + (amount * torch.randn(noise.shape, generator=rng)).to(device)
        if recipe.strangers:  # whose mouths tell nothing of how far this one opens
            past[..., OPENING] = past.roll(1, 0)[..., OPENING]

        def condition(network: AvatarForcing, told: df.Given) -> Tensor:
            return df.stream_condition(network, told, layout) if layout.stream else df.whole_condition(network, told)

        def velocity(network: AvatarForcing, latents: Tensor, sigma: float, told: Tensor) -> Tensor:
            """(B, T - first, D). told: the condition"""
            levels = torch.full(latents.shape[:2], sigma, device=device)
            if layout.stream:
                return df.stream_velocity(network, past, latents, levels, told, clip.reference)
            return df.forcing_velocity(network, latents, levels, told, clip.reference)

        own, branches = condition(model, df.Given.of(clip, heard, hears)), []  # of the student; of the teacher's branches, with their weights
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
                    before = None if teacher.config.distilled else now  # whose few steps are Euler's
                if reading is not None:
                    read = torch.lerp(reading[:batch, :, OPENING_READ], noise[..., OPENING], sigma + step.change)
                    share = recipe.opening_reading * hears[0][:, None, None]  # who is not given the sound cannot read it
                    reached[:, first:, OPENING] = torch.lerp(reached[..., OPENING], read, share)[:, first:]
            wanted = judged[:, first:] * (reached - latents)[:, first:] / step.change
            predicted = judged[:, first:] * velocity(model, latents, sigma, own)
            parts[f"from {sigma:.2f}"] = df.distance(predicted, wanted, recipe.norm).mean()
            smooth = df.distance(predicted.diff(dim=1), wanted.diff(dim=1), recipe.norm).mean()
            loss = loss + parts[f"from {sigma:.2f}"] + recipe.difference_weight * smooth
            latents = reached
        if self.mouth is not None:
            error = (self.mouth(told_ahead(torch.cat(heard))) - reading)[:, :-LOOK_AHEAD]
            parts["mouth"] = df.error_size(error, recipe.norm).mean()
            loss = loss + recipe.mouth_weight * parts["mouth"]
        return loss, {name: float(x.detach()) for name, x in parts.items()}
