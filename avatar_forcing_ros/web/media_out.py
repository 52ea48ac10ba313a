"""What goes to pages as WebRTC media: the face as video, encoded once for all who watch, and the visitor for the operator."""

from __future__ import annotations

import asyncio
import fractions
from collections import deque

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

VIDEO_CLOCK = 90_000
_TIME_BASE = fractions.Fraction(1, VIDEO_CLOCK)
_KEPT_PACKETS = 12  # of a viewer that does not fetch them: half a second, then it waits for the next whole picture
_KEY_EVERY_S = 1.0  # whole pictures that viewers ask for come no faster
_BITS_PER_PIXEL = 0.08
_FIRST_SOUND_S = 0.02


class PacketTrack(MediaStreamTrack):
    """Encoded pictures for one viewer. A bounded queue: what a slow viewer does not fetch is lost to it alone."""

    kind = "video"

    def __init__(self, broadcast: VideoBroadcast) -> None:
        super().__init__()
        self._broadcast = broadcast
        self._packets: deque[av.Packet] = deque()
        self._there = asyncio.Event()
        self._needs_key = True
        self.dropped = 0
        self.last_pts: int | None = None  # of the packet that was fetched last, in 1/90000 s

    def put(self, packet: av.Packet) -> None:
        if len(self._packets) >= _KEPT_PACKETS:
            self.dropped += len(self._packets)
            self._packets.clear()
            self._needs_key = True
            self._broadcast.ask_key()
        if self._needs_key and not packet.is_keyframe:
            self.dropped += 1
            return
        self._needs_key = False
        self._packets.append(packet)
        self._there.set()

    async def recv(self) -> av.Packet:
        while not self._packets:
            if self.readyState != "live":
                raise MediaStreamError
            self._there.clear()
            await self._there.wait()
        packet = self._packets.popleft()
        self.last_pts = packet.pts
        return packet

    def stop(self) -> None:
        super().stop()
        self._broadcast.remove(self)
        self._there.set()


class VideoBroadcast:
    """One VP8 encoder, any number of tracks. It encodes only while somebody watches. Runs on the event loop."""

    def __init__(self) -> None:
        self._tracks: set[PacketTrack] = set()
        self._coder: av.VideoCodecContext | None = None
        self._want_key = True
        self._last_key_s = -_KEY_EVERY_S
        self._busy = False
        self.skipped = 0  # pictures that came while the one before was encoded

    @property
    def watched(self) -> bool:
        return bool(self._tracks)

    def track(self) -> PacketTrack:
        track = PacketTrack(self)
        self._tracks.add(track)
        self.ask_key()
        return track

    def remove(self, track: PacketTrack) -> None:
        self._tracks.discard(track)

    def ask_key(self) -> None:
        """A viewer cannot go on without a whole picture."""
        self._want_key = True

    async def show(self, image: np.ndarray, time_s: float) -> None:
        """image (h, w, 3) uint8 RGB, shown at `time_s`, which becomes the packets' time."""
        if not self._tracks:
            return
        if self._busy:
            self.skipped += 1
            return
        self._busy = True
        try:
            key = self._want_key and time_s - self._last_key_s >= _KEY_EVERY_S
            if key:
                self._want_key, self._last_key_s = False, time_s
            packets = await asyncio.get_running_loop().run_in_executor(None, self._encode, image, time_s, key)
        finally:
            self._busy = False
        for packet in packets:
            for track in list(self._tracks):
                track.put(packet)

    def _encode(self, image: np.ndarray, time_s: float, key: bool) -> list[av.Packet]:
        height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
        if self._coder is None or (self._coder.width, self._coder.height) != (width, height):
            self._coder = self._open(width, height)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[:height, :width]), format="rgb24").reformat(
            format="yuv420p"
        )
        frame.pts, frame.time_base = round(time_s * VIDEO_CLOCK), _TIME_BASE
        if key:
            frame.pict_type = av.video.frame.PictureType.I
        packets = self._coder.encode(frame)
        for packet in packets:
            packet.time_base = _TIME_BASE
        return packets

    @staticmethod
    def _open(width: int, height: int) -> av.VideoCodecContext:
        coder = av.CodecContext.create("libvpx", "w")
        rate = round(width * height * 25 * _BITS_PER_PIXEL)
        coder.width, coder.height, coder.pix_fmt, coder.bit_rate = width, height, "yuv420p", rate
        coder.time_base, coder.framerate = _TIME_BASE, fractions.Fraction(25)
        coder.gop_size, coder.qmin, coder.qmax, coder.thread_count = 3000, 4, 56, 1
        coder.options = {
            "deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "error-resilient": "1",
            "minrate": str(rate), "maxrate": str(rate), "bufsize": str(rate),
        }  # fmt: skip
        return coder


class FeedTrack(MediaStreamTrack):
    """The visitor's camera or microphone for the operator. It stays when visitors come and go: then black or silence."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self._items: deque = deque(maxlen=1 if kind == "video" else 10)
        self._there = asyncio.Event()
        self._position = 0
        self._rate = 48_000

    def put(self, item: np.ndarray, rate: int, stamp_ns: int) -> None:
        """An image (h, w, 3) uint8, or sound (n,) float32 of `rate`. What is not fetched in time is replaced by what is newer."""
        self._items.append((item, rate, stamp_ns))
        self._there.set()

    async def recv(self) -> av.frame.Frame:
        while not self._items:
            if self.readyState != "live":
                raise MediaStreamError
            self._there.clear()
            await self._there.wait()
        item, rate, stamp_ns = self._items.popleft()
        if self.kind == "video":
            height, width = item.shape[0] // 2 * 2, item.shape[1] // 2 * 2
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(item[:height, :width]), format="rgb24")
            frame.pts, frame.time_base = stamp_ns * VIDEO_CLOCK // 1_000_000_000, _TIME_BASE
            return frame
        pcm = np.clip(np.rint(item * 32767.0), -32768, 32767).astype(np.int16)
        sound = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        if rate != self._rate:
            self._position = self._position * rate // self._rate
            self._rate = rate
        sound.sample_rate, sound.pts, sound.time_base = rate, self._position, fractions.Fraction(1, rate)
        self._position += len(pcm)
        return sound

    def stop(self) -> None:
        super().stop()
        self._there.set()
