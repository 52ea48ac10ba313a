"""The loop of the paper's inference, as its release streams it: signals in, motion out, block by block.

A block of n = 10 frames that begins at frame t is made like this:

    conditions   of frames t-2 .. t+9, for three branches: nothing, the avatar's sound only, the user only
    latents      frames t-2, t-1 are the clean end of the last block; frames t .. t+9 start as noise
    8 times      velocity of every branch -> guidance -> Euler step on the noisy frames
    anchor       (ours, optional) pulls the slow mean pose back toward the reference motion
    cache        one pass at time 0 keeps the keys and values of frames t-2 .. t+7 for the next blocks

The look-ahead of two frames is why the last two frames of a block are cached one block later: only then are
the frames known that they look at. The first step makes a whole clip of 50 frames without a cache.

A rolling stream (ours) makes the same block but commits its first s < 10 frames only, and begins the next block
s frames later, when newer signals are there. Windows, positions and masks keep their relations: the context is the last
two committed frames, the cache ends where they begin. A frame keeps its noise from block to block, so what
was foreseen and what is committed differ by what has been learned meanwhile, not by chance.

Everything that lives from block to block is in `StreamState`: tensors of fixed size, updated in place.

Shapes: n new frames, s committed frames, c = 2 context frames, p = 38 cached frames, D motion_dim, A audio_dim,
W width.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from avatar_forcing_ros.models.autoencoder import Identity
from avatar_forcing_ros.models.config import Anchor, ModelConfig
from avatar_forcing_ros.models.dual_motion_encoder import DualMotionEncoder
from avatar_forcing_ros.models.flow_matching import BRANCHES, Noise, branch_weights, schedule
from avatar_forcing_ros.models.transformer import (
    Memory,
    VelocityTransformer,
    look_ahead_mask,
    near_mask,
    rotary_angles,
    rotate,
)
from avatar_forcing_ros.timeline import FRAME_RATE


@dataclass
class StreamState:
    """All that a stream remembers, in tensors of fixed size.

    self_keys, self_values: (depth, branches, heads, 38, d) of the cached frames, keys not rotated.
    cross_keys, cross_values: (depth, branches, heads, 2, d) of the two frames before the window.
    latents: (1, 2, D) float64, the context: the last two committed frames. avatar_audio, user_audio: (1, 2, A) and
    user_motion: (1, 2, D), their signals. mean: (1, D) float32, the anchor's slow mean.
    """

    self_keys: Tensor
    self_values: Tensor
    cross_keys: Tensor
    cross_values: Tensor
    latents: Tensor
    avatar_audio: Tensor
    user_audio: Tensor
    user_motion: Tensor
    mean: Tensor

    @classmethod
    def empty(cls, config: ModelConfig, branches: int, device: torch.device, dtype: torch.dtype) -> StreamState:
        heads, context = config.heads, config.look_ahead
        memory = (config.depth, branches, heads)
        d = config.width // heads

        def zeros(*shape: int, dtype: torch.dtype = dtype) -> Tensor:
            return torch.zeros(shape, device=device, dtype=dtype)

        return cls(
            self_keys=zeros(*memory, config.cache_frames, d),
            self_values=zeros(*memory, config.cache_frames, d),
            cross_keys=zeros(*memory, context, d),
            cross_values=zeros(*memory, context, d),
            latents=zeros(1, context, config.motion_dim, dtype=torch.float64),
            avatar_audio=zeros(1, context, config.audio_dim),
            user_audio=zeros(1, context, config.audio_dim),
            user_motion=zeros(1, context, config.motion_dim),
            mean=zeros(1, config.motion_dim, dtype=torch.float32),
        )

    def copy_from(self, other: StreamState) -> None:
        for field in fields(self):
            getattr(self, field.name).copy_(getattr(other, field.name))

    def clone(self) -> StreamState:
        return StreamState(**{field.name: getattr(self, field.name).clone() for field in fields(self)})


class MotionStream:
    """Motion of one avatar. Made by `AvatarForcing.stream`; not shared between threads."""

    def __init__(
        self,
        config: ModelConfig,
        encoder: DualMotionEncoder,
        transformer: VelocityTransformer,
        identity: Identity,
        *,
        passes: int = 10,
        audio_guidance: float = 2.0,
        user_guidance: float = 1.0,
        anchor: Anchor | None = None,
        seed: int = 0,
        commit_frames: int | None = None,
        temperature: Tensor | float = 1.0,
    ):
        """passes: of the network per block, as the release counts them. anchor None: the published stream.
        commit_frames: s, 1 to the block's length, which is the default and the published stream; may be changed between steps.
        temperature: scale of the noise that motion begins as, for all channels or each (D,): below 1 the motion is nearer to
        the likeliest one, and varies less."""
        self.config, self.encoder, self.transformer = config, encoder, transformer
        self.anchor, self.seed, self.temperature = anchor, seed, temperature
        self.commit_frames = config.block_frames if commit_frames is None else commit_frames
        if not 1 <= self.commit_frames <= config.block_frames:
            raise ValueError(f"commit_frames {commit_frames}: give 1 to {config.block_frames}")
        weight = transformer.final.weight
        self.device, self.dtype = weight.device, weight.dtype
        weights = branch_weights(config.guidance, audio_guidance, user_guidance)
        self.guidance = torch.tensor(list(weights.values()), dtype=torch.float64, device=self.device)
        heard = torch.tensor([BRANCHES[name] for name in weights], device=self.device, dtype=self.dtype)
        self.hears_avatar, self.hears_user = (x[:, None, None] for x in heard.unbind(1))  # (branches, 1, 1) of 0 or 1
        self.reference = identity.motion.detach().to(self.device, torch.float32)  # (1, D)

        # All that does not change from block to block is made once: times are fixed by the schedule, and places in
        # the window by its shape.
        self.euler_steps = schedule(passes)
        times = torch.tensor([step.time for step in self.euler_steps] + [0.0], device=self.device)
        with torch.inference_mode():
            self.modulations = transformer.modulations(times)  # (Euler steps + 1, 8, W), the last at time 0
        clip, context, cached = config.clip_frames, config.look_ahead, config.cache_frames
        self.angles = rotary_angles(clip, config.width // config.heads, self.device)
        frames = torch.arange(clip, device=self.device)
        window = frames[cached:]
        self.self_mask = look_ahead_mask(frames, frames, context)  # (50, 50); its last 12 rows serve a block
        self.clip_cross_mask = near_mask(frames, frames, context)  # (50, 50)
        self.block_cross_mask = near_mask(window, frames[cached - context :], context)  # (12, 14)

        self.state = StreamState.empty(config, len(weights), self.device, self.dtype)
        self.start: StreamState | None = None  # the state after `prime`, where reset goes back to
        self.run_block = self._block  # models/runtime.py may put a compiled form here
        self.reset()

    def reset(self) -> None:
        """Forget the session. After `prime` the next step is the first block behind the priming clip."""
        self.noise = Noise(self.seed, self.config.motion_dim)
        self.foreseen = self._draw(0, self.noise)  # noise of frames still to be committed
        if self.start is not None:
            self.state.copy_from(self.start)
        self.has_past = self.start is not None

    def _draw(self, count: int, noise: Noise) -> Tensor:
        """The noise (1, count, D) that so many frames begin as."""
        return self.temperature * torch.from_numpy(noise.draw(count))[None]

    def prime(
        self, avatar_audio: Tensor | None = None, user_audio: Tensor | None = None, user_motion: Tensor | None = None
    ) -> None:
        """Make the first clip of 50 frames now, from features of a quiet scene, and begin every session behind it:
        the viewer never waits for a clip, and the first block is as fast as any other."""
        self.start = None
        self.reset()
        noise = Noise(self.seed + 1, self.config.motion_dim)  # not the draw of the first blocks
        self.step(avatar_audio, user_audio, user_motion, self._draw(self.config.clip_frames, noise))
        self.start = self.state.clone()
        self.reset()

    @torch.inference_mode()
    def step(
        self,
        avatar_audio: Tensor | None,
        user_audio: Tensor | None,
        user_motion: Tensor | None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """Signals of n frames -> the motion latents (1, s, D) of the first s, float32.

        avatar_audio, user_audio: (1, n, A) audio features; user_motion: (1, n, D); None where a signal is absent.
        n = s = 50 in the first step of a stream that was not primed, else n = 10. noise: (1, n, D) standard normal; drawn
        from the stream's seed when not given.
        """
        given = [x for x in (avatar_audio, user_audio, user_motion, noise) if x is not None]
        wanted = self.config.block_frames if self.has_past else self.config.clip_frames
        if any(x.shape[1] != wanted for x in given):
            raise ValueError(f"this step takes {wanted} frames, got {[x.shape[1] for x in given]}")
        audio = torch.zeros(1, wanted, self.config.audio_dim)
        avatar_audio = audio if avatar_audio is None else avatar_audio
        user_audio = audio if user_audio is None else user_audio
        if user_motion is None:
            user_motion = torch.zeros(1, wanted, self.config.motion_dim)
        if noise is None and self.has_past:
            noise = torch.cat([self.foreseen, self._draw(wanted - self.foreseen.shape[1], self.noise)], 1)
            self.foreseen = noise[:, self.commit_frames :]
        elif noise is None:
            noise = self._draw(wanted, self.noise)
        signals = tuple(x.to(self.device, self.dtype) for x in (avatar_audio, user_audio, user_motion))
        noise = noise.to(self.device, torch.float64)
        latents = self.run_block(signals, noise) if self.has_past else self._clip(signals, noise)
        self.has_past = True
        return latents.float()

    def _clip(self, signals: tuple[Tensor, Tensor, Tensor], noise: Tensor) -> Tensor:
        """The first 50 frames: no cache, no context, every frame noisy."""
        context, cached = self.config.look_ahead, self.config.cache_frames
        condition, cross = self._conditions(signals)
        masks = (self.self_mask, self.clip_cross_mask)
        seen = {"condition": condition, "cross": cross, "angles": self.angles, "masks": masks, "past": None}
        latents = self._denoise(noise, 0, **seen)
        self.state.mean.copy_(latents.mean(1))
        memory = self._clean_pass(latents, **seen)
        self._keep(memory.frames(-cached - context, -context), cross.frames(-2 * context, -context), latents, signals)
        return latents

    def _block(self, signals: tuple[Tensor, Tensor, Tensor], noise: Tensor) -> Tensor:
        """Ten frames behind the cache; see the top of this file."""
        state, context, cached = self.state, self.config.look_ahead, self.config.cache_frames
        window = tuple(
            torch.cat([before, new], 1)  # 12 frames of each signal
            for before, new in zip((state.avatar_audio, state.user_audio, state.user_motion), signals)
        )
        condition, cross = self._conditions(window)
        cross = Memory(state.cross_keys, state.cross_values).then(cross)  # 14 frames
        past = Memory(rotate(state.self_keys, self.angles[:, :cached]), state.self_values)  # 38 frames
        angles = self.angles[:, cached:]
        masks = (self.self_mask[cached:], self.block_cross_mask)
        latents = torch.cat([state.latents, noise], 1)  # 12 frames

        latents = self._denoise(
            latents, context, condition=condition, cross=cross, angles=angles, masks=masks, past=past
        )
        end = context + self.commit_frames  # of what is committed, in the window
        latents = latents[:, :end]
        if self.anchor is not None:
            latents[:, context:] += self._pull(latents[:, context:])
        masks = (masks[0][:end, : cached + end], masks[1][:end])
        memory = self._clean_pass(
            latents, condition=condition[:, :end], cross=cross, angles=angles[:, :end], masks=masks, past=past
        )

        kept = Memory(state.self_keys, state.self_values).then(memory.frames(0, -context)).frames(-cached, None)
        before = cross.frames(self.commit_frames, end)  # the two frames before the next window
        self._keep(kept, before, latents, tuple(signal[:, :end] for signal in window))
        return latents[:, context:]

    def _conditions(self, signals: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Memory]:
        """What the branches are told. signals: (1, m, A), (1, m, A), (1, m, D) -> conditions (branches, m, W) and the
        memory of these frames that cross-attention looks at."""
        avatar_audio, user_audio, user_motion = signals
        condition = self.encoder(
            avatar_audio * self.hears_avatar, user_audio * self.hears_user, user_motion * self.hears_user
        )  # (branches, m, W)
        return condition, self.transformer.condition_memory(condition)

    def _denoise(
        self,
        latents: Tensor,
        context: int,
        *,
        condition: Tensor,
        cross: Memory,
        angles: Tensor,
        masks: tuple[Tensor, Tensor],
        past: Memory | None,
    ) -> Tensor:
        """Euler steps from noise to motion. latents: (1, c + n, D) float64; the c context frames are clean and stay."""
        latents = latents.clone()
        clean = self.modulations[-1].expand(context, -1, -1)
        for step, modulation in zip(self.euler_steps, self.modulations):
            noisy = modulation.expand(latents.shape[1] - context, -1, -1)
            velocity, _ = self.transformer(
                latents.float(),
                self.reference,
                torch.cat([clean, noisy]),
                cross=cross,
                angles=angles,
                self_mask=masks[0],
                cross_mask=masks[1],
                past=past,
                condition=condition,
            )  # (branches, c + n, D)
            latents[:, context:] += step.change * torch.einsum(
                "btd,b->td", velocity[:, context:].double(), self.guidance
            )
        return latents

    def _clean_pass(
        self,
        latents: Tensor,
        *,
        condition: Tensor,
        cross: Memory,
        angles: Tensor,
        masks: tuple[Tensor, Tensor],
        past: Memory | None,
    ) -> Memory:
        """Keys and values of finished frames, at time 0."""
        clean = self.modulations[-1].expand(latents.shape[1], -1, -1)
        return self.transformer(
            latents.float(), self.reference, clean, cross=cross, angles=angles, self_mask=masks[0], cross_mask=masks[1],
            past=past, memory_only=True, condition=condition,
        )[1]  # fmt: skip

    def _keep(self, memory: Memory, before: Memory, latents: Tensor, signals: tuple[Tensor, Tensor, Tensor]) -> None:
        """Into the state: 38 frames of self-attention memory, and what the next block's context needs: its last
        committed frames with their signals, and the cross-attention memory of the two frames before these."""
        state, context = self.state, self.config.look_ahead
        state.self_keys.copy_(memory.keys)
        state.self_values.copy_(memory.values)
        state.cross_keys.copy_(before.keys)
        state.cross_values.copy_(before.values)
        state.latents.copy_(latents[:, -context:])
        for kept, signal in zip((state.avatar_audio, state.user_audio, state.user_motion), signals):
            kept.copy_(signal[:, -context:])

    def _pull(self, latents: Tensor) -> Tensor:
        """The anchor's shift (1, n, D) of new frames (1, n, D), and the slow mean brought up to date."""
        anchor, count, state = self.anchor, latents.shape[1], self.state
        assert anchor is not None  # who asks has one
        decay = 1.0 - 1.0 / (anchor.time_constant * FRAME_RATE + 1.0)
        age = torch.arange(count - 1, -1, -1, device=latents.device)
        weight = (1.0 - decay) * decay**age  # (n,)
        mean = decay**count * state.mean + (weight[:, None] * latents.float()).sum(1)  # (1, D)
        away = mean - self.reference
        distance = away.norm(dim=-1, keepdim=True)
        excess = (distance - anchor.dead_band).clamp(min=0.0)
        shift = (anchor.gain * excess).clamp(max=anchor.slew * count)  # at the block's last frame
        ramp = torch.arange(1, count + 1, device=latents.device) / count  # (n,)
        pull = -(shift * away / distance.clamp(min=1e-6))[:, None] * ramp[:, None]  # (1, n, D)
        state.mean.copy_(mean + (weight[:, None] * pull).sum(1))
        return pull
