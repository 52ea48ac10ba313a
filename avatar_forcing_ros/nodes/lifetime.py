"""What lives as long as a stretch of a node's life."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleNode


class Lifetime:
    """From configure to cleanup, or from activate to deactivate. What is made in it says at once how it ends."""

    def __init__(self) -> None:
        self._ends: list[tuple[object, Callable[[], object]]] = []

    def add(self, end: Callable[[], object], thing: object = None) -> None:
        """`end` is called when this stretch ends. thing: what it ends, for `forget`."""
        self._ends.append((thing, end))

    def forget(self, thing: object) -> None:
        """It has been ended already."""
        self._ends = [(kept, end) for kept, end in self._ends if kept is not thing]

    def end(self) -> None:
        """The newest first, each of them whatever befalls the others; the first error is raised at last."""
        errors: list[Exception] = []
        while self._ends:
            try:
                self._ends.pop()[1]()
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]


class LastingNode(LifecycleNode):
    """A node whose publishers, subscriptions, timers, services and clients end with the stretch that they were made in."""

    _lifetime: Lifetime | None = None  # of what is made now; None: the node's own

    def at_end(self, end: Callable[[], object], thing: object = None) -> None:
        """`end` is called when what goes on now ends: at cleanup from setup on, at deactivation from start on. thing: what it
        ends."""
        if self._lifetime is not None:
            self._lifetime.add(end, thing)

    def create_publisher(self, *given: Any, **options: Any) -> Any:
        made = super().create_publisher(*given, **options)
        self.at_end(lambda: self.destroy_publisher(made), made)
        return made

    def create_subscription(self, *given: Any, **options: Any) -> Any:
        made = super().create_subscription(*given, **options)
        self.at_end(lambda: self.destroy_subscription(made), made)
        return made

    def create_timer(self, *given: Any, **options: Any) -> Any:
        made = super().create_timer(*given, **options)
        self.at_end(lambda: self.destroy_timer(made), made)
        return made

    def create_service(self, *given: Any, **options: Any) -> Any:
        made = super().create_service(*given, **options)
        self.at_end(lambda: self.destroy_service(made), made)
        return made

    def create_client(self, *given: Any, **options: Any) -> Any:
        made: Any = super().create_client(*given, **options)
        self.at_end(lambda: self.destroy_client(made), made)
        return made

    def destroy_subscription(self, subscription: Any) -> bool:
        if self._lifetime is not None:
            self._lifetime.forget(subscription)
        return super().destroy_subscription(subscription)
