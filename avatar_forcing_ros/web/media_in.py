"""What comes from a page: camera and microphone, with the time at which the device saw and heard."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from aiortc import MediaStreamTrack, RTCRtpReceiver
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import RtcpSrPacket

from avatar_forcing_ros.timeline import NANOSECONDS

_log = logging.getLogger(__name__)
_WINDOW = 250  # items by which the shortest way here is known
_WAY_S = 0.03  # camera to here, of the quickest item, where the page's clock is not known
_NTP_EPOCH_S = 2_208_988_800  # 1900 to 1970
_MOST_S = 2.0  # an item that claims to be older has a wrong clock behind it


class CaptureClock:
    """Media time of a track -> capture time. What the sender reports about its clock wins; without that, the item with the
    shortest way here tells how media time and ours lie to each other."""

    def __init__(self) -> None:
        self._ways: deque[float] = deque(maxlen=_WINDOW)
        self._reported: float | None = None  # the page's wall clock minus media time, s
        self._last = 0.0

    def report(self, media_s: float, wall_s: float) -> None:
        """The sender says: what was captured at `wall_s` of its clock has media time `media_s`."""
        self._reported = wall_s - media_s

    def stamp(self, media_s: float, now_s: float, offset_s: float | None) -> float:
        """Capture time on our clock, never stepping back. offset_s: our clock minus the page's, where it is known."""
        self._ways.append(now_s - media_s)
        captured = media_s + min(self._ways) - _WAY_S
        if self._reported is not None and offset_s is not None:
            told = media_s + self._reported + offset_s
            if now_s - _MOST_S < told <= now_s:
                captured = told
        self._last = max(captured, self._last) if captured > self._last - _MOST_S else captured
        return self._last


def follow_reports(receiver: RTCRtpReceiver, clock: CaptureClock, rate: int) -> None:
    """Tells `clock` of the sender reports that come for a receiver. aiortc does not pass them on, so this looks into its handling."""
    handle = receiver._handle_rtcp_packet

    async def handle_and_look(packet) -> None:
        await handle(packet)
        try:
            mapper = receiver._RTCRtpReceiver__timestamp_mapper  # type: ignore[attr-defined]
            if isinstance(packet, RtcpSrPacket) and mapper._origin is not None:
                ticks = (packet.sender_info.rtp_timestamp - mapper._origin + 2**31) % 2**32 - 2**31
                ntp = packet.sender_info.ntp_timestamp
                clock.report(ticks / rate, (ntp >> 32) - _NTP_EPOCH_S + (ntp & 0xFFFFFFFF) / 2**32)
        except AttributeError:  # another aiortc: the shortest way has to do
            pass

    receiver._handle_rtcp_packet = handle_and_look  # type: ignore[method-assign]


async def read_track(
    track: MediaStreamTrack, clock: CaptureClock, now: Callable[[], float], offset: Callable[[], float | None], give
) -> None:
    """Gives every item of a track until it ends: give(array, rate, stamp_ns) on the event loop; arrays are (h, w, 3) uint8 RGB images
    (rate 0) or (n,) float32 mono sound. An image that waits while a newer one is there is left out."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            item: Any = await track.recv()
            waiting = getattr(track, "_queue", None)
            while track.kind == "video" and waiting is not None and waiting.qsize() > 1:
                item = await track.recv()
        except MediaStreamError:
            return
        if item.pts is None:
            continue
        stamp_ns = round(clock.stamp(float(item.pts * item.time_base), now(), offset()) * NANOSECONDS)
        try:
            if track.kind == "video":
                give(await loop.run_in_executor(None, _image_of, item), 0, stamp_ns)
            else:
                give(_sound_of(item), item.sample_rate, stamp_ns)
        except ValueError as error:  # a frame that cannot be used is one frame less
            _log.warning("%s of a page: %s", track.kind, error)


def _image_of(frame) -> np.ndarray:
    return frame.to_ndarray(format="rgb24")


def _sound_of(frame) -> np.ndarray:
    samples = frame.to_ndarray()
    channels = len(frame.layout.channels)
    if samples.shape[0] == 1 and channels > 1:  # interleaved
        samples = samples.reshape(-1, channels).T
    scale = 1.0 if samples.dtype.kind == "f" else 32768.0
    return samples.astype(np.float32).mean(axis=0) / scale
