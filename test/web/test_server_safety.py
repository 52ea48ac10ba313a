"""Who is refused by the kiosk's server, and what a page that misbehaves can do: nothing to the others."""

from __future__ import annotations

import ssl

import aiohttp
import pytest

pytest.importorskip("aiortc", reason="the extra [kiosk] is not installed")

from kiosk_client import FakeStage, PageClient, Refused
from kiosk_world import run, until, world

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.web.certificate import make_certificate
from avatar_forcing_ros.web.server import KioskServer, read_ice_servers
from avatar_forcing_ros.web.sessions import ServerSettings


def test_who_is_refused_and_why(pages):
    async def work():
        async with world(pages, token="a long token", operator_token="the staff's") as here:

            async def refused(role: str, token: str, origin: str | None = None) -> tuple[int, str]:
                with pytest.raises(Refused) as refusal:
                    await PageClient(here.url, role, token).connect(origin)
                return refusal.value.status, refusal.value.code

            assert await refused("visitor", "") == (401, "token")
            assert await refused("visitor", "wrong") == (401, "token")
            assert await refused("operator", "a long token") == (401, "token")
            assert await refused("visitor", "a long token", "http://evil.example") == (403, "origin")
            visitor = PageClient(here.url, "visitor", "a long token")
            here.clients.append(await visitor.connect())
            assert await refused("visitor", "a long token") == (409, "taken")
            assert len(here.server.hub.peers) == 1

    run(work())


def test_foreign_and_broken_requests_get_a_reason(pages):
    async def work():
        async with world(pages) as here, aiohttp.ClientSession() as http:

            async def post(data, kind="application/json", **headers):
                async with http.post(
                    f"{here.url}/offer", data=data, headers={"Content-Type": kind, **headers}
                ) as response:
                    return response.status, (await response.json()).get("error", await response.text())

            assert await post(b"x" * 10_000_000) == (413, "too_large")
            assert await post(b"{") == (400, "bad")
            assert await post(b"[1]") == (400, "bad")
            assert await post(b"{}") == (400, "bad")
            assert await post(b"{}", "text/plain") == (415, "bad")
            assert await post(b'{"sdp": "v=0", "type": "offer", "role": "viewer"}') == (400, "bad")
            assert await post(b"{}", Origin="http://evil.example") == (403, "origin")
            assert await post(b"{}", Host="evil.example") == (403, "origin")
            assert not here.server.hub.peers

            async with http.get(f"{here.url}/") as response:
                assert response.status == 200 and "default-src 'self'" in response.headers["Content-Security-Policy"]
            async with http.get(f"{here.url}/operator") as response:
                assert response.status == 200
            for path in ("/%2e%2e/secret.txt", "/..%2fsecret.txt", "/face.glb", "/nothing"):
                async with http.get(aiohttp.client.URL(here.url + path, encoded=True)) as response:
                    assert response.status == 404, path
            async with http.get(f"{here.url}/config.json") as response:
                config = await response.json()
                assert config["protocol"] == 1 and config["face"] == "video" and config["records"] is False

    run(work())


def send_ten_megabytes(client: PageClient) -> None:
    client.connection.sctp._remote_max_message_size = 0  # a page that does not keep to what the server takes
    client.channels["control"].send("x" * 10_000_000)


def test_a_page_that_floods_is_disconnected(pages):
    async def work():
        async with world(pages) as here:
            for flood in (
                send_ten_megabytes,
                lambda c: c.channels["control"].send("no json"),
                lambda c: [c.say(type="hello") for _ in range(300)],
                lambda c: c.channels["tracked"].send(b"nonsense"),
            ):
                client = await here.client("viewer")
                good = await here.client("viewer")
                flood(client)
                await until(lambda: client.session not in here.server.hub.peers, "the flooding page to be gone")
                count = len(good.motion)
                await until(lambda: len(good.motion) > count + 20, "the other page to go on")
                await good.close()
                await client.close()

    run(work())


def test_tls_with_the_certificate_of_one_command(pages, tmp_path):
    certificate, key = make_certificate(tmp_path / "tls", ["robot.local", "192.0.2.7"])
    assert key.stat().st_mode & 0o077 == 0

    async def work():
        async with world(pages, certificate=str(certificate), key=str(key), token="a long token") as here:
            client = await here.client(token="a long token")
            await until(lambda: client.motion, "motion over TLS")
            trusting = ssl.create_default_context(cafile=str(certificate))
            async with aiohttp.ClientSession() as http:
                async with http.get(here.url + "/config.json", ssl=trusting, server_hostname="robot.local") as response:
                    assert (await response.json())["token_needed"] is True
                async with http.get(here.url + "/face.glb", ssl=trusting) as response:
                    assert response.status == 401

    run(work())


def test_what_cannot_be_started_says_why(pages, tmp_path):
    first = KioskServer(ServerSettings(port=0), FakeStage(), pages)
    first.start()
    with pytest.raises(InputError, match=f"port {first.port}"):
        KioskServer(ServerSettings(port=first.port), FakeStage(), pages).start()
    first.stop()
    certificate, key = make_certificate(tmp_path, ["robot.local"])
    with pytest.raises(InputError, match="cannot be used"):
        KioskServer(ServerSettings(port=0, certificate=str(key), key=str(certificate)), FakeStage(), pages).start()
    with pytest.raises(InputError, match="ice_servers"):
        read_ice_servers('[{"url": "turn:host"}]')
    assert read_ice_servers('[{"urls": "turn:host:3478", "username": "u", "credential": "c"}]')[0]["username"] == "u"
