"""How many threads the libraries of a command compute on."""

from __future__ import annotations

import os
import sys

import cv2


def few_threads() -> int:
    """One thread, or as many as OMP_NUM_THREADS says; returns the number.

    The arrays here are small: more threads wait for each other, and on a machine that does something else besides, for
    long. To be called before the work's libraries are loaded.
    """
    try:
        count = max(1, int(os.environ.setdefault("OMP_NUM_THREADS", "1").split(",")[0]))
    except ValueError:
        count = 1
    cv2.setNumThreads(count)
    if "torch" in sys.modules:  # else it reads the variable when it is loaded
        sys.modules["torch"].set_num_threads(count)
    return count
