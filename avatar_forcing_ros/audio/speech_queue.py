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
from typing import NamedTuple

import numpy as np

from avatar_forcing_ros.audio.spoken import Speech, Utterance, speech_of, voice_index
from avatar_forcing_ros.timeline import FRAME_RATE, NANOSECONDS, SAMPLE_RATE, SAMPLES_PER_FRAME

FADE_SAMPLES = SAMPLE_RATE // 200  # 5 ms
_JITTER = SAMPLE_RATE // 25  # 40 ms: stamps this near to the count of samples are in step with it
_LIVE_SAMPLES = SAMPLE_RATE  # in step for this long: a live stream
_MAX_LIVE_WAIT = SAMPLE_RATE // 2
_QUIET = 10 ** (-45 / 20)  # RMS of a chunk that may be dropped to catch up
_ENDS_KEPT = 256  # ends of utterances that wait to be told


class Span(NamedTuple):
    """What a frame has of one utterance: `count` samples of the frame's voice from sample `first` on; `ends`: its last ones."""

    utterance: Utterance
    first: int
    count: int  # type: ignore[assignment]  # hides tuple.count
    ends: bool


class SpeechFrame(NamedTuple):
    """samples: (640,) float32 for the network; known: speech is among them; voice: (rate / 25, channels) float32, which is heard."""

    samples: np.ndarray
    known: bool
    voice: np.ndarray
    rate: int
    spans: tuple[Span, ...]


class _Chunk(NamedTuple):
    place: int  # of the first sample on the clock, at 16 kHz
    speech: Speech
    utterance: Utterance | None

    @property
    def end(self) -> int:
        return self.place + len(self.speech.mono)

    @property
    def shape(self) -> tuple[int, int]:
        return self.speech.rate, self.speech.voice.shape[1]


class SpeechQueue:
    """Speech in, frames out, one per frame index. Bounded by `max_seconds`.

    Samples are counted at 16 kHz; the voice that is heard is carried along and cut at the same places.
    Counters: dropped_samples (queue full), lag_samples (dropped by a live stream to catch up), clears (interruptions).
    """

    def __init__(self, max_seconds: float = 120.0) -> None:
        self.max_samples = int(max_seconds * SAMPLE_RATE)
        self.dropped_samples = self.lag_samples = self.clears = 0
        self.reset()

    def reset(self) -> None:
        """Forgets all speech and the clock; the counters stay."""
        self._chunks: deque[_Chunk] = deque()
        self._tail: int | None = None  # place after the newest speech, also when it was released already
        self._release: int | None = None  # place of the first sample of the next frame
        self._shape = (SAMPLE_RATE, 1)  # rate and channels of the voice that was released last
        self._last: tuple[float, np.ndarray] | None = (
            None  # the last samples released, which fade out where nothing follows
        )
        self._stamped = True  # the newest chunk; until one comes, they may be
        self._ended: deque[Utterance] = deque(maxlen=_ENDS_KEPT)
        self._given: tuple[str, int] = ("", 0)  # the utterance that was released last, and samples of it
        self._forget_step()

    @property
    def queued_seconds(self) -> float:
        """Speech that waits, the pauses before and between it included."""
        return (self._tail - self._start()) / SAMPLE_RATE if self._chunks and self._tail is not None else 0.0

    @property
    def live(self) -> bool:
        """The stamps have kept step with the samples for a second: a person in a call."""
        return self._in_step >= _LIVE_SAMPLES

    def push(
        self,
        speech: Speech | np.ndarray,
        stamp_ns: int | None = None,
        utterance: Utterance | None = None,
        *,
        ahead: bool = False,
    ) -> int:
        """Takes speech, or samples (n,) float32 at 16 kHz; stamp of the first one. Gives the number dropped: the queue is full.

        Without a stamp it begins with the next frame; with `ahead`, for what is made faster than it is spoken, with the one that runs.
        """
        if not isinstance(speech, Speech):
            speech = speech_of(speech)
        if not len(speech.mono):
            return 0
        wanted = None if stamp_ns is None else (stamp_ns * SAMPLE_RATE + NANOSECONDS // 2) // NANOSECONDS
        self._stamped = wanted is not None
        self._keep_step(wanted, len(speech.mono))
        place = self._place(wanted, ahead)
        if wanted is not None and self.live:
            speech = self._catch_up(speech, place - wanted)
        start = self._start() if self._chunks or self._release is not None else place
        kept = speech.cut(0, max(0, self.max_samples - (place - start)))
        dropped = len(speech.mono) - len(kept.mono)
        self.dropped_samples += dropped
        if len(kept.mono):
            self._append(_Chunk(place, kept, utterance))
        return dropped

    def end(self, utterance: Utterance) -> None:
        """Nothing more of `utterance` will be pushed: its end is told with its last sample, or in the next frame."""
        self._ended.append(utterance)

    def is_decided(self, frame: int) -> bool:
        """Nothing that is still to come belongs into `frame`, the next to be popped, so there is nothing to wait for: speech waits
        beyond its end, or speech comes without stamps, and begins a frame later where none waits."""
        if not self._chunks:
            return not self._stamped
        return self._tail is not None and self._tail >= (frame + 1) * SAMPLES_PER_FRAME

    def pop_frame(self, frame: int) -> SpeechFrame:
        """The speech of `frame`. Call once per frame, in order.

        Where frames were left out, or the clock jumped back, the speech that waits moves with the clock.
        """
        first = frame * SAMPLES_PER_FRAME
        if self._release is None:
            if self._chunks and self._chunks[0].place < first:
                self._move(first - self._chunks[0].place)
        elif first != self._release:
            self._move(first - self._release)
        if self._chunks and self._chunks[0].place < first + SAMPLES_PER_FRAME:
            self._take_shape(self._chunks[0].shape)
        rate, channels = self._shape
        out, voice = np.zeros(SAMPLES_PER_FRAME, np.float32), np.zeros((rate // FRAME_RATE, channels), np.float32)
        spans: list[Span] = []
        at = heard = 0  # the first samples that are not yet decided, of both
        known = False
        while self._chunks and self._chunks[0].place < first + SAMPLES_PER_FRAME:
            if known and self._chunks[0].shape != self._shape:  # another voice begins with a frame of its own
                self._move(first + SAMPLES_PER_FRAME - self._chunks[0].place)
                break
            place, speech, utterance = self._chunks.popleft()
            offset = place - first
            piece = speech.cut(0, SAMPLES_PER_FRAME - offset)
            if len(piece.mono) < len(speech.mono):
                rest = speech.cut(len(piece.mono))
                self._chunks.appendleft(_Chunk(place + len(piece.mono), rest, utterance))
            # The frame's end is a whole sample of both, so what lies before it is counted back from there.
            begin = (
                len(voice) - voice_index(speech.at + SAMPLES_PER_FRAME - offset, rate) + voice_index(speech.at, rate)
            )
            begin = max(begin, heard)
            count = min(len(piece.voice), len(voice) - begin)
            self._fade_out(out[at:offset], voice[heard:begin])
            at, heard, known = offset + len(piece.mono), begin + count, True
            out[offset:at], voice[begin:heard] = piece.mono, piece.voice[:count]
            self._last = (float(piece.mono[-1]), voice[heard - 1].copy() if heard else np.zeros(channels, np.float32))
            if utterance is not None:
                self._tell(spans, utterance, begin, count)
                before = self._given[1] if self._given[0] == utterance.id else 0
                self._given = (utterance.id, before + len(piece.mono))
        self._fade_out(out[at:], voice[heard:])
        self._release = first + SAMPLES_PER_FRAME
        return SpeechFrame(out, known, voice, rate, tuple(self._with_ends(spans)))

    def clear(self) -> float:
        """Drops what was not yet released, all but a fade of 5 ms; gives the seconds dropped."""
        return self.cut()[0]

    def cut(
        self, before_ns: int | None = None, utterance: str = "", keep_seconds: float | None = None
    ) -> tuple[float, list[Utterance]]:
        """An interruption: drops what was not yet released of the utterances that began by `before_ns` (None: of all).

        utterance: only of the one with this id. keep_seconds: that one goes on to this position. Gives the seconds dropped, and the
        utterances; their ends will be told. A fade of 5 ms stays where speech was being released.
        """
        kept: deque[_Chunk] = deque()
        dropped: dict[str, Utterance] = {}
        seconds = 0.0
        allowed = 0
        if keep_seconds is not None:
            given = self._given[1] if self._given[0] == utterance else 0
            allowed = max(0, round(keep_seconds * SAMPLE_RATE) - given)
        place = self._release
        for chunk in self._chunks:
            of = chunk.utterance
            meant = (of is None and not utterance) or (
                of is not None and utterance in ("", of.id) and (before_ns is None or of.began_ns <= before_ns)
            )
            if not meant:
                # What was said after the interruption follows at once.
                kept.append(chunk if not dropped and not seconds else chunk._replace(place=place or chunk.place))
                place = kept[-1].end
                continue
            if of is not None:
                dropped[of.id] = of
            stay = min(allowed, len(chunk.speech.mono))
            allowed -= stay
            speech = chunk.speech.cut(0, stay)
            if (
                not stay and not kept and chunk.place == self._release and keep_seconds is None
            ):  # in the middle of speech
                speech = _faded(chunk.speech.cut(0, FADE_SAMPLES), out=True)
            if len(speech.mono):
                kept.append(_Chunk(chunk.place, speech, of))
                place = kept[-1].end
            seconds += (len(chunk.speech.mono) - len(speech.mono)) / SAMPLE_RATE
        self._chunks = kept
        self._tail = kept[-1].end if kept else None
        self._ended.extend(dropped.values())
        self._forget_step()
        self.clears += 1
        return seconds, list(dropped.values())

    # Where a chunk goes

    def _place(self, wanted: int | None, ahead: bool) -> int:
        """The place of a chunk whose stamp asks for `wanted`."""
        if self._release is None and self._tail is None:
            return wanted if wanted is not None else 0  # the first frame that is asked for moves it to the clock
        earliest = max(place for place in (self._release, self._tail) if place is not None)
        if wanted is None:
            at_once = ahead or self._chunks or self._release is None
            return earliest if at_once else earliest + SAMPLES_PER_FRAME
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

    def _catch_up(self, speech: Speech, lag: int) -> Speech:
        """The chunk without what a live stream may drop to regain its time, up to a reserve of 40 ms that waits."""
        waiting = 0
        if self._chunks and self._tail is not None and self._release is not None:
            waiting = self._tail - self._release
        regained = min(lag, waiting - _JITTER, len(speech.mono))
        if regained <= 0:
            return speech
        quiet = float(np.sqrt(np.mean(np.square(speech.mono)))) < _QUIET
        if not quiet and min(lag, waiting) <= _MAX_LIVE_WAIT:
            return speech
        self.lag_samples += regained
        return speech.cut(regained)

    # The chunks

    def _start(self) -> int:
        return self._release if self._release is not None else self._chunks[0].place

    def _append(self, chunk: _Chunk) -> None:
        before = self._chunks[-1] if self._chunks else None
        if chunk.place != self._tail or chunk.shape != (
            before.shape if before else self._shape
        ):  # after silence, or another voice
            chunk = chunk._replace(speech=_faded(chunk.speech))
        elif before is not None and len(before.speech.mono) < SAMPLES_PER_FRAME and before.utterance == chunk.utterance:
            # Tiny chunks do not pile up.
            mono, voice, rate, at = before.speech
            if rate == SAMPLE_RATE or at + len(mono) == chunk.speech.at:
                joined = Speech(
                    np.concatenate([mono, chunk.speech.mono]), np.concatenate([voice, chunk.speech.voice]), rate, at
                )
                self._chunks.pop()
                chunk = _Chunk(before.place, joined, before.utterance)
        self._chunks.append(chunk)
        self._tail = chunk.end

    def _move(self, by: int) -> None:
        self._chunks = deque(chunk._replace(place=chunk.place + by) for chunk in self._chunks)
        self._tail = None if self._tail is None else self._tail + by

    def _take_shape(self, shape: tuple[int, int]) -> None:
        if shape != self._shape and self._last is not None:
            self._last = (self._last[0], np.full(shape[1], self._last[0], np.float32))
        self._shape = shape

    def _fade_out(self, mono: np.ndarray, voice: np.ndarray) -> None:
        """Lets the last samples released die away into silence (stretches of zeros, in place)."""
        if self._last is None or not len(mono):
            return
        last, last_voice = self._last
        mono += last * np.exp(-np.arange(1, len(mono) + 1) / (FADE_SAMPLES / 5)).astype(np.float32)
        fade = 0.005 * self._shape[0] / 5
        voice += last_voice * np.exp(-np.arange(1, len(voice) + 1) / fade).astype(np.float32)[:, None]
        left = abs(float(mono[-1])) > 1e-6
        self._last = (float(mono[-1]), voice[-1].copy()) if left and len(voice) else None

    # Utterances

    @staticmethod
    def _tell(spans: list[Span], utterance: Utterance, first: int, count: int) -> None:
        if spans and spans[-1].utterance == utterance and spans[-1].first + spans[-1].count == first:
            spans[-1] = spans[-1]._replace(count=spans[-1].count + count)
        else:
            spans.append(Span(utterance, first, count, False))

    def _with_ends(self, spans: list[Span]) -> list[Span]:
        """The spans of a frame, with the ends of utterances of which nothing waits."""
        for _ in range(len(self._ended)):
            utterance = self._ended.popleft()
            if any(chunk.utterance == utterance for chunk in self._chunks):
                self._ended.append(utterance)
                continue
            mine = [i for i, span in enumerate(spans) if span.utterance == utterance]
            if mine:
                spans[mine[-1]] = spans[mine[-1]]._replace(ends=True)
            else:
                spans.append(Span(utterance, 0, 0, True))
        return spans


def _faded(speech: Speech, out: bool = False) -> Speech:
    """Speech whose first 5 ms come in from silence; out: whose first 5 ms go down to it."""
    mono, voice = speech.mono.copy(), speech.voice.copy()
    for samples, length in ((mono, FADE_SAMPLES), (voice, FADE_SAMPLES * speech.rate // SAMPLE_RATE)):
        ramp = np.linspace(0.0, 1.0, length, endpoint=False, dtype=np.float32)[: len(samples)]
        ramp = 1.0 - ramp if out else ramp
        samples[: len(ramp)] *= ramp if samples.ndim == 1 else ramp[:, None]
    return speech._replace(mono=mono, voice=voice)
