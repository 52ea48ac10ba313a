"""Few Euler steps instead of many: a student learns to go in one where its teacher goes in several small ones, guidance
included (progressive distillation, Salimans and Ho 2022; of guided models, Meng et al. 2023). Not in the paper, whose network
is sampled on a GPU: three Euler steps from noise to motion, which is what a small CPU has time for, lose half of the
motion's variance, and guidance costs a second branch. The teacher's steps are of second order (Adams and Bashforth's, which
take the last velocity into account): nine of them keep 0.98 of a Gaussian's variance where Euler's keep 0.75.

    x_0 = noise, x_i = where the teacher's guided steps of size 1 / (student's Euler steps * substeps) lead from x_(i-1)
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
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.base import LOOK_AHEAD
from avatar_forcing_ros.learning.training import forcing as df
from avatar_forcing_ros.learning.training.batches import ClipSource, through_another_microphone
from avatar_forcing_ros.learning.training.recipe import Recipe
from avatar_forcing_ros.models import AvatarForcing
from avatar_forcing_ros.models.flow_matching import BRANCHES, MAX_TIME, EulerStep, branch_weights, schedule
from avatar_forcing_ros.models.weights import load_model
from avatar_forcing_ros.motion import rig

OPENING_READ = [rig.LIPS.index(i) for i in rig.OPENING]  # of what a lip reader reads
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
        self.last = nn.Linear((LOOK_AHEAD + 1) * model.config.audio_dim, len(rig.LIPS))

    def forward(self, sound: Tensor, frames: int) -> Tensor:
        """Spectra as in a ClipBatch -> latents (B, frames, len(rig.LIPS)) of the mouth; the last two frames know less."""
        return self.last(told_ahead(self.encoder.features(sound)[:, -frames:]))


def train_reader(model: AvatarForcing, source: ClipSource, recipe: Recipe, show: Callable[[str], object]) -> LipReader:
    """A lip reader that begins with the model's audio encoder and has heard its speakers through other microphones, its
    answers stretched about the mean to the spread of what it reads: a regression tells less than there is, and a mouth that follows it
    mumbles."""
    device = model.device
    reader = LipReader(model).to(device).requires_grad_(True)
    rng = torch.Generator().manual_seed(recipe.seed)
    optimiser = torch.optim.AdamW(reader.parameters(), lr=READER_RATE, weight_decay=recipe.weight_decay)
    decay = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, READER_RATE, total_steps=recipe.reader_training_steps, pct_start=0.05
    )

    def batch() -> tuple[Tensor, Tensor]:
        clip = source.draw(READER_BATCH)
        return clip.avatar_sound.to(device), clip.avatar_motion[..., rig.LIPS].to(device)

    show(f"training a lip reader in {recipe.reader_training_steps} training steps")
    for _ in range(recipe.reader_training_steps):
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


def with_strangers(clip: df.ClipBatch, where: Tensor) -> df.ClipBatch:
    """The clip with the user of the clip before it in the batch, for those `where` (B,)."""
    order = torch.arange(len(where), device=where.device)
    order = torch.where(where, order.roll(1), order)
    return replace(clip, **{f.name: getattr(clip, f.name)[order] for f in fields(clip) if f.name.startswith("user_")})


@dataclass(frozen=True)
class Scene:
    """What teacher and student make a batch's motion behind. past: (B, T, D), not quite clean; reference: (B, D)."""

    layout: df.Layout
    past: Tensor
    reference: Tensor

    def condition(self, network: AvatarForcing, given: df.Given) -> Tensor:
        """What the network is told of the signals, in the layout's shape."""
        if self.layout.stream:
            return df.stream_condition(network, given, self.layout)
        return df.whole_condition(network, given)

    def velocity(self, network: AvatarForcing, latents: Tensor, sigma: float, condition: Tensor) -> Tensor:
        """(B, T - first, D), where `first` is the first frame that the layout makes. latents: (B, T, D) at noise level sigma."""
        levels = torch.full(latents.shape[:2], sigma, device=latents.device)
        if self.layout.stream:
            return df.stream_velocity(network, self.past, latents, levels, condition, self.reference)
        return df.forcing_velocity(network, latents, levels, condition, self.reference)


@dataclass(frozen=True)
class Teacher:
    """The network that is imitated, frozen, with the weights of its branches of guidance. A plain object, no module: a stage that
    holds one does not save it with its own parameters."""

    network: AvatarForcing
    weights: dict[str, float]

    @classmethod
    def of(cls, recipe: Recipe, student: AvatarForcing) -> Teacher:
        """The recipe's teacher, or the student as it begins. Raises InputError where it hears or moves otherwise."""
        network = load_model(recipe.teacher) if recipe.teacher else copy.deepcopy(student)
        for name in ("motion_dim", "block_frames", "audio_front_end"):
            theirs, own = getattr(network.config, name), getattr(student.config, name)
            if theirs != own:
                raise InputError(
                    f"{recipe.teacher}: has {name} {theirs}, the student {own}; give a teacher that hears and moves alike"
                )
        weights = branch_weights(student.config.guidance, recipe.audio_guidance, recipe.user_guidance)
        return cls(network.to(student.device).eval().requires_grad_(False), weights)

    def conditions(self, scene: Scene, given: df.Given) -> list[tuple[float, Tensor]]:
        """(weight, what the branch is told), for each branch."""
        heard, seen = given.hears
        branches = ((weight, *BRANCHES[name]) for name, weight in self.weights.items())
        return [
            (weight, scene.condition(self.network, replace(given, hears=(avatar * heard, user * seen))))
            for weight, avatar, user in branches
        ]

    def guided(self, scene: Scene, latents: Tensor, sigma: float, told: list[tuple[float, Tensor]]) -> Tensor:
        """The velocity with guidance, (B, T - first, D)."""
        return sum(weight * scene.velocity(self.network, latents, sigma, condition) for weight, condition in told)


@dataclass(frozen=True)
class Lean:
    """How far the opening of the mouth on the teacher's way leans to what a lip reader reads.

    reading: (B, T, opening) as it is read; noise: (B, T, opening) that the way begins at; share: (B, 1, 1), 0 where the sound is
    not given and cannot be read.
    """

    reading: Tensor
    noise: Tensor
    share: Tensor

    def on(self, latents: Tensor, sigma: float) -> Tensor:
        """The opening of `latents` (B, T, D) at noise level sigma, leant: (B, T, opening)."""
        return torch.lerp(latents[..., rig.OPENING], torch.lerp(self.reading, self.noise, sigma), self.share)


@torch.no_grad()
def teachers_way(
    teacher: Teacher,
    scene: Scene,
    told: list[tuple[float, Tensor]],
    noise: Tensor,
    *,
    euler_steps: tuple[EulerStep, ...],
    substeps: int,
    first: int,
    lean: Lean | None,
) -> list[Tensor]:
    """Where the teacher stands before the first of the student's Euler steps and behind each: tensors (B, T, D), the noise first.
    Frames before `first` stay as they are."""
    way, before = [noise], None
    for step in euler_steps:
        sigma, reached = step.time / MAX_TIME, way[-1].clone()
        for k in range(substeps):
            now = teacher.guided(scene, reached, sigma + k * step.change / substeps, told)
            reached[:, first:] += step.change / substeps * (now if before is None else 1.5 * now - 0.5 * before)
            before = None if teacher.network.config.distilled else now  # whose few Euler steps are of first order
        if lean is not None:
            reached[:, first:, rig.OPENING] = lean.on(reached, sigma + step.change)[:, first:]
        way.append(reached)
    return way


class Distillation(nn.Module):
    """The loss of a batch; see the module. Without another microphone the audio encoder stays the teacher's."""

    def __init__(
        self,
        recipe: Recipe,
        model: AvatarForcing,
        source: ClipSource,
        show: Callable[[str], object] = print,
        resumed: bool = False,
    ) -> None:
        """source: of the clips that the lip reader is trained on. resumed: it is in the checkpoint, which is loaded next."""
        super().__init__()
        self.recipe = recipe
        self.teacher = Teacher.of(recipe, model)
        self.shares_encoder = not recipe.response_spread
        model.audio_encoder.requires_grad_(not self.shares_encoder)
        self.euler_steps = schedule(recipe.passes)
        self.reader: LipReader | None = None
        if recipe.opening_reading and resumed:
            self.reader = LipReader(model).to(model.device).requires_grad_(False)
        elif recipe.opening_reading:
            self.reader = train_reader(model, source, recipe, show)
        # The student's own reading, thrown away after training; an encoder that is shared has nothing to learn from it.
        self.mouth: nn.Linear | None = None
        if self.reader is not None and recipe.mouth_weight and not self.shares_encoder:
            self.mouth = copy.deepcopy(self.reader.last).requires_grad_(True)

    def forward(
        self, model: AvatarForcing, clip: df.ClipBatch, rng: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """clip: whose past the stream goes on from. Returns the loss, and its parts as numbers. rng: on the CPU."""
        recipe, config, teacher = self.recipe, model.config, self.teacher
        block, device, batch = config.block_frames, clip.avatar_motion.device, len(clip.avatar_motion)
        layout = df.Layout.draw(block, recipe.stream_share, rng)
        first = block if layout.stream else 0  # the first block of a clip is the past of the others
        frames = clip.avatar_motion.shape[1]
        judged = torch.ones(batch, frames, config.motion_dim, device=device)
        if not self.shares_encoder:
            clear = torch.rand(batch, 1, 1, generator=rng).to(device) < recipe.clear_share
            clip = with_strangers(clip, ~clear.flatten()) if recipe.strangers else clip
            judged = clear.float().repeat(1, frames, config.motion_dim)
            judged[..., rig.OPENING] = 1.0
        sound = torch.cat([clip.avatar_sound, clip.user_sound])
        with torch.no_grad():
            features = heard = df.encode_sound(teacher.network, sound, frames).chunk(2)
            reading = None if self.reader is None else self.reader(sound, frames)  # (2 B, T, rig.LIPS)
        if not self.shares_encoder:
            changed = through_another_microphone(sound, recipe.response_spread, rng)
            heard = df.encode_sound(model, torch.where(clear.repeat(2, 1, 1), sound, changed), frames).chunk(2)
        drawn = df.given_signals(recipe.hear_both, recipe.hear_avatar, recipe.hear_user, batch, rng)
        hears = tuple(x.to(device) for x in drawn)
        noise = torch.randn(clip.avatar_motion.shape, generator=rng).to(device)
        if recipe.space == rig.SPACE:
            noise[..., rig.LIPS] *= recipe.lip_temperature
        scene = Scene(layout, self._past(clip, rng), clip.reference)
        lean = None
        if reading is not None:
            share = recipe.opening_reading * hears[0][:, None, None]
            lean = Lean(reading[:batch, :, OPENING_READ], noise[..., rig.OPENING], share)
        own = scene.condition(model, df.Given.of(clip, heard, hears))
        with torch.no_grad():
            told = teacher.conditions(scene, df.Given.of(clip, features, hears))
        way = teachers_way(
            teacher, scene, told, noise,
            euler_steps=self.euler_steps, substeps=recipe.substeps, first=first, lean=lean,
        )  # fmt: skip

        loss, parts = 0.0, {}
        for step, latents, reached in zip(self.euler_steps, way, way[1:]):
            sigma = step.time / MAX_TIME
            wanted = judged[:, first:] * (reached - latents)[:, first:] / step.change
            predicted = judged[:, first:] * scene.velocity(model, latents, sigma, own)
            parts[f"from {sigma:.2f}"] = df.distance(predicted, wanted, recipe.norm).mean()
            smooth = df.distance(predicted.diff(dim=1), wanted.diff(dim=1), recipe.norm).mean()
            loss = loss + parts[f"from {sigma:.2f}"] + recipe.difference_weight * smooth
        if self.mouth is not None:
            error = (self.mouth(told_ahead(torch.cat(heard))) - reading)[:, :-LOOK_AHEAD]
            parts["mouth"] = df.error_size(error, recipe.norm).mean()
            loss = loss + recipe.mouth_weight * parts["mouth"]
        return loss, {name: float(x.detach()) for name, x in parts.items()}

    def _past(self, clip: df.ClipBatch, rng: torch.Generator) -> Tensor:
        """The true motion (B, T, D) as the stream's past: noisy, and with strangers' mouths where the recipe says so."""
        motion, recipe = clip.avatar_motion, self.recipe
        amount = recipe.context_noise * torch.rand(len(motion), 1, 1, generator=rng)
        past = motion + (amount * torch.randn(motion.shape, generator=rng)).to(motion.device)
        if recipe.strangers:  # whose mouths tell nothing of how far this one opens
            past[..., rig.OPENING] = past.roll(1, 0)[..., rig.OPENING]
        return past
