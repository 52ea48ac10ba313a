"""The ROS domain of a run: one of its own, so that runs and tests beside each other never meet."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version

DOMAINS = range(1, 101)  # those that every system can have (their ports lie below the ephemeral ones)
_RENAMED_IN = 9  # rclpy of Kilted, whose Fast DDS looks for its profile under another name
_FIRST_PORT, _PORTS_PER_DOMAIN, _UNICAST = 7400, 250, 10  # of DDS: how a domain becomes UDP ports
_held: dict[int, socket.socket] = {}  # the domains that this process has taken


def _profile_variable() -> str:
    """Where the installed Fast DDS looks for its profile. (Kilted's reads both, and prints errors where it finds one profile twice.)"""
    try:
        old = int(version("rclpy").split(".")[0]) < _RENAMED_IN
    except (PackageNotFoundError, ValueError):
        old = False
    return "FASTRTPS_DEFAULT_PROFILES_FILE" if old else "FASTDDS_DEFAULT_PROFILES_FILE"


PROFILE_VARIABLE = _profile_variable()


def own_domain() -> int:
    """A domain that no other process of this machine has, until this one ends. Where all are taken, one by the process's number."""
    first = os.getpid() % len(DOMAINS)
    order = [*DOMAINS[first:], *DOMAINS[:first]]
    for domain in order:
        if _take(domain):
            if not _spoken_in(domain):
                return domain
            give_back(domain)
    return order[0]


def _take(domain: int) -> bool:
    """The domain's name among this machine's abstract sockets; it is free again when the process ends."""
    try:
        name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name.bind(f"\0avatar_forcing_domain_{domain}")
    except (AttributeError, OSError):
        return False
    _held[domain] = name
    return True


def give_back(domain: int) -> None:
    """A domain that `own_domain` gave is free for others."""
    if (name := _held.pop(domain, None)) is not None:
        name.close()


def _spoken_in(domain: int) -> bool:
    """Somebody else's nodes: the first participant of a domain holds this port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", _FIRST_PORT + _PORTS_PER_DOMAIN * domain + _UNICAST))
        except OSError:
            return True
    return False


def environment_of(domain: str | None, own_range: str = "LOCALHOST") -> dict[str, str]:
    """The environment variables that put nodes into a domain. None: ROS_DOMAIN_ID where it is set, else one of its own, on this
    machine only; "user": the one that the shell's other nodes are in; a number: that one."""
    if domain == "user":
        return {"ROS_DOMAIN_ID": os.environ.get("ROS_DOMAIN_ID", "0")}
    if domain is not None:
        return {"ROS_DOMAIN_ID": domain}
    asked = os.environ.get("ROS_DOMAIN_ID")
    reach = {"ROS_AUTOMATIC_DISCOVERY_RANGE": os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", own_range)}
    return {"ROS_DOMAIN_ID": asked or str(own_domain()), **reach}


@contextlib.contextmanager
def lent(values: Mapping[str, str]) -> Iterator[None]:
    """These environment variables for this process, and at the end those that were."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
