"""The training loss of the paper (its method section): conditional flow matching on motion latents with a noise
level of its own for every block (diffusion forcing), and dropout of each condition. The paper's norm is L1.

A clip of T = 50 frames is seen in one of two layouts:

    forcing   every block has its own noise level, frames see the past as noisy as it is, all signals are known: the paper's
    stream    every block but the first is made behind a clean past, as models/stream.py makes it: the past once as clean
              tokens, then for each block a window of 2 context frames and 10 noisy ones. Conditions are made as a rolling
              stream makes them: anew for the window of every step, of whose signals only the first frames are known.
              All blocks of the clip are trained in one pass, each at a noise level of its own.

Shapes: B clips, T frames, h earlier frames of sound, A audio_dim, D motion_dim, W width, n tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avatar_forcing_ros.models import AvatarForcing
from avatar_forcing_ros.models.flow_matching import MAX_TIME, EulerStep
from avatar_forcing_ros.models.transformer import rotary_angles


@dataclass(frozen=True)
class ClipBatch:
    """A batch of training clips.

    avatar_sound, user_sound: what the audio encoder takes, from h frames before the clip on: spectra (B, h + T, 4 * bands) of
    the log-mel front end, or a waveform (B, (h + T) * 640). avatar_motion, user_motion: (B, T, D) latents.
    avatar_heard, user_heard, user_seen: (B, T) bool, False where a signal is missing from the recording.
    reference: (B, D) latents, the avatar's reference motion m_S: at rest in the rig space, where a portrait has no other; else what the
        avatar's face shows at another moment, as a portrait does.
    """

    avatar_sound: Tensor
    user_sound: Tensor
    avatar_motion: Tensor
    user_motion: Tensor
    avatar_heard: Tensor
    user_heard: Tensor
    user_seen: Tensor
    reference: Tensor


@dataclass(frozen=True)
class Layout:
    """How a batch is seen. stream: in the stream's layout. commit: frames per step of the stream that made the past, a
    divisor of the block; avatar_ahead, user_ahead: known frames from a window's first new frame on."""

    stream: bool
    commit: int
    avatar_ahead: int
    user_ahead: int

    @classmethod
    def whole(cls, block: int) -> Layout:
        """The forcing layout."""
        return cls(False, block, block, block)

    @classmethod
    def draw(cls, block: int, stream_share: float, rng: torch.Generator) -> Layout:
        """stream_share: probability of the stream's layout."""

        def integer(low: int, high: int) -> int:
            return int(torch.randint(low, high + 1, (), generator=rng))

        if float(torch.rand((), generator=rng)) >= stream_share:
            return cls.whole(block)
        # As live: mostly the quick stream, and little of the future (generators/base.py: LOOK_AHEAD). Speech that was
        # sent ahead is known for longer, a camera that stutters is known for less.
        divisors = [n for n in range(2, block + 1) if block % n == 0]
        commit = divisors[0] if integer(0, 1) else divisors[integer(0, len(divisors) - 1)]
        usual = min(commit + 2, block)
        avatar_ahead = usual if integer(0, 1) else integer(commit, block)
        user_ahead = usual if integer(0, 1) else integer(1, min(commit + 4, block))
        return cls(True, commit, avatar_ahead, user_ahead)

    def late(self, ahead: int, context: int, block: int) -> Tensor:
        """(context + block,) bool: frames of a step's window whose signal has not come, or, of the context, had not come
        when its own step took it."""
        place = torch.cat([torch.arange(self.commit - context, self.commit), torch.arange(block)])
        return place >= ahead


def encode_sound(model: AvatarForcing, sound: Tensor, frames: int) -> Tensor:
    """Sound as in ClipBatch -> features (B, frames, A) of its last frames."""
    if sound.dim() == 3:
        return model.audio_encoder.features(sound)[:, -frames:]
    total = sound.shape[1] // model.config.samples_per_frame
    return model.encode_audio(sound, total)[:, -frames:]


Signals = tuple[Tensor, Tensor, Tensor]  # avatar audio (B, T, A), user audio (B, T, A), user motion (B, T, D)


@dataclass(frozen=True)
class Given:
    """What a clip's condition is made of. signals: not marked yet; known: (B, T) bool each; hears: (B,) of 0 or 1 each,
    whether the avatar's audio and the user are given at all (condition dropout)."""

    signals: Signals
    known: Signals
    hears: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, clip: ClipBatch, features: tuple[Tensor, Tensor], hears: tuple[Tensor, Tensor]) -> Given:
        """features: (B, T, A) of the avatar's and the user's sound."""
        known = (clip.avatar_heard, clip.user_heard, clip.user_seen)
        return cls((*features, clip.user_motion), known, hears)

    def condition(self, model: AvatarForcing, blocked: Tensor | None = None) -> Tensor:
        """(B, T, W); blocked: of the dual motion encoder."""
        avatar, user = (x[:, None, None].to(self.signals[0].dtype) for x in self.hears)
        signals = model.dual_motion_encoder.mark_unknown(self.signals, self.known)
        return model.dual_motion_encoder(signals[0] * avatar, signals[1] * user, signals[2] * user, blocked)

    def windows(self, frames: Tensor, late: tuple[Tensor, Tensor]) -> Given:
        """Of windows instead of clips, (B * windows, 12, ...). frames: (windows, 12) of the clip; late: (12,) bool, of the avatar's
        and the user's signals."""
        avatar, user = late
        signals = tuple(x[:, frames].flatten(0, 1) for x in self.signals)
        known = tuple((x[:, frames] & ~gone).flatten(0, 1) for x, gone in zip(self.known, (avatar, user, user)))
        return Given(signals, known, tuple(x.repeat_interleave(len(frames)) for x in self.hears))


def given_signals(both: float, avatar: float, user: float, batch: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Whether each clip is given the avatar's audio, and the user: (B,) of 0 or 1 each, for probabilities of both, the avatar's
    audio alone, the user alone."""
    draw = torch.rand(batch, generator=rng)
    alone = (draw >= both + avatar) & (draw < both + avatar + user)
    return (draw < both + avatar).float(), ((draw < both) | alone).float()


def noise_levels(batch: int, frames: int, block: int, rng: torch.Generator) -> Tensor:
    """sigma (B, T) in [0, 1]: one level per block."""
    return torch.rand(batch, frames // block, generator=rng).repeat_interleave(block, 1)


def noisy(motion: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """(1 - sigma) data + sigma noise; motion, noise: (B, T, D), sigma: (B, T)"""
    return torch.lerp(motion, noise, sigma[..., None].to(motion))


def whole_condition(model: AvatarForcing, given: Given) -> Tensor:
    """(B, T, W), each frame's within the window of its block, whose signals are all known."""
    config = model.config
    frame = torch.arange(given.signals[0].shape[1], device=given.signals[0].device)
    start = frame // config.block_frames * config.block_frames
    blocked = (frame < (start - config.look_ahead)[:, None]) | (frame >= (start + config.block_frames)[:, None])
    return given.condition(model, blocked)


def forcing_velocity(
    model: AvatarForcing, latents: Tensor, sigma: Tensor, condition: Tensor, reference: Tensor
) -> Tensor:
    """Velocity (B, T, D) in the forcing layout. latents: (B, T, D), sigma: (B, T), condition: of `whole_condition`, reference: (B, D)"""
    return model.velocity(latents, MAX_TIME * sigma, condition, reference)


def stream_condition(model: AvatarForcing, given: Given, layout: Layout) -> Tensor:
    """(B, n, W) for the tokens of `stream_velocity`."""
    config = model.config
    batch, frames, _ = given.signals[0].shape
    block, context, commit = config.block_frames, config.look_ahead, layout.commit
    device, kept = given.signals[0].device, frames - block
    # One condition window per step of the stream. A past frame has the one of the step that wrote it to the cache: its
    # last `context` frames are written one step later. Before the clip its first frame is repeated.
    steps = torch.arange(0, kept + 1, commit)
    window = (steps[:, None] - context + torch.arange(context + block)).clamp(min=0).to(device)
    late = tuple(layout.late(ahead, context, block).to(device) for ahead in (layout.avatar_ahead, layout.user_ahead))
    conditions = given.windows(window, late).condition(model).unflatten(0, (batch, -1))  # (B, steps, 12, W)
    past = torch.arange(kept)
    step = ((past + context) // commit).clamp(max=len(steps) - 1)  # the newest are the context of the last window
    of_past = conditions[:, step, past - step * commit + context]
    return torch.cat([of_past, conditions[:, block // commit :: block // commit].flatten(1, 2)], 1)


def stream_velocity(
    model: AvatarForcing, clean: Tensor, latents: Tensor, sigma: Tensor, condition: Tensor, reference: Tensor
) -> Tensor:
    """Velocity (B, T - 10, D) of all blocks but the first, each behind a clean past.

    clean: (B, T, D), the past as the stream would remember it; latents: (B, T, D) noisy; sigma: (B, T); condition: of
    `stream_condition`; reference: (B, D).
    """
    config, device = model.config, latents.device
    batch, frames, _ = latents.shape
    block, context = config.block_frames, config.look_ahead
    kept = frames - block  # frames of clean past
    starts = range(block, frames, block)

    def windows(x: Tensor) -> Tensor:
        """(B, T, ...) -> (B, windows, 12, ...)"""
        return torch.stack([x[:, start - context : start + block] for start in starts], 1)

    noisy_tokens = windows(latents)
    noisy_tokens[:, :, :context] = windows(clean)[:, :, :context]
    levels = windows(sigma)
    levels[:, :, :context] = 0.0
    tokens = torch.cat([clean[:, :kept], noisy_tokens.flatten(1, 2)], 1)
    times = MAX_TIME * torch.cat([torch.zeros_like(sigma[:, :kept]), levels.flatten(1, 2)], 1)

    # Where each token stands: its frame, and the first frame of its window (0: the clean past).
    frame = torch.cat([torch.arange(kept), *(torch.arange(start - context, start + block) for start in starts)]).to(
        device
    )
    start = torch.cat([torch.zeros(kept), *(torch.full((context + block,), start) for start in starts)]).to(device)
    same, in_past = start[:, None] == start[None], (start == 0)[None]
    distance = frame[None] - frame[:, None]  # of a key from a query
    before = in_past & (frame[None] < (start - context)[:, None])
    near_past = frame[None] >= (start - context - config.cache_frames)[:, None]
    self_mask = (same & (distance <= context)) | (before & near_past)
    cross_mask = (same | before) & (distance.abs() <= context)
    angles = rotary_angles(frames, config.width // config.heads, device)[:, frame]
    transformer = model.transformer
    predicted, _ = transformer(
        tokens, reference, transformer.modulations(times), cross=transformer.condition_memory(condition), angles=angles,
        self_mask=self_mask, cross_mask=cross_mask, condition=condition,
    )  # fmt: skip
    return predicted[:, kept:].unflatten(1, (len(starts), -1))[:, :, context:].flatten(1, 2)


def distance(predicted: Tensor, wanted: Tensor, norm: str) -> Tensor:
    """The mean over channels and frames of |wanted - predicted| (norm "l1") or its square ("l2"): (B, T, D) -> (B,)"""
    return error_size(wanted - predicted, norm).mean((1, 2))


def difference_distance(predicted: Tensor, latents: Tensor, sigma: Tensor, motion: Tensor, norm: str) -> Tensor:
    """The same between the frame-to-frame changes of the clean motion that a velocity implies, x - sigma v, and of the
    true motion, lighter where the noise is high -> (B,). It keeps the motion smooth."""
    implied = latents - sigma[..., None] * predicted
    error = error_size((implied[:, 1:] - implied[:, :-1]) - (motion[:, 1:] - motion[:, :-1]), norm).mean(-1)
    return (error * (1.0 - torch.maximum(sigma[:, 1:], sigma[:, :-1]))).mean(1)


def error_size(error: Tensor, norm: str) -> Tensor:
    return error.abs() if norm == "l1" else error.square()


@torch.no_grad()
def euler_clip(
    model: AvatarForcing, given: Given, noise: Tensor, euler_steps: tuple[EulerStep, ...], reference: Tensor
) -> Tensor:
    """A whole clip (B, T, D) from noise, all frames at one level."""
    latents, condition = noise.clone(), whole_condition(model, given)
    for step in euler_steps:
        sigma = torch.full(latents.shape[:2], step.time / MAX_TIME, device=latents.device)
        latents += step.change * forcing_velocity(model, latents, sigma, condition, reference)
    return latents
