"""The face as an avatar worker of LiveKit Agents. Needs the extra [livekit].

The agent's speech comes as byte streams `lk.audio_stream`, one an utterance; `lk.clear_buffer` interrupts; the agent is told
`lk.playback_started` and `lk.playback_finished` with how far it got. LiveKit's own DataStreamAudioReceiver and AvatarRunner speak that
contract; here is what they lack: the generator of images and sound.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.timeline import FRAME_RATE
from avatar_forcing_ros.voice.agents.face import FINISHED, AgentFace, FaceOptions, in_real_time

try:
    from livekit import rtc
    from livekit.agents.voice.avatar import (
        AudioSegmentEnd,
        AvatarOptions,
        AvatarRunner,
        DataStreamAudioReceiver,
        VideoGenerator,
    )  # fmt: skip
except ImportError as error:
    raise InputError(
        f"the LiveKit worker needs the extra [livekit]: pip install 'avatar_forcing_ros[livekit]' ({error})"
    ) from error


class FaceGenerator(VideoGenerator):
    """Speech in; images always, and sound where somebody speaks, out."""

    def __init__(self, face: AgentFace) -> None:
        self._face = face
        self._lock = asyncio.Lock()  # a frame is drawn in a thread

    async def push_audio(self, frame: rtc.AudioFrame | AudioSegmentEnd) -> None:
        async with self._lock:
            if isinstance(frame, AudioSegmentEnd):
                self._face.end()
                return
            samples = np.frombuffer(frame.data, np.int16).astype(np.float32) / 32768
            self._face.say(samples.reshape(-1, frame.num_channels), frame.sample_rate)

    async def clear_buffer(self) -> None:
        async with self._lock:
            self._face.interrupt()

    async def __aiter__(self) -> AsyncIterator[rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd]:
        async for made in in_real_time(self._face, self._lock):
            height, width = made.image.shape[:2]
            rgba = np.dstack([made.image, np.full((height, width), 255, np.uint8)])
            yield rtc.VideoFrame(width, height, rtc.VideoBufferType.RGBA, rgba.tobytes())
            if made.speaking and made.cuts == self._face.cuts:  # it was not interrupted while it was drawn
                pcm = np.clip(made.voice[:, 0] * 32768.0, -32768, 32767).astype(np.int16)
                yield rtc.AudioFrame(pcm.tobytes(), self._face.options.rate, 1, len(pcm))
            if any(event.kind == FINISHED for event in made.events):
                yield AudioSegmentEnd()


async def run_worker(room: rtc.Room, options: FaceOptions | None = None, sender: str | None = None) -> AvatarRunner:
    """Starts the face in a room that is connected: it publishes video and sound, and speaks what the agent sends. Gives the runner.

    sender: identity of the agent; None: the first agent in the room.
    """
    face = await asyncio.to_thread(AgentFace, options)
    width, height = face.size
    runner = AvatarRunner(
        room,
        audio_recv=DataStreamAudioReceiver(room, sender_identity=sender),
        video_gen=FaceGenerator(face),
        options=AvatarOptions(
            video_width=width,
            video_height=height,
            video_fps=FRAME_RATE,
            audio_sample_rate=face.options.rate,
            audio_channels=1,
        ),
    )
    await runner.start()
    return runner
