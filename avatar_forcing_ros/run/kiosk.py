"""The graph behind a kiosk: the face's nodes, and the node that serves the page. Started and kept alive until Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from avatar_forcing_ros.errors import AvatarForcingError, InputError
from avatar_forcing_ros.paths import node_executable
from avatar_forcing_ros.run.graph import READY_TIMEOUT_S, Graph, NodePlan

RESPAWN_S = 2.0  # after which a node that ended is started again
_SOON_S = 10.0  # one that ends by itself so soon after its start would only do so again
_MODELS = (".glb", ".vrm")


@dataclass(frozen=True)
class KioskPlan:
    """What the graph of a kiosk is made of. server: parameters of the node `kiosk`. speech: a sound file that the face speaks, again and again."""

    avatar: str = "portrait"
    portrait: str = ""
    theme: str = ""
    generator: str = "embedded"
    weights: str = ""
    device: str = "auto"
    size: int = 384
    speech: str = ""
    record: str = ""
    host: dict | None = None  # parameters of the node `host`: somebody to talk to
    voice: str = "auto"  # of the speaker node
    server: dict = field(default_factory=dict)

    def check(self) -> None:
        """Raises InputError, in one line, on what can be seen before the start."""
        for name, file in (("portrait", self.portrait), ("speech", self.speech)):
            if file and not Path(file).is_file():
                raise InputError(f"--{name}: {file}: no such file")
        if self.record and not (self.record.endswith(".mp4") and Path(self.record).resolve().parent.is_dir()):
            raise InputError(f"--record {self.record}: give an .mp4 in a folder that exists")

    @property
    def space(self) -> str:
        return "lia512" if self.avatar == "neural" else "rig"

    def nodes(self) -> list[NodePlan]:
        network = {"weights": self.weights, "device": self.device}
        drawn = (
            "screen_face" if self.avatar.lower().endswith(_MODELS) else self.avatar
        )  # a model is drawn by pages alone
        page_tracks = self.server.get("tracking") == "page"
        face = {"avatar": self.avatar, "portrait": self.portrait, "theme": self.theme}
        nodes = [
            NodePlan("kiosk", "kiosk", "", {**face, **self.server, "recording": bool(self.record)}),
            NodePlan(
                "motion_generator", "motion_generator", "",
                {"generator": self.generator, "portrait": self.portrait, **network},
            ),
            NodePlan("renderer", "renderer", "", {**face, "avatar": drawn, "size": self.size, **network}),
            NodePlan("audio_ingest", "microphone", "user"),
            NodePlan("audio_ingest", "speech", "speech"),
        ]  # fmt: skip
        if not page_tracks:
            nodes.append(NodePlan("face_ingest", "face", "user", {"space": self.space, "reliable": True, **network}))
        if self.speech:
            nodes.append(
                NodePlan(
                    "media_source",
                    "speech_source",
                    "speech",
                    {"source": self.speech, "loop": True, "play_video": False},
                )
            )
        nodes += [NodePlan("speaker", "speaker", "", {"voice": self.voice}), NodePlan("listener", "listener")]
        if self.host is not None:
            nodes.append(NodePlan("host", "host", "", self.host))
        if self.record:
            nodes.append(NodePlan("recorder", "recorder", "", {"out": self.record}))
        return nodes


def run_kiosk(
    plan: KioskPlan, config: str = "", ready: Callable[[Graph], bool | None] = lambda graph: None, seconds: float = 0.0
) -> None:
    """Starts the graph and keeps it until Ctrl-C, for `seconds` (0: without end), or until `ready`, which is called once when all
    nodes are active, returns True. A node that ends is started again. Raises AvatarForcingError where the graph cannot start."""
    node_executable("kiosk")

    with Graph(plan.nodes(), config) as graph:
        client = graph.client
        client.wait_for_state([n.path for n in graph.nodes], "active", READY_TIMEOUT_S, graph.check)
        graph.begin_cpu()
        keeper = Keeper(graph, time.monotonic)
        try:
            if ready(graph):
                return
            began = time.monotonic()
            while not 0 < seconds <= time.monotonic() - began:
                keeper.look()
                client.spin(0.2)
        except KeyboardInterrupt:
            pass


class Keeper:
    """Starts processes again that have ended. now: seconds of a clock that never steps back."""

    def __init__(self, graph: Graph, now: Callable[[], float]) -> None:
        self._graph, self._now = graph, now
        self._started = {process.path: now() for process in graph.processes}
        self._ended: dict[str, float] = {}
        self.respawns = 0

    def look(self) -> None:
        """Raises AvatarForcingError with the reason where one ends by itself at every start."""
        now = self._now()
        for process in self._graph.processes:
            path, code = process.path, process.code
            if code is None:
                continue
            if path not in self._ended:
                if code > 0 and now - self._started[path] < _SOON_S:
                    raise AvatarForcingError(self._graph.reason(process))
                self._ended[path] = now
            elif now - self._ended[path] >= RESPAWN_S:
                del self._ended[path]
                self._started[path] = now
                self._graph.start(process)
                self.respawns += 1
