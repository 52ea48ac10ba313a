"""The rolling stream of models/stream.py over ONNX graphs, in NumPy: the same blocks, masks, memory, guidance and anchor,
told in that file. Latents are float64 between passes, as there; all else is float32.

Shapes: b branches of guidance, n frames of a block, s committed frames, c = 2 context frames, p = 38 cached frames,
D motion_dim, A audio_dim, W width, L depth, h heads, d = W / h. Keys and values are (b, L h, frames, d).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.onnx_graphs import OnnxGraphs
from avatar_forcing_ros.generators.spectra import RollingSpectra
from avatar_forcing_ros.models.config import ROTARY_BASE, Anchor, ModelConfig
from avatar_forcing_ros.models.flow_matching import BRANCHES, Noise, branch_weights, schedule
from avatar_forcing_ros.timeline import FRAME_RATE, SAMPLES_PER_FRAME

_HIDDEN = np.float32(-1e30)  # added to a score that attention must not see
SPEAKERS = 2


@dataclass(frozen=True)
class _Committed:
    """Frames whose memory is still to be made: c of context and the s after them. latents (1, c + s, D), condition (b, c + s, W),
    keys and values of cross-attention (b, L h, c + s + ..., d)."""

    latents: np.ndarray
    condition: np.ndarray
    cross: list[np.ndarray]


@dataclass
class _State:
    """As models/stream.StreamState, in arrays. committed: of the step before, None behind the first clip."""

    self_keys: np.ndarray
    self_values: np.ndarray
    cross_keys: np.ndarray
    cross_values: np.ndarray
    latents: np.ndarray
    avatar_audio: np.ndarray
    user_audio: np.ndarray
    user_motion: np.ndarray
    mean: np.ndarray
    committed: _Committed | None = None

    @classmethod
    def empty(cls, config: ModelConfig, branches: int) -> _State:
        heads, context, d = config.depth * config.heads, config.look_ahead, config.width // config.heads
        dim, sound, cached = config.motion_dim, config.audio_dim, config.cache_frames

        def memory(frames: int) -> np.ndarray:
            return np.zeros((branches, heads, frames, d), np.float32)

        return cls(
            memory(cached), memory(cached), memory(context), memory(context),
            latents=np.zeros((1, context, dim)), mean=np.zeros((1, dim), np.float32),
            avatar_audio=np.zeros((1, context, sound), np.float32), user_audio=np.zeros((1, context, sound), np.float32),
            user_motion=np.zeros((1, context, dim), np.float32),
        )  # fmt: skip

    def copy(self) -> _State:
        return replace(self, mean=self.mean.copy())  # all else is never written to


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
        self._modulations = graphs.run("time", times=times)[0]  # (Euler steps + 1, 8 W), the last at time 0
        clip, context, cached = config.clip_frames, config.look_ahead, config.cache_frames
        self._rotation = _rotation(clip + config.block_frames, config.width // config.heads)
        every = [np.tile(part.repeat(2, 1), 2 * config.heads) for part in (self._rotation.real, self._rotation.imag)]
        self._rotations = dict(zip(("cosines", "sines"), every))  # of all queries and keys of a frame: (60, 2 W)
        frames = np.arange(clip)
        window = frames[cached:]
        self._self_mask = _hide(
            frames[None, :] <= frames[:, None] + context
        )  # (50, 50); its last 12 rows serve a block
        self._clip_cross_mask = _hide(abs(frames[None, :] - frames[:, None]) <= context)  # (50, 50)
        self._block_cross_mask = _hide(
            abs(frames[cached - context :][None, :] - window[:, None]) <= context
        )  # (12, 14)
        self._joint: dict[int, dict[str, np.ndarray]] = {}  # masks, by the frames committed before
        self._sound = RollingSpectra(SPEAKERS, self.window_frames, config.mel_bands)
        self._features = np.zeros((SPEAKERS, self.window_frames, config.audio_dim), np.float32)
        self._unheard = [self.window_frames] * SPEAKERS
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
        self._unheard = [self.window_frames] * SPEAKERS  # frames of each that the encoder has not seen

    def push_sound(self, speaker: int, samples: np.ndarray) -> None:
        self._sound.push(speaker, samples)
        self._unheard[speaker] += len(samples) // SAMPLES_PER_FRAME

    def features(self) -> np.ndarray:
        """(2, window frames, A); each speaker's last frame is the newest one pushed. The encoder is causal: what it has made stays."""
        whole, new = self.window_frames, max(self._unheard)
        if new:
            spectra = self._sound.spectra[:, -min(new + 2 * self.config.audio_layers, whole) :]
            made = self.graphs.run("sound", spectra=spectra)[0]
            self._features = np.stack([
                np.concatenate([kept, one[len(one) - min(count, len(one)) :]])[-whole:]
                for kept, one, count in zip(self._features, made, self._unheard)
            ])  # fmt: skip
            self._unheard = [0] * SPEAKERS
        return self._features

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
            "condition": condition, **self._of_frames(slice(0, self.config.clip_frames)),
            "self_mask": self._self_mask, "cross_mask": self._clip_cross_mask,
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
        """Ten frames behind the cache; see models/stream.py. What a pass costs is mostly the reading of weights, so the memory of
        the frames committed before is made by the same pass as the block's first velocity."""
        state, context, cached = self._state, self.config.look_ahead, self.config.cache_frames
        before = (state.avatar_audio, state.user_audio, state.user_motion)
        window = tuple(np.concatenate([a, b], 1) for a, b in zip(before, signals))  # 12 frames of each signal
        condition, *cross = self._conditions(window)
        cross = [np.concatenate([a, b], -2) for a, b in zip((state.cross_keys, state.cross_values), cross)]  # 14 frames
        around = {
            "condition": condition, **self._of_frames(slice(cached, cached + condition.shape[1])),
            "self_mask": self._self_mask[cached:], "cross_mask": self._block_cross_mask, "cross_keys": cross[0], "cross_values": cross[1],
        }  # fmt: skip
        latents = np.concatenate([state.latents, noise], 1)
        first = None if state.committed is None else self._remember(state.committed, latents, around)
        past = {"past_keys": _rotate(state.self_keys, self._rotation[:cached]), "past_values": state.self_values}
        latents = self._denoise(latents, context, around | past, first)
        end = context + self.commit_frames  # of what is committed, in the window
        latents = latents[:, :end]
        if self.anchor is not None:
            latents[:, context:] += self._pull(latents[:, context:])
        self._keep(
            [state.self_keys, state.self_values],
            [part[..., self.commit_frames : end, :] for part in cross],
            latents,
            tuple(signal[:, :end] for signal in window),
            _Committed(latents, condition[:, :end], cross),
        )
        return latents[:, context:]

    def _remember(self, committed: _Committed, latents: np.ndarray, around: dict[str, np.ndarray]) -> np.ndarray:
        """The memory of committed frames into the state, and a block's first velocity (b, 12, D).

        A pass over both: the block's frames look at the keys of the committed ones, which each layer makes just before.
        """
        state, context, cached = self._state, self.config.look_ahead, self.config.cache_frames
        both, count = committed.latents.shape[1], committed.latents.shape[1] - context
        masks = self._joint_masks(count)
        places = np.concatenate([np.arange(both), np.arange(count, count + latents.shape[1])]) + cached
        modulations = np.concatenate(
            [self._modulations[-1:].repeat(both, 0), self._frame_modulations(latents.shape[1], context, 0)]
        )
        velocity, *memory = self._motion(
            np.concatenate([committed.latents, latents], 1), modulations, {
                **self._of_frames(places), **masks,
                "condition": np.concatenate([committed.condition, around["condition"]], 1),
                "cross_keys": np.concatenate([committed.cross[0], around["cross_keys"]], -2),
                "cross_values": np.concatenate([committed.cross[1], around["cross_values"]], -2),
                "past_keys": _rotate(state.self_keys, self._rotation[:cached]), "past_values": state.self_values,
            },
        )  # fmt: skip
        state.self_keys, state.self_values = (
            np.concatenate([old, new[..., :count, :]], -2)[..., -cached:, :]
            for old, new in zip((state.self_keys, state.self_values), memory)
        )
        return velocity[:, both:]

    def _joint_masks(self, count: int) -> dict[str, np.ndarray]:
        """Masks of a pass over 2 + count committed frames and the block behind them."""
        if count not in self._joint:
            context, cached = self.config.look_ahead, self.config.cache_frames
            own, seen = self._self_mask[cached:], self._block_cross_mask
            both, (rows, width) = context + count, (len(own), seen.shape[1])
            attention = np.full((both + rows, cached + both + rows), _HIDDEN)
            attention[:both, : cached + both] = own[:both, : cached + both]
            attention[both:, count : cached + count] = 0.0  # the 38 frames before the block; the context is its own
            attention[both:, cached + both :] = own[:, cached:]
            cross = np.full((both + rows, 2 * width), _HIDDEN)
            cross[:both, :width], cross[both:, width:] = seen[:both], seen
            self._joint[count] = {"self_mask": attention, "cross_mask": cross}
        return self._joint[count]

    def _of_frames(self, frames: slice | np.ndarray) -> dict[str, np.ndarray]:
        """The rotations of these places."""
        return {name: values[frames] for name, values in self._rotations.items()}

    def _conditions(self, signals: tuple[np.ndarray, ...]) -> list[np.ndarray]:
        """What the branches are told of m frames: condition (b, m, W), keys and values of cross-attention (b, L h, m, d)."""
        named = dict(zip(("avatar_audio", "user_audio", "user_motion"), signals))
        return self.graphs.run("condition", **named, **self._hears)

    def _denoise(
        self, latents: np.ndarray, context: int, around: dict[str, np.ndarray], first: np.ndarray | None = None
    ) -> np.ndarray:
        """Euler steps from noise to motion. latents: (1, c + n, D) float64; the c context frames are clean and stay. first: the
        velocity (b, c + n, D) of the first step, where it is known."""
        latents = latents.copy()
        for index, step in enumerate(self._euler_steps):
            if index or first is None:
                modulations = self._frame_modulations(latents.shape[1], context, index)
                velocity = self._motion(latents, modulations, around)[0]
            else:
                velocity = first
            guided = self._guidance @ velocity[:, context:].reshape(len(velocity), -1).astype(np.float64)
            latents[0, context:] += step.change * guided.reshape(-1, latents.shape[2])
        return latents

    def _frame_modulations(self, count: int, context: int, index: int) -> np.ndarray:
        """(c + n, 8 W): the context frames are at time 0, all others at that of an Euler step."""
        modulations = self._modulations[index : index + 1].repeat(count, 0)
        modulations[:context] = self._modulations[-1]
        return modulations

    def _motion(self, latents: np.ndarray, modulations: np.ndarray, around: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Velocity (b, n, D), keys and values of self-attention (b, L h, n, d)."""
        velocity, *memory = self.graphs.run(
            "motion", latents=latents.astype(np.float32), reference=self._reference, modulations=modulations, **around
        )
        heads = self.config.depth * self.config.heads
        return [velocity, *(part.reshape(*part.shape[:2], heads, -1).swapaxes(1, 2) for part in memory)]

    def _keep(
        self, memory: list, cross: list, latents: np.ndarray, signals: tuple[np.ndarray, ...],
        committed: _Committed | None = None,
    ) -> None:  # fmt: skip
        """Into the state: the memory, and the last two frames with their signals, the context of the next block."""
        context = self.config.look_ahead
        self_keys, self_values = memory
        cross_keys, cross_values = cross
        avatar_audio, user_audio, user_motion = (signal[:, -context:] for signal in signals)
        self._state = _State(
            self_keys=self_keys, self_values=self_values, cross_keys=cross_keys, cross_values=cross_values,
            latents=latents[:, -context:], avatar_audio=avatar_audio, user_audio=user_audio, user_motion=user_motion,
            mean=self._state.mean, committed=committed,
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


def _rotation(count: int, head_dim: int) -> np.ndarray:
    """Of positions (count, d / 2), complex64: the turns by position * 10000^(-2 i / d)."""
    angle = np.outer(np.arange(count), ROTARY_BASE ** (-np.arange(0, head_dim, 2) / head_dim))
    return np.exp(1j * angle).astype(np.complex64)


def _rotate(x: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Turn the channel pairs (2 i, 2 i + 1) of x (..., n, d) float32, without gaps in memory, by a rotation (n, d / 2)."""
    return (x.view(np.complex64) * rotation).view(np.float32)
