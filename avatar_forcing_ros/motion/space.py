"""Motion spaces, what measures them on camera images, and the faces that show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.base import Avatar

if TYPE_CHECKING:
    from avatar_forcing_ros.motion.neural import NeuralEncoder
    from avatar_forcing_ros.motion.tracking.tracker import FaceTracker

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


def make_avatar(
    kind: str, portrait: str = "", size: int | tuple[int, int] = 512, theme: str = "", network: Network = Network()
) -> Avatar:
    """The face that turns latents into images.

    kind: "portrait" (an animated photo), "screen_face" (a drawn face) or "neural" (the published auto-encoder, whose
    weights give the size). portrait: an image file; empty for the one in the box. size: the images' side in pixels, or
    (width, height): the face has the size that it has in a square of the shorter side.
    Raises InputError on an unknown kind, an unusable picture or weights that do not fit.
    """
    from avatar_forcing_ros.assets import DEFAULT_PORTRAIT

    picture = portrait or str(DEFAULT_PORTRAIT)
    if kind == "portrait":
        from avatar_forcing_ros.motion.portrait.avatar import PortraitAvatar

        return PortraitAvatar.from_file(picture, size, network.device, cache=True)
    if kind == "screen_face":
        from avatar_forcing_ros.motion.screen.avatar import ScreenFaceAvatar

        return ScreenFaceAvatar(size, **({"theme": theme} if theme else {}))
    if kind == "neural":
        from avatar_forcing_ros.motion.neural import NeuralAvatar
        from avatar_forcing_ros.motion.portrait.photo import read_picture

        return NeuralAvatar(network.weights, read_picture(picture), network.device, network.precision)
    raise InputError(f"avatar: unknown kind '{kind}'; use one of {', '.join(AVATARS)}")


def make_tracker(
    space: str, learn_seconds: float = 3.0, network: Network = Network(), follow: str = "first", dwell: float = 1.0
) -> FaceTracker | NeuralEncoder:
    """What turns camera images into latents of `space`: an object with track(image, time_s), reset(), close() and `point`.

    follow, dwell: which of several faces is followed (motion/tracking/finder.py).
    """
    if space == rig.SPACE:
        from avatar_forcing_ros.motion.tracking.tracker import FaceTracker

        return FaceTracker(learn_seconds=learn_seconds, follow=follow, dwell=dwell)
    if space == "lia512":
        from avatar_forcing_ros.motion.neural import NeuralEncoder

        return NeuralEncoder(network.weights, network.device, network.precision, follow=follow, dwell=dwell)
    raise InputError(f"motion space '{space}' is unknown; use one of {', '.join(SPACES)}")
