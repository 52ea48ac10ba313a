"""This machine's own screen, through SDL: pictures of any size, as large as fits."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from avatar_forcing_ros.errors import InputError

_OF_DISPLAY = 0x2FFF0000  # SDL_WINDOWPOS_CENTERED_DISPLAY


class Screen:
    """The whole of a screen, or a window on it. All calls come from one thread. Needs the package pygame-ce.

    index: which screen, from 0. Raises InputError where there is no such screen, or none at all.
    """

    def __init__(self, index: int = 0, window: bool = False, title: str = "") -> None:
        os.environ.setdefault("SDL_RENDER_SCALE_QUALITY", "linear")
        import pygame
        from pygame._sdl2 import video

        self._pygame, self._video = pygame, video
        try:
            pygame.display.init()
            sizes = pygame.display.get_desktop_sizes()
            if index >= len(sizes):
                raise InputError(f"screen {index}: there are {len(sizes)}, counted from 0")
            # Without a window manager nobody makes a window as large as the screen: it is made so.
            size = (640, 640) if window else sizes[index]
            flags = {"resizable": True} if window else {"borderless": True, "fullscreen_desktop": True}
            self._window = pygame.Window(title, size, _OF_DISPLAY | index, **flags)
            try:
                self._renderer: Any = video.Renderer(self._window, vsync=True)
            except pygame.error:  # no vertical sync with this driver
                self._renderer = video.Renderer(self._window)
        except pygame.error as error:
            pygame.display.quit()
            raise InputError(f"no screen can be used: {error}; set DISPLAY, or SDL_VIDEODRIVER=kmsdrm") from error
        except InputError:
            pygame.display.quit()
            raise
        pygame.mouse.set_visible(False)
        self._surface: Any = None
        self._texture: Any = None

    def prepare(self, image: np.ndarray) -> None:
        """image (h, w, 3) uint8 RGB: what the next `show` shows."""
        pygame, (height, width) = self._pygame, image.shape[:2]
        if self._surface is None or self._surface.get_size() != (width, height):
            self._surface = pygame.Surface((width, height), 0, 32)
            self._texture = self._video.Texture(self._renderer, (width, height), streaming=True)
        pygame.surfarray.blit_array(self._surface, image.swapaxes(0, 1))
        self._texture.update(self._surface)
        wide, high = self._window.size
        scale = min(wide / width, high / height)
        size = (round(width * scale), round(height * scale))
        self._renderer.draw_color = (0, 0, 0, 255)
        self._renderer.clear()
        self._texture.draw(dstrect=((wide - size[0]) // 2, (high - size[1]) // 2, *size))

    def show(self) -> None:
        self._renderer.present()

    def asked_to_end(self) -> bool:
        """Somebody closed the window, or pressed Escape or q."""
        pygame = self._pygame
        return any(
            event.type in (pygame.QUIT, pygame.WINDOWCLOSE)
            or (event.type == pygame.KEYDOWN and event.key in (pygame.K_ESCAPE, pygame.K_q))
            for event in pygame.event.get()
        )

    def close(self) -> None:
        self._texture = self._renderer = None
        self._window.destroy()
        self._pygame.display.quit()
