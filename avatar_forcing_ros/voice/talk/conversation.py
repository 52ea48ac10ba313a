"""Whose turn it is. Without ROS, threads or a clock: told of each frame of the user's voice and of what was said, it says what to do.

    listening --the user stops--> thinking --an answer comes--> speaking --it is said, or interrupted--> listening

Nothing that is slow or fails leaves the face anywhere else than in listening: an answer that does not come within its time is given up,
and one that comes after the user has spoken again is not said.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from avatar_forcing_ros.timeline import FRAME_NS, FRAME_RATE, NANOSECONDS, SAMPLES_PER_FRAME
from avatar_forcing_ros.voice.listening.ear import BACK_CHANNEL, NONE

LISTENING, THINKING, SPEAKING = "listening", "thinking", "speaking"
MOST_TURN_S = 60  # of the user's sound that is kept for recognition
_BEFORE_FRAMES = 10  # of sound before the voice was told


@dataclass(frozen=True)
class Manners:
    """end_of_turn: seconds of silence after which the user has ended; patience: for an answer; nod_after: seconds of the user's talk
    after which a pause gets a nod, and between two nods; gone_after: seconds without the user after which the next one is greeted."""

    end_of_turn: float = 0.7
    patience: float = 20.0
    nod_after: float = 3.0
    gone_after: float = 60.0


class Todo(NamedTuple):
    """ask: the turn's sound (n,) at 16 kHz for recognition and the brain, or None; text: its words where they are known; greet: say
    hello; nod: show that it is heard. turn counts the user's turns: an answer to an older one is not said."""

    turn: int
    ask: np.ndarray | None = None
    text: str = ""
    greet: bool = False
    nod: bool = False


class Conversation:
    """State of bounded size. `frame` is to be called for every frame of the user's sound, `tick` as time passes."""

    def __init__(self, manners: Manners | None = None) -> None:
        self._manners = manners or Manners()
        self._sound: deque[np.ndarray] = deque(maxlen=MOST_TURN_S * FRAME_RATE)
        self._before: deque[np.ndarray] = deque(maxlen=_BEFORE_FRAMES)
        self.state = LISTENING
        self.turn = 0
        self._talks = False  # the user has the turn
        self._quiet_frames = 0
        self._voice_frames = 0
        self._since_nod = 0
        self._asked_ns = 0
        self._seen_ns: int | None = None  # when the user was last noticed
        self._text = ""

    def frame(self, state: int, samples: np.ndarray, now_ns: int) -> Todo | None:
        """One frame (640,) of the user's sound, and what was heard in it (states of Ear)."""
        # A "yes" agrees while it is said to somebody who speaks or thinks; to one who listens it is an answer.
        voice = state != NONE and (state != BACK_CHANNEL or self.state == LISTENING)
        self._before.append(samples)
        if voice and not self._talks:
            self._talks, self._voice_frames, self._since_nod = True, 0, 0
            self._sound.clear()
            self._sound.extend(self._before)
            if self.state == THINKING:  # more comes: the answer to the part before is not wanted
                self.turn += 1
            if self.state != SPEAKING:
                self.state = LISTENING
        elif self._talks:
            self._sound.append(samples)
        if not self._talks:
            return None
        if voice:
            self._seen_ns = now_ns
        self._voice_frames += voice
        self._since_nod += 1
        self._quiet_frames = 0 if voice else self._quiet_frames + 1
        if self._quiet_frames * FRAME_NS >= self._manners.end_of_turn * NANOSECONDS:
            return self._end_turn(now_ns)
        pause = self._quiet_frames == 2
        if pause and self._since_nod >= self._manners.nod_after * FRAME_RATE and self.state == LISTENING:
            self._since_nod = 0
            return Todo(self.turn, nod=True)
        return None

    def words(self, text: str, now_ns: int) -> Todo | None:
        """What was typed, or recognised by somebody else: a turn of its own, or the words of the one that has just ended."""
        text = text.strip()
        if not text:
            return None
        self._arrives(now_ns)
        self._talks = False
        self.turn += 1
        self.state, self._asked_ns = THINKING, now_ns
        return Todo(self.turn, ask=np.zeros(0, np.float32), text=text)

    def arrives(self, now_ns: int) -> Todo | None:
        """Somebody is seen. The first after a while is greeted."""
        return (
            Todo(self.turn, greet=True)
            if self._arrives(now_ns) and self.state == LISTENING and not self._talks
            else None
        )

    def answers(self, turn: int) -> bool:
        """An answer to a turn has come: whether it is still to be said."""
        if turn != self.turn or self._talks:
            return False
        self.state = SPEAKING
        return True

    def gives_up(self, turn: int) -> None:
        """No answer will come, or nothing more of it."""
        if turn == self.turn and self.state == THINKING:
            self.state = LISTENING

    def has_spoken(self) -> None:
        """What was said has ended, or was interrupted: from this frame on it listens."""
        if self.state == SPEAKING:
            self.state = LISTENING

    def tick(self, now_ns: int) -> None:
        if self.state == THINKING and now_ns - self._asked_ns > self._manners.patience * NANOSECONDS:
            self.turn += 1  # what comes now comes too late
            self.state = LISTENING

    def _end_turn(self, now_ns: int) -> Todo | None:
        self._talks = False
        if self.state == SPEAKING:  # it was not interrupted: a word of agreement
            return None
        sound = np.concatenate(list(self._sound)) if self._sound else np.zeros(0, np.float32)
        self._sound.clear()
        if self._voice_frames * SAMPLES_PER_FRAME < 0.2 * 16_000:
            return None
        self.turn += 1
        self.state, self._asked_ns = THINKING, now_ns
        return Todo(self.turn, ask=sound)

    def _arrives(self, now_ns: int) -> bool:
        new = self._seen_ns is None or now_ns - self._seen_ns > self._manners.gone_after * NANOSECONDS
        self._seen_ns = now_ns
        return new
