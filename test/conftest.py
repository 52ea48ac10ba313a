"""Fixtures: the folder of real clips where there is one, and a ROS world of its own for each test that needs it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

# Small matrices: threads that wait for each other cost more than they bring, the more so on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))  # helper modules beside the tests

TIMEOUT_S = 30.0  # ten times what a slow machine needs


@pytest.fixture(scope="session")
def real_data() -> Path | None:
    """The folder of real clips, or None: a test then uses its made substitute."""
    folder = Path(os.environ.get("AVATAR_FORCING_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory) -> str:
    """A file of made-up weights of a tiny network in the published motion space."""
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'avatar_forcing_ros[train]'")

    from avatar_forcing_ros.models import AvatarForcing, ModelConfig, save_model

    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = ModelConfig(
        image_size=16, audio_front_end="log_mel", audio_dim=64, audio_width=64, audio_layers=2, width=64, depth=2,
        heads=2, time_frequencies=32,
    )  # fmt: skip
    return str(save_model(AvatarForcing(config), tmp_path_factory.mktemp("weights") / "tiny.safetensors"))


# Files, below test/, whose tests take more than some seconds together on a slow machine.
SLOW = (
    "bench/", "cli/test_commands", "generators/test_onnx_network", "generators/test_embedded", "graph/", "learning/", "models/test_stream",
    "motion/test_neural", "motion/portrait/", "motion/tracking/", "run/test_reenact", "web/test_server", "web/page/",
)  # fmt: skip


def pytest_collection_modifyitems(items) -> None:
    """Whatever starts nodes is marked `graph`, and whatever is of a slow file `slow`."""
    for item in items:
        if item.nodeid.partition("test/")[2].startswith(SLOW):
            item.add_marker(pytest.mark.slow)
        if {"ros", "domain"} & set(item.fixturenames):
            item.add_marker(pytest.mark.graph)
    # Files that wait for a browser first, then the other long ones: at the end short ones keep every worker busy.
    items.sort(key=lambda item: ("web/page/" not in item.nodeid, item.get_closest_marker("slow") is None))


@pytest.fixture
def domain(monkeypatch) -> str:
    """A ROS domain of the test's own, reserved on this machine while it runs, so that tests never hear each other."""
    coordinator = pytest.importorskip("domain_coordinator", reason="needs ROS: domains are of its graph")
    with contextlib.ExitStack() as stack:
        number = str(stack.enter_context(coordinator.domain_id()))
        monkeypatch.setenv("ROS_DOMAIN_ID", number)
        monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        yield number


def _arguments(name: str, namespace: str, remap: dict[str, str] | None, parameters: dict) -> list[str]:
    arguments = ["--ros-args", "-r", f"__node:={name}", "-r", f"__ns:={namespace}"]
    for key, value in (remap or {}).items():
        arguments += ["-r", f"{key}:={value}"]
    for key, value in parameters.items():
        arguments += ["-p", f"{key}:={str(value).lower() if isinstance(value, bool) else value}"]
    return arguments


class ForkedNode:
    """A process of multiprocessing with the methods of one of subprocess."""

    def __init__(self, process) -> None:
        self._process, self.pid, self.kill = process, process.pid, process.kill

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("node", timeout)
        return self._process.exitcode


class RosWorld:
    """A domain of its own with one node of the test's, spun in a thread, and the node processes that it starts."""

    def __init__(self, folder: Path, domain: str) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self.folder = folder
        self.domain = domain
        self.environment = dict(os.environ)
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=int(self.domain))
        self.node = rclpy.create_node("test", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.processes: list = []
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        from rclpy.executors import ExternalShutdownException

        try:
            self.executor.spin()
        except ExternalShutdownException:
            pass

    def start(
        self, executable: str, name: str, namespace: str = "/", remap: dict[str, str] | None = None, **parameters
    ) -> ForkedNode:
        """A node in a process of its own, forked as `avatar-forcing run` does; its output goes to <name>.log in the test's folder."""
        return self.start_together((executable, name, namespace, parameters), remap=remap)

    def start_together(self, *nodes: tuple[str, str, str, dict], remap: dict[str, str] | None = None) -> ForkedNode:
        """Each an executable, its name, namespace and parameters, in one process."""
        from avatar_forcing_ros.run.forked import start_nodes

        given = [(node[0], _arguments(node[1], node[2], remap, node[3])) for node in nodes]
        self.processes.append(ForkedNode(start_nodes(given, self.environment, self.folder / f"{nodes[0][1]}.log")))
        return self.processes[-1]

    def start_executable(self, executable: str, name: str, namespace: str = "/", **parameters) -> subprocess.Popen:
        """The same by its executable, as launch files do: it imports all by itself, which takes its time."""
        from avatar_forcing_ros.paths import node_executable

        command = [str(node_executable(executable)), *_arguments(name, namespace, None, parameters)]
        with open(self.folder / f"{name}.log", "w") as log:
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=self.environment))
        return self.processes[-1]

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def collect(self, kind, topic: str, depth: int = 200) -> list:
        """A list that fills with the messages of a topic."""
        from rclpy.qos import QoSProfile

        messages: list = []
        self.node.create_subscription(kind, topic, messages.append, QoSProfile(depth=depth))
        return messages

    def publisher(self, kind, topic: str, depth: int = 200):
        from rclpy.qos import QoSProfile

        return self.node.create_publisher(kind, topic, QoSProfile(depth=depth))

    def now_ns(self) -> int:
        return self.node.get_clock().now().nanoseconds

    def wait_for(self, what, description: str):
        """Until `what()` is true; its value. Fails with the description after a long time-out."""
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            value = what()
            if value:
                return value
            time.sleep(0.02)
        logs = "\n".join(f"--- {p.name}\n{p.read_text()[-1500:]}" for p in self.folder.glob("*.log"))
        pytest.fail(f"waited in vain for {description}\n{logs}")

    def wait_for_readers(self, publisher, count: int = 1) -> None:
        """Until `count` readers are matched, and a moment more: a best-effort reader matches later on its own side."""
        self.wait_for(lambda: publisher.get_subscription_count() >= count, f"a reader of {publisher.topic_name}")
        time.sleep(0.5)

    def close(self) -> None:
        import rclpy

        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)
        self._thread.join(5)


@pytest.fixture
def ros(tmp_path, domain):
    world = RosWorld(tmp_path, domain)
    yield world
    world.close()


def told(messages: list, name: str, key: str) -> str:
    """The newest value of a node's diagnostics, "" while there is none."""
    values = [v.value for m in messages for s in m.status if s.name.endswith(name) for v in s.values if v.key == key]
    return values[-1] if values else ""


def errors_of(messages: list, name: str) -> list[str]:
    return [s.message for m in messages for s in m.status if s.name.endswith(name) and s.level == s.ERROR]


@pytest.fixture
def pages(tmp_path) -> Path:
    """For the kiosk: a folder of a page, and beside it what no page may read."""
    folder = tmp_path / "dist"
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html><title>face</title>")
    (folder / "page.js").write_text("export {}")
    (tmp_path / "secret.txt").write_text("not for you")
    return folder
