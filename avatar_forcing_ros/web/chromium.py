"""A headless Chromium, driven over a pipe by the DevTools protocol: for tests and for `kiosk --check`.

No package but psutil; the browser is Debian's `chromium`, or the one that the variable CHROMIUM names.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avatar_forcing_ros.errors import InputError

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ALWAYS = (
    "--headless=new", "--no-first-run", "--no-default-browser-check", "--disable-extensions", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-default-apps", "--mute-audio", "--remote-debugging-pipe",
    "--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows", "--disable-dev-shm-usage",
    "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip
SOFTWARE_GL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
_KEPT = 1000  # lines of the console


def find_chromium() -> str:
    """The browser's path. Raises InputError that names what to install where there is none."""
    named = os.environ.get("CHROMIUM", "")
    found = shutil.which(named) if named else next(filter(None, map(shutil.which, _NAMES)), None)
    if not found:
        raise InputError(
            f"no browser: {named or 'chromium'} is not there; install chromium, or name one: CHROMIUM=/path/to/it"
        )
    return found


def fake_camera(clip: str | Path = "", sound: str | Path = "") -> list[str]:
    """Flags for a camera that shows a clip (.y4m or .mjpeg) and a microphone that hears a sound (.wav), both looped; no question asked."""
    flags = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    if clip:
        flags.append(f"--use-file-for-fake-video-capture={Path(clip).resolve()}")
    if sound:
        flags.append(f"--use-file-for-fake-audio-capture={Path(sound).resolve()}")
    return flags


class BrowserError(RuntimeError):
    """The browser ended, or a page threw."""


class Chromium:
    """One browser with a profile of its own, gone when the `with` block ends.

    flags: more of the command line. software_gl: draw without a GPU. size: of the window in pixels.
    """

    def __init__(self, flags: Sequence[str] = (), software_gl: bool = True, size: tuple[int, int] = (1024, 768)):
        self._profile = tempfile.mkdtemp(prefix="chromium-")
        self._ids = itertools.count(1)
        self._answers: dict[int, dict] = {}
        self._arrived = threading.Condition()
        self._ended = False
        self.pages: dict[str, Page] = {}
        to_browser, self._to_browser = os.pipe()
        self._from_browser, from_browser = os.pipe()
        command = [find_chromium(), *_ALWAYS, *(SOFTWARE_GL if software_gl else ()), f"--window-size={size[0]},{size[1]}",
                   f"--user-data-dir={self._profile}", *(["--no-sandbox"] if os.geteuid() == 0 else []), *flags]  # fmt: skip
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", f'exec "$@" 3</proc/self/fd/{to_browser} 4>/proc/self/fd/{from_browser}', "sh", *command], pass_fds=(to_browser, from_browser),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        threading.Thread(target=self._read, daemon=True, name="chromium").start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def memory_mb(self) -> float:
        """What its processes hold, in MB."""
        import psutil

        held = 0.0
        with contextlib.suppress(psutil.Error):
            main = psutil.Process(self.pid)
            for process in (main, *main.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    held += process.memory_info().rss / 2**20
        return held

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Ends the browser and all its processes."""
        with contextlib.suppress(OSError, BrowserError):
            self.call("Browser.close", timeout=2.0)
        try:
            self._process.wait(3.0)
        except subprocess.TimeoutExpired:
            pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._to_browser, self._from_browser):
            with contextlib.suppress(OSError):
                os.close(pipe)
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, url: str, timeout: float = 30.0) -> Page:
        """A new tab that shows an address, when it has loaded."""
        target = self.call("Target.createTarget", {"url": "about:blank"}, timeout=timeout)["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True}, timeout=timeout)[
            "sessionId"
        ]
        page = self.pages[session] = Page(self, session, target)
        for domain in ("Page", "Runtime", "Network"):
            page.call(f"{domain}.enable", timeout=timeout)
        page.go(url, timeout)
        return page

    def call(self, method: str, parameters: dict | None = None, session: str = "", timeout: float = 30.0) -> dict:
        """One command of the protocol and its result. Raises BrowserError on its error, a dead browser, or no answer in time."""
        number = next(self._ids)
        message = {"id": number, "method": method, "params": parameters or {}} | (
            {"sessionId": session} if session else {}
        )
        data = json.dumps(message).encode() + b"\0"
        with self._arrived:
            while data:
                data = data[os.write(self._to_browser, data) :]
            done = self._arrived.wait_for(lambda: number in self._answers or self._ended, timeout)
            answer = self._answers.pop(number, None)
        if answer is None:
            raise BrowserError(f"{method}: " + ("no answer" if not done else "the browser has ended"))
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error'].get('message')}")
        return answer["result"]

    def post(self, method: str, parameters: dict, session: str = "") -> None:
        """A command whose answer nobody waits for: also from the reading thread."""
        data = json.dumps({"id": 0, "method": method, "params": parameters, "sessionId": session}).encode() + b"\0"
        with self._arrived:
            while data:
                data = data[os.write(self._to_browser, data) :]

    def _read(self) -> None:
        waiting = b""
        with contextlib.suppress(OSError):
            while data := os.read(self._from_browser, 1 << 20):
                *messages, waiting = (waiting + data).split(b"\0")
                for message in messages:
                    self._take(json.loads(message))
        with self._arrived:
            self._ended = True
            self._arrived.notify_all()

    def _take(self, message: dict) -> None:
        if message.get("id") == 0:
            return
        if "id" in message:
            with self._arrived:
                self._answers[message["id"]] = message
                self._arrived.notify_all()
        elif page := self.pages.get(message.get("sessionId", "")):
            page.take(message["method"], message["params"])


class Page:
    """One tab. Attributes: console, the newest lines that the page wrote or threw."""

    def __init__(self, browser: Chromium, session: str, target: str):
        self._browser, self._session, self._target = browser, session, target
        self._loaded = threading.Event()
        self.console: list[str] = []

    def call(self, method: str, parameters: dict | None = None, timeout: float = 30.0) -> dict:
        return self._browser.call(method, parameters, self._session, timeout)

    def go(self, url: str, timeout: float = 30.0) -> None:
        """Shows another address, until it has loaded."""
        self._loaded.clear()
        failed = self.call("Page.navigate", {"url": url}, timeout).get("errorText")
        if failed or not self._loaded.wait(timeout):
            raise BrowserError(f"{url}: {failed or 'not loaded in time'}")

    def evaluate(self, expression: str, await_promise: bool = True, timeout: float = 60.0) -> Any:
        """The value of a JavaScript expression, as JSON can say it. Raises BrowserError with what the page threw."""
        asked = {"expression": expression, "awaitPromise": await_promise, "returnByValue": True, "userGesture": True}
        result = self.call("Runtime.evaluate", asked, timeout)
        if thrown := result.get("exceptionDetails"):
            raise BrowserError(
                (thrown.get("exception") or {}).get("description") or thrown.get("text", "the page threw")
            )
        return result["result"].get("value")

    def resize(self, width: int, height: int) -> None:
        """The page's own size in pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", size)

    def screenshot(self) -> bytes:
        """What the tab shows, as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", {"format": "png"}, timeout=60.0)["data"])

    def film(self, seconds: float) -> list[tuple[float, bytes]]:
        """What the tab shows for a while, as often as it changes: (time in s, JPEG)."""
        self._film: list[tuple[float, bytes]] = []
        self.call("Page.startScreencast", {"format": "jpeg", "quality": 92})
        time.sleep(seconds)
        self.call("Page.stopScreencast")
        return self._film

    def close(self) -> None:
        self._browser.call("Target.closeTarget", {"targetId": self._target})
        self._browser.pages.pop(self._session, None)

    def take(self, method: str, parameters: dict) -> None:
        """An event of the protocol, from the reading thread."""
        if method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Page.screencastFrame":
            self._film.append((parameters["metadata"]["timestamp"], base64.b64decode(parameters["data"])))
            self._browser.post("Page.screencastFrameAck", {"sessionId": parameters["sessionId"]}, self._session)
        elif method == "Runtime.consoleAPICalled":
            self._note(" ".join(str(a.get("value", a.get("description", ""))) for a in parameters["args"]))
        elif method == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self._note((details.get("exception") or {}).get("description") or details["text"])

    def _note(self, line: str) -> None:
        self.console.append(line)
        del self.console[:-_KEPT]
