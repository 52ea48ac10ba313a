"""Motion spaces, what measures them on camera images, and the faces that show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import rig

AVATARS = ("portrait", "screen_face", "neural")
SPACES = {rig.SPACE: rig.DIM, "lia512": 512}


@dataclass(frozen=True)
class Network:
    """Where the published network's weights are and how it runs; all but the device of use to the space lia512 only.

    weights: a folder or file of docs/weights.md. device: auto, cpu or cuda, of the portrait as well. precision: auto, float32, bfloat16, float16.
    """

    weights: str = ""
    device: str = "auto"
    precision: str = "auto"


class Avatar(Protocol):
    """A face. May have render_block(latents (n, dim)) -> (n, H, W, 3) where a block at once is cheaper."""

    space: str

    def render(self, latent: np.ndarray) -> np.ndarray:
        """latent (dim,) -> image (H, W, 3) uint8 RGB"""


def make_avatar(
    kind: str, portrait: str = "", size: int = 512, theme: str = "", network: Network = Network()
) -> Avatar:
    """The face that turns latents into images.

    kind: "portrait" (an animated photo), "screen_face" (a drawn face) or "neural" (the published auto-encoder, whose
    weights give the size). portrait: an image file; empty for the one in the box. size: the images' side in pixels.
    Raises InputError on an unknown kind, an unusable picture or weights that do not fit.
    """
    from avatar_forcing_ros.assets import DEFAULT_PORTRAIT

    picture = portrait or str(DEFAULT_PORTRAIT)
    if kind == "portrait":
        from avatar_forcing_ros.motion.portrait import PortraitAvatar

        return PortraitAvatar.from_file(picture, size, network.device, cache=True)
    if kind == "screen_face":
        from avatar_forcing_ros.motion.screen_face import ScreenFaceAvatar

        return ScreenFaceAvatar(size, **({"theme": theme} if theme else {}))
    if kind == "neural":
        from avatar_forcing_ros.motion.neural import NeuralAvatar
        from avatar_forcing_ros.motion.photo import read_picture

        return NeuralAvatar(network.weights, read_picture(picture), network.device, network.precision)
    raise InputError(f"avatar: unknown kind '{kind}'; use one of {', '.join(AVATARS)}")


def rest_of(avatar: Avatar) -> np.ndarray:
    """The latent (dim,) of the face at rest."""
    return rig.neutral() if avatar.space == rig.SPACE else avatar.rest


def make_tracker(space: str, learn_seconds: float = 2.0, network: Network = Network()):
    """What turns camera images into latents of `space`: an object with track(image, time_s), reset() and close()."""
    if space == rig.SPACE:
        from avatar_forcing_ros.motion.tracker import FaceTracker

        return FaceTracker(learn_seconds=learn_seconds)
    if space == "lia512":
        from avatar_forcing_ros.motion.neural import NeuralEncoder

        return NeuralEncoder(network.weights, network.device, network.precision)
    raise InputError(f"motion space '{space}' is unknown; use one of {', '.join(SPACES)}")
