"""One configuration for every size of the network: the published one and the small one that travels in the package."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.timeline import BLOCK_FRAMES, SAMPLES_PER_FRAME

RIG_DIM = 32  # of motion/rig.py, which this room does not import
ROTARY_BASE = 10_000.0
ONNX_FORMAT = "avatar_forcing_ros 2"  # of the ONNX files: changes with what their graphs take and give


@dataclass(frozen=True)
class Anchor:
    """Holds the slow mean of the motion near the reference motion m_S over sessions of any length.

    The mean is an exponential moving average with time constant `time_constant` (seconds). Where its distance
    from m_S exceeds `dead_band` (Euclidean, in units of the latent), the block is shifted back by `gain` times the
    excess, ramped up from nothing at the block's first frame by at most `slew` per frame; the model carries the
    shift on, because the next block continues from this one. dead_band = 0 and a high gain hold tightly;
    the defaults are gentle. They were chosen with made-up weights and are yet to be tuned with the released ones.
    """

    time_constant: float = 4.0
    dead_band: float = 1.0
    gain: float = 0.3
    slew: float = 0.02


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the network. Frames are video frames at 25 fps, widths are numbers of channels.

    motion_dim: dimension of a motion latent.
    image_size: pixels of the auto-encoder's square image, a power of two; None: no auto-encoder (rig space).
    audio_front_end: "wav2vec2" (the published trunk) or "log_mel" (a small causal convolution network).
    audio_dim: features of one speaker per frame; also the width of the dual motion encoder.
    width, depth, heads, mlp_ratio: the transformer of the motion generator.
    clip_frames: frames that one forward pass sees, cached ones included.
    block_frames: frames that one step makes (the paper's B).
    look_ahead: frames of look-ahead in self-attention, reach of cross-attention, frames of context in a block.
    known_mask: the network tells a signal that has not come yet (a learned feature) from one that is absent (zeros).
    token_condition: a frame's condition is also added to its token. The published cross-attention has no positions, so
        which of five frames said what is told by the sound's own context; a small front end has too little of that.
    aligned_user: a frame's condition also holds what the user does in that very frame. The published dual motion encoder
        attends to the user over a window without positions, so a small network is told that the user smiled, not when.
    aligned_sound: the same for the user's sound: when the user paused.
    scaled_motion: the latent is the motion space's vector, shifted and scaled to zero mean and unit spread.
    distilled: few passes without guidance do what many with it did (learning/training/distillation.py). passes: how many it was trained for.
    guidance: "separate" (branches: nothing, avatar audio alone, user alone; the published one) or "nested" (nothing,
        avatar audio alone, both), see models/flow_matching.py.
    """

    motion_dim: int = 512
    image_size: int | None = 512
    audio_front_end: str = "wav2vec2"
    audio_dim: int = 512
    audio_width: int = 768
    audio_layers: int = 12
    mel_bands: int = 64
    condition_heads: int = 4
    width: int = 1024
    depth: int = 8
    heads: int = 8
    mlp_ratio: int = 4
    time_frequencies: int = 256
    clip_frames: int = 50
    block_frames: int = BLOCK_FRAMES
    look_ahead: int = 2
    samples_per_frame: int = SAMPLES_PER_FRAME
    known_mask: bool = False
    token_condition: bool = False
    aligned_user: bool = False
    aligned_sound: bool = False
    scaled_motion: bool = False
    distilled: bool = False
    passes: int = 5
    guidance: str = "separate"

    def __post_init__(self) -> None:
        if self.audio_front_end not in ("wav2vec2", "log_mel"):
            raise InputError(f"audio_front_end {self.audio_front_end!r} is not one of wav2vec2, log_mel")
        if self.guidance not in ("separate", "nested"):
            raise InputError(f"guidance {self.guidance!r} is not one of separate, nested")
        least = (
            "motion_dim",
            "audio_dim",
            "audio_width",
            "audio_layers",
            "mel_bands",
            "condition_heads",
            "width",
            "depth",
            "heads",
            "block_frames",
        )
        for name in least:
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)!r}: give a whole number from 1 up")
        if self.clip_frames % self.block_frames:
            raise InputError(f"a clip of {self.clip_frames} frames does not split into blocks of {self.block_frames}")
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise InputError(f"width {self.width} does not split into {self.heads} heads of even size")
        if self.audio_dim % self.condition_heads:
            raise InputError(f"audio_dim {self.audio_dim} does not split into {self.condition_heads} heads")
        if self.cache_frames < self.block_frames:
            raise InputError(f"clip_frames {self.clip_frames} leaves no room for a block, its context and a cache")
        size = self.image_size
        if size is not None and (size < 16 or size & (size - 1)):
            raise InputError(f"image_size {size} is not a power of two from 16 up")

    @classmethod
    def published(
        cls, input_size: int = 512, dim_h: int = 1024, transformer_depth: int = 8, num_heads: int = 8
    ) -> ModelConfig:
        """The network of the authors' release, under the names that its options have there."""
        return cls(image_size=input_size, width=dim_h, depth=transformer_depth, heads=num_heads)

    @classmethod
    def embedded(cls, **sizes: int | bool | str) -> ModelConfig:
        """The small network in rig space with a log-mel front end, for a robot's CPU; `sizes` overrides fields."""
        small: dict[str, Any] = dict(
            motion_dim=RIG_DIM,
            image_size=None,
            audio_front_end="log_mel",
            audio_dim=160,
            audio_width=160,
            audio_layers=4,
            mel_bands=64,
            width=160,
            depth=4,
            heads=4,
            time_frequencies=128,
            known_mask=True,
            token_condition=True,
            aligned_user=True,
            aligned_sound=True,
            scaled_motion=True,
            guidance="nested",
        )
        unknown = set(sizes) - {field.name for field in fields(cls)}
        if unknown:
            raise InputError(f"unknown size of the embedded network: {', '.join(sorted(unknown))}")
        return cls(**{**small, **sizes})

    @property
    def window_frames(self) -> int:
        """Frames of one block with its context."""
        return self.look_ahead + self.block_frames

    @property
    def cache_frames(self) -> int:
        """Earlier frames whose self-attention keys are kept."""
        return self.clip_frames - self.window_frames

    def to_dict(self) -> dict:
        return asdict(self)
