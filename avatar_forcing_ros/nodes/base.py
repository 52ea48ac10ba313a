"""What all nodes share: lifecycle, bounded parameters, diagnostics, time jumps, and pacing on ROS time."""

from __future__ import annotations

import contextlib
import math
import platform
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import ClockChange, JumpThreshold
from rclpy.duration import Duration
from rclpy.lifecycle import TransitionCallbackReturn

from avatar_forcing_ros.errors import AvatarForcingError, InputError
from avatar_forcing_ros.msg import RunStatistics
from avatar_forcing_ros.nodes.lifetime import LastingNode, Lifetime
from avatar_forcing_ros.ros import qos
from avatar_forcing_ros.ros.graph.process import give_back_memory, run_first
from avatar_forcing_ros.ros.parameters import ACTIVE, INACTIVE, UNCONFIGURED, Parameters
from avatar_forcing_ros.ros.settings import NodeSettings
from avatar_forcing_ros.timeline import NANOSECONDS

JUMP_BACK_NS = NANOSECONDS // 10  # a clock that steps back further than this has been restarted (a bag that loops)
JUMP_FORWARD_NS = 2 * NANOSECONDS
_SIMULATED_LOOK_S = 0.002  # simulated time moves in steps of its own: how often it is looked at


class AvatarNode(LastingNode):
    """A lifecycle node. Subclasses name the class of their settings and implement `setup`, `start`, `stop`.

    setup (configure): load what takes time; raise AvatarForcingError where the user has to mend something.
    start (activate): begin to publish. stop (deactivate): the way back; only called where start has begun, perhaps twice.
    What either makes ends with its stretch: publishers and the like by themselves, all else by `at_end`, said where it
    is made. Before setup nothing of a subclass is called but `on_time_jump` and `report`.

    A node whose configure fails stays unconfigured and says why in its diagnostics, so that the fault can be mended and
    the node configured again; one that cannot go on ends its process.
    """

    SETTINGS: type[NodeSettings] = NodeSettings  # a subclass has its own, and annotates `settings` with it
    SENDS_IMAGES = False  # raw ones, which need shared memory of their size

    def __init__(self, name: str, arguments: list[str] | None = None) -> None:
        """arguments: its own, as on a command line, where it shares a process; None: those of the process."""
        super().__init__(name, cli_args=arguments, use_global_arguments=arguments is None)
        self._checked_parameters = Parameters(self, self.SETTINGS)
        self.settings: Any = self._checked_parameters.values  # as they are now; see Parameters for what may change when
        self.waits_for_a_device = False  # a fault may mend itself: the process ends, and is started again
        self.fault = ""  # why the last transition failed, for people
        self.stopping = threading.Event()  # set while the node is not active: threads end on it
        self.stopping.set()
        self.unusable = ""  # why a message since the last report could not be used
        self.when_done: Callable[[], object] = self.context.shutdown  # what it was started for has been done
        self.realtime_priority = 0  # that the system has given to a thread that asked for one
        self._threads: list[threading.Thread] = []
        self._first_threads: dict[int, int] = {}  # thread of the system -> the priority that it was given
        self._jumps = 0
        self._counts: dict[str, int] = {}
        self._configured, self._activated = Lifetime(), Lifetime()
        self._started = False  # `start` has begun, and `stop` has not been called since
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._statistics_out = self.create_publisher(RunStatistics, "~/statistics", qos.reliable(4))
        self.create_timer(1.0, self._publish_diagnostics)
        self.create_timer(1.0, self._publish_statistics)
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

    def on_time_jump(self) -> None:
        """ROS time stepped back, or far ahead: forget what belongs to the old time."""

    def report(self) -> tuple[int, str, dict[str, Any]]:
        """For diagnostics: level (DiagnosticStatus.OK ...), one line, and values."""
        return DiagnosticStatus.OK, "active" if self.active else "inactive", {}

    @property
    def hardware(self) -> str:
        """What diagnostics are about: this machine, or a device of it."""
        return platform.node()

    def measured(self) -> dict[str, Any]:
        """Fields of RunStatistics that this node measures, while it is active."""
        return {}

    def set_parameters_atomically(self, parameter_list: list) -> SetParametersResult:
        """As rclpy's, but what the node could not do is refused, with the reason."""
        if reason := self._checked_parameters.refusal(parameter_list):
            return SetParametersResult(successful=False, reason=reason)
        result = super().set_parameters_atomically(parameter_list)
        if result.successful:
            self._checked_parameters.take(parameter_list)
            self.settings = self._checked_parameters.values
        return result

    def set_parameters(self, parameter_list: list) -> list[SetParametersResult]:
        """As rclpy's: one after the other, each refused where the node could not do it."""
        return [self.set_parameters_atomically([parameter]) for parameter in parameter_list]

    @property
    def active(self) -> bool:
        return not self.stopping.is_set()

    def now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _simulated(self) -> bool:
        clock: Any = self.get_clock()  # rclpy's annotation is of the base class
        return clock.ros_time_is_active

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
            self.stopping.wait(_SIMULATED_LOOK_S if self._simulated() else min(remaining / NANOSECONDS, 0.5))
        return False

    def wait_notified(self, condition: threading.Condition, remaining_ns: int) -> None:
        """Until somebody notifies `condition`, which is held, or `remaining_ns` of ROS time have passed at the latest; the caller
        looks again."""
        condition.wait(_SIMULATED_LOOK_S if self._simulated() else remaining_ns / NANOSECONDS)

    def run_thread(self, work: Callable[[], None], realtime_priority: int = 0) -> None:
        """Runs `work` in a thread until the node stops; an error in it ends the node, so that it is started again.

        realtime_priority: of SCHED_RR, 0: none. Where the system refuses it, or there is one core, the thread runs as any other.
        """

        def guarded() -> None:
            try:
                if realtime_priority and run_first(realtime_priority):
                    self.realtime_priority = realtime_priority
                    self._first_threads[threading.get_native_id()] = realtime_priority
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
        self._first_threads.clear()

    def allow_priority(self, allowed: bool) -> None:
        """Whether threads that were given a real-time priority run before others. Under overload they must not: they would starve
        the tracker, the transport and other faces, and in the end themselves."""
        given = max(self._first_threads.values(), default=0) if allowed else 0
        if given == self.realtime_priority:
            return
        for thread, priority in list(self._first_threads.items()):
            run_first(priority if allowed else 0, thread)
        self.realtime_priority = given

    def count(self, what: str, n: int = 1) -> None:
        """Add to a counter that diagnostics show."""
        self._counts[what] = self._counts.get(what, 0) + n

    @contextlib.contextmanager
    def usable(self) -> Iterator[None]:
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
    def on_configure(self, state: Any) -> TransitionCallbackReturn:
        self._lifetime = self._configured
        return self._transition(self._checked_setup, super().on_configure, state, INACTIVE)

    def _checked_setup(self) -> None:
        if self._checked_parameters.fault:
            raise InputError(self._checked_parameters.fault)
        self.setup()

    def on_activate(self, state: Any) -> TransitionCallbackReturn:
        self.stopping.clear()
        self._lifetime, self._started = self._activated, True
        result = self._transition(self.start, super().on_activate, state, ACTIVE)
        if result != TransitionCallbackReturn.SUCCESS:
            self.stopping.set()
        return result

    def on_deactivate(self, state: Any) -> TransitionCallbackReturn:
        self.stopping.set()
        return self._transition(self._deactivate, super().on_deactivate, state, INACTIVE)

    def on_cleanup(self, state: Any) -> TransitionCallbackReturn:
        return self._transition(self._clean_up, super().on_cleanup, state, UNCONFIGURED)

    def _deactivate(self) -> None:
        started, self._started = self._started, False
        self._lifetime = self._configured
        try:
            self._activated.end()
        finally:
            if started:
                self.stop()

    def _clean_up(self) -> None:
        self._lifetime = None
        self._configured.end()

    def on_shutdown(self, state: Any) -> TransitionCallbackReturn:
        self.halt()
        return super().on_shutdown(state)

    def on_error(self, state: Any) -> TransitionCallbackReturn:
        self.halt()
        self._checked_parameters.state = UNCONFIGURED
        return TransitionCallbackReturn.SUCCESS  # back to unconfigured: it may be tried again

    def halt(self) -> None:
        """Stops from any state; what cannot be finished becomes the node's fault."""
        self.stopping.set()
        for work in (self._deactivate, self._clean_up):
            try:
                work()
            except AvatarForcingError as error:
                self.fault = str(error)
            except RuntimeError:  # rclpy's, of a publisher that went with the context
                if self.context.ok():
                    raise

    def _transition(
        self, work: Callable[[], None], then: Callable[[Any], TransitionCallbackReturn], state: Any, reached: int
    ) -> TransitionCallbackReturn:
        try:
            work()
        except Exception as error:
            self.fault = str(error)
            if not isinstance(error, AvatarForcingError):  # a fault of ours or of a library: keep the whole story
                self.fault = f"{type(error).__name__}: {error}"
                self.get_logger().error(traceback.format_exc())
            self.get_logger().error(self.fault)
            if work == self._checked_setup:
                self._clean_up()
            elif work == self.start:
                self._activated.end()
                self._lifetime = self._configured
            self._publish_diagnostics()
            return TransitionCallbackReturn.FAILURE
        self.fault = ""
        self._checked_parameters.state = reached
        result = then(state)
        give_back_memory()
        return result

    # --- diagnostics and time -----------------------------------------------------------------------------------
    def _publish_diagnostics(self) -> None:
        level, message, values = self.report()
        self.unusable = ""
        if self.fault:
            level, message = DiagnosticStatus.ERROR, self.fault
        status = DiagnosticStatus(
            level=level, name=self.get_fully_qualified_name(), message=message, hardware_id=self.hardware
        )
        for key, value in {**values, **self._counts}.items():
            text = f"{value:.2f}" if isinstance(value, float) else str(value)
            status.values.append(KeyValue(key=key, value=text))
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)

    def _publish_statistics(self) -> None:
        if self.active:
            nothing = dict.fromkeys(("real_time_factor", "queued_images", "queued_motion", "queued_speech"), math.nan)
            message = RunStatistics(node=self.get_fully_qualified_name(), **(nothing | self.measured()))
            message.header.stamp = self.get_clock().now().to_msg()
            self._statistics_out.publish(message)

    def _on_jump(self, jump: Any) -> None:
        if jump.clock_change in (ClockChange.ROS_TIME_NO_CHANGE, ClockChange.SYSTEM_TIME_NO_CHANGE):
            self.get_logger().info(f"time jumped by {jump.delta.nanoseconds / NANOSECONDS:.2f} s: starting afresh")
        self._jumps += 1
        self.on_time_jump()
