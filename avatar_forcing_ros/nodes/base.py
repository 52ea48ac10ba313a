"""What all nodes share: lifecycle, bounded parameters, diagnostics, time jumps, and pacing on ROS time."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
import threading
import traceback
from typing import Any

import cv2
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.clock import ClockChange, JumpThreshold
from rclpy.duration import Duration
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn

from avatar_forcing_ros.errors import AvatarForcingError, InputError
from avatar_forcing_ros.motion import Network
from avatar_forcing_ros.timeline import NANOSECONDS

JUMP_BACK_NS = NANOSECONDS // 10  # a clock that steps back further than this has been restarted (a bag that loops)
JUMP_FORWARD_NS = 2 * NANOSECONDS
_SIMULATED_LOOK_S = 0.002  # simulated time moves in steps of its own: how often it is looked at


class AvatarNode(LifecycleNode):
    """A lifecycle node. Subclasses declare parameters in `__init__` and implement `setup`, `start`, `stop`, `teardown`.

    setup (configure): load what takes time; raise AvatarForcingError where the user has to mend something.
    start (activate): begin to publish. stop (deactivate), teardown (cleanup): the way back; both may be called twice.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.fault = ""  # why the last transition failed, for people
        self.stopping = threading.Event()  # set while the node is not active: threads end on it
        self.stopping.set()
        self.unusable = ""  # why a message since the last report could not be used
        self.realtime_priority = 0  # that the system has given to a thread that asked for one
        self._threads: list[threading.Thread] = []
        self._jumps = 0
        self._counts: dict[str, int] = {}
        self._before: dict[str, set] = {}  # what existed before configure, and before activate
        self.declare("autostart", True, "configure and activate by itself; false where a lifecycle manager does it")
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(1.0, self._publish_diagnostics)
        threshold = JumpThreshold(
            min_forward=Duration(nanoseconds=JUMP_FORWARD_NS),
            min_backward=Duration(nanoseconds=-JUMP_BACK_NS),
            on_clock_change=True,
        )
        self._jump_handle = self.get_clock().create_jump_callback(threshold, post_callback=self._on_jump)

    # --- for subclasses -----------------------------------------------------------------------------------------
    def setup(self) -> None: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def teardown(self) -> None: ...

    def on_time_jump(self) -> None:
        """ROS time stepped back, or far ahead: forget what belongs to the old time."""

    def report(self) -> tuple[int, str, dict[str, Any]]:
        """For diagnostics: level (DiagnosticStatus.OK ...), one line, and values."""
        return DiagnosticStatus.OK, "active" if self.active else "inactive", {}

    def declare(self, name: str, default, description: str, low=None, high=None, choices: tuple[str, ...] = ()) -> None:
        """A parameter with its bounds, read when the node is configured."""
        descriptor = ParameterDescriptor(description=description)
        if choices:
            descriptor.additional_constraints = "one of: " + ", ".join(choices)
        if low is not None:
            if isinstance(default, float):
                descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
            else:
                descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
        self.declare_parameter(name, default, descriptor)

    def declare_network(self) -> None:
        """The parameters that say where the published network is and how it runs."""
        self.declare("weights", "", "folder or file of the published network's weights (space lia512 only)")
        self.declare("device", "auto", "auto, cpu, cuda or cuda:N")
        self.declare("precision", "auto", "of the network", choices=("auto", "float32", "bfloat16", "float16"))

    def network(self) -> Network:
        return Network(self.param("weights"), self.param("device"), self.param("precision"))

    def param(self, name: str):
        return self.get_parameter(name).value

    @property
    def active(self) -> bool:
        return not self.stopping.is_set()

    def now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def wait_until(self, stamp_ns: int) -> bool:
        """Sleep until ROS time `stamp_ns`; False when the node is to stop, or time has jumped and the stamp means nothing.

        (Clock.sleep_until keeps a callback for every call.)
        """
        clock, jumps, before = self.get_clock(), self._jumps, 0
        while not self.stopping.is_set() and jumps == self._jumps:
            remaining = stamp_ns - clock.now().nanoseconds
            if remaining <= 0:
                return before - remaining < JUMP_FORWARD_NS  # the clock may be seen to jump before the jump is told
            before = remaining
            # On system time one wait is exact.
            self.stopping.wait(_SIMULATED_LOOK_S if clock.ros_time_is_active else min(remaining / NANOSECONDS, 0.5))
        return False

    def wait_notified(self, condition: threading.Condition, remaining_ns: int) -> None:
        """Until somebody notifies `condition`, which is held, or `remaining_ns` of ROS time have passed at the latest; the caller
        looks again."""
        condition.wait(_SIMULATED_LOOK_S if self.get_clock().ros_time_is_active else remaining_ns / NANOSECONDS)

    def run_thread(self, work, realtime_priority: int = 0) -> None:
        """Runs `work` in a thread until the node stops; an error in it ends the node, so that it is started again.

        realtime_priority: of SCHED_RR, 0: none. Where the system refuses it, or there is one core, the thread runs as any other.
        """

        def guarded() -> None:
            try:
                if realtime_priority and run_first(realtime_priority):
                    self.realtime_priority = realtime_priority
                work()
            except Exception as error:
                if self.context.ok():  # else: the process is ending and publishers are gone
                    self.fault = f"{type(error).__name__}: {error}"
                    self.get_logger().error(traceback.format_exc())
                    self.context.shutdown()

        self._threads.append(threading.Thread(target=guarded, daemon=True))
        self._threads[-1].start()

    def join_threads(self, timeout_s: float = 10.0) -> None:
        """Waits for the threads to end, after `stopping` has been set."""
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout_s)
        self._threads.clear()

    def count(self, what: str, n: int = 1) -> None:
        """Add to a counter that diagnostics show."""
        self._counts[what] = self._counts.get(what, 0) + n

    @contextlib.contextmanager
    def usable(self):
        """Around the handling of a message: one that cannot be used is counted and told in diagnostics, no more."""
        try:
            yield
        except InputError as error:
            self.unusable = str(error)
            self.count("unusable messages")
            self.warn(self.unusable)

    def warn(self, text: str) -> None:
        self.get_logger().warning(text, throttle_duration_sec=5.0)

    # --- lifecycle ----------------------------------------------------------------------------------------------
    def on_configure(self, state) -> TransitionCallbackReturn:
        self._before["configure"] = self._entities()
        return self._transition(self.setup, super().on_configure, state)

    def on_activate(self, state) -> TransitionCallbackReturn:
        self.stopping.clear()
        self._before["activate"] = self._entities()
        result = self._transition(self.start, super().on_activate, state)
        if result != TransitionCallbackReturn.SUCCESS:
            self.stopping.set()
        return result

    def on_deactivate(self, state) -> TransitionCallbackReturn:
        self.stopping.set()
        self._destroy_made_since("activate")
        return self._transition(self.stop, super().on_deactivate, state)

    def on_cleanup(self, state) -> TransitionCallbackReturn:
        self._destroy_made_since("configure")
        return self._transition(self.teardown, super().on_cleanup, state)

    def on_shutdown(self, state) -> TransitionCallbackReturn:
        self.halt()
        return super().on_shutdown(state)

    def on_error(self, state) -> TransitionCallbackReturn:
        self.halt()
        self._destroy_made_since("configure")
        return TransitionCallbackReturn.SUCCESS  # back to unconfigured: it may be tried again

    def halt(self) -> None:
        """Stops from any state; what cannot be finished becomes the node's fault."""
        self.stopping.set()
        for work in (self.stop, self.teardown):
            try:
                work()
            except AvatarForcingError as error:
                self.fault = str(error)

    def _entities(self) -> set:
        return {*self.publishers, *self.subscriptions, *self.timers, *self.services}

    def _destroy_made_since(self, transition: str) -> None:
        before = self._before.get(transition, self._entities())
        for kind, destroy in (
            (self.publishers, self.destroy_publisher),
            (self.subscriptions, self.destroy_subscription),
            (self.timers, self.destroy_timer),
            (self.services, self.destroy_service),
        ):
            for entity in [e for e in kind if e not in before]:
                destroy(entity)

    def _transition(self, work, then, state) -> TransitionCallbackReturn:
        try:
            work()
        except Exception as error:
            self.fault = str(error)
            if not isinstance(error, AvatarForcingError):  # a fault of ours or of a library: keep the whole story
                self.fault = f"{type(error).__name__}: {error}"
                self.get_logger().error(traceback.format_exc())
            self.get_logger().error(self.fault)
            self._destroy_made_since("configure" if work == self.setup else "activate")
            return TransitionCallbackReturn.FAILURE
        self.fault = ""
        return then(state)

    # --- diagnostics and time -----------------------------------------------------------------------------------
    def _publish_diagnostics(self) -> None:
        level, message, values = self.report()
        self.unusable = ""
        if self.fault:
            level, message = DiagnosticStatus.ERROR, self.fault
        status = DiagnosticStatus(level=level, name=self.get_fully_qualified_name(), message=message)
        for key, value in {**values, **self._counts}.items():
            text = f"{value:.2f}" if isinstance(value, float) else str(value)
            status.values.append(KeyValue(key=key, value=text))
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)

    def _on_jump(self, jump) -> None:
        if jump.clock_change in (ClockChange.ROS_TIME_NO_CHANGE, ClockChange.SYSTEM_TIME_NO_CHANGE):
            self.get_logger().info(f"time jumped by {jump.delta.nanoseconds / NANOSECONDS:.2f} s: starting afresh")
        self._jumps += 1
        self.on_time_jump()


def run_first(priority: int) -> bool:
    """Asks for SCHED_RR for the calling thread. False where there is no such thing, no right to it (see limits.conf(5), rtprio),
    or no second core: others would wait for as long as this thread computes."""
    try:
        if len(os.sched_getaffinity(0)) < 2:
            return False
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except (AttributeError, OSError):
        return False
    return True


def _keep_memory_flat() -> None:
    """Two malloc arenas instead of eight per core: images that pass from thread to thread else leave holes in all of
    them, and a node that plays video grows by megabytes a minute."""
    try:
        ctypes.CDLL(None).mallopt(-8, 2)  # M_ARENA_MAX
    except (AttributeError, OSError):  # another C library than glibc has other habits
        pass


def run_node(node_class: type[AvatarNode]) -> int:
    """The main function of a node's executable. Exit status 1, and a last line "error: ...", where something failed."""
    _keep_memory_flat()
    rclpy.init()
    cv2.setNumThreads(1)  # every node is a process of its own; the cores are shared among them
    sys.setswitchinterval(0.001)  # a thread whose image is due does not wait 5 ms for one that reads a message
    node, fault = None, ""
    try:
        node = node_class()
        ok = TransitionCallbackReturn.SUCCESS
        if not node.param("autostart") or (node.trigger_configure() == ok and node.trigger_activate() == ok):
            gc.collect()
            gc.freeze()  # what is there now stays: later collections are short
            rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (AvatarForcingError, ParameterException) as error:
        fault = str(error)
    finally:
        if node is not None:
            node.halt()
            fault = fault or node.fault
            node.destroy_node()
            # What still refers to the node keeps its participant, and with it 17 MB of shared memory that outlive the process.
            node = None
            gc.unfreeze()
            gc.collect()
        rclpy.try_shutdown()
    if fault:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if fault else 0
