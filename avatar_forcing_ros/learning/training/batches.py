"""Training clips from a corpus: random windows, seen as a camera and a tracker would give them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from avatar_forcing_ros.learning.data.corpus import Corpus
from avatar_forcing_ros.learning.training.forcing import ClipBatch
from avatar_forcing_ros.models import AvatarForcing
from avatar_forcing_ros.models.audio_encoder import LogMelEncoder, amplify
from avatar_forcing_ros.motion import rig

MIRROR_SHARE = 0.5
GAIN_SPREAD = 0.2  # a tracker's error of scale, per coefficient and clip
OFFSET_SPREAD = 0.15  # of its neutral face, in units of the coefficient's spread
NOISE_SPREAD = 0.08  # from frame to frame, likewise
HIDDEN_SHARE = 0.15  # of clips in which the user's face is lost for a while
RESPONSE_POINTS = 3  # low, middle, high: a frequency response smooth enough to leave the formants their shape
RESPONSE_LEVEL = 0.9  # how much of a response's spread is the level of the whole
BAND_MASKS = 2  # stretches of bands that a clip is not told (SpecAugment, Park et al. 2019)
BAND_MASK_SHARE = 0.2  # of the bands, the longest of them
_MEAN_LEVEL = -0.5  # of speech, in spectra


@dataclass
class ClipSource:
    """Batches of `ClipBatch` for a model. history: frames of sound before the clip, for the audio encoder's convolutions.

    response_spread: dB, of the frequency responses that spectra pass; 0 leaves them as they are. The sound of a batch, most of
    what it is, lies on the model's device, all else on the CPU.
    """

    corpus: Corpus
    model: AvatarForcing
    seed: int = 0
    response_spread: float = 0.0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.history = getattr(self.model.audio_encoder, "history_frames", 0)

    def draw(self, batch: int, augment: bool = True) -> ClipBatch:
        frames = self.model.config.clip_frames
        drawn = self.corpus.sample(self.rng, batch, self.history + frames)
        motion = {who: drawn[f"{who}_motion"][:, self.history :].astype(np.float32) for who in ("avatar", "user")}
        if augment and self.corpus.space == rig.SPACE:
            mirrored = self.rng.random(batch) < MIRROR_SHARE
            for x in motion.values():
                x[mirrored] = rig.mirror(x[mirrored])
        device = self.model.device
        latents = {who: self.model.to_latents(torch.from_numpy(x).to(device)).cpu() for who, x in motion.items()}
        reference = drawn.get("reference", np.zeros((batch, motion["avatar"].shape[-1])))  # of the rig's rest
        reference = self.model.to_latents(torch.from_numpy(reference.astype(np.float32)).to(device)).cpu()
        seen = np.repeat(drawn["user_present"][:, None], frames, 1)
        if augment:
            latents["user"] = self._tracked(latents["user"])
            seen &= ~self._hidden(batch, frames)
        heard = {"avatar": np.ones((batch, frames), bool), "user": np.repeat(drawn["user_heard"][:, None], frames, 1)}
        sound = {who: torch.from_numpy(drawn[f"{who}_sound"]).to(device).float() for who in motion}
        if augment and self.response_spread:
            rng = torch.Generator().manual_seed(int(self.rng.integers(1 << 31)))
            sound = {who: through_another_microphone(x, self.response_spread, rng) for who, x in sound.items()}
        known = {"avatar_heard": heard["avatar"], "user_heard": heard["user"], "user_seen": seen}
        return ClipBatch(
            sound["avatar"], sound["user"], latents["avatar"], latents["user"],
            **{name: torch.from_numpy(x) for name, x in known.items()}, reference=reference,
        )  # fmt: skip

    def _tracked(self, latents: torch.Tensor) -> torch.Tensor:
        batch, frames, dim = latents.shape

        def spread(*shape: int) -> torch.Tensor:
            return torch.from_numpy(self.rng.standard_normal(shape, dtype=np.float32))

        gain = 1.0 + GAIN_SPREAD * spread(batch, 1, dim)
        return latents * gain + OFFSET_SPREAD * spread(batch, 1, dim) + NOISE_SPREAD * spread(batch, frames, dim)

    def _hidden(self, batch: int, frames: int) -> np.ndarray:
        start, length = self.rng.integers(-10, frames, batch), self.rng.integers(5, 40, batch)
        frame = np.arange(frames)[None]
        inside = (frame >= start[:, None]) & (frame < (start + length)[:, None])
        return inside & (self.rng.random(batch) < HIDDEN_SHARE)[:, None]


def through_another_microphone(spectra: torch.Tensor, spread: float, rng: torch.Generator) -> torch.Tensor:
    """(B, T, 4 * bands) with a random frequency response for every clip, spread in dB, and some bands masked.

    Synthesizers are few and their spectra alike: which phones sound has to be told from how a spectrum changes, not from what it is.
    """
    batch, bands = len(spectra), spectra.shape[-1] // LogMelEncoder.SPECTRA
    level, points = (torch.randn(batch, 1, n, generator=rng) for n in (1, RESPONSE_POINTS))
    points = spread * (RESPONSE_LEVEL * level + (1.0 - RESPONSE_LEVEL**2) ** 0.5 * points)
    response = F.interpolate(points, bands, mode="linear", align_corners=True)  # (B, 1, bands)
    spectra = amplify(spectra, response.repeat(1, 1, LogMelEncoder.SPECTRA).to(spectra.device))
    band = torch.arange(bands)
    for _ in range(BAND_MASKS):
        width = torch.randint(0, int(BAND_MASK_SHARE * bands) + 1, (batch, 1), generator=rng)
        first = (torch.rand(batch, 1, generator=rng) * (bands - width + 1)).long()
        masked = ((first <= band) & (band < first + width)).repeat(1, LogMelEncoder.SPECTRA)
        spectra = spectra.masked_fill(masked[:, None].to(spectra.device), _MEAN_LEVEL)
    return spectra


def scale_to(model: AvatarForcing, corpus: Corpus, least_spread: float = 0.03) -> None:
    """Set the model's motion scale to the corpus: zero mean and unit spread for every coefficient."""
    if not model.config.scaled_motion:
        return
    motion = corpus.motion.reshape(-1, corpus.motion.shape[-1]).astype(np.float32)
    if corpus.space == rig.SPACE:
        motion = np.concatenate([motion, rig.mirror(motion)])
    model.motion_mean.copy_(torch.from_numpy(motion.mean(0)))
    model.motion_spread.copy_(torch.from_numpy(motion.std(0).clip(least_spread)))
