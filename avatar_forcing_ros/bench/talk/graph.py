"""A running graph that can be made to speak and be interrupted, and what leaves it: for the figures of a conversation."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from avatar_forcing_ros.errors import AvatarForcingError
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.run.graph import NAMESPACE, READY_TIMEOUT_S, Graph, NodePlan
from avatar_forcing_ros.timeline import NANOSECONDS

LOUD = 10 ** (-50 / 20)
_MOST_S = 10.0


def stamp_ns(stamp: Any) -> int:
    """Of a builtin_interfaces Time or Duration."""
    return stamp.sec * NANOSECONDS + stamp.nanosec


def quantiles(values: list[float]) -> dict[str, float]:
    """p50, p95 and max, to a tenth."""
    return {name: round(float(np.percentile(values, q)), 1) for name, q in (("p50", 50), ("p95", 95), ("max", 100))}


class TalkingGraph:
    """What leaves the graph, with ROS times in ns, and its action and service.

    sound: (arrival, end of its last loud sample) of each message; lips: (when it is shown, jawOpen); chunks: (arrival, utterance) of the sound that is
    made; delay_ns: the newest presentation delay.
    """

    def __init__(self, node: Any) -> None:
        from rclpy.action import ActionClient

        from avatar_forcing_ros.action import Speak
        from avatar_forcing_ros.msg import MotionLatent, PresentationState, SpeechChunk, SpeechState
        from avatar_forcing_ros.ros import qos
        from avatar_forcing_ros.ros.sound_reader import SoundReader
        from avatar_forcing_ros.srv import Interrupt

        self._node, self.delay_ns = node, 0
        self.sound: list[tuple[int, int]] = []
        self.lips: list[tuple[int, float]] = []
        self.chunks: list[tuple[int, str]] = []
        self.states: list[Any] = []
        SoundReader(node, "spoken/", self._on_sound)
        node.create_subscription(MotionLatent, "shown_motion", self._on_motion, qos.reliable(50))
        node.create_subscription(SpeechState, "speech_state", self.states.append, qos.reliable(200))
        node.create_subscription(PresentationState, "presentation", self._on_presentation, qos.reliable(10))
        node.create_subscription(
            SpeechChunk, "speech/utterances", lambda m: self.chunks.append((self.now(), m.utterance)), qos.reliable(200)
        )
        self.speak: Any = ActionClient(node, Speak, "speak")
        self.stop: Any = node.create_client(Interrupt, "interrupt")

    def now(self) -> int:
        return self._node.get_clock().now().nanoseconds

    def clear(self) -> None:
        for seen in (self.sound, self.lips, self.chunks, self.states):
            seen.clear()

    def _on_sound(self, samples: np.ndarray, rate: int, stamp: int) -> None:
        loud = np.flatnonzero(np.abs(samples) > LOUD)
        self.sound.append((self.now(), stamp + (int(loud[-1]) + 1) * NANOSECONDS // rate if len(loud) else 0))

    def _on_motion(self, message: Any) -> None:
        self.lips.append((stamp_ns(message.header.stamp), float(message.data[rig.INDEX["jawOpen"]])))

    def _on_presentation(self, message: Any) -> None:
        self.delay_ns = stamp_ns(message.delay)


def wait(what: Callable[[], Any], seconds: float = _MOST_S) -> None:
    """Until it is true. Raises AvatarForcingError where it is not within its time."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise AvatarForcingError("the graph did not answer within its time: see its logs")
        time.sleep(0.004)


@contextlib.contextmanager
def talking_graph(voice: str) -> Iterator[TalkingGraph]:
    """The network in the box, a small screen face, speech and speaker. Needs ROS."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    nodes = [
        NodePlan("motion_generator", "motion_generator"),
        NodePlan("renderer", "renderer", "", {"avatar": "screen_face", "size": 128}),
        NodePlan("audio_ingest", "speech", "speech"),
        NodePlan("speaker", "speaker", "", {"voice": voice}),
    ]
    with Graph(nodes) as graph:
        client = graph.client
        client.wait_for_state([n.path for n in graph.nodes], "active", READY_TIMEOUT_S, graph.check)
        context = rclpy.Context()
        rclpy.init(context=context)
        node = rclpy.create_node("talking_bench", namespace=f"/{NAMESPACE}", context=context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        spinning = threading.Thread(target=executor.spin, daemon=True)
        spinning.start()
        talking = TalkingGraph(node)
        try:
            wait(
                lambda: talking.speak.server_is_ready() and talking.stop.service_is_ready() and bool(talking.sound),
                30.0,
            )
            yield talking
        finally:
            executor.shutdown()
            spinning.join(5)
            node.destroy_node()
            rclpy.try_shutdown(context=context)
