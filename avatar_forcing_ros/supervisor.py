"""Starts the graph of ROS nodes for one session, each node its own process, and ends it in order.

This is what `avatar-forcing run` and `make demo` use; on a robot the launch files start the same nodes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

from avatar_forcing_ros.errors import AvatarForcingError
from avatar_forcing_ros.installation import node_executable, share_file
from avatar_forcing_ros.session import Session

NAMESPACE = "avatar"
READY_TIMEOUT_S = 90.0  # for a slow machine with a cold disk; a node that fails ends the wait at once
NOT_THE_FACE = ("media_source", "recorder")  # what a run has beside the nodes that a robot runs
RECORDER_NICE = 5  # a recording may wait, an image may not
LEAD_S = 0.3  # from the last activation to the first frame of the sources
TAIL_S = 0.4  # after the last frame has been shown
QUIT_TIMEOUT_S = 30.0
SETTLED_S = 60.0  # after so long the memory of a run is expected to stay as it is


@dataclass
class NodeProcess:
    """One node. name and namespace are as in the graph. The last ones are activated together when all others are up."""

    executable: str
    name: str
    namespace: str = ""
    parameters: dict = field(default_factory=dict)
    is_last: bool = False
    process: subprocess.Popen | None = None
    log: Path | None = None

    @property
    def path(self) -> str:
        return "/" + "/".join(filter(None, [NAMESPACE, self.namespace, self.name]))


def plan(session: Session) -> list[NodeProcess]:
    """The nodes that a session needs. Inputs that are absent have no nodes; the face runs all the same."""
    network = {"weights": session.weights, "device": session.device, "precision": session.precision}
    nodes = [
        NodeProcess("motion_generator", "motion_generator", "",
                    {"generator": session.generator, "seed": session.seed, "portrait": session.portrait, **network,
                     **({"commit_frames": session.commit} if session.commit else {})}),
        NodeProcess("renderer", "renderer", "",
                    {"avatar": session.avatar, "portrait": session.portrait, "theme": session.theme, "size": session.size,
                     **network, **({"presentation_delay": session.delay} if session.delay else {})}),
        NodeProcess("recorder", "recorder", "",
                    {"out": session.out, "bag": session.bag, "timeline": str(session.timeline_path), "autostart": False}, is_last=True),
    ]  # fmt: skip

    def source(name: str, namespace: str, media: str, **parameters) -> None:
        parameters |= {"source": media, "loop": session.loop, "exit_when_done": True, "autostart": False}
        nodes.append(NodeProcess("media_source", name, namespace, parameters, is_last=True))

    topics = {"camera_topic": session.camera_topic, "audio_topic": session.audio_topic}
    if session.user_video:
        nodes.append(NodeProcess("face_ingest", "face", "user", {"space": session.space, "reliable": True, **network}))
        source("camera_source", "user", session.user_video, play_audio=not session.user_audio, **topics)
    if session.user_audio:
        source("microphone_source", "user", session.user_audio, play_video=False, **topics)
    if session.user_video or session.user_audio:
        nodes.append(NodeProcess("audio_ingest", "microphone", "user"))
    if session.avatar_audio:
        nodes.append(NodeProcess("audio_ingest", "speech", "speech"))
        source("speech_source", "speech", session.avatar_audio, play_video=False)
    return nodes


def environment() -> dict[str, str]:
    """For the node processes: a domain of their own unless one is set, one thread per library, the Fast DDS profile."""
    env = dict(os.environ)
    env.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    env.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    env.setdefault("FASTDDS_DEFAULT_PROFILES_FILE", str(share_file("config/fastdds.xml")))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        env.setdefault(name, "1")
    env.update(TF_CPP_MIN_LOG_LEVEL="3", GLOG_minloglevel="3")  # what MediaPipe prints is of no use to a user
    return env


def _let_others_first(pid: int) -> None:
    process = psutil.Process(pid)
    process.nice(min(process.nice() + RECORDER_NICE, 19))
    try:  # Linux may share the cores among sessions, and each node is one: then this is what counts
        Path(f"/proc/{pid}/autogroup").write_text(str(RECORDER_NICE))
    except OSError:
        pass


class Graph:
    """The running processes of a session. A context manager: leaving it ends every process."""

    def __init__(self, session: Session, config: str = "") -> None:
        self.session = session
        self.nodes = plan(session)
        self.config = Path(config) if config else share_file("config/avatar.yaml")
        self.folder = Path(tempfile.mkdtemp(prefix="avatar_forcing_"))
        self.peak_rss_mb = 0.0
        self.settled_rss_mb = self.last_rss_mb = None  # all nodes together, after warm-up and at the end
        self.values: dict[str, dict[str, str]] = {}  # what each node last said in its diagnostics
        self._cpu: dict[str, float] = {}  # seconds of processor that each node had used when the conversation began ...
        self._cpu_latest: dict[str, float] = {}  # ... and when it was last looked at, also of nodes that have ended
        self._cpu_from = 0.0
        self._monitor: threading.Thread | None = None
        self._ended = threading.Event()

    def __enter__(self) -> Graph:
        os.environ.update(environment())  # this process talks to the nodes, in their domain
        for node in self.nodes:
            self._spawn(node)
        self._monitor = threading.Thread(target=self._watch_processes, daemon=True)
        self._monitor.start()
        return self

    def __exit__(self, kind, *_) -> None:
        self._ended.set()
        self.stop(self.nodes)
        if kind is None:  # the logs stay where something failed
            shutil.rmtree(self.folder, ignore_errors=True)

    def _spawn(self, node: NodeProcess) -> None:
        parameters = self.folder / f"{node.name}.yaml"
        parameters.write_text(yaml.safe_dump({node.path: {"ros__parameters": node.parameters}}))
        command = [str(node_executable(node.executable)), "--ros-args", "-r", f"__node:={node.name}"]
        command += ["-r", f"__ns:={node.path.rsplit('/', 1)[0]}"]
        command += ["--params-file", str(self.config)]
        if node.parameters:
            command += ["--params-file", str(parameters)]
        node.log = self.folder / f"{node.name}.log"
        with open(node.log, "w") as log:
            node.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        if node.executable == "recorder":
            _let_others_first(node.process.pid)

    def _watch_processes(self) -> None:
        started = time.monotonic()
        while not self._ended.wait(0.5):
            self._cpu_latest |= self._cpu_seconds()
            total = 0
            for node in self.nodes:
                try:
                    total += psutil.Process(node.process.pid).memory_info().rss
                except psutil.Error:  # it has ended
                    pass
            megabytes = round(total / 2**20, 1)
            self.peak_rss_mb = max(self.peak_rss_mb, megabytes)
            if time.monotonic() - started > SETTLED_S and len(self._running()) == len(self.nodes):
                self.settled_rss_mb = self.settled_rss_mb or megabytes
                self.last_rss_mb = megabytes

    def begin_cpu(self) -> None:
        """From now on the nodes' use of the processor counts."""
        self._cpu, self._cpu_from = self._cpu_seconds(), time.monotonic()
        self._cpu_latest = dict(self._cpu)

    def cpu_cores(self) -> dict[str, float]:
        """Cores that each node has used since `begin_cpu`; "face" is the sum without sources and recorder, "all" with them."""
        wall = time.monotonic() - self._cpu_from
        used = self._cpu_latest | self._cpu_seconds()
        cores = {path: (used[path] - before) / wall for path, before in self._cpu.items()}
        face = sum(cores.get(n.path, 0.0) for n in self.nodes if n.executable not in NOT_THE_FACE)
        return {path: round(value, 3) for path, value in {**cores, "face": face, "all": sum(cores.values())}.items()}

    def _cpu_seconds(self) -> dict[str, float]:
        seconds = {}
        for node in self._running():
            try:
                seconds[node.path] = sum(psutil.Process(node.process.pid).cpu_times()[:2])
            except psutil.Error:  # it has ended
                pass
        return seconds

    def diagnosed(self) -> dict:
        """Figures from the nodes' diagnostics: real-time factors, queue depths."""
        factors, queues = {}, {}
        for path, values in self.values.items():
            for key, value in values.items():
                if key == "real-time factor":
                    factors[path] = float(value)
                elif key.startswith("queued"):
                    queues[f"{path}: {key}"] = float(value)
        return {"real_time_factor": factors, "queues": queues}

    def _running(self) -> list[NodeProcess]:
        return [n for n in self.nodes if n.process.poll() is None]

    def check(self) -> None:
        """Raises AvatarForcingError with the reason where a node has ended in failure."""
        for node in self.nodes:
            code = node.process.poll()
            if code not in (None, 0):
                raise AvatarForcingError(self.reason(node, code))

    def reason(self, node: NodeProcess, code: int) -> str:
        lines = node.log.read_text(errors="replace").splitlines()
        for line in reversed(lines):
            if line.startswith("error: "):
                return line.removeprefix("error: ")
        return f"node {node.path} ended with status {code}; its log is {node.log}" + (f": {lines[-1]}" if lines else "")

    def done(self) -> bool:
        """Every source has been played to its end."""
        return all(n.process.poll() is not None for n in self.nodes if n.executable == "media_source")

    def stop(self, nodes: list[NodeProcess]) -> None:
        """SIGINT, then wait; a process that does not listen is killed."""
        for node in nodes:
            if node.process is not None and node.process.poll() is None:
                node.process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + QUIT_TIMEOUT_S
        for node in nodes:
            if node.process is None:
                continue
            try:
                node.process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                node.process.kill()
                node.process.wait()


def run_live(
    session: Session, config: str = "", progress=lambda seconds, graph: None, began: float | None = None
) -> dict:
    """Runs a session through the ROS graph in real time and returns its figures, which are in session.out's .json.

    progress: called about five times a second with the seconds played. began: when the user started it (seconds of the
    system's clock; now, by default), from which the first image is timed. Ctrl-C ends the session and keeps what was recorded.
    """
    node_executable("motion_generator")  # where there is none there is no rclpy either, and it says what to do
    from avatar_forcing_ros.nodes.lifecycle_client import LifecycleClient

    out, began = Path(session.out), began or time.time()
    for old in (out.with_suffix(".json"), session.timeline_path):
        old.unlink(missing_ok=True)
    with Graph(session, config) as graph:
        with LifecycleClient(f"/{NAMESPACE}") as client:
            client.on_values = graph.values.__setitem__
            first = [n.path for n in graph.nodes if not n.is_last]
            last = [n.path for n in graph.nodes if n.is_last]
            client.wait_for_state(last, "unconfigured", READY_TIMEOUT_S, graph.check)
            for path in last:
                if not client.change_state(path, "configure"):
                    raise AvatarForcingError(client.fault(path))
            client.wait_for_state(first, "active", READY_TIMEOUT_S, graph.check)
            start = client.now() + LEAD_S
            for path in last:
                client.set_parameter(path, "start_time", start)
            for path in last:
                if not client.change_state(path, "activate"):
                    raise AvatarForcingError(client.fault(path))
            graph.begin_cpu()
            measured, renderer = {}, {}
            try:
                while not graph.done():
                    graph.check()
                    played = client.now() - start
                    progress(max(played, 0.0), graph)
                    if 0 < session.duration <= played:
                        break
                    client.spin(0.2)
                measured = {"cpu_cores": graph.cpu_cores(), **graph.diagnosed()}
                renderer = graph.values.get(f"/{NAMESPACE}/renderer", {})
                client.spin(float(renderer.get("presentation delay s", 1.0)) + TAIL_S)
                graph.check()
            except KeyboardInterrupt:
                pass
        graph.stop([n for n in graph.nodes if n.executable == "recorder"])
        report = out.with_suffix(".json")
        if not report.is_file():
            recorder = next(n for n in graph.nodes if n.executable == "recorder")
            raise AvatarForcingError(graph.reason(recorder, recorder.process.returncode))
        figures = {"mode": "live", "generator": session.generator, **json.loads(report.read_text())}
        figures["first_image_s"] = round(float(renderer["first image"]) - began, 2) if "first image" in renderer else None
        figures |= measured
        figures["peak_rss_mb"] = graph.peak_rss_mb
        figures["rss_mb"] = {"settled": graph.settled_rss_mb, "end": graph.last_rss_mb}
        report.write_text(json.dumps(figures, indent=2) + "\n")
    return figures
