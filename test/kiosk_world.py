"""A running server with a graph that feeds it, and the pages of one test."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import pytest
from kiosk_client import FakeGraph, FakeStage, PageClient

from avatar_forcing_ros.web.server import KioskServer
from avatar_forcing_ros.web.sessions import ServerSettings

TIMEOUT_S = 60.0  # for a machine that is slow


async def until(what, description: str):
    deadline = time.monotonic() + TIMEOUT_S
    while not (value := what()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited in vain for {description}")
        await asyncio.sleep(0.02)
    return value


class World:
    """A running server with its stage, and the clients of one test."""

    def __init__(self, pages: Path, **settings) -> None:
        self.stage = FakeStage()
        self.server = KioskServer(ServerSettings(**{"port": 0, **settings}), self.stage, pages)
        self.server.start()
        self.url = f"http{'s' if self.server.settings.secure else ''}://127.0.0.1:{self.server.port}"
        self.graph = FakeGraph(self.server)
        self.clients: list[PageClient] = []

    async def client(self, role: str = "viewer", **options) -> PageClient:
        client = PageClient(self.url, role, **options)
        self.clients.append(client)
        return await client.connect()


@contextlib.asynccontextmanager
async def world(pages: Path, **settings):
    here = World(pages, **settings)
    feeding = asyncio.ensure_future(here.graph.run())
    try:
        yield here
    finally:
        feeding.cancel()
        for client in here.clients:
            await client.close()
        await asyncio.to_thread(here.server.stop)


def run(work) -> None:
    asyncio.run(asyncio.wait_for(work, 5 * TIMEOUT_S))
