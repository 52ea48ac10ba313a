"""What happens between the pages and the graph: plain Python on one event loop. The graph is behind `Stage`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any, Protocol

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.timeline import NANOSECONDS
from avatar_forcing_ros.web.face_motion import FaceMotion, FrameOut
from avatar_forcing_ros.web.media_out import FeedTrack, VideoBroadcast
from avatar_forcing_ros.web.peer import Peer
from avatar_forcing_ros.web.sessions import OPERATOR, VIEWER, VISITOR, Refusal, ServerSettings, Sessions
from avatar_forcing_ros.web.sound_out import OpusCoder, SoundCutter
from avatar_forcing_ros.web.wire import NEW_MOTION, OPERATOR_LIVE, MotionPacket, pack_motion, pack_sound

_log = logging.getLogger(__name__)
PROTOCOL = 1
REPEATED_FRAMES = 2  # that a packet brings again, at most as many as are new: a lost packet loses nothing
_TICK_S = 0.02
_LOOK_S = 0.5
_LONGEST_CAPTION = 1000  # letters
_LEAST_CAPTION_S, _LETTERS_PER_S = 3.0, 8.0  # a caption that nothing ends is shown for so long: the slowest speech
_READ_ON_S, _NEXT_WORDS_S = 0.8, 0.5


class Stage(Protocol):
    """The graph, as the kiosk needs it. Called on the hub's event loop: none may wait. Times are ROS time in ns."""

    def now_ns(self) -> int: ...

    def camera(self, image: np.ndarray, stamp_ns: int) -> None:
        """A picture (h, w, 3) uint8 RGB of the visitor."""

    def microphone(self, samples: np.ndarray, rate: int, stamp_ns: int) -> None:
        """Sound (n,) float32 of the visitor."""

    def visitor_motion(self, latent: np.ndarray | None, stamp_ns: int) -> None:
        """What the visitor's page tracked (32,); None: no face in view."""

    def operator_voice(self, samples: np.ndarray, rate: int, stamp_ns: int) -> None:
        """Sound (n,) float32 that the face is to speak."""

    def shown(self, frames: list[FrameOut]) -> None:
        """The frames that go to the pages."""

    def watched(self, video: bool) -> None:
        """Whether somebody needs the face as video."""


class Hub:
    """Sessions, their peers, and what all of them get. Everything runs on the event loop that `start` was called on."""

    def __init__(self, settings: ServerSettings, stage: Stage, operator_buffer_s: float = 0.15) -> None:
        self.settings, self.stage = settings, stage
        self.sessions = Sessions(settings, time.monotonic)
        self.peers: dict[str, Peer] = {}
        self.motion = FaceMotion(round(operator_buffer_s * NANOSECONDS))
        self.video = VideoBroadcast()
        self.face = next(iter(settings.faces), "")
        self._operator_delay_ns = round(operator_buffer_s * NANOSECONDS)
        self._sound = SoundCutter()
        self._opus: OpusCoder | None = None
        self._recent: deque[FrameOut] = deque(maxlen=REPEATED_FRAMES)
        self._told: dict[str, Any] = {}
        self._feeds: dict[str, FeedTrack] = {}  # to the operator
        self._watched = False
        self._tasks: set[asyncio.Task] = set()

    def start(self) -> None:
        self.run(self._tick())
        self.run(self._look_after())

    async def stop(self) -> None:
        error = ("restarting", "the server ends; the page tries again by itself")
        await asyncio.gather(*(self.leave(peer, error=error) for peer in list(self.peers.values())))
        for task in list(self._tasks):
            task.cancel()

    def run(self, work: Coroutine) -> None:
        """Runs on beside the caller; an error in it is told in the log."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("in the kiosk's server", exc_info=task.exception())

    def now_s(self) -> float:
        return self.stage.now_ns() / NANOSECONDS

    # --- from the graph (on the loop) -------------------------------------------------------------------------------
    def shown(self, frame: int, latent: np.ndarray, time_ns: int) -> None:
        """The face's own motion (32,) of a frame of the clock, shown at `time_ns`."""
        self.motion.put(frame, latent, time_ns)
        self._send_motion()

    def spoken(self, samples: np.ndarray, rate: int, stamp_ns: int) -> None:
        """What the face speaks (n,) float32; stamp_ns: when the first sample is to be heard."""
        opus = any(p.opus for p in self.peers.values())
        for packet in self._sound.push(samples, rate, stamp_ns):
            plain, coded = pack_sound(packet), None
            if opus:
                self._opus = self._opus or OpusCoder()
                small = self._opus.encode(packet)
                coded = None if small is None else pack_sound(small)
            for peer in self.peers.values():
                data = coded if peer.opus else plain
                if data is not None and peer.session.role != OPERATOR:
                    peer.send_sound(data)

    def image(self, image: np.ndarray, stamp_ns: int) -> None:
        """A picture of the face (h, w, 3) uint8 RGB; stamp_ns: when it is shown."""
        self.run(self.video.show(image, stamp_ns / NANOSECONDS))

    def caption(self, text: str, time_ns: int) -> None:
        """The words that are heard from `time_ns` on, until others are, or `end_caption`; empty: none."""
        text = text[:_LONGEST_CAPTION]
        self._tell_all({
            "type": "caption", "text": text, "start": time_ns / NANOSECONDS, "duration": _LEAST_CAPTION_S + len(text) / _LETTERS_PER_S,
        })  # fmt: skip

    def end_caption(self, time_ns: int) -> None:
        """What was said has ended at `time_ns`: its words stay a little. Those that have just begun are of what comes next."""
        self._tell_all({
            "type": "caption", "text": "", "start": time_ns / NANOSECONDS - _NEXT_WORDS_S, "duration": _NEXT_WORDS_S + _READ_ON_S,
        })  # fmt: skip

    # --- pages ------------------------------------------------------------------------------------------------------
    async def offer(self, address: str, body: dict) -> dict:
        """A page's offer -> what it is answered. Raises Refusal."""
        role, token, old = (str(body.get(name) or "") for name in ("role", "token", "session"))
        if not isinstance(body.get("sdp"), str) or body.get("type", "offer") != "offer":
            raise Refusal("bad", 400, "an offer has sdp and type")
        session = self.sessions.admit(address, role, token, old)
        before = self.peers.pop(session.id, None)
        if before is not None:
            await before.close()
        peer = Peer(self, session, opus=body.get("sound") == "opus")
        self.peers[session.id] = peer
        try:
            sdp = await peer.answer(body["sdp"])
        except InputError as error:
            await self.leave(peer, for_good=True)
            raise Refusal("bad", 400, str(error)) from error
        self._tell_state()
        return {"sdp": sdp, "type": "answer", "session": session.id, "role": role, "buffer_s": 0.0}

    async def leave(self, peer: Peer, for_good: bool = False, error: tuple[str, str] | None = None) -> None:
        """A connection ends. for_good: its place is not held."""
        if error is not None:
            peer.send_control({"type": "error", "code": error[0], "message": error[1]})
        if self.peers.get(peer.session.id) is peer:
            del self.peers[peer.session.id]
            self.sessions.left(peer.session, for_good)
            if peer.session.role == OPERATOR:
                self.motion.live = False
            self._tell_state()
        await peer.close()

    def greet(self, peer: Peer) -> None:
        """The control channel of a page is open."""
        peer.send_control({"type": "state", **self._state()})

    def on_control(self, peer: Peer, kind: str, message: dict) -> None:
        if kind == "live" and peer.session.role == OPERATOR:
            self.motion.live = bool(message.get("on"))
        elif kind == "set" and peer.session.role in (VISITOR, OPERATOR):
            name = message.get("face")
            if name not in self.settings.faces:
                peer.send_control({"type": "error", "code": "bad", "message": "there is no such face"})
            elif name != self.face:
                self.face = name
                self._tell_all({"type": "face", "name": name})
        elif kind == "want_video" and message.get("on") is False:
            peer.stop_video()  # a page that wants it offers anew
        elif kind == "bye":
            self.run(self.leave(peer, for_good=True))
        self._tell_state()

    def on_tracked(self, peer: Peer, captured_ns: int, latent: np.ndarray | None) -> None:
        if peer.session.role == OPERATOR:
            self.motion.put_operator(captured_ns, latent)
        elif peer.session.role == VISITOR and self.settings.tracking == "page":
            self.stage.visitor_motion(latent, captured_ns)

    def on_media(self, peer: Peer, kind: str, item: np.ndarray, rate: int, stamp_ns: int) -> None:
        """A picture or sound of a page, with its capture time."""
        if self.peers.get(peer.session.id) is not peer:
            return
        if peer.session.role == OPERATOR:
            if kind == "audio" and self.motion.live:
                self.stage.operator_voice(item, rate, stamp_ns + self._operator_delay_ns)
            return
        if kind == "audio":
            self.stage.microphone(item, rate, stamp_ns)
        else:
            self.stage.camera(item, stamp_ns)
        feed = self._feeds.get(kind)
        if feed is not None:
            feed.put(item, rate, stamp_ns)

    def operator_feed(self, kind: str) -> FeedTrack:
        """The visitor's camera or microphone, for the one operator."""
        old = self._feeds.get(kind)
        if old is not None:
            old.stop()
        self._feeds[kind] = FeedTrack(kind)
        return self._feeds[kind]

    # --- by the clock -----------------------------------------------------------------------------------------------
    async def _tick(self) -> None:
        """Frames whose time comes without motion of their own: the face never waits."""
        while True:
            await asyncio.sleep(_TICK_S)
            self._send_motion()

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            for session in self.sessions.silent():
                peer = self.peers.get(session.id)
                if peer is None:
                    self.sessions.left(session)
                else:
                    _log.info("a %s has not been heard for a while", session.role)
                    await self.leave(peer)
            for peer in list(self.peers.values()):
                if peer.overfull():
                    await self.leave(peer, for_good=True, error=("too_large", "a message longer than 64 KB"))
                peer.tell_video_clock()
            if self.video.watched != self._watched:
                self._watched = self.video.watched
                self.stage.watched(self._watched)
            self._tell_state()

    def _send_motion(self) -> None:
        new = self.motion.take(self.stage.now_ns())
        if not new:
            return
        self.stage.shown(new)
        while new:
            some, new = new[:8], new[8:]
            if some[0].first:
                self._recent.clear()
            again = min(REPEATED_FRAMES, len(some))
            frames = [*list(self._recent)[-again:], *some]
            flags = (NEW_MOTION if some[0].first else 0) | (OPERATOR_LIVE if some[-1].operator > 0 else 0)
            latents = np.stack([f.latent for f in reversed(frames)])
            data = pack_motion(MotionPacket(frames[-1].frame, frames[-1].time_ns / NANOSECONDS, latents, flags))
            self._recent.extend(some)
            for peer in self.peers.values():
                peer.send_motion(data)

    def _state(self) -> dict[str, Any]:
        return {
            "visitor": bool(self.sessions.connected(VISITOR)),
            "viewers": self.sessions.connected(VIEWER),
            "live": "operator" if self.motion.live else "autonomous",
            "face": self.face,
            "recording": self.settings.records,
            "speaking": self._sound.speaking,
        }

    def _tell_state(self) -> None:
        state = self._state()
        if state != self._told:
            self._told = state
            self._tell_all({"type": "state", **state})

    def _tell_all(self, message: dict) -> None:
        for peer in self.peers.values():
            peer.send_control(message)
