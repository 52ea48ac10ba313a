"""A face for voice agents, and speech for it in pieces as they send it."""

import asyncio

import numpy as np

from avatar_forcing_ros.voice.agents.face import FaceOptions

OPTIONS = FaceOptions(avatar="screen_face", size=128, generator="reflex", rate=24000)
RATE, PIECE = 16000, 1600


async def until(what, seconds=60):
    for _ in range(int(seconds / 0.02)):
        if what():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("waited in vain")


def pieces(seconds):
    sound = (8000 * np.sin(np.arange(int(seconds * RATE)) / 12)).astype(np.int16)
    return [sound[i : i + PIECE] for i in range(0, len(sound), PIECE)]
