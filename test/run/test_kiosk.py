"""What a kiosk's graph is made of, and that its nodes are started again. No process, no clock but the test's."""

from __future__ import annotations

import pytest

from avatar_forcing_ros.errors import AvatarForcingError, InputError
from avatar_forcing_ros.run.kiosk import RESPAWN_S, Keeper, KioskPlan


def nodes_of(**options) -> dict[str, dict]:
    return {node.name: node.parameters for node in KioskPlan(**options).nodes()}


def test_the_nodes_of_a_kiosk():
    nodes = nodes_of()
    assert {"kiosk", "motion_generator", "renderer", "microphone", "speech", "face"} <= set(nodes)
    assert "recorder" not in nodes and nodes["kiosk"]["recording"] is False  # nothing is recorded unless asked
    assert "face" not in nodes_of(server={"tracking": "page"})  # the page tracks
    assert nodes_of(record="/tmp/x.mp4")["kiosk"]["recording"] is True
    model = nodes_of(avatar="/tmp/model.vrm")
    assert model["kiosk"]["avatar"] == "/tmp/model.vrm" and model["renderer"]["avatar"] == "screen_face"


def test_what_cannot_be_is_told_before_the_start(tmp_path):
    for options, says in (
        ({"portrait": str(tmp_path / "none.jpg")}, "none.jpg"),
        ({"record": str(tmp_path / "x.avi")}, ".mp4"),
        ({"record": str(tmp_path / "no" / "x.mp4")}, "folder"),
    ):
        with pytest.raises(InputError, match=says):
            KioskPlan(**options).check()


class FakeProcess:
    path, code = "/avatar/kiosk", None


class FakeGraph:
    def __init__(self) -> None:
        self.process, self.starts = FakeProcess(), 0
        self.processes = [self.process]

    def start(self, process) -> None:
        self.starts += 1
        process.code = None

    def reason(self, process) -> str:
        return "the port is taken"


def test_a_node_that_is_killed_is_started_again_and_one_that_cannot_start_is_not():
    graph, now = FakeGraph(), [0.0]
    keeper = Keeper(graph, lambda: now[0])
    now[0] = 1.0
    graph.process.code = -9  # killed
    keeper.look()
    now[0] += RESPAWN_S + 0.1
    keeper.look()
    assert graph.starts == keeper.respawns == 1
    now[0] += 1.0
    graph.process.code = 1  # ended by itself, soon after its start
    with pytest.raises(AvatarForcingError, match="port is taken"):
        keeper.look()
