"""One page's connection: its tracks and channels, and what may wait for it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Coroutine
from typing import Any, Protocol

import numpy as np
from aioice import ice
from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc import sdp as session_description

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.tracking import measured
from avatar_forcing_ros.motion.tracking.measured import MeasuredTracker
from avatar_forcing_ros.timeline import NANOSECONDS
from avatar_forcing_ros.web.media_in import CaptureClock, follow_reports, read_track
from avatar_forcing_ros.web.media_out import VIDEO_CLOCK, FeedTrack, PacketTrack, VideoBroadcast
from avatar_forcing_ros.web.sessions import MESSAGE_BYTES, OPERATOR, VISITOR, ServerSettings, Session, Sessions
from avatar_forcing_ros.web.wire import NO_FACE, MotionPacket, unpack_motion

_log = logging.getLogger(__name__)
CHANNELS = ("motion", "sound", "tracked", "control")
_MOTION_WAITS, _SOUND_WAITS, _CONTROL_WAITS = (
    4_000,
    32_000,
    256_000,
)  # bytes in a channel; what would be more is dropped
_LAST_WORDS_S = 0.3
_UNFINISHED_BYTES = 4 * MESSAGE_BYTES  # of messages that have begun to arrive


def listen_on(addresses: list[str] | None) -> None:
    """On which addresses of this machine the connections listen; None: all but loopback. For the whole process: aiortc has no other way."""
    if addresses is not None:
        ice.get_host_addresses = lambda use_ipv4, use_ipv6: list(addresses)  # type: ignore[assignment]


class Owner(Protocol):
    """What a peer needs of the hub that it belongs to."""

    settings: ServerSettings
    sessions: Sessions
    video: VideoBroadcast

    def now_s(self) -> float: ...

    def run(self, work: Coroutine) -> None: ...

    def operator_feed(self, kind: str) -> FeedTrack: ...

    def greet(self, peer: Peer) -> None: ...

    def on_control(self, peer: Peer, kind: str, message: dict) -> None: ...

    def on_tracked(self, peer: Peer, captured_ns: int, latent: np.ndarray | None) -> None: ...

    def on_media(self, peer: Peer, kind: str, item: np.ndarray, rate: int, stamp_ns: int) -> None: ...

    async def leave(self, peer: Peer, for_good: bool = False, error: tuple[str, str] | None = None) -> None: ...


class Peer:
    """A connection that belongs to a session. All of it runs on the event loop of the hub."""

    def __init__(self, hub: Owner, session: Session, opus: bool) -> None:
        self.hub, self.session, self.opus = hub, session, opus
        servers = [RTCIceServer(**server) for server in hub.settings.ice_servers]
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        self.channels: dict[str, RTCDataChannel] = {}
        self.dropped = {"motion": 0, "sound": 0, "control": 0}
        self.motion_bytes = 0  # sent
        self.offset_s: float | None = None  # our clock minus the page's
        self._tracker: MeasuredTracker | None = None  # where the page measures faces
        self.stats: dict[str, Any] = {}  # as the page last told them
        self._tasks: set[asyncio.Task] = set()
        self._video: PacketTrack | None = None
        self._origin_seen: int | None = None
        self._video_clock_told = False
        self.closed = False
        self.connection.on("datachannel", self._on_channel)
        self.connection.on("track", self._on_track)
        self.connection.on("connectionstatechange", self._on_state)

    async def answer(self, offer: str) -> str:
        """SDP offer -> answer. Raises InputError on an offer that cannot be used."""
        try:
            media_of_offer = session_description.SessionDescription.parse(offer).media
            if not any(m.kind == "application" for m in media_of_offer):
                raise InputError("it has no data channel")
            wanted = {m.rtp.muxId: m for m in media_of_offer if m.kind in ("audio", "video")}
            await self.connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            for transceiver in self.connection.getTransceivers():
                self._bundle(transceiver)
                media = wanted.get(transceiver.mid or "")
                if media is None or media.direction != "recvonly":
                    continue
                track = self._outgoing(transceiver.kind)
                if track is not None:
                    transceiver.sender.replaceTrack(track)
                    if isinstance(
                        track, PacketTrack
                    ):  # a browser that lost a picture asks the one encoder for a whole one
                        transceiver.sender._send_keyframe = self.hub.video.ask_key  # type: ignore[method-assign]
                    transceiver.direction = "sendonly"
            await self.connection.setLocalDescription(await self.connection.createAnswer())
        except Exception as error:  # whatever a foreign offer does to the parser
            name = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
            raise InputError(f"the offer cannot be used: {name}{error}") from error
        return self.connection.localDescription.sdp

    def _bundle(self, transceiver: RTCRtpTransceiver) -> None:
        """aiortc leaves the second video of an offer on a transport that it has thrown away: everything goes over that of the channels."""
        sctp = self.connection.sctp
        if sctp is not None and transceiver.receiver.transport is not sctp.transport:
            transceiver.receiver.setTransport(sctp.transport)
            transceiver.sender.setTransport(sctp.transport)

    def _outgoing(self, kind: str) -> PacketTrack | FeedTrack | None:
        if self.session.role == OPERATOR:
            return self.hub.operator_feed(kind)
        if kind == "video" and self.hub.settings.video_possible:
            self._video = self.hub.video.track()
            return self._video
        return None

    def stop_video(self) -> None:
        """The page draws the face by itself again."""
        video, self._video = self._video, None
        if video is not None:
            video.stop()

    async def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        for task in self._tasks:
            task.cancel()
        self.stop_video()
        await self._last_words()
        try:
            await asyncio.wait_for(self.connection.close(), 5.0)
        except (asyncio.TimeoutError, ConnectionError) as error:
            _log.warning("a connection did not close: %s", error)

    async def _last_words(self) -> None:
        """Why it ends was put in the channel just before, and leaves it first: a page that does not fetch is not waited for long."""
        control = self.channels.get("control")
        waited_s = 0.0
        while (
            control is not None and control.readyState == "open" and control.bufferedAmount and waited_s < _LAST_WORDS_S
        ):
            await asyncio.sleep(0.01)
            waited_s += 0.01

    # --- out --------------------------------------------------------------------------------------------------------
    def send_motion(self, data: bytes) -> None:
        self._send("motion", data, _MOTION_WAITS)

    def send_sound(self, data: bytes) -> None:
        self._send("sound", data, _SOUND_WAITS)

    def send_control(self, message: dict) -> None:
        self._send("control", json.dumps(message), _CONTROL_WAITS)

    def _send(self, label: str, data: bytes | str, most: int) -> None:
        """A page that does not fetch loses what is newer than `most` bytes: it slows nobody."""
        channel = self.channels.get(label)
        if channel is None or channel.readyState != "open":
            return
        if channel.bufferedAmount > most:
            self.dropped[label] += 1
            return
        channel.send(data)
        if label == "motion":
            self.motion_bytes += len(data)

    def tell_video_clock(self) -> None:
        """What lies between RTP time and presentation time, once the first pictures have left. aiortc adds a random number and tells
        nobody; two looks that agree have not fallen between the fetching of a packet and its sending."""
        video = self._video
        if video is None or self._video_clock_told or video.last_pts is None:
            return
        sender = next((t.sender for t in self.connection.getTransceivers() if t.sender.track is video), None)
        sent = getattr(sender, "_RTCRtpSender__rtp_timestamp", 0)
        if sent:
            origin = (sent - video.last_pts) % 2**32
            if origin == self._origin_seen:
                self._video_clock_told = True
                self.send_control({"type": "video_clock", "origin": origin})
            self._origin_seen = origin

    # --- in ---------------------------------------------------------------------------------------------------------
    def _on_channel(self, channel: RTCDataChannel) -> None:
        if channel.label not in CHANNELS or channel.label in self.channels:
            channel.close()
            return
        self.channels[channel.label] = channel
        if channel.label == "control":
            channel.on("message", self._on_control)
            self.hub.greet(self)
        elif channel.label == "tracked":
            channel.on("message", self._on_tracked)

    def _on_control(self, text: str | bytes) -> None:
        hub, session = self.hub, self.session
        hub.sessions.heard(session)
        if len(text) > MESSAGE_BYTES or not hub.sessions.control_allowed(session):
            self._misbehaves("too many or too long control messages")
            return
        try:
            message = json.loads(text)
            kind = message["type"]
        except (ValueError, KeyError, TypeError, UnicodeDecodeError, RecursionError):
            self._misbehaves("a control message that is no JSON object with a type")
            return
        if kind == "ping":
            self.send_control({"type": "pong", "t": message.get("t"), "server": hub.now_s()})
            if _is_number(message.get("offset")):
                self.offset_s = float(message["offset"])
        elif kind == "stats":
            self.stats = {
                k: v for k, v in message.items() if k != "type" and (_is_number(v) or isinstance(v, (dict, list, str)))
            }
        else:
            hub.on_control(self, kind, message)

    def _on_tracked(self, data: bytes | str) -> None:
        hub = self.hub
        hub.sessions.heard(self.session)
        if not hub.sessions.tracked_allowed(self.session):
            return
        try:
            data = data if isinstance(data, bytes) else data.encode()
            measured_by_page = data[1:2] == bytes([measured.DIM])
            packet = unpack_motion(data, measured.DIM if measured_by_page else rig.DIM)
        except InputError as error:
            self._misbehaves(str(error))
            return
        now = hub.now_s()
        if abs(packet.time_s - now) > 5.0:  # before the page knows our clock
            return
        if measured_by_page or (self._tracker is not None and not len(packet.latents)):
            self._measured(packet)
            return
        if not len(packet.latents):
            hub.on_tracked(self, round(packet.time_s * NANOSECONDS), None)
        for back in reversed(range(len(packet.latents))):  # oldest first
            at = round((packet.time_s - back / 25) * NANOSECONDS)
            hub.on_tracked(self, at, None if packet.flags & NO_FACE else packet.latents[back])

    def _measured(self, packet: MotionPacket) -> None:
        """What the page measured of a face becomes motion here, by the tracker's own code."""
        self._tracker = self._tracker or MeasuredTracker()
        face = self._tracker.follow(packet.latents[0] if len(packet.latents) else None, packet.time_s)
        seen = face.faces > 0 and face.confidence > 0.0
        self.hub.on_tracked(self, round(packet.time_s * NANOSECONDS), face.motion if seen else None)

    def _on_track(self, track) -> None:
        if self.session.role not in (VISITOR, OPERATOR) or (self.session.role == OPERATOR and track.kind == "video"):
            track.stop()
            return
        clock = CaptureClock()
        rate = VIDEO_CLOCK if track.kind == "video" else 48_000
        for transceiver in self.connection.getTransceivers():
            if transceiver.receiver.track is track:
                follow_reports(transceiver.receiver, clock, rate)

        def give(item, item_rate: int, stamp_ns: int) -> None:
            self.hub.sessions.heard(self.session)
            self.hub.on_media(self, track.kind, item, item_rate, stamp_ns)

        task = asyncio.ensure_future(read_track(track, clock, self.hub.now_s, lambda: self.offset_s, give))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _on_state(self) -> None:
        if self.connection.connectionState in ("failed", "closed") and not self.closed:
            await self.hub.leave(self)

    def overfull(self) -> bool:
        """Messages longer than a page may send have begun to arrive. aiortc has no limit, so this looks into its queues."""
        streams = getattr(self.connection.sctp, "_inbound_streams", {})
        return sum(len(c.user_data) for s in streams.values() for c in getattr(s, "reassembly", ())) > _UNFINISHED_BYTES

    def _misbehaves(self, why: str) -> None:
        _log.warning("a %s is disconnected: %s", self.session.role, why)
        self.hub.run(self.hub.leave(self, for_good=True, error=("bad", why)))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
