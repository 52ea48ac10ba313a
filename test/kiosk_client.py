"""A page without a browser: what the kiosk's server is tested with. And a graph that is a list of what came to it."""

from __future__ import annotations

import asyncio
import fractions
import json
import random
import time

import aiohttp
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from av import AudioFrame, VideoFrame

from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.timeline import NANOSECONDS, time_of
from avatar_forcing_ros.web.wire import MotionPacket, SoundPacket, pack_motion, unpack_motion, unpack_sound

CHANNELS = {
    "motion": {"ordered": False, "maxRetransmits": 0},
    "sound": {"ordered": False, "maxPacketLifeTime": 200},
    "tracked": {"ordered": False, "maxRetransmits": 0},
    "control": {"ordered": True},
}


class FakeStage:
    """Takes what visitors send."""

    def __init__(self) -> None:
        self.images: list[tuple[np.ndarray, int]] = []
        self.sound: list[tuple[np.ndarray, int, int]] = []
        self.motion: list[tuple[np.ndarray | None, int]] = []
        self.voice: list[tuple[np.ndarray, int, int]] = []
        self.video = False

    def now_ns(self) -> int:
        return time.time_ns()

    def camera(self, image, stamp_ns) -> None:
        self.images.append((image, stamp_ns))

    def microphone(self, samples, rate, stamp_ns) -> None:
        self.sound.append((samples, rate, stamp_ns))

    def visitor_motion(self, latent, stamp_ns) -> None:
        self.motion.append((latent, stamp_ns))

    def operator_voice(self, samples, rate, stamp_ns) -> None:
        self.voice.append((samples, rate, stamp_ns))

    def shown(self, frames) -> None:
        pass

    def watched(self, video) -> None:
        self.video = video


class Camera(MediaStreamTrack):
    """25 pictures a second, each of one grey level that says when it was made."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self._began = time.time()

    async def recv(self) -> VideoFrame:
        self._count += 1
        await asyncio.sleep(max(self._began + self._count / 25 - time.time(), 0))
        frame = VideoFrame.from_ndarray(np.full((120, 160, 3), 40 + self._count % 150, np.uint8), format="rgb24")
        frame.pts, frame.time_base = self._count * 3600, fractions.Fraction(1, 90_000)
        return frame


class Microphone(MediaStreamTrack):
    """A tone of 440 Hz."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self._began = time.time()

    async def recv(self) -> AudioFrame:
        await asyncio.sleep(max(self._began + self._count / 50 - time.time(), 0))
        t = (np.arange(960) + 960 * self._count) / 48_000
        tone = (8000 * np.sin(2 * np.pi * 440 * t)).astype(np.int16)
        frame = AudioFrame.from_ndarray(np.repeat(tone, 2)[None], format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, 960 * self._count, fractions.Fraction(1, 48_000)
        self._count += 1
        return frame


class Refused(Exception):
    def __init__(self, status: int, body: dict) -> None:
        super().__init__(f"{status}: {body}")
        self.status, self.code = status, body.get("error")


class PageClient:
    """Connects as the page does, and keeps what comes."""

    def __init__(
        self,
        url: str,
        role: str = "viewer",
        token: str = "",
        media: bool = False,
        video: bool = False,
        loss: float = 0.0,
    ) -> None:
        self.url, self.role, self.token = url.rstrip("/"), role, token
        self.media, self.video, self.loss = media, video, loss
        self.session = ""
        self.motion: dict[int, np.ndarray] = {}  # frame -> latent
        self.times: dict[int, float] = {}  # frame -> presentation time
        self.flags: list[int] = []
        self.motion_bytes = 0
        self.sound: list[SoundPacket] = []
        self.control: list[dict] = []
        self.pictures = 0
        self.heard_bytes = 0
        self._random = random.Random(1)

    async def connect(self, origin: str | None = None) -> PageClient:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.channels = {name: self.connection.createDataChannel(name, **options) for name, options in CHANNELS.items()}
        self.channels["motion"].on("message", self._on_motion)
        self.channels["sound"].on("message", lambda data: self.sound.append(unpack_sound(data)))
        self.channels["control"].on("message", lambda text: self.control.append(json.loads(text)))
        self._opened = asyncio.Event()
        self.channels["control"].on("open", self._opened.set)
        self.connection.on("track", self._on_track)
        if self.media:
            self.connection.addTrack(Microphone())
            if self.role == "visitor":
                self.connection.addTrack(Camera())
        if self.video or self.role == "operator":
            self.connection.addTransceiver("video", "recvonly")
        if self.role == "operator":
            self.connection.addTransceiver("audio", "recvonly")
        if self.loss:
            transport = self.connection.sctp.transport.transport
            receive = transport._recv

            async def lossy() -> bytes:
                while True:
                    data = await receive()
                    if not self._opened.is_set() or self._random.random() >= self.loss:
                        return data

            transport._recv = lossy
        await self.connection.setLocalDescription(await self.connection.createOffer())
        body = {
            "sdp": self.connection.localDescription.sdp, "type": "offer", "role": self.role, "token": self.token,
            "video": self.video, "sound": "pcm", "session": self.session,
        }  # fmt: skip
        async with aiohttp.ClientSession() as http:
            async with http.post(
                f"{self.url}/offer", json=body, headers={"Origin": origin or self.url}, ssl=False
            ) as response:
                answer = await response.json()
                if response.status != 200:
                    await self.connection.close()
                    raise Refused(response.status, answer)
        self.session = answer["session"]
        await self.connection.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
        await asyncio.wait_for(self._opened.wait(), 20)
        self.say(type="hello", protocol=1, role=self.role, user_agent="test")
        self._pinging = asyncio.ensure_future(self._ping())
        return self

    async def _ping(self) -> None:
        while self.channels["control"].readyState == "open":
            self.say(type="ping", t=time.time(), offset=0.0)
            await asyncio.sleep(1.0)

    def say(self, **message) -> None:
        self.channels["control"].send(json.dumps(message))

    def track(self, latent: np.ndarray | None, at_s: float, frame: int = 0) -> None:
        """Motion as the page tracks it."""
        latents = np.zeros((0, rig.DIM), np.float32) if latent is None else latent[None]
        self.channels["tracked"].send(pack_motion(MotionPacket(frame, at_s, latents, 4 if latent is None else 0)))

    def told(self, kind: str) -> list[dict]:
        return [m for m in self.control if m["type"] == kind]

    @property
    def state(self) -> dict:
        states = self.told("state")
        return states[-1] if states else {}

    async def close(self) -> None:
        self._pinging.cancel()
        await self.connection.close()

    async def vanish(self) -> None:
        """As when the page's network is gone: nothing is said, nothing is answered."""
        self._pinging.cancel()
        await self.connection.sctp.transport.transport._connection.close()

    def _on_motion(self, data: bytes) -> None:
        packet = unpack_motion(data, rig.DIM)
        self.motion_bytes += len(data)
        self.flags.append(packet.flags)
        newest = (int(packet.time_s * 25) & ~0xFFFFFFFF) | packet.frame  # the packet has the lower 32 bits
        for back, latent in enumerate(packet.latents):
            self.motion[newest - back] = latent
            self.times[newest - back] = packet.time_s - back / 25

    def _on_track(self, track: MediaStreamTrack) -> None:
        async def read() -> None:
            while True:
                frame = await track.recv()
                if track.kind == "video":
                    self.pictures += 1
                elif np.abs(frame.to_ndarray()).max() > 100:
                    self.heard_bytes += frame.samples

        self._reading = asyncio.ensure_future(read())
        self._reading.add_done_callback(lambda task: task.cancelled() or task.exception())


class FakeGraph:
    """Feeds a server as the graph does: a block of two frames every 80 ms, the jaw saying the frame, and a tone from time to time."""

    def __init__(self, server, delay_ns: int = 200_000_000) -> None:
        self.server, self.delay_ns = server, delay_ns
        self.silent = False
        self.sound = True
        self.images = False

    async def run(self) -> None:
        frame = time.time_ns() * 25 // NANOSECONDS // 2 * 2
        while True:
            await asyncio.sleep(max((frame + 2) / 25 - time.time(), 0))
            if not self.silent:
                self.step(frame)
            frame += 2

    def step(self, frame: int) -> None:
        for i in (frame, frame + 1):
            latent = rig.pose(jawOpen=(i % 50) / 50)
            self.server.do(lambda hub, i=i, latent=latent: hub.shown(i, latent, time_of(i) + self.delay_ns))
        stamp = frame * NANOSECONDS // 25 + self.delay_ns
        if self.sound:
            samples = 0.3 * np.sin(2 * np.pi * 300 * np.arange(1280) / 16_000) if frame % 50 < 24 else np.zeros(1280)
            self.server.do(lambda hub: hub.spoken(samples.astype(np.float32), 16_000, stamp))
        if self.images:
            self.server.do(lambda hub: hub.image(np.full((96, 96, 3), frame % 200, np.uint8), stamp))
