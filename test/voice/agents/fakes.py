"""Stand-ins that speak the contracts of LiveKit Agents and Pipecat as their documentation and packages have them, for tests where the
packages are not installed. Only what the adapters use."""

import asyncio
import sys
import types
from dataclasses import dataclass, field


def install_livekit(monkeypatch) -> None:
    """`livekit.rtc` and `livekit.agents.voice.avatar`."""
    rtc = types.ModuleType("livekit.rtc")

    class AudioFrame:
        def __init__(self, data, sample_rate, num_channels, samples_per_channel):
            self.data, self.sample_rate, self.num_channels = memoryview(data).cast("h"), sample_rate, num_channels
            self.samples_per_channel = samples_per_channel
            assert len(self.data) == num_channels * samples_per_channel

        @property
        def duration(self):
            return self.samples_per_channel / self.sample_rate

    class VideoFrame:
        def __init__(self, width, height, kind, data):
            self.width, self.height, self.type, self.data = width, height, kind, data
            assert len(data) == width * height * 4

    rtc.AudioFrame, rtc.VideoFrame = AudioFrame, VideoFrame
    rtc.VideoBufferType = types.SimpleNamespace(RGBA=0)
    rtc.Room = object
    avatar = types.ModuleType("livekit.agents.voice.avatar")

    class AudioSegmentEnd: ...

    class VideoGenerator: ...

    @dataclass
    class AvatarOptions:
        video_width: int
        video_height: int
        video_fps: float
        audio_sample_rate: int
        audio_channels: int

    class DataStreamAudioReceiver:
        """Over a room that is a pair of queues: speech in, RPCs out."""

        def __init__(self, room, *, sender_identity=None):
            self.room, self.sender = room, sender_identity

        async def start(self):
            self.room.receiver = self

        def __aiter__(self):
            return self

        async def __anext__(self):
            item = await self.room.audio.get()
            return AudioSegmentEnd() if item is None else item

        async def notify_playback_finished(self, playback_position, interrupted):
            self.room.rpcs.append(("lk.playback_finished", round(playback_position, 3), interrupted))

        async def notify_playback_started(self):
            self.room.rpcs.append(("lk.playback_started",))

    class AvatarRunner:
        """What LiveKit's does: speech to the generator, what it makes to the room, and the agent told."""

        def __init__(self, room, *, audio_recv, video_gen, options):
            self.room, self.receiver, self.generator, self.options = room, audio_recv, video_gen, options
            self.position, self.playing, self.tasks = 0.0, False, []

        async def start(self):
            await self.receiver.start()
            self.room.clear_buffer = self._clear
            self.tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._forward())]

        async def _read(self):
            async for frame in self.receiver:
                self.playing = self.playing or isinstance(frame, AudioFrame)
                await self.generator.push_audio(frame)

        async def _forward(self):
            async for frame in self.generator:
                if isinstance(frame, AudioSegmentEnd):
                    if self.playing:
                        await self.receiver.notify_playback_finished(self.position, False)
                        self.playing, self.position = False, 0.0
                    continue
                self.room.published.append(frame)
                if isinstance(frame, AudioFrame):
                    if self.position == 0.0:
                        await self.receiver.notify_playback_started()
                    self.position += frame.duration

        async def _clear(self):
            playing, self.playing = self.playing, False
            await self.generator.clear_buffer()
            if playing:
                await self.receiver.notify_playback_finished(self.position, True)
                self.position = 0.0

        async def aclose(self):
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

    for kind in (AudioSegmentEnd, AvatarOptions, AvatarRunner, DataStreamAudioReceiver, VideoGenerator):
        setattr(avatar, kind.__name__, kind)
    livekit = types.ModuleType("livekit")
    livekit.rtc = rtc
    modules = {"livekit": livekit, "livekit.rtc": rtc, "livekit.agents.voice.avatar": avatar}
    modules |= {name: types.ModuleType(name) for name in ("livekit.agents", "livekit.agents.voice")}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)


class Room:
    """A room with one agent in it."""

    def __init__(self):
        self.audio: asyncio.Queue = asyncio.Queue()
        self.published, self.rpcs = [], []
        self.receiver = self.clear_buffer = None


def install_pipecat(monkeypatch) -> None:
    """`pipecat.frames.frames` and `pipecat.processors.frame_processor`."""
    frames = types.ModuleType("pipecat.frames.frames")

    @dataclass
    class Frame:
        pts: int | None = field(default=None, init=False)

    @dataclass
    class TTSAudioRawFrame(Frame):
        audio: bytes
        sample_rate: int
        num_channels: int

    @dataclass
    class OutputImageRawFrame(Frame):
        image: bytes
        size: tuple
        format: str

    frames.Frame, frames.TTSAudioRawFrame, frames.OutputImageRawFrame = Frame, TTSAudioRawFrame, OutputImageRawFrame
    for name in (
        "StartFrame",
        "EndFrame",
        "CancelFrame",
        "InterruptionFrame",
        "TTSStartedFrame",
        "TTSStoppedFrame",
        "TextFrame",
    ):
        setattr(frames, name, type(name, (Frame,), {}))
    processor = types.ModuleType("pipecat.processors.frame_processor")
    processor.FrameDirection = types.SimpleNamespace(DOWNSTREAM=1, UPSTREAM=2)

    class FrameProcessor:
        def __init__(self, **_):
            self.pushed = []

        async def process_frame(self, frame, direction): ...

        async def push_frame(self, frame, direction=1):
            self.pushed.append(frame)

        def create_task(self, work):
            return asyncio.create_task(work)

        async def cancel_task(self, task):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        async def cleanup(self): ...

    processor.FrameProcessor = FrameProcessor
    modules = {"pipecat.frames.frames": frames, "pipecat.processors.frame_processor": processor}
    modules |= {name: types.ModuleType(name) for name in ("pipecat", "pipecat.frames", "pipecat.processors")}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
