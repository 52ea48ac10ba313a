"""What a node's process asks of the system. AVATAR_FORCING_TUNED=0 leaves memory, garbage collection and priorities as they are."""

from __future__ import annotations

import ctypes
import gc
import os
import sys

_M_ARENA_MAX = -8  # of mallopt(3)


def _tuned() -> bool:
    return os.environ.get("AVATAR_FORCING_TUNED", "1") != "0"


def run_first(priority: int, thread: int = 0) -> bool:
    """Asks for SCHED_RR for a thread of this process (0: the calling one); priority 0 gives it up. False where there is no such
    thing, no right to it (see limits.conf(5), rtprio), or no second core: others would wait for as long as this thread computes."""
    try:
        if not _tuned() or len(os.sched_getaffinity(0)) < 2:
            return False
        policy = os.SCHED_RR if priority else os.SCHED_OTHER
        os.sched_setscheduler(thread, policy | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except (AttributeError, OSError):
        return False
    return True


def keep_memory_flat() -> None:
    """Two malloc arenas instead of eight per core: images that pass from thread to thread else leave holes in all of
    them, and a node that plays video grows by megabytes a minute."""
    try:
        if _tuned():
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
    except (AttributeError, OSError):  # another C library than glibc has other habits
        pass


def give_back_memory() -> None:
    """What was needed to make ready and is free now goes back to the system: glibc keeps it, tens of megabytes in a node that has read
    a portrait or a model."""
    try:
        if _tuned():
            ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        pass


def be_steady() -> None:
    """What is there now stays: later garbage collections are short, and a thread whose image is due does not wait 5 ms for
    one that reads a message."""
    if _tuned():
        sys.setswitchinterval(0.001)
        gc.collect()
        gc.freeze()
