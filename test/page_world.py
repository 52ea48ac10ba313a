"""A server with a made robot behind it, and what tests do with its pages in a browser."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np

from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.timeline import FRAME_NS, NANOSECONDS
from avatar_forcing_ros.web.server import KioskServer
from avatar_forcing_ros.web.sessions import ServerSettings

PATIENCE_S = 60.0  # many times what a busy machine needs
DELAY_NS = 240_000_000
RATE = 24_000


class Graph:
    """The robot behind the kiosk: a jaw that opens with a tone, both by the clock."""

    def __init__(self, pages: Path, face: Path, **settings):
        self.settings = {"host": "127.0.0.1", "port": 0, "faces": {"beacon": face}, "video_possible": False}
        self.settings |= settings
        self.pages, self.server = pages, None
        self.cameras = self.microphones = 0
        self.voices: list[float] = []  # level of what an operator said
        self.tracked: list[np.ndarray | None] = []
        self.frames: list = []  # as they went to the pages
        self.video = False
        self.pose = lambda time_s: rig.pose(jawOpen=self.jaw(time_s))  # the face's own motion
        self._going = True
        self.start()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    now_ns = staticmethod(time.time_ns)

    def start(self) -> None:
        server = KioskServer(ServerSettings(**self.settings), self, self.pages)
        server.start()
        self.settings["port"] = server.port
        self.server = server

    def close(self) -> None:
        self._going = False
        self._thread.join()
        self.server.stop()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.settings['port']}"

    @staticmethod
    def jaw(time_s):
        """How far the jaw is open at a presentation time."""
        return 0.4 + 0.4 * np.sin(2 * np.pi * 0.5 * time_s)

    def _run(self) -> None:
        first = frame = time.time_ns() // FRAME_NS
        spoken = first
        while self._going:
            now = time.time_ns()
            while frame * FRAME_NS + DELAY_NS - now < 150_000_000:
                due = frame * FRAME_NS + DELAY_NS
                latent = self.pose(due / NANOSECONDS)
                self.server.do(lambda hub, f=frame, x=latent, t=due: hub.shown(f, x, t))
                frame += 1
            if self.video:
                colour = np.full((128, 128, 3), (200, 60, 20), np.uint8)
                self.server.do(lambda hub, x=colour, t=now + 100_000_000: hub.image(x, t))
            while spoken * FRAME_NS + DELAY_NS < now:
                at = spoken * FRAME_NS + DELAY_NS
                tone = 0.2 * np.sin(2 * np.pi * 440 * (np.arange(RATE // 25) / RATE)).astype(np.float32)
                self.server.do(lambda hub, x=tone, t=at: hub.spoken(x, RATE, t))
                spoken += 1
                if spoken % 25 == 0:
                    self.server.do(lambda hub, t=at: hub.caption("Good to see you.", t))
            time.sleep(0.04 if self.video else 0.01)

    def camera(self, image, stamp_ns):
        self.cameras += 1

    def microphone(self, samples, rate, stamp_ns):
        self.microphones += 1

    def visitor_motion(self, latent, stamp_ns):
        self.tracked.append(latent)

    def operator_voice(self, samples, rate, stamp_ns):
        self.voices.append(float(np.sqrt(np.mean(np.square(samples)))))

    def shown(self, frames):
        self.frames += frames

    def watched(self, video):
        self.video = video


def until(page, expression: str, what: str = ""):
    """Waits for an expression of the page to become true; its value."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if found := page.evaluate(f"(() => {{ try {{ return {expression}; }} catch {{ return null; }} }})()"):
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what or expression}: {page.evaluate('document.body.innerText')!r} {page.console[-5:]}")


def begin(browser, address: str, script: str = ""):
    """A page whose start card was answered. script: runs before the page's own."""
    page = browser.open("about:blank")
    if script:
        page.call("Page.addScriptToEvaluateOnNewDocument", {"source": script})
    page.go(address)
    until(page, "document.getElementById('begin') !== null", "the start card")
    page.evaluate("avatarKiosk.start()")
    return page


def wait(what, description: str):
    """The value of what(), when it is true."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if value := what():
            return value
        time.sleep(0.1)
    raise AssertionError(f"waited in vain for {description}")


def connected(page) -> None:
    until(page, "avatarKiosk.stats().connected", "connected")
