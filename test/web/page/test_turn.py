"""A TURN server as a parameter: page and server both get an address from it, and a page that can go no other way connects by it."""

import asyncio
import hashlib
import struct
import threading
from contextlib import contextmanager

import pytest
from page_files import built_page, need_browser

from avatar_forcing_ros.motion.gltf import export_face
from avatar_forcing_ros.web.chromium import Chromium, fake_camera

pytest.importorskip("aiortc", reason="needs the extra [kiosk]")
import ifaddr
from aioice import stun
from page_world import Graph, begin, connected, wait

from avatar_forcing_ros.motion.screen.avatar import ScreenFaceAvatar

USER, PASSWORD, REALM = "kiosk", "a secret", "test"
KEY = hashlib.md5(f"{USER}:{REALM}:{PASSWORD}".encode()).digest()
ONLY_RELAYED = """const Old = RTCPeerConnection;
    window.RTCPeerConnection = class extends Old { constructor(c) { super({ ...c, iceTransportPolicy: 'relay' }); } };"""


class Relay(asyncio.DatagramProtocol):
    """An address that was lent to a client: what comes to it goes to the client."""

    def __init__(self, turn, client) -> None:
        self.turn, self.client = turn, client
        self.channels: dict = {}  # number -> peer

    def connection_made(self, transport) -> None:
        self.transport = transport

    def datagram_received(self, data, peer) -> None:
        self.turn.relayed += len(data)
        number = next((n for n, p in self.channels.items() if p == peer), None)
        if number is not None:
            self.turn.transport.sendto(struct.pack("!HH", number, len(data)) + data, self.client)
            return
        message = stun.Message(message_method=stun.Method.DATA, message_class=stun.Class.INDICATION)
        message.attributes["XOR-PEER-ADDRESS"], message.attributes["DATA"] = peer, data
        self.turn.transport.sendto(bytes(message), self.client)


class Turn(asyncio.DatagramProtocol):
    """As much of RFC 8656 as two clients over UDP need."""

    def __init__(self, host: str) -> None:
        self.host, self.relays, self.relayed = host, {}, 0

    def connection_made(self, transport) -> None:
        self.transport = transport

    def datagram_received(self, data, client) -> None:
        if data[0] & 0xC0 == 0x40:  # a channel's data
            number, length = struct.unpack("!HH", data[:4])
            relay = self.relays[client]
            relay.transport.sendto(data[4 : 4 + length], relay.channels[number])
            return
        message = stun.parse_message(data)
        if message.message_class == stun.Class.INDICATION:
            relay = self.relays[client]
            relay.transport.sendto(message.attributes["DATA"], message.attributes["XOR-PEER-ADDRESS"])
        elif message.message_class == stun.Class.REQUEST:
            asyncio.ensure_future(self.answer(message, client))

    async def answer(self, request, client) -> None:
        answer = stun.Message(
            message_method=request.message_method,
            message_class=stun.Class.RESPONSE,
            transaction_id=request.transaction_id,
        )
        if request.message_method == stun.Method.BINDING:
            answer.attributes["XOR-MAPPED-ADDRESS"] = client
        elif request.attributes.get("USERNAME") != USER or not request.check_message_integrity(KEY):
            answer.message_class = stun.Class.ERROR
            answer.attributes |= {"ERROR-CODE": (401, "Unauthorized"), "REALM": REALM, "NONCE": b"once"}
            self.transport.sendto(bytes(answer), client)
            return
        elif request.message_method == stun.Method.ALLOCATE:
            if client not in self.relays:
                loop = asyncio.get_running_loop()
                _, self.relays[client] = await loop.create_datagram_endpoint(
                    lambda: Relay(self, client), local_addr=(self.host, 0)
                )
            lent = self.relays[client].transport.get_extra_info("sockname")
            answer.attributes |= {"XOR-RELAYED-ADDRESS": lent, "XOR-MAPPED-ADDRESS": client, "LIFETIME": 600}
        elif request.message_method == stun.Method.CHANNEL_BIND:
            self.relays[client].channels[request.attributes["CHANNEL-NUMBER"]] = request.attributes["XOR-PEER-ADDRESS"]
        elif request.message_method == stun.Method.REFRESH:
            answer.attributes["LIFETIME"] = request.attributes.get("LIFETIME", 600)
        if request.message_method != stun.Method.BINDING:
            answer.add_message_integrity(KEY)
        self.transport.sendto(bytes(answer), client)


@contextmanager
def turn_server():
    """Runs one on an address of this machine that is not loopback, which browsers leave out."""
    addresses = [str(ip.ip) for a in ifaddr.get_adapters() for ip in a.ips if ip.is_IPv4]
    host = next((a for a in addresses if not a.startswith("127.")), None)
    if host is None:
        pytest.skip("this machine has no network address: browsers do not use loopback for TURN")
    loop, turn = asyncio.new_event_loop(), Turn(host)
    loop.run_until_complete(loop.create_datagram_endpoint(lambda: turn, local_addr=(host, 0)))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield turn, turn.transport.get_extra_info("sockname")[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def test_a_page_that_only_turn_lets_through(request, tmp_path):
    need_browser()
    face = tmp_path / "beacon.glb"
    face.write_bytes(export_face(ScreenFaceAvatar(256, "beacon"), "beacon"))
    with turn_server() as (turn, port), Chromium(fake_camera(), size=(256, 256)) as browser:
        servers = ({"urls": f"turn:{turn.host}:{port}", "username": USER, "credential": PASSWORD},)
        graph = Graph(built_page(request.config.cache), face, ice_servers=servers, token="a long token")
        try:
            page = browser.open("about:blank")
            page.go(f"{graph.address}/")
            asked = "fetch('/config.json', { headers: { Authorization: 'Bearer %s' } }).then((r) => r.json())"
            assert page.evaluate(asked % "wrong")["ice_servers"] == []  # credentials are for those who know the token
            page.close()
            page = begin(browser, f"{graph.address}/?token=a%20long%20token", ONLY_RELAYED)
            connected(page)
            wait(lambda: graph.cameras > 5 and graph.microphones > 5, "camera and microphone over the relay")
            wait(lambda: turn.relayed > 20_000, "what goes over the relay")
            assert len(turn.relays) >= 2  # the page has one address of it, the server another
            page.close()
        finally:
            graph.close()
