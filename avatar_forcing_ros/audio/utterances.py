"""Speech that comes without saying where an utterance begins or ends: told from its level and its pauses."""

from __future__ import annotations

import numpy as np

from avatar_forcing_ros.audio.spoken import Speech, Utterance
from avatar_forcing_ros.timeline import NANOSECONDS, SAMPLE_RATE

PAUSE_S = 0.5  # of silence, or of nothing at all, ends an utterance
_SOUND = 10 ** (-50 / 20)  # peak of a chunk that is not silence


class UtteranceTracker:
    """Gives each chunk of speech its utterance. An utterance begins with sound and ends after PAUSE_S without any.

    name: what the ids begin with; they are counted.
    """

    def __init__(self, name: str = "speech") -> None:
        self._name, self._count = name, 0
        self.reset()

    def reset(self) -> None:
        """Time has jumped: no utterance is open."""
        self._open: Utterance | None = None
        self._quiet = 0  # samples at 16 kHz since the last sound
        self._last_ns = 0

    @property
    def open(self) -> Utterance | None:
        return self._open

    def take(self, speech: Speech, now_ns: int) -> tuple[Utterance | None, Utterance | None]:
        """The utterance that the chunk belongs to (None: silence between two), and the one that has ended before it."""
        ended = None
        self._last_ns = now_ns
        if float(np.abs(speech.mono).max(initial=0.0)) > _SOUND:
            if self._open is None:
                self._count += 1
                self._open = Utterance(f"{self._name}-{self._count}", now_ns)
            self._quiet = 0
        elif self._open is not None:
            self._quiet += len(speech.mono)
            if self._quiet > PAUSE_S * SAMPLE_RATE:
                ended, self._open = self._open, None
        return self._open, ended

    def dry(self, now_ns: int) -> Utterance | None:
        """To be called while no speech waits: the utterance that ends because nothing has come for PAUSE_S."""
        if self._open is None or now_ns - self._last_ns < PAUSE_S * NANOSECONDS:
            return None
        return self.close()

    def close(self) -> Utterance | None:
        """Ends the open utterance: it was interrupted, or is known to be complete."""
        ended, self._open = self._open, None
        return ended
