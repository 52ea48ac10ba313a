"""Configures, activates and parametrises lifecycle nodes from another process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter

from avatar_forcing_ros.errors import AvatarForcingError
from avatar_forcing_ros.msg import RunStatistics
from avatar_forcing_ros.ros import qos

_CALL_TIMEOUT_S = 20.0
_LOST_S = 1.0  # an answer that takes longer may have been lost: a service that was just found may not know yet where to answer
_ASKED_AGAIN_S = 0.2  # the same, where nothing but a state is asked for


class _Change(NamedTuple):
    """A transition, and the states before and after it."""

    id: int
    before: str
    after: str


_TRANSITIONS = {
    "configure": _Change(Transition.TRANSITION_CONFIGURE, "unconfigured", "inactive"),
    "activate": _Change(Transition.TRANSITION_ACTIVATE, "inactive", "active"),
}


class LifecycleClient:
    """A small node with a context of its own. A context manager."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def __enter__(self) -> LifecycleClient:
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node("supervisor", namespace=self._namespace, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self.faults: dict[str, str] = {}  # what nodes last said that is wrong with them
        self.statistics: dict[str, RunStatistics] = {}  # what each watched node last said of its work
        self._services: dict = {}
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 50)
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)
        # What still refers to the node, as an iteration of the executor does, keeps its participant with its shared memory.
        del self._executor, self._node, self._context, self._services

    def now(self) -> float:
        return self._node.get_clock().now().nanoseconds / 1e9

    def spin(self, seconds: float) -> None:
        """Listen to the nodes' diagnostics for so long."""
        deadline = time.monotonic() + seconds
        while (remaining := deadline - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=remaining)

    def watch(self, paths: list[str]) -> None:
        """Listen to the nodes' statistics."""
        for path in paths:
            self._node.create_subscription(RunStatistics, f"{path}/statistics", self._on_statistics, qos.reliable(4))

    def _on_statistics(self, message: RunStatistics) -> None:
        self.statistics[message.node] = message

    def fault(self, path: str) -> str:
        """Why a node's last transition failed, as it says in its diagnostics."""
        deadline = time.monotonic() + 3.0
        while path not in self.faults and time.monotonic() < deadline:
            self._executor.spin_once(timeout_sec=0.1)
        return self.faults.get(path, f"node {path} failed and gave no reason")

    def wait_for_state(self, paths: list[str], state: str, timeout_s: float, check: Callable[[], None]) -> None:
        """Until every node is in `state`. `check` may raise to end the wait; AvatarForcingError on time-out, and with its own words
        where a node says that it cannot."""
        deadline = time.monotonic() + timeout_s
        waiting = list(paths)
        while waiting:
            check()
            if time.monotonic() > deadline:
                raise AvatarForcingError(f"nodes not {state} after {timeout_s:.0f} s: {', '.join(waiting)}")
            waiting.sort(key=lambda path: path not in self.faults)  # what has failed is looked at first
            if not self._client(GetState, f"{waiting[0]}/get_state").service_is_ready():
                self._executor.spin_once(timeout_sec=0.05)
                continue
            found = self._state(waiting[0], _ASKED_AGAIN_S)
            if found == state:
                waiting.pop(0)
            elif found is not None and waiting[0] in self.faults:
                raise AvatarForcingError(self.faults[waiting[0]])
            else:
                self._executor.spin_once(timeout_sec=0.05)

    def change_state(self, path: str, transition: str) -> bool:
        """Whether the node went there. It is asked again where it did not hear, or its answer was lost."""
        change = _TRANSITIONS[transition]
        request = ChangeState.Request(transition=Transition(id=change.id))
        client, deadline = self._client(ChangeState, f"{path}/change_state"), time.monotonic() + _CALL_TIMEOUT_S
        client.wait_for_service(_CALL_TIMEOUT_S)
        answer = client.call_async(request)
        while time.monotonic() < deadline:
            self._executor.spin_until_future_complete(answer, timeout_sec=_LOST_S)
            if answer.done():
                return answer.result().success
            state = self._state(path)  # None: it is at work
            if state == change.after:
                return True
            if state == change.before:
                answer = client.call_async(request)
        return False

    def set_parameter(self, path: str, name: str, value: Any) -> None:
        message: ParameterMessage = Parameter(name, value=value).to_parameter_msg()
        client, request = (
            self._client(SetParameters, f"{path}/set_parameters"),
            SetParameters.Request(parameters=[message]),
        )
        deadline = time.monotonic() + _CALL_TIMEOUT_S
        response = None
        while response is None and time.monotonic() < deadline:
            response = self._call(client, request, timeout_s=_LOST_S)
        if response is None or not response.results[0].successful:
            reason = "no answer" if response is None else response.results[0].reason
            raise AvatarForcingError(f"parameter {name} of {path} cannot be set to {value}: {reason}")

    def _state(self, path: str, timeout_s: float = _LOST_S) -> str | None:
        """None where it does not answer in time."""
        response = self._call(self._client(GetState, f"{path}/get_state"), GetState.Request(), timeout_s)
        return None if response is None else response.current_state.label

    def _client(self, kind: Any, name: str) -> Any:
        if name not in self._services:
            self._services[name] = self._node.create_client(kind, name)
        return self._services[name]

    def _call(self, client: Any, request: Any, timeout_s: float) -> Any:
        """The response, or None on time-out."""
        if not client.wait_for_service(timeout_s):
            return None
        future = client.call_async(request)
        self._executor.spin_until_future_complete(future, timeout_sec=timeout_s)
        if future.done():
            return future.result()
        client.remove_pending_request(future)
        return None

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.level == status.ERROR:
                self.faults[status.name] = status.message
