"""Motion spaces and the faces that show them."""

from __future__ import annotations

from avatar_forcing_ros.errors import InputError

AVATARS = ("portrait", "screen_face")


def make_avatar(kind: str, portrait: str = "", size: int = 512, theme: str = ""):
    """The face that turns latents into images.

    kind: "portrait" (an animated photo) or "screen_face" (a drawn face). portrait: an image file; empty for the one
    in the box. size: the images' side in pixels. Raises InputError on an unknown kind or an unusable picture.
    """
    if kind == "portrait":
        from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
        from avatar_forcing_ros.motion.portrait import PortraitAvatar

        return PortraitAvatar.from_file(portrait or DEFAULT_PORTRAIT, size)
    if kind == "screen_face":
        from avatar_forcing_ros.motion.screen_face import ScreenFaceAvatar

        return ScreenFaceAvatar(size, **({"theme": theme} if theme else {}))
    raise InputError(f"avatar: unknown kind '{kind}'; use one of {', '.join(AVATARS)}")
