"""What a face is told by topics and parameters: `expression`, `gesture`, and hri_msgs/Expression where that package is there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rcl_interfaces.msg import SetParametersResult
from rclpy.time import Time

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion.direction.director import Director
from avatar_forcing_ros.motion.direction.expressions import EXPRESSIONS, USUAL_FADE, Expression
from avatar_forcing_ros.motion.direction.gestures import LOOK, Gesture
from avatar_forcing_ros.msg import Expression as ExpressionMessage
from avatar_forcing_ros.msg import Gesture as GestureMessage
from avatar_forcing_ros.ros import qos
from avatar_forcing_ros.timeline import NANOSECONDS

ROBOT_TOPIC = "/robot_face/expression"  # of PAL's robots
_MOST_WAITING = 8
_TRANSFORM_WAIT_NS = NANOSECONDS  # for the first transform of a frame that is looked at


@dataclass
class _Sought:
    """A look at a point (metres) of another frame. A stamp of 0: the newest transforms, and the face follows them."""

    point: tuple[float, float, float]
    frame: str
    stamp: Time
    until_ns: int  # so long its first transform is waited for
    common: dict[str, Any]  # of the gesture
    begun: bool = False


class DirectionTopics:
    """The director of a node's face. Made while the node configures, `start`ed while it activates.

    Raises InputError for a mood that there is not, or where hri_msgs is asked for and missing.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._director = Director(Expression.parse(node.settings.mood or ""), node.settings.liveliness)
        self._waiting: list[
            tuple[Callable, Expression | Gesture]
        ] = []  # asked since the last frame; they begin with the next one
        self._robot = node.settings.robot_expression
        self._hri = _hri_expression() if self._robot != "off" else None
        self._out = None
        self._transforms: Any = None  # tf2_ros' buffer, once a look needs it
        self._sought: _Sought | None = None
        node.add_on_set_parameters_callback(self._on_parameters)

    def close(self) -> None:
        self._node.remove_on_set_parameters_callback(self._on_parameters)

    def start(self) -> None:
        node = self._node
        node.create_subscription(ExpressionMessage, "expression", self._on_expression, qos.reliable(10))
        node.create_subscription(GestureMessage, "gesture", self._on_gesture, qos.reliable(10))
        if self._robot == "in":
            node.create_subscription(self._hri, ROBOT_TOPIC, self._on_robot, qos.reliable(10))
        elif self._robot == "out":
            self._out = node.create_publisher(self._hri, ROBOT_TOPIC, qos.reliable(10))

    def reset(self) -> None:
        with self._lock:
            self._director.reset()
            self._sought = None

    def bent(self, latent: np.ndarray, frame: int, heard: Sequence[bool]) -> np.ndarray:
        """The latent (32,) of a frame, bent. Frames in order; heard (1,): see Director.apply."""
        with self._lock:
            for tell, asked in self._waiting:
                tell(asked, frame)
            self._waiting.clear()
            with self._node.usable():
                self._seek(frame)
            return self._director.apply(latent[None], frame, heard)[0]

    def _ask(self, tell: Callable, asked: Expression | Gesture) -> None:
        with self._lock:
            self._waiting = [*self._waiting, (tell, asked)][-_MOST_WAITING:]  # where nobody draws the newest count

    def _express(self, expression: Expression) -> None:
        self._ask(self._director.express, expression)
        if self._out is not None:
            self._out.publish(self._as_robot(expression))

    def _gesture(self, gesture: Gesture) -> None:
        self._ask(self._director.gesture, gesture)

    def _on_expression(self, message: ExpressionMessage) -> None:
        with self._node.usable():
            fade = message.fade.sec + message.fade.nanosec / 1e9 or USUAL_FADE
            self._express(Expression(message.name, message.intensity, fade, message.valence, message.arousal))

    def _on_gesture(self, message: GestureMessage) -> None:
        with self._node.usable():
            seconds = message.duration.sec + message.duration.nanosec / 1e9
            common = {"strength": message.strength, "seconds": seconds}
            if message.name != LOOK:
                self._gesture(Gesture(message.name, left=message.side != GestureMessage.RIGHT, **common))
                return
            common["forever"] = seconds == 0.0
            point = message.x, message.y, message.z
            if message.target == GestureMessage.ANGLES:
                self._look(Gesture(LOOK, yaw=message.yaw, pitch=message.pitch, **common))
            elif message.header.frame_id in ("", self._node.settings.frame_id):
                self._look(Gesture.toward(*point, **common))
            else:
                self._look_into(point, message.header, common)

    def _look(self, gesture: Gesture) -> None:
        with self._lock:
            self._sought = None
        self._gesture(gesture)

    def _look_into(self, point: tuple[float, float, float], header: Any, common: dict[str, Any]) -> None:
        """Looks at a point of another frame as soon as a transform leads there."""
        Gesture(LOOK, **common)  # what is wrong with it is told now
        self._listen(header.frame_id)
        stamp, until = Time.from_msg(header.stamp), self._node.now_ns() + _TRANSFORM_WAIT_NS
        with self._lock:
            self._sought = _Sought(point, header.frame_id, stamp, until, common)

    def _listen(self, frame: str) -> None:
        if self._transforms is not None:
            return
        try:
            import tf2_ros
        except ImportError:
            mine = self._node.settings.frame_id
            raise InputError(
                f"gesture look: points of '{frame}' need tf2_ros; install it, or give the point in '{mine}'"
            ) from None
        self._transforms, self._transform_error = tf2_ros.Buffer(), tf2_ros.TransformException
        self._listener = tf2_ros.TransformListener(self._transforms, self._node)

    def _seek(self, frame: int) -> None:
        """Under the lock, once a frame: the look at a point of another frame begins, and follows it."""
        sought, mine = self._sought, self._node.settings.frame_id
        if sought is None:
            return
        try:
            found = self._transforms.lookup_transform(mine, sought.frame, sought.stamp).transform
        except self._transform_error as error:
            if not sought.begun and self._node.now_ns() > sought.until_ns:
                self._sought = None
                raise InputError(f"gesture look: no transform from '{sought.frame}' to '{mine}': {error}") from None
            return
        fixed = sought.stamp.nanoseconds > 0
        self._sought = None if fixed else sought
        gesture = Gesture.toward(*turned(sought.point, found), **sought.common)
        if not sought.begun:
            self._director.gesture(gesture, frame)
            sought.begun = True
        elif not self._director.aim(gesture.yaw, gesture.pitch):
            self._sought = None  # the look is over

    def _on_robot(self, message: Any) -> None:
        with self._node.usable():
            if message.expression in EXPRESSIONS:
                self._express(Expression(message.expression))
            else:
                self._express(Expression("", valence=_limited(message.valence), arousal=_limited(message.arousal)))

    def _as_robot(self, expression: Expression) -> Any:
        assert self._hri is not None  # where something is published
        message = self._hri(expression=expression.name, valence=expression.valence, arousal=expression.arousal)
        message.confidence = expression.intensity
        message.header.stamp = self._node.get_clock().now().to_msg()
        return message

    def _on_parameters(self, parameters: Any) -> SetParametersResult:
        try:
            for parameter in parameters:
                if parameter.name == "mood":
                    mood = Expression.parse(parameter.value)
                    self._ask(self._director.rest_in, mood)
                elif parameter.name == "liveliness":
                    with self._lock:
                        self._director.liveliness = parameter.value
        except InputError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)


def turned(point: tuple[float, float, float], transform: Any) -> tuple[float, float, float]:
    """A point moved by a geometry_msgs/Transform."""
    q = transform.rotation
    axis, p = np.array([q.x, q.y, q.z]), np.array(point)
    p = p + 2.0 * np.cross(axis, np.cross(axis, p) + q.w * p)
    shift = transform.translation
    return float(p[0] + shift.x), float(p[1] + shift.y), float(p[2] + shift.z)


def _limited(value: float) -> float:
    return min(max(value, -1.0), 1.0) if np.isfinite(value) else 0.0


def _hri_expression() -> Any:
    try:
        from hri_msgs.msg import Expression as HriExpression
    except ImportError:
        raise InputError(
            "robot_expression needs hri_msgs: apt install ros-$ROS_DISTRO-hri-msgs, or leave it off"
        ) from None
    return HriExpression
