"""The avatar's speech, queued and released on the frame clock.

Speech may come from a synthesiser, sentence by sentence and much faster than real time, or from a person in a
call, in real time, where the pauses matter. One rule serves both:

    A chunk is placed where its stamp says, but never before the end of the speech that already waits, nor before
    the next frame to be released. Without a stamp it follows the speech that waits, or starts one frame ahead of
    the clock where none waits.

So a call keeps its pauses, and a synthesiser whose stamps only say when it published is played at natural speed.
Speech that came late once would stay late, which a call could not bear: a stream whose stamps have kept step with
its samples for one second is taken as live, and where speech waits although it is late it drops sound: in quiet
chunks first, and in any chunk where more than half a second waits.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from avatar_forcing_ros.timeline import NANOSECONDS, SAMPLE_RATE, SAMPLES_PER_FRAME

FADE_SAMPLES = SAMPLE_RATE // 200  # 5 ms
_JITTER = SAMPLE_RATE // 25  # 40 ms: stamps this near to the count of samples are in step with it
_LIVE_SAMPLES = SAMPLE_RATE  # in step for this long: a live stream
_MAX_LIVE_WAIT = SAMPLE_RATE // 2
_QUIET = 10 ** (-45 / 20)  # RMS of a chunk that may be dropped to catch up
_FADE_IN = np.linspace(0.0, 1.0, FADE_SAMPLES, endpoint=False, dtype=np.float32)
_DECAY = np.exp(-np.arange(1, SAMPLES_PER_FRAME + 1) / (FADE_SAMPLES / 5)).astype(np.float32)


class SpeechQueue:
    """Speech in, frames out, one per frame index. Bounded by `max_seconds`.

    Counters: dropped_samples (queue full), lag_samples (dropped by a live stream to catch up), clears (barge-ins).
    """

    def __init__(self, max_seconds: float = 120.0) -> None:
        self.max_samples = int(max_seconds * SAMPLE_RATE)
        self.dropped_samples = self.lag_samples = self.clears = 0
        self.reset()

    def reset(self) -> None:
        """Forgets all speech and the clock; the counters stay."""
        self._chunks: deque[tuple[int, np.ndarray]] = deque()  # (place of the first sample on the clock, samples)
        self._tail: int | None = None  # place after the newest speech, also when it was released already
        self._release: int | None = None  # place of the first sample of the next frame
        self._last = 0.0  # the last sample released, which fades out where nothing follows
        self._stamped = True  # the newest chunk; until one comes, they may be
        self._forget_step()

    @property
    def queued_seconds(self) -> float:
        """Speech that waits, the pauses before and between it included."""
        return (self._tail - self._start()) / SAMPLE_RATE if self._chunks else 0.0

    @property
    def live(self) -> bool:
        """The stamps have kept step with the samples for a second: a person in a call."""
        return self._in_step >= _LIVE_SAMPLES

    def push(self, samples: np.ndarray, stamp_ns: int | None = None) -> int:
        """Takes samples (n,) float32, 16 kHz, stamp of the first one. Gives the number dropped: the queue is full."""
        if not len(samples):
            return 0
        wanted = None if stamp_ns is None else (stamp_ns * SAMPLE_RATE + NANOSECONDS // 2) // NANOSECONDS
        self._stamped = wanted is not None
        self._keep_step(wanted, len(samples))
        place = self._place(wanted)
        if self.live:
            samples = self._catch_up(samples, place - wanted)
        start = self._start() if self._chunks or self._release is not None else place
        kept = samples[: max(0, self.max_samples - (place - start))]
        self.dropped_samples += len(samples) - len(kept)
        if len(kept):
            self._append(place, kept)
        return len(samples) - len(kept)

    def is_decided(self, frame: int) -> bool:
        """Nothing that is still to come belongs into `frame`, the next to be popped, so there is nothing to wait for: speech waits
        beyond its end, or speech comes without stamps, and begins a frame later where none waits."""
        if not self._chunks:
            return not self._stamped
        return self._tail >= (frame + 1) * SAMPLES_PER_FRAME

    def pop_frame(self, frame: int) -> tuple[np.ndarray, bool]:
        """The (640,) float32 samples of `frame`, and whether speech is among them. Call once per frame, in order.

        Where frames were left out, or the clock jumped back, the speech that waits moves with the clock.
        """
        first = frame * SAMPLES_PER_FRAME
        if self._release is None:
            if self._chunks and self._chunks[0][0] < first:
                self._move(first - self._chunks[0][0])
        elif first != self._release:
            self._move(first - self._release)
        out = np.zeros(SAMPLES_PER_FRAME, np.float32)
        known = False
        at = 0  # first sample of the frame that is not yet decided
        while self._chunks and self._chunks[0][0] < first + SAMPLES_PER_FRAME:
            place, samples = self._chunks.popleft()
            offset = place - first
            self._fade_out(out[at:offset])
            piece = samples[: SAMPLES_PER_FRAME - offset]
            out[offset : offset + len(piece)] = piece
            if len(piece) < len(samples):
                self._chunks.appendleft((place + len(piece), samples[len(piece) :]))
            at = offset + len(piece)
            self._last = float(piece[-1])
            known = True
        self._fade_out(out[at:])
        self._release = first + SAMPLES_PER_FRAME
        return out, known

    def clear(self) -> float:
        """Barge-in: drops what was not yet released, all but a fade of 5 ms; gives the seconds dropped."""
        waiting = sum(len(samples) for _, samples in self._chunks)
        tail = None
        if self._chunks and self._chunks[0][0] == self._release:  # in the middle of speech
            place, samples = self._chunks[0]
            fade = samples[:FADE_SAMPLES] * (1.0 - _FADE_IN[: len(samples)])
            tail = (place, fade)
            waiting -= len(fade)
        self._chunks.clear()
        self._tail = None
        if tail is not None:
            self._chunks.append(tail)
            self._tail = tail[0] + len(tail[1])
        self._forget_step()
        self.clears += 1
        return waiting / SAMPLE_RATE

    # Where a chunk goes

    def _place(self, wanted: int | None) -> int:
        """The place of a chunk whose stamp asks for `wanted`."""
        if self._release is None and self._tail is None:
            return wanted if wanted is not None else 0  # the first frame that is asked for moves it to the clock
        earliest = max(place for place in (self._release, self._tail) if place is not None)
        if wanted is None:
            return earliest if self._chunks or self._release is None else earliest + SAMPLES_PER_FRAME
        if self._tail is not None and wanted <= self._tail + _JITTER:
            return earliest
        start = self._release if self._release is not None else self._start()
        if wanted - start > self.max_samples:
            return earliest  # a stamp of another clock
        return max(wanted, earliest)

    def _forget_step(self) -> None:
        self._step_from = 0  # stamp at which the present run of stamps in step began, in samples
        self._in_step = 0  # samples since then; 0: no run

    def _keep_step(self, wanted: int | None, count: int) -> None:
        if wanted is None:
            self._forget_step()
            return
        if not self._in_step or abs(self._step_from + self._in_step - wanted) > _JITTER:
            self._step_from, self._in_step = wanted, 0
        self._in_step += count

    def _catch_up(self, samples: np.ndarray, lag: int) -> np.ndarray:
        """The chunk without what a live stream may drop to regain its time, up to a reserve of 40 ms that waits."""
        waiting = self._tail - self._release if self._chunks and self._release is not None else 0
        regained = min(lag, waiting - _JITTER, len(samples))
        if regained <= 0:
            return samples
        quiet = float(np.sqrt(np.mean(np.square(samples)))) < _QUIET
        if not quiet and min(lag, waiting) <= _MAX_LIVE_WAIT:
            return samples
        self.lag_samples += regained
        return samples[regained:]

    # The chunks

    def _start(self) -> int:
        return self._release if self._release is not None else self._chunks[0][0]

    def _append(self, place: int, samples: np.ndarray) -> None:
        samples = np.array(samples, np.float32)
        if place != self._tail:  # after silence
            samples[:FADE_SAMPLES] *= _FADE_IN[: len(samples)]
        elif self._chunks and len(self._chunks[-1][1]) < SAMPLES_PER_FRAME:  # tiny chunks do not pile up
            place, before = self._chunks.pop()
            samples = np.concatenate([before, samples])
        self._chunks.append((place, samples))
        self._tail = place + len(samples)

    def _move(self, by: int) -> None:
        self._chunks = deque((place + by, samples) for place, samples in self._chunks)
        self._tail = None if self._tail is None else self._tail + by

    def _fade_out(self, silence: np.ndarray) -> None:
        """Lets the last sample released die away into `silence` (a stretch of zeros, in place)."""
        if len(silence) and self._last:
            silence += self._last * _DECAY[: len(silence)]
            self._last = float(silence[-1]) if abs(silence[-1]) > 1e-6 else 0.0
