"""An executor that wakes cheaply: rclpy's own gathers all entities of a node, QoS events among them, and makes a new wait set for every
message, which costs more than most messages of this package."""

from __future__ import annotations

import time
from contextlib import ExitStack
from itertools import chain
from typing import Any

from rclpy.executors import ExternalShutdownException, ShutdownException, SingleThreadedExecutor, TimeoutException
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.subscription import Subscription

_EVENTS = ("EventHandler", "QoSEventHandler")  # waitables that tell of QoS that does not match; the name before Jazzy
_EVENTS_S = 1.0  # how often those are looked at
_KINDS = ("subscription", "timer", "client", "service")


def _takes(subscription: Any) -> int:
    """Of (message, its info), how many the callback takes."""
    return 1 if subscription._callback_type is Subscription.CallbackType.MessageOnly else 2


class LeanExecutor(SingleThreadedExecutor):
    """Runs callbacks in the thread that calls `spin`, as rclpy's SingleThreadedExecutor, for callbacks that are no coroutines
    and timers' callbacks that take nothing.

    The entities to wait for are gathered when a node gets or loses one, not for each message; QoS events are looked at once a
    second. A node with actions is waited for by rclpy's own way.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._held = ExitStack()  # entities are not destroyed while they are waited for
        self._entities: dict[str, list[Any]] | None = None  # by kind
        self._guards: list[Any] = []
        self._wait_set: Any = None
        self._looked_at = 0.0  # when QoS events were

    def spin(self) -> None:
        """Until the context is shut down. Raises ExternalShutdownException, or what a callback raised."""
        try:
            while self._context.ok() and not self._is_shutdown:
                self.spin_once()
        finally:  # nothing is kept that keeps a node: its participant would outlive it
            self._held.close()
            self._entities, self._guards, self._wait_set = None, [], None
            self.shutdown()

    def spin_once(self, timeout_sec: float | None = None) -> None:
        if self._entities is None and not self._gather():
            return super().spin_once(timeout_sec)
        if time.monotonic() - self._looked_at > _EVENTS_S:
            self._everything()
            self._looked_at = time.monotonic()
        if self._entities is not None:
            self._wait(_EVENTS_S if timeout_sec is None else timeout_sec)

    def _everything(self) -> None:
        """What is ready, of all kinds."""
        try:
            for handler, _, _ in self._wait_for_ready_callbacks(0.0):
                handler()
                handler.result()
        except (TimeoutException, ShutdownException):
            pass

    def _gather(self) -> bool:
        """Whether all that the nodes wait for is of the kinds that need no more than a look."""
        self._held.close()
        nodes = self.get_nodes()
        if any(type(waitable).__name__ not in _EVENTS for node in nodes for waitable in node.waitables):
            return False
        of_kind = {kind: [e for node in nodes for e in getattr(node, kind + "s")] for kind in _KINDS}
        self._guards = [g for node in nodes for g in node.guards] + [g for g in (self._guard, self._sigint_gc) if g]
        try:
            for entity in [*chain(*of_kind.values()), *self._guards]:
                self._held.enter_context(entity.handle)
        except rclpy_implementation.InvalidHandle:  # destroyed just now: the node tells, and they are gathered again
            self._held.close()
            return False
        context: Any = self._context.handle
        self._held.enter_context(context)
        counts = {kind: len(entities) for kind, entities in of_kind.items()}
        self._wait_set = rclpy_implementation.WaitSet(
            counts["subscription"], len(self._guards), counts["timer"], counts["client"], counts["service"], 0, context
        )  # fmt: skip
        self._entities = of_kind
        return True

    def _wait(self, timeout_s: float) -> None:
        assert self._entities is not None
        wait_set = self._wait_set
        wait_set.clear_entities()
        for kind, entities in self._entities.items():
            add = getattr(wait_set, "add_" + kind)
            for entity in entities:
                add(entity.handle)
        for guard in self._guards:
            wait_set.add_guard_condition(guard.handle)
        wait_set.wait(round(timeout_s * 1e9))
        if not self._context.ok():
            raise ExternalShutdownException()
        if self._is_shutdown:
            return
        ready = {kind: set(wait_set.get_ready_entities(kind)) for kind in _KINDS}
        changed = bool(wait_set.get_ready_entities("guard_condition"))  # a node got or lost an entity
        for timer in self._entities["timer"] if ready["timer"] else ():
            if timer.handle.pointer in ready["timer"] and timer.handle.is_timer_ready():
                timer.handle.call_timer()
                timer.callback()
        for subscription in self._entities["subscription"] if ready["subscription"] else ():
            if subscription.handle.pointer in ready["subscription"]:
                found = subscription.handle.take_message(subscription.msg_type, subscription.raw)
                if found is not None:
                    subscription.callback(*found[: _takes(subscription)])
        if ready["client"] or ready["service"]:
            self._everything()
        if changed:
            self._entities = None
