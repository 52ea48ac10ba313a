"""The processes of a graph of ROS nodes: started, looked after, and ended in order.

Each node has a process of its own, but for small ones of a kind, which share one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import threading
import time
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import yaml

from avatar_forcing_ros.errors import AvatarForcingError
from avatar_forcing_ros.paths import share_file
from avatar_forcing_ros.ros.graph.domain import PROFILE_VARIABLE, environment_of, lent
from avatar_forcing_ros.run.forked import ONE_THREAD, forks_parent, start_nodes

NAMESPACE = "avatar"
# What this process needs of the nodes' environment while it talks to them.
_SHARED = ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE")
READY_TIMEOUT_S = 90.0  # for a slow machine with a cold disk; a node that fails ends the wait at once
NOT_THE_FACE = ("media_source", "recorder")  # what a run has beside the nodes that a robot runs
RECORDER_NICE = 5  # a recording may wait, an image may not
QUIT_TIMEOUT_S = 60.0  # more than a recording needs that has fallen behind
SETTLED_S = 60.0  # after so long the memory of a run is expected to stay as it is
_LOOK_S = 0.5  # between two looks at the processes ...
_LOOK_CLOSELY_S = 5.0  # ... and at what they share, which takes the system milliseconds to tell
# What shares a process, by executable: a process costs more memory, and more of the processor, than such a node itself.
_TOGETHER = {
    "audio_ingest": "sound", "media_source": "sources", "speaker": "talk", "listener": "talk", "host": "talk",
}  # fmt: skip


@dataclass(frozen=True)
class NodePlan:
    """One node. name and namespace are as in the graph. The last ones are activated together when all others are up."""

    executable: str
    name: str
    namespace: str = ""
    parameters: dict = field(default_factory=dict)
    is_last: bool = False

    @property
    def path(self) -> str:
        return "/" + "/".join(filter(None, [NAMESPACE, self.namespace, self.name]))


@dataclass
class NodeProcess:
    """A process and its nodes."""

    nodes: list[NodePlan]
    process: BaseProcess | None = None
    log: Path = Path(os.devnull)

    @property
    def executable(self) -> str:
        return self.nodes[0].executable

    @property
    def path(self) -> str:
        """Of its node; of its nodes, where it has several, as in "/avatar/user/microphone + /avatar/speech/speech"."""
        return " + ".join(node.path for node in self.nodes)

    @property
    def pid(self) -> int:
        """Raises psutil.NoSuchProcess where it was not started."""
        if self.process is None or self.process.pid is None:
            raise psutil.NoSuchProcess(0)
        return self.process.pid

    @property
    def code(self) -> int | None:
        """Its exit status; None while it runs, or where it was not started."""
        return None if self.process is None else self.process.exitcode


def processes_of(nodes: list[NodePlan]) -> list[NodeProcess]:
    """Who lives with whom."""
    together: dict[str, NodeProcess] = {}
    for node in nodes:
        place = _TOGETHER.get(node.executable, node.path)
        together.setdefault(place, NodeProcess([])).nodes.append(node)
    return list(together.values())


def environment(domain: str | None = None) -> dict[str, str]:
    """For the node processes: their domain (ros/graph/domain.py), one thread per library, and the Fast DDS profile."""
    env = {**ONE_THREAD, **os.environ, **environment_of(domain)}
    env.setdefault(PROFILE_VARIABLE, str(share_file("config/fastdds.xml")))
    return env


class Graph:
    """The running processes of a session. A context manager: leaving it ends every process. client: a LifecycleClient among them, while
    they run."""

    def __init__(self, nodes: list[NodePlan], config: str = "", domain: str | None = None) -> None:
        self.nodes, self.processes = nodes, processes_of(nodes)
        self.environment = environment(domain)
        self.config = Path(config) if config else share_file("config/nodes.yaml")
        self.folder = Path(tempfile.mkdtemp(prefix="avatar_forcing_"))
        self.peak_rss_mb = self.peak_pss_mb = 0.0
        self.settled_rss_mb: float | None = None  # all nodes together, after warm-up ...
        self.last_rss_mb: float | None = None  # ... and at the end
        self._cpu: dict[
            str, float
        ] = {}  # seconds of processor that each process had used when the conversation began ...
        self._cpu_latest: dict[str, float] = {}  # ... and when it was last looked at, also of those that have ended
        self._cpu_from = 0.0
        self._monitor: threading.Thread | None = None
        self._ended = threading.Event()
        self._ending = False  # processes finish their work: what they need for that is not the face's
        self._open = contextlib.ExitStack()  # what `__exit__` undoes, the newest first

    def __enter__(self) -> Graph:
        from avatar_forcing_ros.ros.graph.lifecycle_client import LifecycleClient

        with contextlib.ExitStack() as stack:  # undoes all where a node cannot be started
            shared = {name: self.environment[name] for name in _SHARED if name in self.environment}
            if PROFILE_VARIABLE not in os.environ:
                shared[PROFILE_VARIABLE] = str(share_file("config/fastdds_small.xml"))
            stack.enter_context(lent(shared))
            # First, while the process that is forked still imports.
            self.client = stack.enter_context(LifecycleClient(f"/{NAMESPACE}"))
            stack.callback(self.stop, self.processes)
            stack.callback(self._ended.set)
            for process in self.processes:
                self.start(process)
            self._monitor = threading.Thread(target=self._watch_processes, daemon=True)
            self._monitor.start()
            self._open = stack.pop_all()
        return self

    def __exit__(self, kind, *_) -> None:
        self._open.close()
        if kind is None:  # the logs stay where something failed
            shutil.rmtree(self.folder, ignore_errors=True)

    def domain_line(self) -> str:
        """Where the nodes are seen, for people."""
        set_here = {n: self.environment[n] for n in _SHARED if n in self.environment}
        words = " ".join(f"{name}={value}" for name, value in set_here.items())
        return f"the nodes are in {words}"

    def start(self, process: NodeProcess) -> None:
        """Also where it has ended."""
        process.log = self.folder / f"{process.nodes[0].name}.log"
        nice = RECORDER_NICE if process.executable == "recorder" else 0
        nodes = [(node.executable, self._arguments(node)) for node in process.nodes]
        process.process = start_nodes(nodes, self.environment, process.log, nice=nice)

    def _arguments(self, node: NodePlan) -> list[str]:
        arguments = ["--ros-args", "-r", f"__node:={node.name}", "-r", f"__ns:={node.path.rsplit('/', 1)[0]}"]
        arguments += ["--params-file", str(self.config)]
        if node.parameters:
            parameters = self.folder / f"{node.path.replace('/', '_')}.yaml"
            parameters.write_text(yaml.safe_dump({node.path: {"ros__parameters": node.parameters}}))
            arguments += ["--params-file", str(parameters)]
        return arguments

    def _watch_processes(self) -> None:
        started = time.monotonic()
        looked = started - _LOOK_CLOSELY_S
        while not self._ended.wait(_LOOK_S):
            self._cpu_latest |= self._cpu_seconds()
            if self._ending:
                continue
            megabytes = self._memory_mb()
            self.peak_rss_mb = max(self.peak_rss_mb, megabytes)
            if time.monotonic() - looked > _LOOK_CLOSELY_S:
                looked = time.monotonic()
                self.peak_pss_mb = max(self.peak_pss_mb, self._memory_mb(shared_once=True))
            if time.monotonic() - started > SETTLED_S and len(self._running()) == len(self.processes):
                self.settled_rss_mb = self.settled_rss_mb or megabytes
                self.last_rss_mb = megabytes

    def _memory_mb(self, shared_once: bool = False) -> float:
        """Of all processes and the one they are forks of: the sum of what each has in memory. shared_once: what they share counts
        once."""
        total = 0
        for pid in {forks_parent(), *(p.pid for p in self._running())} - {None}:
            try:
                process = psutil.Process(pid)
                memory = process.memory_full_info() if shared_once else process.memory_info()
            except psutil.Error:  # it has ended
                continue
            total += getattr(memory, "pss", memory.rss)
        return round(total / 2**20, 1)

    def begin_cpu(self) -> None:
        """From now on the processes' use of the processor counts."""
        self._cpu, self._cpu_from = self._cpu_seconds(), time.monotonic()
        self._cpu_latest = dict(self._cpu)

    def cpu_cores(self) -> dict[str, float]:
        """Cores that each process has used since `begin_cpu`; "face" is the sum without sources and recorder, "all" with them."""
        wall = time.monotonic() - self._cpu_from
        used = self._cpu_latest | self._cpu_seconds()
        cores = {path: (used[path] - before) / wall for path, before in self._cpu.items()}
        face = sum(cores.get(p.path, 0.0) for p in self.processes if p.executable not in NOT_THE_FACE)
        return {path: round(value, 3) for path, value in {**cores, "face": face, "all": sum(cores.values())}.items()}

    def _cpu_seconds(self) -> dict[str, float]:
        seconds = {}
        for process in self._running():
            try:
                seconds[process.path] = sum(psutil.Process(process.pid).cpu_times()[:2])
            except psutil.Error:  # it has ended
                pass
        return seconds

    def _running(self) -> list[NodeProcess]:
        return [p for p in self.processes if p.process is not None and p.code is None]

    def check(self) -> None:
        """Raises AvatarForcingError with the reason where a process has ended in failure."""
        for process in self.processes:
            if process.code:
                raise AvatarForcingError(self.reason(process))

    def reason(self, process: NodeProcess) -> str:
        """Why it ended."""
        lines = process.log.read_text(errors="replace").splitlines()
        for line in reversed(lines):
            if line.startswith("error: "):
                return line.removeprefix("error: ")
        last = f": {lines[-1]}" if lines else ""
        return f"{process.path} ended with status {process.code or 0}; its log is {process.log}{last}"

    def done(self) -> bool:
        """Every source has been played to its end."""
        return all(p.code is not None for p in self.processes if p.executable == "media_source")

    def stop(self, processes: list[NodeProcess]) -> None:
        """SIGINT, then wait; a process that does not listen is killed."""
        self._ending = True
        for process in processes:
            if process.process is not None and process.code is None:
                with contextlib.suppress(ProcessLookupError):  # it ends by itself just now
                    os.kill(process.pid, signal.SIGINT)
        deadline = time.monotonic() + QUIT_TIMEOUT_S
        for process in processes:
            if process.process is None:
                continue
            process.process.join(max(deadline - time.monotonic(), 0.1))
            if process.code is None:
                process.process.kill()
                process.process.join()
