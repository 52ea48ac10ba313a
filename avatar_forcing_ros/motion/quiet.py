"""MediaPipe's native libraries write about their start to stderr whatever log level is set."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_native_start() -> Iterator[None]:
    """While a MediaPipe graph is made and takes its first image, what native code writes to stderr is dropped.

    Errors come as Python exceptions and are not touched.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
