"""What topics ask of a face: looks at frames of TF, and hri_msgs/Expression. Their packages are stand-ins here."""

import contextlib
import sys
import types
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS")
from geometry_msgs.msg import Transform, TransformStamped

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.msg import Expression as ExpressionMessage
from avatar_forcing_ros.msg import Gesture as GestureMessage
from avatar_forcing_ros.ros.direction import DirectionTopics
from avatar_forcing_ros.timeline import FRAME_NS

GAZE, YAW = rig.INDEX["gazeX"], rig.INDEX["headYaw"]


class Node:
    """What a node's direction needs of it."""

    def __init__(self, robot="off"):
        self.settings = SimpleNamespace(mood="", liveliness=0.5, robot_expression=robot, frame_id="face")
        self.told, self.readers, self.published, self.time_ns = [], {}, {}, 0

    def now_ns(self):
        return self.time_ns

    def get_clock(self):
        from rclpy.time import Time

        return SimpleNamespace(now=lambda: Time(nanoseconds=self.time_ns))

    @contextlib.contextmanager
    def usable(self):
        try:
            yield
        except InputError as error:
            self.told.append(str(error))

    def create_subscription(self, kind, topic, reader, profile):
        self.readers[topic] = reader

    def create_publisher(self, kind, topic, profile):
        self.published[topic] = []
        return SimpleNamespace(publish=self.published[topic].append)

    def add_on_set_parameters_callback(self, callback): ...


class Transforms:
    """A stand-in for tf2_ros: its buffer knows nothing until a transform has come."""

    def __init__(self, monkeypatch):
        self.known: dict[str, Transform] = {}
        self.asked: list[int] = []
        module = types.ModuleType("tf2_ros")

        class TransformException(Exception): ...

        class Buffer:
            def lookup_transform(_, target, source, stamp):
                assert target == "face"
                self.asked.append(stamp.nanoseconds)
                if source not in self.known:
                    raise TransformException(f"'{source}' does not exist")
                return TransformStamped(transform=self.known[source])

        module.Buffer, module.TransformException = Buffer, TransformException
        module.TransformListener = lambda buffer, node: None
        monkeypatch.setitem(sys.modules, "tf2_ros", module)

    def put(self, frame, x, y, z):
        self.known[frame] = Transform()
        translation = self.known[frame].translation
        translation.x, translation.y, translation.z = float(x), float(y), float(z)


def face(robot="off"):
    node = Node(robot)
    topics = DirectionTopics(node)
    topics.start()
    return node, topics


def run(node, topics, first, count):
    """The face's motion (count, 32) from a frame on."""
    rows = []
    for frame in range(first, first + count):
        node.time_ns += FRAME_NS
        rows.append(topics.bent(rig.neutral(), frame, [False]))
    return np.array(rows)


def look(frame, seconds=0, **point):
    message = GestureMessage(name="look", target=GestureMessage.POINT, **point)
    message.header.frame_id, message.duration.sec = frame, seconds
    return message


def test_a_look_at_a_frame_waits_for_its_first_transform_and_follows_it(monkeypatch):
    transforms = Transforms(monkeypatch)
    node, topics = face()
    node.readers["gesture"](look("person_head"))
    assert not run(node, topics, 0, 10).any()  # no transform yet, and nothing told
    transforms.put("person_head", 1.0, 0.4, 0.0)  # to the face's left: image right
    seen = run(node, topics, 10, 40)
    assert seen[-1, YAW] > 0.1 and seen[-1, GAZE] > 0.15
    transforms.put("person_head", 1.0, -0.4, 0.0)
    moved = run(node, topics, 50, 40)
    assert moved[-1, YAW] == pytest.approx(-seen[-1, YAW], abs=0.01) and moved[-1, GAZE] < -0.15
    assert np.abs(np.diff(moved[:, YAW])).max() < 0.15  # it turns, it does not jump
    transforms.known.clear()  # lost: it goes on to look where the frame was
    assert run(node, topics, 90, 20)[-1, YAW] == pytest.approx(moved[-1, YAW], abs=0.01)
    assert node.told == []

    ahead = GestureMessage(name="look")
    node.readers["gesture"](ahead)  # straight ahead: nothing is followed any more
    asked = len(transforms.asked)
    assert np.abs(run(node, topics, 110, 40)[-1]).max() < 0.01 and len(transforms.asked) == asked


def test_a_look_with_a_stamp_is_at_the_place_of_that_time_and_ends(monkeypatch):
    transforms = Transforms(monkeypatch)
    transforms.put("base_link", 0.0, 0.0, 0.2)
    node, topics = face()
    message = look("base_link", seconds=1, x=1.0, y=0.5)
    message.header.stamp.sec = 7
    node.readers["gesture"](message)
    seen = run(node, topics, 0, 60)
    assert seen[12, GAZE] > 0.2 and not seen[-1].any()
    assert transforms.asked == [7_000_000_000]


def test_a_frame_that_never_comes_is_told_once_and_the_face_goes_on(monkeypatch):
    Transforms(monkeypatch)
    node, topics = face()
    node.readers["gesture"](look("nowhere"))
    assert not run(node, topics, 0, 60).any()
    assert len(node.told) == 1 and "no transform from 'nowhere' to 'face'" in node.told[0]


def test_without_tf2_ros_one_line_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    node, topics = face()
    node.readers["gesture"](look("person_head"))
    assert len(node.told) == 1 and "tf2_ros" in node.told[0] and "'face'" in node.told[0]
    node.readers["gesture"](look("face", x=1.0, y=0.4))  # its own frame needs none
    assert run(node, topics, 0, 20)[-1, YAW] > 0.1


def hri(monkeypatch):
    """A stand-in for hri_msgs: the fields of its Expression."""
    package, module = types.ModuleType("hri_msgs"), types.ModuleType("hri_msgs.msg")

    class Expression:
        def __init__(self, expression="", valence=0.0, arousal=0.0, confidence=0.0):
            self.header = SimpleNamespace(stamp=None)
            self.expression, self.valence, self.arousal, self.confidence = expression, valence, arousal, confidence

    module.Expression = Expression
    monkeypatch.setitem(sys.modules, "hri_msgs", package)
    monkeypatch.setitem(sys.modules, "hri_msgs.msg", module)
    return Expression


def test_a_robots_expression_is_followed_by_name_or_by_valence_and_arousal(monkeypatch):
    message = hri(monkeypatch)
    node, topics = face("in")
    ask = node.readers["/robot_face/expression"]
    ask(message("happy"))
    assert run(node, topics, 0, 20)[-1, rig.INDEX["mouthSmileLeft"]] > 0.8
    ask(message("", valence=-0.75, arousal=-0.4))
    assert run(node, topics, 20, 20)[-1, rig.INDEX["mouthFrownLeft"]] > 0.5
    ask(message("", valence=float("nan"), arousal=9.0))
    run(node, topics, 40, 20)
    assert node.told == []


def test_what_the_face_shows_is_told_to_the_robot(monkeypatch):
    hri(monkeypatch)
    node, topics = face("out")
    node.readers["expression"](ExpressionMessage(name="sad", intensity=0.6))
    node.readers["expression"](ExpressionMessage(name="", valence=0.5, arousal=-0.5))
    first, second = node.published["/robot_face/expression"]
    assert (first.expression, round(first.confidence, 3)) == ("sad", 0.6)
    assert (second.expression, second.valence, second.arousal) == ("", 0.5, -0.5)
    run(node, topics, 0, 1)


def test_without_hri_msgs_the_node_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "hri_msgs", None)
    with pytest.raises(InputError, match="hri-msgs"):
        DirectionTopics(Node("in"))
