"""The page in a real browser before the server: it connects, is seen and heard, shows the motion, and comes back by itself."""

from __future__ import annotations

import asyncio
import threading
import time

import numpy as np
import pytest

pytest.importorskip("aiortc", reason="the extra [kiosk] is not installed")

from kiosk_client import FakeGraph, FakeStage
from kiosk_world import TIMEOUT_S

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.web import page_bundle
from avatar_forcing_ros.web.chromium import Chromium, fake_camera, find_chromium
from avatar_forcing_ros.web.faces import face_files
from avatar_forcing_ros.web.server import KioskServer
from avatar_forcing_ros.web.sessions import ServerSettings

pytestmark = pytest.mark.slow


@pytest.fixture
def browser():
    try:
        find_chromium()
        page_bundle.dist()
    except InputError as error:
        pytest.skip(str(error))
    with Chromium(fake_camera(), size=(256, 256)) as chromium:
        yield chromium


class Feeding:
    """The made graph in a thread of its own, for whichever server runs."""

    def __init__(self, server: KioskServer) -> None:
        self.graph = FakeGraph(server)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._task = self._loop.create_task(self.graph.run())
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(5.0)


def wait(what, description: str):
    deadline = time.monotonic() + TIMEOUT_S
    while not (value := what()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited in vain for {description}")
        time.sleep(0.2)
    return value


def test_a_visitor_in_a_browser(browser, tmp_path):
    stage, settings = FakeStage(), ServerSettings(port=0, faces=face_files("screen_face", folder=tmp_path))
    server = KioskServer(settings, stage, page_bundle.dist())
    server.start()
    feeding = Feeding(server)
    try:
        page = browser.open(f"http://localhost:{server.port}/")

        def stats() -> dict:
            page.evaluate("window.avatarKiosk?.start()")
            return page.evaluate("window.avatarKiosk?.stats() ?? {}")

        wait(lambda: stats().get("connected"), f"the page to connect; it says {page.console[-5:]}")
        wait(lambda: len(stage.images) > 10 and len(stage.sound) > 20, "camera and microphone")
        assert stage.images[-1][0].shape == (480, 640, 3)
        assert all(0 < time.time_ns() - stamp < 120e9 for _, stamp in stage.images)
        wait(lambda: stats()["fps"] > 0, "drawings")
        if stats()["mode"] == "model":  # a page that cannot draw fast enough has asked for video
            drawn = page.evaluate("window.avatarKiosk.record(3)")["face"]
            jaw = np.array([latent[rig.INDEX["jawOpen"]] for _, latent, *_ in drawn])
            assert len(jaw) > 3 and jaw.max() - jaw.min() > 0.3  # the jaw says the frame, in turns of two seconds
        count = len(stage.images)
        server.stop()
        server = KioskServer(ServerSettings(port=server.port, faces=settings.faces), stage, page_bundle.dist())
        server.start()
        feeding.graph.server = server
        wait(lambda: len(stage.images) > count + 10, "the page to come back by itself")
    finally:
        feeding.stop()
        server.stop()
