"""A process and the nodes that live in it: one on a robot, where launch files start each by its executable; several small ones, a
thread each, where `avatar-forcing` starts them."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import TransitionCallbackReturn

from avatar_forcing_ros.errors import AvatarForcingError
from avatar_forcing_ros.nodes.base import AvatarNode
from avatar_forcing_ros.paths import share_file
from avatar_forcing_ros.ros.graph.domain import PROFILE_VARIABLE
from avatar_forcing_ros.ros.graph.executor import LeanExecutor
from avatar_forcing_ros.ros.graph.process import be_steady, keep_memory_flat
from avatar_forcing_ros.ros.settings import NODES


def run_node(node_class: type[AvatarNode]) -> int:
    """The main function of a node's executable. Exit status 1, and a last line "error: ...", where something failed."""
    return _run([(node_class, None)])


def run_together(nodes: Sequence[tuple[str, list[str]]]) -> int:
    """As `run_node`, for several: each an executable and its own arguments, as on a command line. They begin one after the other,
    and end together: when the last one is done, or the first one fails."""

    return _run([(_kind_of(executable), arguments) for executable, arguments in nodes])


def _kind_of(executable: str) -> Any:
    importlib.import_module(f"avatar_forcing_ros.nodes.{executable}")
    return next(kind for kind in AvatarNode.__subclasses__() if NODES[executable] is kind.SETTINGS)


def _run(kinds: Sequence[tuple[Any, list[str] | None]]) -> int:
    """kinds: a class, and the arguments of its node."""
    if not any(kind.SENDS_IMAGES for kind, _ in kinds):
        _take_small_segment()
    keep_memory_flat()
    rclpy.init()
    cv2.setNumThreads(1)  # the cores are shared among the nodes' processes
    nodes: list[AvatarNode] = []
    executors: list[LeanExecutor] = []
    fault = ""
    try:
        # Before anything is told of the nodes: a signal while one is made leaves a traceback of rclpy's.
        executors += [LeanExecutor() for _ in kinds]
        for kind, arguments in kinds:
            nodes.append(kind(arguments))
            if nodes[-1].settings.autostart and nodes[-1].trigger_configure() == TransitionCallbackReturn.SUCCESS:
                nodes[-1].trigger_activate()
        if not any(node.fault and node.waits_for_a_device for node in nodes):
            be_steady()
            _spin(nodes, executors)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (AvatarForcingError, ParameterException) as error:
        fault = str(error)
    except RuntimeError:  # a signal while rclpy takes a message may come as this
        if not _told_to_end():
            raise
    finally:
        # A second one would cut a recording short that is being finished, which takes a bounded time.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while nodes:
            nodes[-1].halt()
            fault = fault or nodes[-1].fault
            nodes.pop().destroy_node()
        executors.clear()
        # What still refers to a node keeps its participant, and with it 17 MB of shared memory that outlive the process.
        gc.unfreeze()
        gc.collect()
        rclpy.try_shutdown()
    if fault:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if fault else 0


def _take_small_segment() -> None:
    """Whoever sends no images needs no shared memory that holds them: 0.5 MB instead of this package's 16."""
    own, given = share_file("config/fastdds.xml"), os.environ.get(PROFILE_VARIABLE)
    if given and own.is_file() and Path(given).resolve() == own.resolve():
        os.environ[PROFILE_VARIABLE] = str(share_file("config/fastdds_small.xml"))


def _spin(nodes: Sequence[AvatarNode], executors: Sequence[LeanExecutor]) -> None:
    """Until the context is shut down: the first node in this thread, which gets the signals, each other one in its own. An error of
    one ends all, and is raised."""
    errors: list[BaseException] = []
    left = set(nodes)

    def done(node: AvatarNode) -> None:
        left.discard(node)
        if not left:
            node.context.try_shutdown()  # two may be done at one moment

    def spin(node: AvatarNode, executor: LeanExecutor) -> None:
        executor.add_node(node)
        executor.spin()

    def spin_beside(node: AvatarNode, executor: LeanExecutor) -> None:
        try:
            spin(node, executor)
        except ExternalShutdownException:
            pass
        except BaseException as error:
            errors.append(error)
            node.context.try_shutdown()

    for node in nodes:
        node.when_done = partial(done, node)
    threads = [
        threading.Thread(target=spin_beside, args=beside, daemon=True) for beside in zip(nodes[1:], executors[1:])
    ]
    for thread in threads:
        thread.start()
    try:
        spin(nodes[0], executors[0])
    except ExternalShutdownException:
        pass
    finally:
        rclpy.try_shutdown()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


def _told_to_end(patience_s: float = 0.5) -> bool:
    """Whether a signal has ended rclpy, whose handler does so in a thread of its own."""
    until = time.monotonic() + patience_s
    while rclpy.ok() and time.monotonic() < until:
        time.sleep(0.02)
    return not rclpy.ok()
