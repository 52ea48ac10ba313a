"""Sound of a file or a topic, as the parts of an utterance."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator

import numpy as np

from avatar_forcing_ros.audio.resample import Resampler
from avatar_forcing_ros.audio.spoken import MAX_RATE
from avatar_forcing_ros.media.open import open_media
from avatar_forcing_ros.timeline import NANOSECONDS
from avatar_forcing_ros.voice.tts import Part

_PIECE_S = 0.2
_QUIET_NS = NANOSECONDS  # without sound on a topic, after which its utterance has ended
_PATIENCE_NS = 10 * NANOSECONDS  # for the first sound
_MAX_PIECES = 500


def part_of(samples: np.ndarray, rate: int) -> Part:
    """samples (n, channels) of any rate that is heard as it is, or 16 kHz mono of any other number of channels."""
    return Part(samples[:, :2] if samples.shape[1] <= 2 else samples.mean(axis=1, keepdims=True), rate, (), ())


def parts_of_file(source: str) -> Iterator[Part]:
    """The sound of a file, as it is; above 48 kHz it becomes that."""
    down: Resampler | None = None
    with open_media(source) as reader:
        waiting: list[np.ndarray] = []
        count = rate = 0
        for chunk in reader.audio():
            samples, rate_now = chunk.samples, chunk.rate
            if rate_now > MAX_RATE or rate_now % 25:
                down = down or Resampler(wanted=MAX_RATE, stereo=True)
                pieces = [piece for piece, _ in down.push(samples, rate_now)]
                samples, rate_now = np.concatenate([np.zeros((0, 2), np.float32), *pieces]), MAX_RATE
            if waiting and (rate_now != rate or count > _PIECE_S * rate):
                yield part_of(np.concatenate(waiting), rate)
                waiting, count = [], 0
            rate = rate_now
            waiting.append(samples)
            count += len(samples)
        if down is not None:
            waiting += [piece for piece, _ in down.flush()]
        if waiting:
            yield part_of(np.concatenate(waiting), rate)


class SoundSource:
    """Sound that comes as messages. Ends after a second without any, or 10 s before the first; what does not fit is dropped."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now = now_ns
        self._pieces: queue.Queue[tuple[np.ndarray, int]] = queue.Queue(_MAX_PIECES)
        self._until = now_ns() + _PATIENCE_NS
        self._ended = False
        self.dropped = 0

    def put(self, samples: np.ndarray, rate: int) -> None:
        self._until = self._now() + _QUIET_NS
        try:
            self._pieces.put_nowait((samples, rate))
        except queue.Full:
            self.dropped += 1

    def end(self) -> None:
        self._ended = True

    def parts(self, close: Callable[[], None] = lambda: None) -> Iterator[Part | None]:
        """None while nothing is there. close: called at the end."""
        try:
            while True:
                try:
                    samples, rate = self._pieces.get_nowait()
                except queue.Empty:
                    if self._ended or self._now() > self._until:
                        return
                    yield None
                    continue
                yield part_of(samples, rate)
        finally:
            close()
