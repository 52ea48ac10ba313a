"""An avatar worker for LiveKit Agents. In the agent: `session.output.audio = DataStreamAudioOutput(room, destination_identity="avatar")`.

Run: LIVEKIT_URL=wss://... LIVEKIT_TOKEN=... python livekit_avatar.py      (the token's identity is "avatar")
"""

import asyncio
import os

from livekit import rtc

from avatar_forcing_ros.voice.agents.face import FaceOptions
from avatar_forcing_ros.voice.agents.livekit import run_worker


async def main() -> None:
    room = rtc.Room()
    await room.connect(os.environ["LIVEKIT_URL"], os.environ["LIVEKIT_TOKEN"])
    runner = await run_worker(room, FaceOptions(avatar="portrait", size=512))
    try:
        await runner.wait_for_complete()
    finally:
        await runner.aclose()
        await room.disconnect()


asyncio.run(main())
