"""The published motion space lia512: its auto-encoder as an avatar (latents -> images) and as a tracker (camera ->
latents). Weights: docs/weights.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.models import AvatarForcing, load_autoencoder
from avatar_forcing_ros.models.autoencoder import AutoEncoder
from avatar_forcing_ros.models.runtime import prepare_autoencoder, resolve_device, resolve_precision
from avatar_forcing_ros.motion.base import Avatar
from avatar_forcing_ros.motion.tracking.finder import FaceFinder
from avatar_forcing_ros.motion.tracking.mesh import find_face
from avatar_forcing_ros.motion.tracking.tracker import TrackedFace

SPACE = "lia512"
CROP_OVER_FACE = 1.6  # side of the square crop over the larger side of the face (forehead to chin), as in the release
AVERAGE_SECONDS = 1.0  # over which the crop is averaged before it is held ...
DOUBT_SECONDS = 1.0  # ... and after which a face that is gone or does not fit it any more is another person's


@dataclass(frozen=True)
class Crop:
    """A square of the image: centre and half side in pixels."""

    x: float
    y: float
    half: float

    @classmethod
    def around(cls, points: np.ndarray) -> Crop:
        """points: (n, 2 or more) landmarks of a face, forehead and chin among them."""
        low, high = points[:, :2].min(0), points[:, :2].max(0)
        x, y = (low + high) / 2
        return cls(float(x), float(y), float((high - low).max()) / 2 * CROP_OVER_FACE)

    def cut(self, image: np.ndarray, size: int) -> np.ndarray:
        """(H, W, 3) uint8 -> (size, size, 3); outside the image its border is repeated."""
        scale = size / (2 * self.half)
        # Pixel centres: the crop's left edge lies at -0.5 of the result.
        matrix = np.array([
            [scale, 0, (size - 1) / 2 - scale * self.x], [0, scale, (size - 1) / 2 - scale * self.y],
        ])  # fmt: skip
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        if scale < 0.5:  # an affine warp does not average; shrink first
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            return Crop(scale * self.x, scale * self.y, scale * self.half).cut(image, size)
        return cv2.warpAffine(image, matrix, (size, size), flags=way, borderMode=cv2.BORDER_REPLICATE)


class HeldCrop:
    """A crop that stands still, so that the head's motion stays in the picture: a second of detections is averaged,
    then held, until the face is gone or sits elsewhere for a second (another person). State of fixed size."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.crop: Crop | None = None
        self._count, self._since = 0, 0.0  # detections in the average, and since when
        self._fitted = 0.0  # when a face last fitted the crop
        self._time = -np.inf

    def observe(self, face: Crop | None, time_s: float) -> Crop | None:
        """The crop to use now. face: where the face is seen now, or None."""
        if time_s < self._time:
            self.reset()
        self._time = time_s
        if face is None:
            return self.crop
        if self.crop is None or time_s - self._fitted > DOUBT_SECONDS:
            self.crop, self._count, self._since, self._fitted = face, 1, time_s, time_s
            return self.crop
        if not self._fits(face):
            return self.crop
        self._fitted = time_s
        if time_s - self._since < AVERAGE_SECONDS:
            self._count += 1
            part = 1.0 / self._count
            old = self.crop
            self.crop = Crop(
                *(a + part * (b - a) for a, b in ((old.x, face.x), (old.y, face.y), (old.half, face.half)))
            )
        return self.crop

    def _fits(self, face: Crop) -> bool:
        held = self.crop
        assert held is not None
        away = max(abs(face.x - held.x), abs(face.y - held.y)) / held.half
        return away < 0.6 and 0.5 < face.half / held.half < 1.8


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """(N, S, S, 3) uint8 RGB -> (N, 3, S, S) in [-1, 1]"""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1.0


def to_images(pictures: torch.Tensor) -> np.ndarray:
    """(N, 3, S, S) in [-1, 1], not clamped -> (N, S, S, 3) uint8. A fixed map: one that follows each clip's own extremes
    flickers from block to block."""
    pixels = (pictures.float() * 127.5 + 127.5).round().clamp(0, 255)
    return pixels.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()


def portrait_image(portrait: np.ndarray, size: int) -> torch.Tensor:
    """The face of a picture (H, W, 3) uint8 RGB, as the encoder takes it: (1, 3, size, size). Raises InputError."""
    portrait = _checked(portrait)
    return to_tensor(Crop.around(find_face(portrait)).cut(portrait, size)[None])


def _checked(image: np.ndarray) -> np.ndarray:
    """The image as (H, W, 3) uint8, grey ones with three equal channels, or InputError."""
    if isinstance(image, np.ndarray) and image.dtype == np.uint8:
        image = image[:, :, None] if image.ndim == 2 else image
        if image.ndim == 3 and image.shape[2] in (1, 3) and min(image.shape[:2]) >= 32:
            return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    what = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
    raise InputError(f"the image is {what}: give uint8 RGB (height, width, 3) or grey, at least 32 x 32 pixels")


def _autoencoder(weights: str | Path, model: AvatarForcing | None, device: str, precision: str) -> AutoEncoder:
    if model is None and not str(weights):
        raise InputError(
            "the neural face needs the authors' weights: set the parameter `weights` to their folder; docs/weights.md "
            "says where they are published"
        )
    autoencoder = load_autoencoder(weights) if model is None else model.autoencoder
    assert autoencoder is not None
    place = resolve_device(device)
    return prepare_autoencoder(autoencoder, place, resolve_precision(precision, place))


class NeuralAvatar(Avatar):
    """A portrait that moves by latents of lia512. The identity's features are computed once and stay on the device."""

    space = SPACE
    draws_blocks = True

    def __init__(
        self,
        weights: str | Path,
        portrait: np.ndarray,
        device: str = "auto",
        precision: str = "auto",
        model: AvatarForcing | None = None,
    ) -> None:
        """weights: a folder or file of docs/weights.md; portrait: (H, W, 3) uint8 RGB with a face; model: a network
        that is already loaded, instead of `weights`. Raises InputError."""
        self.autoencoder = _autoencoder(weights, model, device, precision)
        self.size = self.autoencoder.size
        self._show(portrait_image(portrait, self.size))

    @torch.inference_mode()
    def _show(self, image: torch.Tensor) -> None:
        self.identity = self.autoencoder.identity(image.to(self.autoencoder.basis.device))

    @property
    def rest(self) -> np.ndarray:
        """The portrait's own motion (512,), which draws the portrait itself."""
        return self.identity.motion[0].cpu().numpy()

    @torch.inference_mode()
    def render_block(self, latents: np.ndarray, first_frame: int | None = None) -> np.ndarray:
        """latents (n, 512) -> images (n, S, S, 3) uint8 RGB. Latents that are not finite draw the portrait at rest."""
        latents = np.asarray(latents, np.float32)
        latents = np.where(np.isfinite(latents).all(axis=1, keepdims=True), latents, self.rest)
        given = torch.from_numpy(latents).to(self.identity.motion.device)
        return to_images(self.autoencoder.decode(self.identity, given))

    def render(self, latent: np.ndarray, frame: int | None = None) -> np.ndarray:
        """latent (512,) -> image (S, S, 3) uint8 RGB"""
        return self.render_block(latent[None])[0]


class NeuralEncoder:
    """Camera images -> latents of lia512, with the interface of FaceTracker. State of fixed size."""

    space = SPACE

    def __init__(
        self,
        weights: str | Path = "",
        device: str = "auto",
        precision: str = "auto",
        model: AvatarForcing | None = None,
        *,
        follow: str = "first",
        dwell: float = 1.0,
    ) -> None:
        """follow, dwell: see `FaceFinder`."""
        self.autoencoder = _autoencoder(weights, model, device, precision)
        self.dim = self.autoencoder.basis.shape[0]
        self._finder = FaceFinder(follow=follow, dwell=dwell)
        self._held = HeldCrop()
        self.reset()

    def reset(self) -> None:
        self._held.reset()
        self._finder.reset()
        self._last = np.zeros(self.dim, np.float32)

    @property
    def point(self) -> tuple[float, float]:
        """Where the face to follow is, as FaceTracker has it."""
        return self._finder.point

    @point.setter
    def point(self, place: tuple[float, float]) -> None:
        self._finder.point = place

    def close(self) -> None:
        """Nothing to release."""

    def track(self, image: np.ndarray, time_s: float) -> TrackedFace:
        """image: (H, W, 3) uint8 RGB, any size. Without a face the last motion is repeated at confidence 0."""
        image = _checked(image)
        seen = self._finder.look(image, time_s, DOUBT_SECONDS)
        points = seen.points
        face = box = None
        if points is not None:
            points = points[:, :2]
            face, box = Crop.around(points), (*points.min(0).tolist(), *points.max(0).tolist())
        crop = self._held.observe(face, time_s)
        if face is None:
            return TrackedFace(self._last, 0.0, None, seen.faces)
        assert crop is not None
        self._last = self.encode(crop.cut(image, self.autoencoder.size))
        return TrackedFace(self._last, 1.0, box, seen.faces)

    @torch.inference_mode()
    def encode(self, face: np.ndarray) -> np.ndarray:
        """A crop (S, S, 3) uint8 RGB -> its motion (512,) float32"""
        frames = to_tensor(face[None]).to(self.autoencoder.basis.device)
        return self.autoencoder.motion(frames)[0].cpu().numpy()
