"""Speaks and interrupts through the speaker node of a running graph, from another process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from rclpy.action import ActionClient
from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor

from avatar_forcing_ros.action import Speak
from avatar_forcing_ros.errors import AvatarForcingError, InputError
from avatar_forcing_ros.srv import Interrupt


class SpeakClient:
    """A small node with a context of its own. A context manager."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def __enter__(self) -> SpeakClient:
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node("say", namespace=self._namespace, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._speak: ActionClient = ActionClient(self._node, Speak, "speak")
        self._interrupt: Client = self._node.create_client(Interrupt, "interrupt")
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def wait(self, seconds: float) -> None:
        """Until the speaker node is there. Raises InputError with what to do where it is not."""
        deadline = time.monotonic() + seconds
        while not (self._speak.server_is_ready() and self._interrupt.service_is_ready()):
            if time.monotonic() > deadline:
                domain = os.environ.get("ROS_DOMAIN_ID", "0")
                raise InputError(
                    f"no speaker node at {self._namespace}/speak in domain {domain}: start a graph (ros2 launch, or make talk), set "
                    "ROS_DOMAIN_ID to its domain, or give --out O.mp4"
                )
            self._executor.spin_once(timeout_sec=0.05)

    def speak(
        self,
        text: str,
        file: str,
        voice: str,
        language: str,
        interrupt: bool,
        on_word: Callable[[str], None] = lambda word: None,
    ) -> Speak.Result:
        """Until it is said. Ctrl-C interrupts it. Raises InputError where it failed."""
        goal = Speak.Goal(
            text=text,
            sound_file=str(Path(file).resolve()) if file else "",
            voice=voice,
            language=language,
            interrupt=interrupt,
        )
        told = [-1]

        def feedback(message: Any) -> None:
            if message.feedback.word_index != told[0]:
                told[0] = message.feedback.word_index
                on_word(message.feedback.word)

        handle = self._answer(self._speak.send_goal_async(goal, feedback_callback=feedback))
        if not handle.accepted:
            raise InputError("the speaker node did not take it: give a text or a sound")
        try:
            result = self._answer(handle.get_result_async()).result
        except KeyboardInterrupt:
            self.interrupt(2.0)
            raise
        if result.outcome == Speak.Result.FAILED:
            raise InputError(result.message)
        return result

    def interrupt(self, seconds: float) -> list[str]:
        """The ids of the utterances that were ended."""
        return list(self._answer(self._interrupt.call_async(Interrupt.Request()), seconds).utterances)

    def _answer(self, future: Any, seconds: float | None = None) -> Any:
        deadline = None if seconds is None else time.monotonic() + seconds
        while not future.done():
            if not self._speak.server_is_ready() or (deadline is not None and time.monotonic() > deadline):
                raise AvatarForcingError("the speaker node has gone")
            self._executor.spin_once(timeout_sec=0.1)
        return future.result()
