"""The kiosk's HTTP: the page, the face, and the offers. It runs in a thread of its own beside the ROS node."""

from __future__ import annotations

import asyncio
import json
import logging
import mimetypes
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from avatar_forcing_ros.errors import AvatarForcingError, InputError
from avatar_forcing_ros.web.hub import PROTOCOL, Hub, Stage
from avatar_forcing_ros.web.peer import listen_on
from avatar_forcing_ros.web.sessions import OFFER_BYTES, Refusal, ServerSettings, origin_allowed
from avatar_forcing_ros.web.tracking_files import tracking_file

_log = logging.getLogger(__name__)
_POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; img-src 'self' blob: data:; "
    "connect-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(self)",
    "Cache-Control": "no-cache",
}
_TYPES = {
    ".js": "text/javascript",
    ".wasm": "application/wasm",
    ".glb": "model/gltf-binary",
    ".vrm": "model/gltf-binary",
}
_START_TIMEOUT_S = 20.0


def _refused(refusal: Refusal) -> web.Response:
    return web.json_response({"error": refusal.code, "message": refusal.message}, status=refusal.status)


class Site:
    """The handlers. pages: the folder of the built page."""

    def __init__(self, hub: Hub, pages: Path) -> None:
        self.hub, self.pages = hub, pages.resolve()

    def application(self) -> web.Application:
        app = web.Application(client_max_size=OFFER_BYTES, middlewares=[self._guard])
        app.router.add_post("/offer", self._offer)
        app.router.add_get("/config.json", self._config)
        app.router.add_get("/face.glb", self._face)
        app.router.add_get("/{name:.*}", self._file)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler) -> web.StreamResponse:
        try:
            if not origin_allowed(request.headers.get("Origin"), request.host, self.hub.settings):
                raise Refusal("origin", 403, "this server answers its own pages only")
            response = await handler(request)
        except Refusal as refusal:
            response = _refused(refusal)
        except web.HTTPRequestEntityTooLarge:
            response = _refused(Refusal("too_large", 413, f"more than {OFFER_BYTES // 1024} KB"))
        except InputError as error:  # a part of this installation is missing
            response = _refused(Refusal("server", 503, str(error)))
        except web.HTTPNotFound:
            response = _refused(Refusal("bad", 404, "there is no such page"))
        response.headers.update(_HEADERS)
        return response

    async def _offer(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            raise Refusal("bad", 415, "an offer is application/json")
        try:
            body = await request.json()
        except (ValueError, RecursionError):
            raise Refusal("bad", 400, "the offer is no JSON") from None
        if not isinstance(body, dict):
            raise Refusal("bad", 400, "the offer is no JSON object")
        return web.json_response(await self.hub.offer(request.remote or "", body))

    async def _config(self, request: web.Request) -> web.Response:
        settings = self.hub.settings
        known = self._token_fits(request)
        return web.json_response({
            "protocol": PROTOCOL,
            "face": "model" if settings.faces else "video",
            "name": self.hub.face,
            "faces": list(settings.faces),
            "tracking": settings.tracking,
            "ice_servers": list(settings.ice_servers) if known else [],
            "token_needed": bool(settings.token),
            "records": settings.records,
            "video_possible": settings.video_possible,
            "visitor_sees": settings.sees,
        })  # fmt: skip

    async def _face(self, request: web.Request) -> web.StreamResponse:
        if not self._token_fits(request):
            raise Refusal("token", 401, "the token is missing or wrong")
        file = self.hub.settings.faces.get(request.query.get("name") or self.hub.face)
        if file is None or not file.is_file():
            raise Refusal("bad", 404, "there is no such face")
        return web.FileResponse(file, headers={"Content-Type": _TYPES[".glb"]})

    def _token_fits(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ") or request.query.get("token", "")
        return self.hub.sessions.token_fits(given)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        extra = tracking_file(name.removeprefix("tracking/")) if name.startswith("tracking/") else None
        if isinstance(extra, bytes):
            return web.Response(body=extra, content_type="application/json")
        if extra is not None:
            return web.FileResponse(extra)
        file = (self.pages / (name if name not in ("", "operator") else "index.html")).resolve()
        if not file.is_relative_to(self.pages) or not file.is_file():
            raise Refusal("bad", 404, "there is no such page")
        kind = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        if kind.startswith("text/") or kind == "application/json":
            kind += "; charset=utf-8"
        return web.FileResponse(file, headers={"Content-Type": kind})


class KioskServer:
    """The server in a thread of its own. `start` returns when it listens; the methods may be called from any thread."""

    def __init__(self, settings: ServerSettings, stage: Stage, pages: Path, operator_buffer_s: float = 0.15) -> None:
        settings.check()
        self.settings, self._stage, self._pages = settings, stage, pages
        self._buffer_s = operator_buffer_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hub: Hub | None = None
        self._thread: threading.Thread | None = None
        self._fault: BaseException | None = None
        self.port = settings.port

    @property
    def hub(self) -> Hub:
        assert self._hub is not None, "the server has not been started"
        return self._hub

    def start(self) -> None:
        """Raises InputError where the address cannot be listened on or the certificate does not fit."""
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True, name="kiosk")
        self._thread.start()
        if not ready.wait(_START_TIMEOUT_S):
            raise AvatarForcingError("the kiosk's server did not start in time")
        if self._fault is not None:
            raise self._fault

    def stop(self) -> None:
        if self._loop is not None and self._thread is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(10.0)

    def do(self, work: Callable[[Hub], object]) -> None:
        """work(hub), on the event loop, soon. Nothing where the server is not running."""
        loop, hub = self._loop, self._hub
        if loop is None or hub is None or loop.is_closed():
            return
        try:
            loop.call_soon_threadsafe(work, hub)
        except RuntimeError:  # it closes just now
            pass

    def _run(self, ready: threading.Event) -> None:
        try:
            asyncio.run(self._serve(ready))
        except BaseException as error:
            if ready.is_set():
                _log.exception("the kiosk's server ended")
            self._fault = error
        finally:
            self._loop = None
            ready.set()

    async def _serve(self, ready: threading.Event) -> None:
        self._stopped = asyncio.Event()
        settings = self.settings
        if settings.local and not settings.ice_servers:
            listen_on(["127.0.0.1"])
        hub = Hub(settings, self._stage, self._buffer_s)
        runner = web.AppRunner(
            Site(hub, self._pages).application(), access_log=None, handle_signals=False, shutdown_timeout=1.0
        )
        await runner.setup()
        try:
            host = "127.0.0.1" if settings.host == "localhost" else settings.host
            site = web.TCPSite(runner, host, settings.port, ssl_context=self._tls())
            try:
                await site.start()
            except OSError as error:
                raise InputError(
                    f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}; "
                    "give another one with --port (port:= of the launch file)"
                ) from error
            self.port = runner.addresses[0][1]
            hub.start()
            self._loop, self._hub = asyncio.get_running_loop(), hub
            ready.set()
            await self._stopped.wait()
            await hub.stop()
        finally:
            await runner.cleanup()

    def _tls(self) -> ssl.SSLContext | None:
        if not self.settings.certificate:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.settings.certificate, self.settings.key)
        except (ssl.SSLError, OSError) as error:
            raise InputError(
                f"certificate {self.settings.certificate} and key {self.settings.key} cannot be used: {error}"
            ) from error
        return context


def read_ice_servers(text: str) -> tuple[dict, ...]:
    """A JSON list of {urls, username, credential} -> the same, checked. Raises InputError."""
    if not text:
        return ()
    try:
        servers = json.loads(text)
        for server in servers:
            if not set(server) <= {"urls", "username", "credential"} or "urls" not in server:
                raise ValueError("unknown keys")
    except (ValueError, TypeError) as error:
        raise InputError(
            f'ice_servers: {error}: give a JSON list such as [{{"urls": "turn:host:3478", "username": "u", "credential": "c"}}]'
        ) from None
    return tuple(servers)
