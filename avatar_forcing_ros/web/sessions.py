"""Who is connected, as what, and what is refused. No network here: the server asks, and time is given."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from avatar_forcing_ros.errors import InputError

VISITOR, VIEWER, OPERATOR = "visitor", "viewer", "operator"
ROLES = (VISITOR, VIEWER, OPERATOR)
OFFER_BYTES = 64 * 1024  # an offer of a browser has 5 to 10 KB
MESSAGE_BYTES = 64 * 1024
CONTROL_PER_S = 60
TRACKED_PER_S = 120
OFFERS_AT_ONCE, OFFERS_PER_S = 30, 1.0  # of one address
SILENT_S = 8.0  # a page pings every two seconds; one that has been silent for so long is gone


class Refusal(Exception):
    """An offer that is not accepted: code of the wire protocol, HTTP status, and plain words for the page."""

    def __init__(self, code: str, status: int, message: str) -> None:
        super().__init__(message)
        self.code, self.status, self.message = code, status, message


@dataclass(frozen=True)
class ServerSettings:
    """host: the address to listen on; one that others reach needs certificate, key and token. faces: name -> GLB or VRM file,
    the first is shown; empty: the face comes as video. ice_servers: of TURN, as browsers take them."""

    host: str = "127.0.0.1"
    port: int = 8443
    token: str = ""
    operator_token: str = ""  # empty: as token
    certificate: str = ""
    key: str = ""
    max_viewers: int = 20
    hold_s: float = 10.0  # a visitor's place is held for so long
    ice_servers: tuple[dict, ...] = ()
    origins: tuple[str, ...] = ()  # that may use the server besides its own pages
    faces: dict[str, Path] = field(default_factory=dict)
    video_possible: bool = True
    tracking: str = "server"
    records: bool = False
    sees: str = ""  # what the page tells a visitor of this kiosk

    @property
    def local(self) -> bool:
        """Only this machine can reach it."""
        return is_loopback(self.host)

    @property
    def secure(self) -> bool:
        return bool(self.certificate)

    @property
    def address(self) -> str:
        host = "localhost" if self.local else self.host
        return f"http{'s' if self.secure else ''}://{f'[{host}]' if ':' in host else host}:{self.port}/"

    def check(self) -> None:
        """Raises InputError where the settings would be unsafe or cannot work."""
        if not 0 <= self.port <= 65535:
            raise InputError(f"port is {self.port}: give 1 to 65535, or 0 for a free one")
        if bool(self.certificate) != bool(self.key):
            raise InputError(
                "certificate and key go together: give both, or make them with `avatar-forcing kiosk --make-certificate`"
            )
        for name, file in (("certificate", self.certificate), ("key", self.key)):
            if file and not Path(file).is_file():
                raise InputError(f"{name}: {file}: no such file; `avatar-forcing kiosk --make-certificate` makes one")
        if self.local:
            return
        if not self.certificate:
            raise InputError(
                f"host {self.host} is reached from other machines, where browsers give camera and microphone to https only: "
                "make a certificate with `avatar-forcing kiosk --make-certificate`, or use host 127.0.0.1"
            )
        if len(self.token) < 8:
            raise InputError(
                f"host {self.host} is reached from other machines: give a token of 8 characters or more, or --token auto"
            )


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin_allowed(origin: str | None, host: str, settings: ServerSettings) -> bool:
    """Whether a request that a page of `origin` makes may be answered. host: the request's Host header. A browser gives an origin
    with every POST; a program that is no browser gives none and has to know the token where one is needed."""
    if settings.local and not is_loopback(urlsplit(f"//{host}").hostname or ""):
        return False  # a foreign name that leads to this machine (DNS rebinding)
    if origin is None:
        return True
    if origin in settings.origins:
        return True
    found = urlsplit(origin)
    return found.scheme in ("http", "https") and found.netloc.lower() == host.lower()


class Bucket:
    """Allows `at_once` events, and then `per_s` in a second."""

    def __init__(self, at_once: float, per_s: float, now: float) -> None:
        self._full, self._per_s, self._left, self._at = at_once, per_s, at_once, now

    def allow(self, now: float) -> bool:
        self._left = min(self._full, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    @property
    def full(self) -> bool:
        return self._left >= self._full - 1.0


@dataclass
class Session:
    """One page. It outlives its connection for a while, so that a visitor who comes back has the place."""

    id: str
    role: str
    heard_at: float  # when something last came from the page
    connected: bool = False
    left_at: float = 0.0  # when the connection was lost
    control: Bucket = field(default_factory=lambda: Bucket(CONTROL_PER_S, CONTROL_PER_S, 0.0))
    tracked: Bucket = field(default_factory=lambda: Bucket(TRACKED_PER_S, TRACKED_PER_S, 0.0))


class Sessions:
    """One visitor, one operator, any number of viewers up to the limit. now: seconds, of a clock that never steps back."""

    def __init__(self, settings: ServerSettings, now: Callable[[], float]) -> None:
        self.settings, self._now = settings, now
        self._sessions: dict[str, Session] = {}
        self._offers: dict[str, Bucket] = {}

    def admit(self, address: str, role: str, token: str, session_id: str = "") -> Session:
        """The session of an offer that comes from `address`. Raises Refusal."""
        now = self._now()
        self._forget(now)
        if not self._offers.setdefault(address, Bucket(OFFERS_AT_ONCE, OFFERS_PER_S, now)).allow(now):
            raise Refusal("busy", 429, "too many tries; wait a little")
        self._check_token(role, token)
        if role not in ROLES:
            raise Refusal("bad", 400, f"role '{role}' is unknown; use one of {', '.join(ROLES)}")
        old = self._sessions.get(session_id)
        if old is not None and old.role == role:
            old.connected, old.heard_at = True, now
            return old
        same = [s for s in self._sessions.values() if s.role == role]
        if role == VIEWER and len(same) >= self.settings.max_viewers:
            raise Refusal("full", 503, f"{len(same)} are watching, which is the limit")
        if role != VIEWER and same:
            who = "a visitor" if role == VISITOR else "an operator"
            raise Refusal("taken" if role == VISITOR else "operator_taken", 409, f"{who} is there already")
        session = Session(secrets.token_urlsafe(12), role, now, connected=True)
        self._sessions[session.id] = session
        return session

    def heard(self, session: Session) -> None:
        session.heard_at = self._now()

    def left(self, session: Session, for_good: bool = False) -> None:
        """The connection is gone. for_good: the page said goodbye."""
        session.connected, session.left_at = False, self._now()
        if for_good or session.role == VIEWER:
            self._sessions.pop(session.id, None)

    def silent(self) -> list[Session]:
        """Connected sessions whose pages are not heard any more; those whose place was held long enough are forgotten."""
        now = self._now()
        self._forget(now)
        return [s for s in self._sessions.values() if s.connected and now - s.heard_at > SILENT_S]

    def connected(self, role: str) -> int:
        return sum(s.connected for s in self._sessions.values() if s.role == role)

    def control_allowed(self, session: Session) -> bool:
        return session.control.allow(self._now())

    def tracked_allowed(self, session: Session) -> bool:
        return session.tracked.allow(self._now())

    def token_fits(self, token: str) -> bool:
        """For what every page may read."""
        return any(_same(t, token) for t in {self.settings.token, self.settings.operator_token or self.settings.token})

    def _check_token(self, role: str, token: str) -> None:
        wanted = self.settings.token
        if role == OPERATOR and self.settings.operator_token:
            wanted = self.settings.operator_token
        if not _same(wanted, token):
            raise Refusal("token", 401, "the token is missing or wrong; open the address that the kiosk printed")

    def _forget(self, now: float) -> None:
        for session in [
            s for s in self._sessions.values() if not s.connected and now - s.left_at > self.settings.hold_s
        ]:
            del self._sessions[session.id]
        for address in [a for a, bucket in self._offers.items() if len(self._offers) > 100 and bucket.full]:
            del self._offers[address]


def _same(wanted: str, given: str) -> bool:
    return not wanted or hmac.compare_digest(wanted.encode(), given.encode())
