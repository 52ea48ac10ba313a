"""A decoder for the fuzzer that crashes on some inputs and never ends on others. A module, so that another process can import it."""

import os
import signal
import time

from avatar_forcing_ros.bench.fuzz import Target

SEED, COUNT = 23, 60  # among these inputs one crashes and one hangs


def crashes(data: bytes) -> bool:
    return data[:1] == b"\xff"


def hangs(data: bytes) -> bool:
    return data[:1] == b"\0"


def good() -> list[bytes]:
    return [bytes(range(1, 101))]


def deadly() -> Target:
    def feed(data: bytes, rng) -> None:
        if crashes(data):
            os.kill(os.getpid(), signal.SIGSEGV)
        if hangs(data):
            time.sleep(60)

    return Target("deadly", good, feed)
