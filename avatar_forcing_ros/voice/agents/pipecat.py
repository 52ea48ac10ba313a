"""The face as a frame processor of Pipecat, behind the text-to-speech service. Needs the extra [pipecat]."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.voice.agents.face import FINISHED, AgentFace, FaceOptions, in_real_time

try:
    from pipecat.frames.frames import (
        CancelFrame,
        EndFrame,
        Frame,
        InterruptionFrame,
        OutputImageRawFrame,
        StartFrame,
        TTSAudioRawFrame,
        TTSStoppedFrame,
    )  # fmt: skip
    from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
except ImportError as error:
    raise InputError(
        f"the Pipecat processor needs the extra [pipecat]: pip install 'avatar_forcing_ros[pipecat]' ({error})"
    ) from error


class AvatarProcessor(FrameProcessor):
    """Takes the TTS's audio frames and gives images, 25 a second from the start to the end, and the same sound in step with them.

    An InterruptionFrame drops what is not yet said. TTSStoppedFrame goes on when its sound has left. All other frames pass.
    """

    def __init__(self, options: FaceOptions | None = None, **others: Any) -> None:
        super().__init__(**others)
        self._options = options
        self._face: AgentFace | None = None
        self._lock = asyncio.Lock()  # a frame is drawn in a thread
        self._show: asyncio.Task | None = None
        self._newest: TTSAudioRawFrame | None = None
        self._stopped: list[tuple[Frame, FrameDirection]] = []  # ends of utterances whose sound has not left

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            await self._say(frame)
            return
        if isinstance(frame, TTSStoppedFrame) and self._face is not None:
            async with self._lock:
                if self._face.saying:
                    self._face.end()
                    self._stopped.append((frame, direction))
                    return
        if isinstance(frame, StartFrame):
            self._face = await asyncio.to_thread(AgentFace, self._options)
            self._show = self.create_task(self._frames())
        elif isinstance(frame, InterruptionFrame) and self._face is not None:
            async with self._lock:
                self._face.interrupt()
                self._stopped.clear()
        elif isinstance(frame, (EndFrame, CancelFrame)):
            await self._end()
        await self.push_frame(frame, direction)

    async def cleanup(self) -> None:
        await self._end()
        await super().cleanup()

    async def _say(self, frame: TTSAudioRawFrame) -> None:
        if self._face is None:
            return
        self._newest = frame
        samples = np.frombuffer(frame.audio, np.int16).astype(np.float32) / 32768
        async with self._lock:
            self._face.say(samples.reshape(-1, frame.num_channels), frame.sample_rate)

    async def _frames(self) -> None:
        assert self._face is not None
        async for made in in_real_time(self._face, self._lock):
            height, width = made.image.shape[:2]
            await self.push_frame(OutputImageRawFrame(image=made.image.tobytes(), size=(width, height), format="RGB"))
            if made.speaking and made.cuts == self._face.cuts:  # it was not interrupted while it was drawn
                pcm = np.clip(made.voice[:, 0] * 32768.0, -32768, 32767).astype(np.int16)
                rate = self._face.options.rate
                assert self._newest is not None  # speech has come
                # Otherwise as its service sent it: it keeps the speech's context.
                await self.push_frame(replace(self._newest, audio=pcm.tobytes(), sample_rate=rate, num_channels=1))
            if any(event.kind == FINISHED for event in made.events) and self._stopped:
                await self.push_frame(*self._stopped.pop(0))

    async def _end(self) -> None:
        show, self._show = self._show, None
        if show is not None:
            await self.cancel_task(show)
