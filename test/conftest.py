"""Fixtures: the folder of real clips where there is one, and a ROS world of its own for each test that needs it."""

from __future__ import annotations

import itertools
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

# One per test, so that tests never hear each other, nor those of another run on this machine.
DOMAINS = (10 + (7 * os.getpid() + i) % 90 for i in itertools.count())
TIMEOUT_S = 30.0  # ten times what a slow machine needs


@pytest.fixture(scope="session")
def real_data() -> Path | None:
    """The folder of real clips, or None: a test then uses its made substitute."""
    folder = Path(os.environ.get("AVATAR_FORCING_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory) -> str:
    """A file of made-up weights of a tiny network in the published motion space."""
    import torch

    from avatar_forcing_ros.models import AvatarForcing, ModelConfig, save_model

    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = ModelConfig(
        image_size=16, audio_front_end="log_mel", audio_dim=64, audio_width=64, audio_layers=2, width=64, depth=2,
        heads=2, time_frequencies=32,
    )  # fmt: skip
    return str(save_model(AvatarForcing(config), tmp_path_factory.mktemp("weights") / "tiny.safetensors"))


class RosWorld:
    """A domain of its own with one node of the test's, spun in a thread, and the node processes that it starts."""

    def __init__(self, folder: Path) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self.folder = folder
        self.domain = str(next(DOMAINS))
        self.environment = {**os.environ, "ROS_DOMAIN_ID": self.domain, "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=int(self.domain))
        self.node = rclpy.create_node("test", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.processes: list[subprocess.Popen] = []
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        from rclpy.executors import ExternalShutdownException

        try:
            self.executor.spin()
        except ExternalShutdownException:
            pass

    def start(self, executable: str, name: str, namespace: str = "/", remap: dict[str, str] | None = None, **parameters) -> subprocess.Popen:
        """A node process; its output goes to <name>.log in the test's folder."""
        from avatar_forcing_ros.installation import node_executable

        command = [str(node_executable(executable)), "--ros-args", "-r", f"__node:={name}", "-r", f"__ns:={namespace}"]
        for key, value in (remap or {}).items():
            command += ["-r", f"{key}:={value}"]
        for key, value in parameters.items():
            command += ["-p", f"{key}:={str(value).lower() if isinstance(value, bool) else value}"]
        with open(self.folder / f"{name}.log", "w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=self.environment)
        self.processes.append(process)
        return process

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
def ros(tmp_path):
    world = RosWorld(tmp_path)
    yield world
    world.close()


def told(messages: list, name: str, key: str) -> str:
    """The newest value of a node's diagnostics, "" while there is none."""
    values = [v.value for m in messages for s in m.status if s.name.endswith(name) for v in s.values if v.key == key]
    return values[-1] if values else ""
