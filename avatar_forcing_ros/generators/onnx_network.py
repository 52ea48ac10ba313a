"""The rolling stream of models/stream.py over ONNX graphs, in NumPy: the same blocks, masks, memory, guidance and anchor,
told in that file. Latents are float64 between passes, as there; all else is float32.

Shapes: b branches of guidance, n frames of a block, s committed frames, c = 2 context frames, p = 38 cached frames,
D motion_dim, A audio_dim, W width, d = W / heads.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.onnx_graphs import OnnxGraphs
from avatar_forcing_ros.generators.spectra import RollingSpectra
from avatar_forcing_ros.models.config import Anchor, ModelConfig
from avatar_forcing_ros.models.flow_matching import BRANCHES, Noise, branch_weights, schedule
from avatar_forcing_ros.timeline import FRAME_RATE

ROTARY_BASE = 10_000.0
_HIDDEN = np.float32(-1e30)  # added to a score that attention must not see
SPEAKERS = 2


@dataclass
class _State:
    """As models/stream.StreamState, in arrays."""

    self_keys: np.ndarray
    self_values: np.ndarray
    cross_keys: np.ndarray
    cross_values: np.ndarray
    latents: np.ndarray
    avatar_audio: np.ndarray
    user_audio: np.ndarray
    user_motion: np.ndarray
    mean: np.ndarray

    @classmethod
    def empty(cls, config: ModelConfig, branches: int) -> _State:
        heads, context, d = config.heads, config.look_ahead, config.width // config.heads
        dim, sound, cached = config.motion_dim, config.audio_dim, config.cache_frames

        def memory(frames: int) -> np.ndarray:
            return np.zeros((config.depth, branches, heads, frames, d), np.float32)

        return cls(
            memory(cached), memory(cached), memory(context), memory(context),
            latents=np.zeros((1, context, dim)), mean=np.zeros((1, dim), np.float32),
            avatar_audio=np.zeros((1, context, sound), np.float32), user_audio=np.zeros((1, context, sound), np.float32),
            user_motion=np.zeros((1, context, dim), np.float32),
        )  # fmt: skip

    def copy(self) -> _State:
        return _State(**{field.name: getattr(self, field.name).copy() for field in fields(self)})


class OnnxNetwork:
    """One session of a network in ONNX Runtime; see generators/network.py for what it has to offer.

    reference: (D,) latent of the face at rest. temperature: scale of the noise, (D,) or one for all.
    commit_frames may be changed between steps.
    """

    def __init__(
        self, graphs: OnnxGraphs, reference: np.ndarray, *, passes: int, audio_guidance: float, user_guidance: float,
        anchor: Anchor | None, seed: int, commit_frames: int, temperature: np.ndarray | float = 1.0,
    ) -> None:  # fmt: skip
        self.graphs, self.config, self.anchor, self.seed = graphs, graphs.config, anchor, seed
        self.commit_frames, self.temperature = commit_frames, np.float32(temperature)
        config = self.config
        weights = branch_weights(config.guidance, audio_guidance, user_guidance)
        self._guidance = np.array(list(weights.values()))
        heard = np.array([BRANCHES[name] for name in weights], np.float32)
        self._hears = {"hears_avatar": heard[:, :1, None], "hears_user": heard[:, 1:, None]}  # (b, 1, 1)
        self._reference = np.asarray(reference, np.float32).reshape(1, -1)
        self._euler_steps = schedule(passes)
        times = np.array([step.time for step in self._euler_steps] + [0.0], np.float32)
        self._modulations = graphs.run("time", times=times)[0]  # (Euler steps + 1, 8, W), the last at time 0
        clip, context, cached = config.clip_frames, config.look_ahead, config.cache_frames
        self._angles = _rotary_angles(clip, config.width // config.heads)
        frames = np.arange(clip)
        window = frames[cached:]
        self._self_mask = _hide(
            frames[None, :] <= frames[:, None] + context
        )  # (50, 50); its last 12 rows serve a block
        self._clip_cross_mask = _hide(abs(frames[None, :] - frames[:, None]) <= context)  # (50, 50)
        self._block_cross_mask = _hide(
            abs(frames[cached - context :][None, :] - window[:, None]) <= context
        )  # (12, 14)
        self._sound = RollingSpectra(SPEAKERS, self.window_frames, config.mel_bands)
        self._start: _State | None = None  # the state after `prime`, where reset goes back to
        self.reset()

    @property
    def window_frames(self) -> int:
        """Frames of sound that the encoder needs for the features of a block."""
        return self.config.block_frames + 2 * self.config.audio_layers + 1

    @property
    def unknown(self) -> tuple[np.ndarray, ...]:
        """The learned features of what has not come: avatar audio, user audio, user motion; none where it has no such marks."""
        names = ("unknown_avatar_audio", "unknown_user_audio", "unknown_user_motion")
        return tuple(self.graphs.constants[name] for name in names if name in self.graphs.constants)

    def to_latents(self, motion: np.ndarray) -> np.ndarray:
        """Vectors of the motion space (..., D) -> the latents that the network works on."""
        return (motion - self.graphs.constants["motion_mean"]) / self.graphs.constants["motion_spread"]

    def to_motion(self, latents: np.ndarray) -> np.ndarray:
        return latents * self.graphs.constants["motion_spread"] + self.graphs.constants["motion_mean"]

    # --- sound --------------------------------------------------------------------------------------------------
    def reset_sound(self, silence: np.ndarray) -> None:
        """silence: (2, window samples)"""
        self._sound.reset(silence)

    def push_sound(self, speaker: int, samples: np.ndarray) -> None:
        self._sound.push(speaker, samples)

    def features(self) -> np.ndarray:
        """(2, window frames, A); each speaker's last frame is the newest one pushed."""
        return self.graphs.run("sound", spectra=self._sound.spectra)[0]

    # --- motion -------------------------------------------------------------------------------------------------
    def reset(self) -> None:
        """Forget the session. After `prime` the next step is the first block behind the priming clip."""
        self._noise = Noise(self.seed, self.config.motion_dim)
        self._foreseen = np.zeros((0, self.config.motion_dim), np.float32)  # noise of frames still to be committed
        self._state = _State.empty(self.config, len(self._guidance)) if self._start is None else self._start.copy()

    def prime(self, avatar_audio: np.ndarray) -> None:
        """Make the first clip of 50 frames now, from features (50, A) of a quiet scene, and begin every session behind it."""
        config = self.config
        self._start = None
        self.reset()
        noise = self.temperature * Noise(self.seed + 1, config.motion_dim).draw(config.clip_frames)
        user_audio = np.zeros((1, config.clip_frames, config.audio_dim), np.float32)
        user_motion = np.zeros((1, config.clip_frames, config.motion_dim), np.float32)
        self._clip((avatar_audio[None], user_audio, user_motion), noise[None].astype(np.float64))
        self._start = self._state.copy()
        self.reset()

    def step(
        self, avatar_audio: np.ndarray, user_audio: np.ndarray | None, user_motion: np.ndarray | None
    ) -> np.ndarray:
        """Features (n, A) of the avatar's and the user's sound, latents (n, D) of the user's motion, None where a signal is
        absent -> the motion latents (s, D) of the first s frames, float32."""
        count = self.config.block_frames
        if user_audio is None:
            user_audio = np.zeros((count, self.config.audio_dim), np.float32)
        if user_motion is None:
            user_motion = np.zeros((count, self.config.motion_dim), np.float32)
        signals = tuple(np.asarray(x, np.float32)[None] for x in (avatar_audio, user_audio, user_motion))
        if any(x.shape[1] != count for x in signals):
            raise InputError(f"a step takes {count} frames, got {[x.shape[1] for x in signals]}")
        noise = np.concatenate([self._foreseen, self._noise.draw(count - len(self._foreseen))])
        self._foreseen = noise[self.commit_frames :]
        return self._block(signals, (self.temperature * noise)[None].astype(np.float64))[0].astype(np.float32)

    def _clip(self, signals: tuple[np.ndarray, ...], noise: np.ndarray) -> None:
        """The first 50 frames: no cache, no context, every frame noisy."""
        context, cached = self.config.look_ahead, self.config.cache_frames
        condition, *cross = self._conditions(signals)
        around = {
            "condition": condition, "angles": self._angles, "self_mask": self._self_mask, "cross_mask": self._clip_cross_mask,
            "cross_keys": cross[0], "cross_values": cross[1],
            "past_keys": self._state.self_keys[..., :0, :], "past_values": self._state.self_values[..., :0, :],
        }  # fmt: skip
        latents = self._denoise(noise, 0, around)
        self._state.mean = latents.mean(1).astype(np.float32)
        _, *memory = self._motion(latents, self._modulations[-1:].repeat(latents.shape[1], 0), around)
        self._keep(
            [part[..., -cached - context : -context, :] for part in memory],
            [part[..., -2 * context : -context, :] for part in cross], latents, signals,
        )  # fmt: skip

    def _block(self, signals: tuple[np.ndarray, ...], noise: np.ndarray) -> np.ndarray:
        """Ten frames behind the cache; see models/stream.py."""
        state, context, cached = self._state, self.config.look_ahead, self.config.cache_frames
        before = (state.avatar_audio, state.user_audio, state.user_motion)
        window = tuple(np.concatenate([a, b], 1) for a, b in zip(before, signals))  # 12 frames of each signal
        condition, *cross = self._conditions(window)
        cross = [np.concatenate([a, b], -2) for a, b in zip((state.cross_keys, state.cross_values), cross)]  # 14 frames
        around = {
            "condition": condition, "angles": self._angles[:, cached:], "self_mask": self._self_mask[cached:],
            "cross_mask": self._block_cross_mask, "cross_keys": cross[0], "cross_values": cross[1],
            "past_keys": _rotate(state.self_keys, self._angles[:, :cached]), "past_values": state.self_values,
        }  # fmt: skip
        latents = self._denoise(np.concatenate([state.latents, noise], 1), context, around)
        end = context + self.commit_frames  # of what is committed, in the window
        latents = latents[:, :end]
        if self.anchor is not None:
            latents[:, context:] += self._pull(latents[:, context:])
        around |= {
            "condition": condition[:, :end], "angles": around["angles"][:, :end], "cross_mask": around["cross_mask"][:end],
            "self_mask": around["self_mask"][:end, : cached + end],
        }  # fmt: skip
        _, *memory = self._motion(latents, self._modulations[-1:].repeat(end, 0), around)
        kept = [
            np.concatenate([old, new[..., :-context, :]], -2)[..., -cached:, :]
            for old, new in zip((state.self_keys, state.self_values), memory)
        ]
        self._keep(
            kept,
            [part[..., self.commit_frames : end, :] for part in cross],
            latents,
            tuple(signal[:, :end] for signal in window),
        )
        return latents[:, context:]

    def _conditions(self, signals: tuple[np.ndarray, ...]) -> list[np.ndarray]:
        """What the branches are told of m frames: condition (b, m, W), keys and values of cross-attention (L, b, h, m, d)."""
        named = dict(zip(("avatar_audio", "user_audio", "user_motion"), signals))
        return self.graphs.run("condition", **named, **self._hears)

    def _denoise(self, latents: np.ndarray, context: int, around: dict[str, np.ndarray]) -> np.ndarray:
        """Euler steps from noise to motion. latents: (1, c + n, D) float64; the c context frames are clean and stay."""
        latents = latents.copy()
        modulations = np.empty((latents.shape[1], *self._modulations.shape[1:]), np.float32)
        modulations[:context] = self._modulations[-1]
        for step, noisy in zip(self._euler_steps, self._modulations):
            modulations[context:] = noisy
            velocity = self._motion(latents, modulations, around)[0][:, context:]
            latents[:, context:] += (
                step.change * np.einsum("btd,b->td", velocity.astype(np.float64), self._guidance)[None]
            )
        return latents

    def _motion(self, latents: np.ndarray, modulations: np.ndarray, around: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Velocity (b, n, D), keys and values of self-attention (L, b, h, n, d)."""
        return self.graphs.run(
            "motion", latents=latents.astype(np.float32), reference=self._reference, modulations=modulations, **around
        )

    def _keep(self, memory: list, cross: list, latents: np.ndarray, signals: tuple[np.ndarray, ...]) -> None:
        """Into the state: the memory, and the last two frames with their signals, the context of the next block."""
        context = self.config.look_ahead
        self_keys, self_values = memory
        cross_keys, cross_values = cross
        avatar_audio, user_audio, user_motion = (signal[:, -context:] for signal in signals)
        self._state = _State(
            self_keys=self_keys, self_values=self_values, cross_keys=cross_keys, cross_values=cross_values,
            latents=latents[:, -context:], avatar_audio=avatar_audio, user_audio=user_audio, user_motion=user_motion,
            mean=self._state.mean,
        )  # fmt: skip

    def _pull(self, latents: np.ndarray) -> np.ndarray:
        """The anchor's shift (1, n, D) of new frames (1, n, D), and the slow mean brought up to date."""
        anchor, count, state = self.anchor, latents.shape[1], self._state
        assert anchor is not None
        decay = 1.0 - 1.0 / (anchor.time_constant * FRAME_RATE + 1.0)
        weight = ((1.0 - decay) * decay ** np.arange(count - 1, -1, -1)).astype(np.float32)  # (n,)
        mean = decay**count * state.mean + (weight[:, None] * latents.astype(np.float32)).sum(1)  # (1, D)
        away = mean - self._reference
        distance = np.linalg.norm(away, axis=-1, keepdims=True)
        excess = (distance - anchor.dead_band).clip(min=0.0)
        shift = (anchor.gain * excess).clip(max=anchor.slew * count)  # at the block's last frame
        ramp = np.arange(1, count + 1, dtype=np.float32) / count  # (n,)
        pull = -(shift * away / distance.clip(min=1e-6))[:, None] * ramp[:, None]  # (1, n, D)
        state.mean = (mean + (weight[:, None] * pull).sum(1)).astype(np.float32)
        return pull


def _hide(seen: np.ndarray) -> np.ndarray:
    """What attention sees, as bool -> what is added to its scores."""
    return np.where(seen, np.float32(0.0), _HIDDEN)


def _rotary_angles(count: int, head_dim: int) -> np.ndarray:
    """Cosines and sines (2, count, d / 2) of position * 10000^(-2 i / d)."""
    angle = np.outer(np.arange(count), ROTARY_BASE ** (-np.arange(0, head_dim, 2) / head_dim))
    return np.stack([np.cos(angle), np.sin(angle)]).astype(np.float32)


def _rotate(x: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Turn the channel pairs (2 i, 2 i + 1) of x (..., n, d) by angles (2, n, d / 2)."""
    cos, sin = angles
    even, odd = x[..., 0::2], x[..., 1::2]
    out = np.empty_like(x)
    out[..., 0::2], out[..., 1::2] = even * cos - odd * sin, even * sin + odd * cos
    return out
