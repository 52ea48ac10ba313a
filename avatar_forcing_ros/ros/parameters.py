"""A node's settings as ROS parameters: declared with their bounds, checked, and refused where a change cannot count."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.ros.setting import ACTIVATE, CONFIGURE, PROCESS, Setting, settings_in, with_values

S = TypeVar("S")
UNCONFIGURED, INACTIVE, ACTIVE = range(3)  # states of a node, for what may be changed in them
_LAST_STATE = {PROCESS: -1, CONFIGURE: UNCONFIGURED, ACTIVATE: INACTIVE}  # in which a change still counts
_TYPES = {1: bool, 2: int, 3: float, 4: str}  # rcl_interfaces/ParameterType


def descriptor_of(one: Setting) -> ParameterDescriptor:
    """Type, range and words of a setting. A range includes the value that stands for None."""
    made = ParameterDescriptor(description=one.text, read_only=False)
    constraints = [one.range] if one.choices else []
    if one.read_at != "running":
        constraints.append(f"read at {one.read_at}")
    made.additional_constraints = "; ".join(constraints)
    if one.low is not None:
        low = one.low if one.empty is None else min(one.low, one.empty)
        if one.kind is float:
            made.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(one.high))]
        else:
            made.integer_range = [IntegerRange(from_value=int(low), to_value=int(one.high))]
    return made


class Parameters(Generic[S]):
    """The parameters of one node. `values` is the settings object that they make; `state` says what may be changed now.

    A value of a parameters file that cannot be is not lost in a traceback: `fault` tells it until a good one is set.
    """

    def __init__(self, node: Any, kind: type[S]) -> None:
        self._node = node
        self._kind: type[Any] = kind
        self._faults: dict[str, str] = {}
        found = {}
        for one in settings_in(self._kind).values():
            default = one.to_ros(one.default)
            try:
                node.declare_parameter(one.name, default, descriptor_of(one))
            except ParameterException as error:
                self._faults[one.name] = str(error)
                node.declare_parameter(one.name, default, descriptor_of(one), ignore_override=True)
            try:
                found[one.name] = one.from_ros(node.get_parameter(one.name).value)
            except InputError as error:
                self._faults[one.name] = str(error)
        self.values: S = with_values(kind(), found)
        self._state = UNCONFIGURED
        self.state = UNCONFIGURED

    @property
    def fault(self) -> str:
        """Why the parameters that were given cannot be used, or nothing."""
        return "; ".join(self._faults.values())

    @property
    def state(self) -> int:
        return self._state

    @state.setter
    def state(self, state: int) -> None:
        self._state = state
        for one in settings_in(self._kind).values():
            self._node.describe_parameter(one.name).read_only = self._too_late(one)

    def _too_late(self, one: Setting) -> bool:
        return one.read_at in _LAST_STATE and self._state > _LAST_STATE[one.read_at]

    def refusal(self, parameters: list) -> str:
        """Why rclpy must not make this change, in one line, or nothing. What is no setting of ours is rclpy's to judge."""
        try:
            self._checked_all(parameters)
        except InputError as error:
            return str(error)
        return ""

    def take(self, parameters: list) -> None:
        """A change that rclpy has made."""
        changed = self._checked_all(parameters)
        for name in changed:
            self._faults.pop(name, None)
        self.values = with_values(self.values, changed)

    def _checked_all(self, parameters: list) -> dict[str, Any]:
        known = settings_in(self._kind)
        return {p.name: self._checked(known[p.name], p) for p in parameters if p.name in known}

    def _checked(self, one: Setting, parameter: Any) -> Any:
        value = parameter.value
        if self._too_late(one):
            if one.read_at == PROCESS:
                raise InputError(f"{one.name} is read when the process starts: start the node with it")
            way = "deactivate the node" + (" and clean it up" if one.read_at == CONFIGURE else "")
            raise InputError(f"{one.name} is read when the node is {one.read_at}d: {way}, set it, then start it again")
        if _TYPES.get(parameter.type_.value) is not one.kind:
            raise InputError(
                f"{one.name} is {value!r}; its type is {one.kind.__name__}, give {one.to_ros(one.default)!r} or the like"
            )
        return one.from_ros(value)
