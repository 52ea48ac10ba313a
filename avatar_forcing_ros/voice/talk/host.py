"""The host at work: recognition and the brain in a thread of their own, sentences said as they come."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.voice.talk.brain import Brain
from avatar_forcing_ros.voice.talk.conversation import Conversation, Todo
from avatar_forcing_ros.voice.talk.recognition import Recogniser

_MOST_WAITING = 4


class Host:
    """say(text) hands a sentence to the speaker. Calls come from any thread.

    Failures and slow answers are told to `complain` and leave the conversation listening.
    """

    def __init__(
        self, brain: Brain, recogniser: Recogniser | None, conversation: Conversation, say: Callable[[str], None],
        complain: Callable[[str], None], heard: Callable[[str], None] = lambda text: None,
    ) -> None:  # fmt: skip
        self._brain, self._recogniser, self.conversation = brain, recogniser, conversation
        self._say, self._complain, self._heard = say, complain, heard
        self.lock = threading.RLock()
        self._tasks: queue.Queue[Todo | None] = queue.Queue(_MOST_WAITING)
        self.dropped = 0

    def do(self, todo: Todo | None) -> None:
        """What the conversation asks for, but for a nod, which is the caller's."""
        if todo is None or (todo.ask is None and not todo.greet):
            return
        try:
            self._tasks.put_nowait(todo)
        except queue.Full:  # a brain that hangs: the newest turns are given up, none is waited for
            self.dropped += 1
            with self.lock:
                self.conversation.gives_up(todo.turn)

    def end(self) -> None:
        """Ends `work`."""
        while True:
            try:
                self._tasks.put_nowait(None)
                return
            except queue.Full:
                self._tasks.get_nowait()

    def work(self) -> None:
        """In a thread, until `end`."""
        while (todo := self._tasks.get()) is not None:
            try:
                self._answer(todo)
            except InputError as error:
                self._complain(str(error))
            finally:
                with self.lock:
                    self.conversation.gives_up(todo.turn)

    def _answer(self, todo: Todo) -> None:
        if todo.greet:
            with self.lock:
                self._brain.forget()
            text = self._brain.greeting()
            if text and self._may_say(todo):
                self._say(text)
            return
        text = todo.text
        if not text and self._recogniser is not None and todo.ask is not None:
            text = self._recogniser.text_of(todo.ask)
            if text:
                self._heard(text)
        if not text and not self._brain.hears_silence:
            return
        for sentence in self._brain.answer(text):
            if not self._may_say(todo):
                return
            self._say(sentence)

    def _may_say(self, todo: Todo) -> bool:
        with self.lock:
            return self.conversation.answers(todo.turn)
