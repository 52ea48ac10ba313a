"""Faces as glTF 2.0 files: morph targets named as the rig's coefficients, drawn by any viewer and exactly by our page."""

from __future__ import annotations

from typing import Any

from avatar_forcing_ros.errors import InputError


def export_face(avatar: Any, name: str = "face") -> bytes:
    """A face as a GLB file. avatar: a PortraitAvatar or a ScreenFaceAvatar. Raises InputError for faces made of pixels alone."""
    from avatar_forcing_ros.motion.portrait.avatar import PortraitAvatar
    from avatar_forcing_ros.motion.screen.avatar import ScreenFaceAvatar

    if isinstance(avatar, PortraitAvatar):
        from avatar_forcing_ros.motion.gltf.portrait import export_portrait

        if not isinstance(avatar.size, int):
            raise InputError(
                f"a portrait of {avatar.size[0]}x{avatar.size[1]} is no glTF: give one size, the page fills any screen with it"
            )
        return export_portrait(avatar, name)
    if isinstance(avatar, ScreenFaceAvatar):
        from avatar_forcing_ros.motion.gltf.screen import export_screen_face

        return export_screen_face(avatar, name)
    raise InputError(f"avatar: a {type(avatar).__name__} has no mesh to export: use portrait or screen_face")
