"""Nodes' processes as forks of one process that has imported what they all need: each starts in a fraction of the time, and they
share the memory of what was imported.

On a robot the launch files start each node by its executable, from scratch.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import multiprocessing.context
import os
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

from avatar_forcing_ros.errors import AvatarForcingError

_SHARED = ("running", "media_source", "audio_ingest", "face_ingest", "motion_generator", "renderer", "recorder")
_MODULE = "avatar_forcing_ros.nodes.{}"
_LATER = (  # what these nodes import when they are configured
    "generators.embedded", "motion.portrait.avatar", "motion.portrait.source", "motion.tracking.tracker", "media.open", "ros.graph.frozen",
)  # fmt: skip
_PRELOADED = [
    "__main__", "rclpy", *(_MODULE.format(name) for name in _SHARED), *(f"avatar_forcing_ros.{name}" for name in _LATER),
]  # fmt: skip
# Read by libraries when they are loaded: one thread for each.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@contextlib.contextmanager
def _started_with(variables: dict[str, str]) -> Iterator[None]:
    """A process that is started now has these variables, and no folder of the user's in its way when it imports: Python looks into the
    current one first."""
    before, folder = dict(os.environ), os.getcwd()
    os.environ.update(variables)
    os.chdir("/")
    try:
        yield
    finally:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(before)


def prepare() -> multiprocessing.context.ForkServerContext:
    """Begins to import, in the process that is forked later. Returns at once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    with _started_with(ONE_THREAD) if forks_parent() is None else contextlib.nullcontext():
        forkserver.ensure_running()
    return context


def forks_parent() -> int | None:
    """The pid of the process that nodes are forks of; None before there is one."""
    return forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]  # multiprocessing does not tell it otherwise


def start_nodes(
    nodes: list[tuple[str, list[str]]], environment: dict[str, str], log: Path, *, nice: int = 0
) -> multiprocessing.context.ForkServerProcess:
    """Starts a process with these nodes: each an executable, as `ros2 run` knows it, and its arguments, as on its command line. What
    they print is in `log`.

    nice: by how much it lets other processes go first.
    """
    work = {"environment": environment, "folder": os.getcwd(), "log": str(log), "nice": nice}
    log.write_bytes(b"")
    process = prepare().Process(target=_run, args=(nodes,), kwargs=work, name=nodes[0][0], daemon=True)
    try:
        process.start()
    except EOFError as error:  # what it printed is above
        raise AvatarForcingError("the process that starts nodes has ended: see above, and try again") from error
    return process


def _run(nodes: list[tuple[str, list[str]]], *, environment: dict[str, str], folder: str, log: str, nice: int) -> None:
    """In the fork. Ends the process with the nodes' exit status."""
    os.chdir(folder)
    os.setsid()  # Ctrl-C is for the command, which ends its nodes in order
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    for standard in (1, 2):
        os.dup2(output, standard)
    os.close(output)
    os.environ.clear()
    os.environ.update(environment)
    if nice:
        _let_others_first(nice)
    threading.Thread(target=_end_with_command, daemon=True).start()
    sys.exit(importlib.import_module(_MODULE.format("running")).run_together(nodes))


def _end_with_command() -> None:
    """A command that is killed leaves no nodes: each ends as after Ctrl-C, the recorder with its film."""
    command = multiprocessing.parent_process()
    assert command is not None
    command.join()
    os.kill(os.getpid(), signal.SIGINT)


def _let_others_first(nice: int) -> None:
    os.nice(nice)
    try:  # Linux may share the cores among sessions, and each node is one: then this is what counts
        Path("/proc/self/autogroup").write_text(str(nice))
    except OSError:
        pass
