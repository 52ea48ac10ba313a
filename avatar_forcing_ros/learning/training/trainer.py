"""Training: the loop for both stages, with checkpoints, resume, progress and plots. See recipe.py for what can be set."""

from __future__ import annotations

import copy
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.learning.data.corpus import load_corpus
from avatar_forcing_ros.learning.training import forcing as df
from avatar_forcing_ros.learning.training.batches import ClipSource, scale_to
from avatar_forcing_ros.learning.training.distillation import Distillation
from avatar_forcing_ros.learning.training.preference import Preference
from avatar_forcing_ros.learning.training.recipe import Recipe
from avatar_forcing_ros.models import AvatarForcing, load_model, save_model
from avatar_forcing_ros.models.runtime import resolve_device
from avatar_forcing_ros.motion import rig

VALID_BATCHES = 4
# In a run that goes on; files may have moved.
MAY_CHANGE = (
    "corpus",
    "valid",
    "start",
    "teacher",
    "training_steps",
    "device",
    "threads",
    "save_every",
    "valid_every",
    "log_every",
)
# What the extra heads read off the sound, and off the conditions.
FACE = [i for i in range(rig.DIM) if i not in rig.SPOKEN]


class Forcing(nn.Module):
    """The stage of diffusion forcing: the loss of a batch. Holds two linear heads, which are thrown away: one reads the mouth
    off the sound, the other the rest of the face off the conditions, so that both tell what the network has to know."""

    def __init__(self, recipe: Recipe, model: AvatarForcing):
        super().__init__()
        self.recipe = recipe
        named = recipe.space == rig.SPACE
        self.mouth = nn.Linear(model.config.audio_dim, len(rig.SPOKEN)) if named and recipe.mouth_weight else None
        self.answer = nn.Linear(model.config.width, len(FACE)) if named and recipe.answer_weight else None

    def forward(
        self, model: AvatarForcing, clip: df.ClipBatch, rng: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss, and its parts as numbers. rng: on the CPU."""
        recipe, config = self.recipe, model.config
        batch, frames, _ = clip.avatar_motion.shape
        layout = df.Layout.draw(config.block_frames, recipe.stream_share, rng)
        device, block = clip.avatar_motion.device, config.block_frames
        features = df.encode_sound(model, torch.cat([clip.avatar_sound, clip.user_sound]), frames)
        hears = tuple(
            x.to(device) for x in df.given_signals(recipe.hear_both, recipe.hear_avatar, recipe.hear_user, batch, rng)
        )
        given = df.Given.of(clip, features.chunk(2), hears)
        sigma = df.noise_levels(batch, frames, block, rng).to(device)
        noise = torch.randn(clip.avatar_motion.shape, generator=rng).to(device)
        whole = None if layout.stream and self.answer is None else df.whole_condition(model, given)
        latents, motion, wanted = (
            df.noisy(clip.avatar_motion, noise, sigma),
            clip.avatar_motion,
            noise - clip.avatar_motion,
        )
        if layout.stream:
            amount = recipe.context_noise * torch.rand(batch, 1, 1, generator=rng)
            past = motion + (amount * torch.randn(motion.shape, generator=rng)).to(device)
            predicted = df.stream_velocity(
                model, past, latents, sigma, df.stream_condition(model, given, layout), clip.reference
            )
            latents, motion, wanted, sigma = (x[:, block:] for x in (latents, motion, wanted, sigma))
        else:
            predicted = df.forcing_velocity(model, latents, sigma, whole, clip.reference)
        flow = df.distance(predicted, wanted, recipe.norm).mean()
        parts = {"stream" if layout.stream else "forcing": flow}
        loss = flow
        if recipe.difference_weight:
            parts["difference"] = df.difference_distance(predicted, latents, sigma, motion, recipe.norm).mean()
            loss = loss + recipe.difference_weight * parts["difference"]
        if self.mouth is not None:
            mouths = torch.cat([clip.avatar_motion, clip.user_motion])[..., rig.SPOKEN]
            heard = torch.cat([clip.avatar_heard, clip.user_heard])[..., None]
            parts["mouth"] = (df.error_size(self.mouth(features) - mouths, recipe.norm) * heard).mean()
            loss = loss + recipe.mouth_weight * parts["mouth"]
        if self.answer is not None:
            told = (hears[0] * hears[1])[:, None, None]
            read = self.answer(whole)
            parts["answer"] = (df.error_size(read - clip.avatar_motion[..., FACE], recipe.norm) * told).mean()
            loss = loss + recipe.answer_weight * parts["answer"]
        return loss, {name: float(x.detach()) for name, x in parts.items()}


class Trainer:
    """One run: model, optimiser, moving average, random state. `steps` continues where the checkpoint ended."""

    def __init__(
        self, recipe: Recipe, out: str | Path, resume: bool = False, show: Callable[[str], object] = print
    ) -> None:
        self.recipe, self.out, self.show = recipe, Path(out), show
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        self.device = resolve_device(recipe.device)
        torch.manual_seed(recipe.seed)
        self.rng = torch.Generator().manual_seed(recipe.seed)
        corpus = load_corpus(recipe.corpus)
        if corpus.space != recipe.space:
            raise InputError(
                f"{recipe.corpus} holds motion of the space {corpus.space}; the recipe is for {recipe.space}"
            )
        if recipe.start:
            self.model = _start(recipe)
        else:
            self.model = AvatarForcing(recipe.config)
            _initialise(self.model)
            scale_to(self.model, corpus)
        if corpus.motion.shape[-1] != self.model.config.motion_dim:
            raise InputError(
                f"{recipe.corpus} has motion of {corpus.motion.shape[-1]} dimensions, the network {self.model.config.motion_dim}"
            )
        self.model.to(self.device).train().requires_grad_(True)
        # A distillation's teacher hears the sound as it is.
        self.source = ClipSource(
            corpus, self.model, recipe.seed, recipe.response_spread * (recipe.stage != "distillation")
        )
        valid = ClipSource(load_corpus(recipe.valid), self.model, 99) if recipe.valid else None
        self.valid = (
            [_to(valid.draw(recipe.batch, augment=False), self.device) for _ in range(VALID_BATCHES)] if valid else []
        )
        if recipe.stage == "forcing":
            self.stage: nn.Module = Forcing(recipe, self.model).to(self.device)
        elif recipe.stage == "distillation":
            self.stage = Distillation(recipe, self.model, self.source, show, resume)
        else:
            self.stage = Preference(recipe, self.model, self.source, Forcing(recipe, self.model).to(self.device), show)
        for part in (self.model.autoencoder, self.model.audio_encoder.trunk if recipe.freeze_audio else None):
            if part is not None:
                part.requires_grad_(False)
        parameters = [p for p in (*self.model.parameters(), *self.stage.parameters()) if p.requires_grad]
        on_gpu = self.device.type == "cuda"
        if on_gpu:  # ten bits of a factor's fraction are enough to train with
            torch.set_float32_matmul_precision("high")
        self.optimiser = torch.optim.AdamW(
            parameters, lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=recipe.weight_decay, fused=on_gpu
        )
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.step = 0
        self.out.mkdir(parents=True, exist_ok=True)
        if resume:
            self._load()
        else:
            (self.out / "log.jsonl").unlink(missing_ok=True)
        (self.out / "recipe.json").write_text(json.dumps(recipe.to_dict(), indent=2) + "\n")

    @property
    def checkpoint(self) -> Path:
        return self.out / "checkpoint.pt"

    def steps(self) -> Iterator[dict]:
        """Trains to the end; yields {"step", "loss", ...} after every step. Saves on the way and at the end."""
        recipe = self.recipe
        parts: dict[str, float] = {}
        counts: dict[str, int] = {}
        began, done = time.perf_counter(), self.step
        while self.step < recipe.training_steps:
            for group in self.optimiser.param_groups:
                group["lr"] = self._rate()
            clip = _to(self.source.draw(recipe.batch), self.device)
            loss, values = self.stage(self.model, clip, self.rng)
            if not math.isfinite(float(loss.detach())):
                raise InputError(f"training has diverged at step {self.step}: lower learning_rate in the recipe")
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimiser.step()
            self.step += 1
            self._follow()
            for name, value in {"loss": float(loss.detach()), **values}.items():
                parts[name], counts[name] = parts.get(name, 0.0) + value, counts.get(name, 0) + 1
            last = self.step == recipe.training_steps
            validates = self.valid and (self.step % recipe.valid_every == 0 or last)
            if self.step % recipe.log_every == 0 or validates or last:
                row = {
                    "step": self.step,
                    "rate": self._rate(),
                    **{n: round(v / counts[n], 5) for n, v in parts.items()},
                    "seconds_per_step": round((time.perf_counter() - began) / (self.step - done), 4),
                }
                if validates:
                    row |= self.validate()
                self._log(row)
                parts, counts = {}, {}
            if self.step % recipe.save_every == 0 or last:
                self.save()
            yield {"step": self.step, "loss": float(loss.detach())}

    def _rate(self) -> float:
        """Warm-up, then half a cosine down to a twentieth."""
        recipe = self.recipe
        warm = min(1.0, (self.step + 1) / max(1, recipe.warm_up))
        return (
            recipe.learning_rate * warm * (0.05 + 0.475 * (1.0 + math.cos(math.pi * self.step / recipe.training_steps)))
        )

    @torch.no_grad()
    def _follow(self) -> None:
        """The moving average of the weights; at first it forgets faster."""
        decay = min(self.recipe.average, self.step / (self.step + 10.0))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1.0 - decay)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """The averaged weights' loss on clips of held-out voices and conversations, always with the same noise."""
        rng = torch.Generator().manual_seed(0)
        total: dict[str, list[float]] = {}
        for clip in self.valid * 2:
            for name, value in self.stage(self.average, clip, rng)[1].items():
                total.setdefault(f"valid_{name}", []).append(value)
        return {name: round(sum(values) / len(values), 5) for name, values in total.items()}

    def _log(self, row: dict) -> None:
        with open(self.out / "log.jsonl", "a") as file:
            file.write(json.dumps(row) + "\n")

    def save(self) -> None:
        """checkpoint.pt (to resume) and model.safetensors (the averaged weights), each whole or not at all, and the plot."""
        state = {
            "step": self.step, "model": self.model.state_dict(), "average": self.average.state_dict(),
            "stage": {n: p for n, p in self.stage.state_dict().items()}, "optimiser": self.optimiser.state_dict(),
            "rng": self.rng.get_state(), "global_rng": torch.get_rng_state(), "draws": json.dumps(self.source.rng.bit_generator.state),
        }  # fmt: skip
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, self.checkpoint)
        save_model(self.average, self.out / "model.partial.safetensors")
        os.replace(self.out / "model.partial.safetensors", self.out / "model.safetensors")
        plot_log(self.out / "log.jsonl", self.out / "training.png")

    def _load(self) -> None:
        """Raises InputError where there is nothing to go on from, or it is of another recipe."""
        if not self.checkpoint.is_file():
            raise InputError(
                f"{self.out} has no checkpoint.pt to resume from: give the folder of a run that was stopped, or leave --resume out"
            )
        begun = json.loads((self.out / "recipe.json").read_text())
        now = self.recipe.to_dict()
        if changed := [n for n in now if n not in MAY_CHANGE and n in begun and begun[n] != now[n]]:
            told = ", ".join(f"{n} {begun[n]!r} -> {now[n]!r}" for n in changed)
            raise InputError(
                f"{self.checkpoint} is of another recipe ({told}); give another folder, or train without --resume"
            )
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        try:
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self.stage.load_state_dict(state["stage"])
            self.optimiser.load_state_dict(state["optimiser"])
            torch.set_rng_state(state["global_rng"].cpu())
        except (KeyError, RuntimeError, ValueError) as error:
            raise InputError(
                f"{self.checkpoint} is of another recipe; give another folder, or train without --resume"
            ) from error
        self.step = state["step"]
        self.rng.set_state(state["rng"].cpu())
        rows = (self.out / "log.jsonl").read_text().splitlines() if (self.out / "log.jsonl").is_file() else []
        kept = [row for row in rows if json.loads(row)["step"] <= self.step]  # the rest will be logged again
        (self.out / "log.jsonl").write_text("".join(f"{row}\n" for row in kept))
        self.source.rng.bit_generator.state = json.loads(state["draws"])
        self.show(f"resumed at step {self.step}")


def _start(recipe: Recipe) -> AvatarForcing:
    """The weights to begin from; what the recipe changes must leave their shapes as they are (block_frames, for one)."""
    model = load_model(recipe.start)
    changes = recipe.model | ({"distilled": True, "passes": recipe.passes} if recipe.stage == "distillation" else {})
    if not changes:
        return model
    try:
        other = AvatarForcing(replace(model.config, **changes))
        state = model.state_dict()
        encoder = "dual_motion_encoder"
        for name in (
            "transformer.embed_condition.weight",
            f"{encoder}.align_user.weight",
            f"{encoder}.align_sound.weight",
        ):
            if name in other.state_dict() and name not in state:  # it begins without effect
                state[name] = torch.zeros_like(other.state_dict()[name])
        other.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"{recipe.start} does not fit the recipe's model: leave {', '.join(recipe.model)} out"
        ) from error
    return other


def _initialise(model: AvatarForcing) -> None:
    """Gates and the output begin at zero, so that every block begins as the identity (adaLN-zero)."""
    for layer in (model.transformer.modulation, model.transformer.final_modulation, model.transformer.final):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)


def _to(clip: df.ClipBatch, device: torch.device) -> df.ClipBatch:
    return df.ClipBatch(**{name: x.to(device) for name, x in vars(clip).items()})


def plot_log(log: Path, out: Path) -> None:
    """The losses over the training steps, from a run's log.jsonl."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    names = [
        n
        for n in dict.fromkeys(k for row in rows for k in row)
        if n not in ("step", "rate", "seconds_per_step", "loss")
    ]
    if not names:
        return
    figure, axis = plt.subplots(figsize=(9, 5), layout="constrained")
    for name in names:
        points = [(row["step"], row[name]) for row in rows if name in row]
        axis.plot(*zip(*points), label=name, linestyle="--" if name.startswith("valid") else "-")
    axis.set_xlabel("training steps")
    axis.set_ylabel("loss (latents of unit spread)")
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(out, dpi=90)
    plt.close(figure)
