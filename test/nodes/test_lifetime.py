"""What a node has made ends with the stretch of its life that it was made in, whatever has failed."""

import importlib
import os
import pkgutil
import signal

import pytest
from conftest import errors_of

rclpy = pytest.importorskip("rclpy", reason="needs ROS: on a plain Python install there are no nodes to test")

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from rclpy.lifecycle import TransitionCallbackReturn  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from avatar_forcing_ros import nodes  # noqa: E402
from avatar_forcing_ros.errors import InputError  # noqa: E402
from avatar_forcing_ros.nodes.base import AvatarNode  # noqa: E402
from avatar_forcing_ros.nodes.lifetime import Lifetime  # noqa: E402
from avatar_forcing_ros.ros.graph.domain import lent  # noqa: E402

MODULES = [m.name for m in pkgutil.iter_modules(nodes.__path__) if m.name not in ("base", "lifetime", "running")]


@pytest.fixture
def world(domain):
    rclpy.init(domain_id=int(domain))
    yield
    rclpy.try_shutdown()


class Small(AvatarNode):
    """Tells what is called."""

    fails_in = ""

    def __init__(self):
        super().__init__("small")
        self.told = []

    def setup(self):
        self.at_end(lambda: self.told.append("device closed"))
        self.create_publisher(String, "words", 1)
        if self.fails_in == "setup":
            raise InputError("setup failed")
        self.at_end(lambda: self.told.append("model freed"))

    def start(self):
        self.create_timer(10.0, lambda: None)
        self.create_subscription(String, "heard", lambda message: None, 1)
        self.create_client(importlib.import_module("std_srvs.srv").Trigger, "asked")
        if self.fails_in == "start":
            raise InputError("start failed")

    def stop(self):
        self.told.append("stop")


def entities(node):
    return [len(list(kind)) for kind in (node.publishers, node.subscriptions, node.timers, node.services, node.clients)]


def test_each_stretch_ends_what_it_made_the_newest_first(world):
    node, ok = Small(), TransitionCallbackReturn.SUCCESS
    bare = entities(node)
    for _ in range(2):
        assert node.trigger_configure() == ok
        configured = entities(node)
        assert configured[0] == bare[0] + 1 and configured[1:] == bare[1:]
        assert node.trigger_activate() == ok
        assert [a - b for a, b in zip(entities(node), configured, strict=True)] == [0, 1, 1, 0, 1]
        node.destroy_subscription(node.create_subscription(String, "more", lambda message: None, 1))
        assert node.trigger_deactivate() == ok and entities(node) == configured
        assert node.trigger_cleanup() == ok and entities(node) == bare
        assert node.told == ["stop", "model freed", "device closed"]
        node.told.clear()
    node.destroy_node()


@pytest.mark.parametrize("where, told", [("setup", ["device closed"]), ("start", [])])
def test_what_fails_leaves_nothing_behind(world, where, told):
    node, ok = Small(), TransitionCallbackReturn.SUCCESS
    node.fails_in, bare = where, entities(node)
    assert (node.trigger_configure() == ok) == (where == "start")
    configured = entities(node)
    if where == "start":
        assert node.trigger_activate() != ok
        assert entities(node) == configured
    else:
        assert configured == bare
    assert node.told == told and node.fault == f"{where} failed"
    node.halt()  # as at the end of the process
    assert entities(node) == bare
    assert node.told == (["stop", "model freed", "device closed"] if where == "start" else told)
    node.destroy_node()


def test_an_end_that_fails_keeps_no_other_from_ending():
    told, lifetime = [], Lifetime()

    def fails():
        raise InputError("cannot be closed")

    for end in (lambda: told.append("first"), fails, lambda: told.append("last")):
        lifetime.add(end)
    with pytest.raises(InputError, match="cannot be closed"):
        lifetime.end()
    assert told == ["last", "first"]
    lifetime.end()
    assert told == ["last", "first"]


@pytest.mark.parametrize("name", MODULES)
def test_a_node_that_was_never_configured_can_be_asked_and_ended(world, name):
    module = importlib.import_module(f"avatar_forcing_ros.nodes.{name}")
    (kind,) = [
        k for k in vars(module).values()
        if isinstance(k, type) and issubclass(k, AvatarNode) and k.__module__ == module.__name__
    ]  # fmt: skip
    node = kind()
    node.on_time_jump()
    level, words, _ = node.report()
    assert words == "inactive" and not node.fault
    node.halt()
    assert not node.fault
    node.destroy_node()


def test_a_speaker_without_its_voice_ends_with_one_line(ros):
    diagnostics = ros.collect(DiagnosticArray, "/diagnostics")
    process = ros.start("speaker", "speaker", voice="nothing:nobody")
    fault = ros.wait_for(lambda: errors_of(diagnostics, "speaker"), "an error")[0]
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 1
    assert ros.log("speaker").strip().splitlines()[-1] == f"error: {fault}" and "Traceback" not in ros.log("speaker")


def test_lent_environment_variables_are_given_back(monkeypatch):
    monkeypatch.setenv("AVATAR_TEST_ONE", "before")
    monkeypatch.delenv("AVATAR_TEST_TWO", raising=False)
    with pytest.raises(InputError), lent({"AVATAR_TEST_ONE": "1", "AVATAR_TEST_TWO": "2"}):
        assert (os.environ["AVATAR_TEST_ONE"], os.environ["AVATAR_TEST_TWO"]) == ("1", "2")
        raise InputError("whatever happens meanwhile")
    assert os.environ["AVATAR_TEST_ONE"] == "before" and "AVATAR_TEST_TWO" not in os.environ
