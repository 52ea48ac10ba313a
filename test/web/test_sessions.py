"""Who may connect, as what, and what is refused. The clock is the test's."""

from __future__ import annotations

import dataclasses

import pytest

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.web.sessions import (
    OFFERS_AT_ONCE,
    SILENT_S,
    Refusal,
    ServerSettings,
    Sessions,
    origin_allowed,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def code_of(sessions: Sessions, *offer: str) -> str:
    with pytest.raises(Refusal) as refusal:
        sessions.admit(*offer)
    return refusal.value.code


def test_one_visitor_one_operator_many_viewers(clock):
    sessions = Sessions(ServerSettings(max_viewers=3), clock)
    sessions.admit("a", "visitor", "")
    sessions.admit("a", "operator", "")
    assert code_of(sessions, "b", "visitor", "") == "taken"
    assert code_of(sessions, "b", "operator", "") == "operator_taken"
    for _ in range(3):
        sessions.admit("b", "viewer", "")
    assert code_of(sessions, "b", "viewer", "") == "full"
    assert code_of(sessions, "b", "king", "") == "bad"
    assert [sessions.connected(r) for r in ("visitor", "operator", "viewer")] == [1, 1, 3]


def test_a_visitor_who_comes_back_has_the_place(clock):
    sessions = Sessions(ServerSettings(hold_s=10.0), clock)
    visitor = sessions.admit("a", "visitor", "")
    sessions.left(visitor)
    clock.now += 9.0
    assert code_of(sessions, "b", "visitor", "") == "taken"
    assert sessions.admit("a", "visitor", "", visitor.id) is visitor
    sessions.left(visitor)
    clock.now += 10.1
    other = sessions.admit("b", "visitor", "")
    assert other.id != visitor.id
    assert code_of(sessions, "a", "visitor", "", visitor.id) == "taken"
    sessions.left(other, for_good=True)  # who says goodbye holds nothing
    sessions.admit("a", "visitor", "")


def test_an_unknown_session_is_a_new_one(clock):
    """After the server was started again nobody is known."""
    assert Sessions(ServerSettings(), clock).admit("a", "visitor", "", "from before").id != "from before"


def test_a_page_that_is_not_heard_is_gone(clock):
    sessions = Sessions(ServerSettings(), clock)
    viewer, visitor = sessions.admit("a", "viewer", ""), sessions.admit("a", "visitor", "")
    clock.now += SILENT_S - 1
    sessions.heard(visitor)
    clock.now += 2
    assert sessions.silent() == [viewer]


def test_tokens(clock):
    sessions = Sessions(ServerSettings(token="visitors-only", operator_token="staff-only"), clock)
    assert code_of(sessions, "a", "visitor", "") == "token"
    assert code_of(sessions, "a", "operator", "visitors-only") == "token"
    sessions.admit("a", "visitor", "visitors-only")
    sessions.admit("a", "operator", "staff-only")
    assert sessions.token_fits("staff-only") and not sessions.token_fits("else")


def test_offers_of_one_address_are_limited(clock):
    sessions = Sessions(ServerSettings(token="right-token"), clock)
    for _ in range(OFFERS_AT_ONCE):
        assert code_of(sessions, "a", "viewer", "guess") == "token"
    assert code_of(sessions, "a", "viewer", "right-token") == "busy"
    sessions.admit("b", "viewer", "right-token")
    clock.now += 2
    sessions.admit("a", "viewer", "right-token")


def test_control_messages_are_limited(clock):
    sessions = Sessions(ServerSettings(), clock)
    viewer = sessions.admit("a", "viewer", "")
    assert sum(sessions.control_allowed(viewer) for _ in range(200)) == 60
    clock.now += 1
    assert sum(sessions.control_allowed(viewer) for _ in range(200)) == 60


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "localhost:8443", True),
        ("http://localhost:8443", "localhost:8443", True),
        ("https://127.0.0.1:8443", "127.0.0.1:8443", True),
        ("http://evil.example", "localhost:8443", False),
        ("http://localhost:9999", "localhost:8443", False),
        ("null", "localhost:8443", False),
        ("http://evil.example:8443", "evil.example:8443", False),  # a foreign name that leads here
        ("https://robot.example", "localhost:8443", True),  # allowed by a parameter
    ],
)
def test_origins_of_a_local_kiosk(origin, host, allowed):
    assert origin_allowed(origin, host, ServerSettings(origins=("https://robot.example",))) is allowed


def test_origins_of_a_kiosk_in_the_network(tmp_path):
    settings = ServerSettings(host="0.0.0.0")
    assert origin_allowed("https://robot.local:8443", "robot.local:8443", settings)
    assert not origin_allowed("https://evil.example", "robot.local:8443", settings)


def test_what_others_reach_needs_certificate_and_token(tmp_path):
    certificate, key = tmp_path / "c", tmp_path / "k"
    certificate.touch()
    key.touch()
    open_to_all = ServerSettings(host="0.0.0.0", certificate=str(certificate), key=str(key), token="long enough")
    open_to_all.check()
    for change, says in (
        ({"certificate": "", "key": ""}, "https only"),
        ({"token": "short"}, "token"),
        ({"key": ""}, "go together"),
        ({"key": str(tmp_path / "none")}, "no such file"),
        ({"port": 70000}, "port"),
    ):
        with pytest.raises(InputError, match=says):
            dataclasses.replace(open_to_all, **change).check()
    ServerSettings().check()
