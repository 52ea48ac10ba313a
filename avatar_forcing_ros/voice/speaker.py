"""Utterances one after the other: made, sent ahead of the clock, followed while they are spoken, and interrupted.

Without ROS and without a clock or thread of its own: the owner calls `step` to make and send the next stretch, `tick` as time passes and
`on_event` with what has left. Calls come from one thread at a time (the owner locks), but for `step`, which synthesizes outside the lock.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from avatar_forcing_ros.audio.spoken import Utterance
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.presentation.voice_playout import FINISHED, INTERRUPTED, STARTED, SpeechEvent
from avatar_forcing_ros.timeline import NANOSECONDS, SAMPLE_RATE
from avatar_forcing_ros.voice.tts import Part, TimedMark, Word

MAX_WAITING = 32  # utterances
AHEAD_S = 20.0  # of sound are sent before it is spoken
PIECE_S = 0.4  # of sound in one message
STUCK_S = 10.0  # without anything leaving, although sound waits
_WORD_REACH_NS = 80_000_000  # a word that ends sooner than this is over before the news has come
_WORD_MOST_NS = 900_000_000  # no longer than this is a word waited for
_NOTHING = np.zeros((0, 1), np.float32)
DONE, STOPPED, FAILED = range(3)  # outcomes, as in Speak.action


class Outlet(Protocol):
    """Where a speaker's sound and wishes go."""

    def ready(self) -> bool:
        """Somebody reads the sound."""

    def sound(self, utterance: Utterance, samples: np.ndarray, rate: int, last: bool) -> None: ...

    def cut(self, stamp_ns: int, utterance: str, position_ns: int | None) -> None: ...

    def mark(self, name: str) -> None: ...

    def caption(self, text: str) -> None:
        """The sentence that is heard from now on."""


class Dropped(NamedTuple):
    """What an interruption took. position_ns: of the utterance that was being spoken; dropped_ns: sound made and not to be heard."""

    utterances: tuple[str, ...]
    position_ns: int
    dropped_ns: int
    text: str  # the words that are not said


@dataclass
class Job:
    """One utterance. source: its parts; a part that is None says that nothing is there yet."""

    utterance: Utterance
    source: Iterator[Part | None]
    close: Callable[[], None] = lambda: None
    sent_ns: int = 0
    voice_s: float = 0.0  # its source's own time to the first sound
    made: bool = False  # nothing more will come of the source
    stopped: bool = False
    words: list[Word] = field(default_factory=list)
    marks: deque[TimedMark] = field(default_factory=deque)
    captions: deque[TimedMark] = field(default_factory=deque)
    began: bool = False
    position_ns: int = 0
    at_ns: int = 0  # ROS time of that position
    outcome: int | None = None
    message: str = ""
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def id(self) -> str:
        return self.utterance.id

    def position_at(self, now_ns: int) -> int:
        return min(self.sent_ns, self.position_ns + max(0, now_ns - self.at_ns)) if self.began else 0

    def word_at(self, position_ns: int) -> tuple[int, str]:
        """(index, word) that is spoken at a position; (-1, "") before the first one is known."""
        index = sum(word.start * NANOSECONDS <= position_ns for word in self.words) - 1
        return index, self.words[index].text if index >= 0 else ""

    def said(self, position_ns: int) -> str:
        """The words that were spoken up to a position."""
        return " ".join(word.text for word in self.words if (word.start + word.end) / 2 * NANOSECONDS <= position_ns)

    def unsaid(self, position_ns: int) -> str:
        return " ".join(word.text for word in self.words if (word.start + word.end) / 2 * NANOSECONDS > position_ns)


class Speaker:
    """Raises InputError from `say` where too much waits. Each job ends in exactly one outcome."""

    def __init__(self, outlet: Outlet, now_ns: Callable[[], int], name: str = "said") -> None:
        self._outlet, self._now, self._name = outlet, now_ns, name
        self._jobs: deque[Job] = deque()
        self._others: dict[str, SpeechEvent] = {}  # utterances that others make, while they are spoken
        self._count = 0
        self._cut_ns = -1  # time of the newest interruption
        self._moved_ns = 0  # when anything last left or was sent
        self.lock = threading.RLock()

    def say(self, source: Iterator[Part | None], close: Callable[[], None] = lambda: None, id: str = "") -> Job:
        with self.lock:
            if len(self._jobs) >= MAX_WAITING:
                raise InputError(f"{MAX_WAITING} utterances wait already: let them be spoken, or interrupt")
            self._count += 1
            began = max(self._now(), self._cut_ns + 1)  # a simulated clock may not have moved since an interruption
            job = Job(Utterance(id or f"{self._name}-{self._count}", began), source, close)
            if not self._jobs:
                self._moved_ns = self._now()
            self._jobs.append(job)
            return job

    @property
    def speaking(self) -> bool:
        """Something is spoken, or waits to be."""
        with self.lock:
            return bool(self._jobs or self._others)

    @property
    def current(self) -> Job | None:
        with self.lock:
            return self._jobs[0] if self._jobs else None

    def step(self) -> bool:
        """Makes and sends the next stretch of the first utterance that is not complete. False where there is nothing to do now."""
        with self.lock:
            now = self._now()
            job = next((j for j in self._jobs if not j.made), None)
            if job is None or not self._outlet.ready():
                return False
            ahead = sum(j.sent_ns - j.position_at(now) for j in self._jobs)
            if ahead > AHEAD_S * NANOSECONDS:
                return False
        part: Part | None
        began = time.perf_counter()
        try:
            part = next(job.source)
        except StopIteration:
            self._complete(job, "")
            return True
        except InputError as error:
            self._complete(job, str(error))
            return True
        if part is None:
            return False
        with self.lock:
            if job.stopped or job.outcome is not None:  # it was interrupted meanwhile
                return True
            if not job.sent_ns:
                job.voice_s += time.perf_counter() - began
            job.words += part.words
            job.marks.extend(part.marks)
            job.captions.extend(filter(None, [part.caption]))
            step = max(1, round(PIECE_S * part.rate))
            for at in range(0, len(part.samples), step):
                piece = part.samples[at : at + step]
                if not job.sent_ns:
                    self._moved_ns = self._now()
                self._outlet.sound(job.utterance, piece, part.rate, False)
                job.sent_ns += len(piece) * NANOSECONDS // part.rate
        return True

    def _complete(self, job: Job, fault: str) -> None:
        with self.lock:
            job.made = True
            job.message = job.message or fault
            if job.outcome is not None:
                return
            if job.sent_ns:
                self._outlet.sound(job.utterance, _NOTHING, SAMPLE_RATE, True)
            else:
                for mark in job.marks:
                    self._outlet.mark(mark.name)
                self._finish(job, STOPPED if job.stopped else FAILED if fault else DONE)

    def on_event(self, event: SpeechEvent) -> None:
        """What has left, as the renderer tells it."""
        with self.lock:
            self._moved_ns = self._now()
            job = next((j for j in self._jobs if j.id == event.utterance), None)
            if job is None:
                if event.kind in (FINISHED, INTERRUPTED):
                    self._others.pop(event.utterance, None)
                else:
                    self._others[event.utterance] = event
                return
            job.position_ns, job.at_ns = event.position_ns, event.stamp_ns
            job.began = job.began or event.kind == STARTED or event.position_ns > 0
            if event.kind == FINISHED:
                self._mark(job, job.position_ns + NANOSECONDS)
                self._finish(job, FAILED if job.message else STOPPED if job.stopped else DONE)
            elif event.kind == INTERRUPTED:
                self._finish(job, STOPPED)

    def tick(self) -> None:
        """As time passes: marks and sentences whose place is spoken, and utterances that are stuck."""
        with self.lock:
            now = self._now()
            for job in self._jobs:
                if job.began:
                    self._mark(job, job.position_at(now))
            if now - self._moved_ns > STUCK_S * NANOSECONDS:
                for job in [j for j in self._jobs if j.sent_ns or not self._outlet.ready()]:
                    job.message = "nothing of it was spoken: is the rest of the graph running?"
                    job.stopped = job.made = True
                    self._outlet.cut(now, job.id, None)
                    self._finish(job, FAILED)
            if now < self._moved_ns - NANOSECONDS:  # time has jumped back
                self._moved_ns, self._cut_ns = now, -1

    def interrupt(self, utterance: str = "", at_word: bool = False) -> Dropped:
        """Ends what is spoken and drops what waits: all of it, or one utterance; now, or where the word that is spoken ends."""
        with self.lock:
            now = self._cut_ns = self._now()
            jobs = [j for j in self._jobs if utterance in ("", j.id) and not j.stopped]
            spoken = next((j for j in jobs if j.began), None)
            others = [e for id, e in self._others.items() if utterance in ("", id)]
            position = spoken.position_at(now) if spoken else others[0].position_ns if others else 0
            end = self._word_end(spoken, position) if spoken is not None and at_word else None
            if spoken is not None and end is not None:
                self._outlet.cut(now, spoken.id, end)
                self._outlet.sound(spoken.utterance, _NOTHING, SAMPLE_RATE, True)  # its sound may end there by itself
                position = end
                for job in jobs:
                    if job is not spoken:
                        self._outlet.cut(now, job.id, None)
                for event in others:
                    self._outlet.cut(now, event.utterance, None)
            else:
                self._outlet.cut(now, utterance, None)
            dropped, text = 0, []
            for job in jobs:
                heard = position if job is spoken else 0
                dropped += max(0, job.sent_ns - heard)
                text.append(job.unsaid(heard))
                job.stopped = job.made = True
                job.close()
                if not job.sent_ns:
                    self._finish(job, STOPPED)
            ids = (*(j.id for j in jobs), *(e.utterance for e in others))
            return Dropped(ids, position, dropped, " ".join(filter(None, text)))

    @staticmethod
    def _word_end(job: Job, position: int) -> int | None:
        ends = [round(word.end * NANOSECONDS) for word in job.words]
        return next((end for end in ends if _WORD_REACH_NS <= end - position <= _WORD_MOST_NS), None)

    def _mark(self, job: Job, position_ns: int) -> None:
        while job.marks and job.marks[0].time * NANOSECONDS <= position_ns:
            self._outlet.mark(job.marks.popleft().name)
        while job.captions and job.captions[0].time * NANOSECONDS <= position_ns:
            self._outlet.caption(job.captions.popleft().name)

    def _finish(self, job: Job, outcome: int) -> None:
        if job.outcome is None:
            job.outcome = outcome
            self._jobs.remove(job)
            job.done.set()
