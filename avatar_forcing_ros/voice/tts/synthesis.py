"""A text, sentence by sentence, into sound with the times of its words and marks. Nothing is made before it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from avatar_forcing_ros.voice.text import Sentence, parse, words_of
from avatar_forcing_ros.voice.tts.base import Piece, Voice, Word

BROWS = "brows"  # the mark that an emphasis brings
_RAMP_S = 0.02
_SILENT = 10 ** (-45 / 20)


class TimedMark(NamedTuple):
    """A gesture or expression to be asked for, or words to be shown, when `time` (seconds of the utterance) is spoken."""

    name: str
    time: float


class Part(NamedTuple):
    """A stretch of an utterance: samples (n, channels) float32 at `rate` Hz; times are seconds from the utterance's start."""

    samples: np.ndarray
    rate: int
    words: tuple[Word, ...]
    marks: tuple[TimedMark, ...]
    caption: TimedMark | None = None  # its sentence, from where it begins


def synthesize(text: str, voice: Voice) -> Iterator[Part]:
    """The parts of an utterance, each as soon as it is made. Raises InputError for tags that are not known, before any sound."""
    sentences = parse(text)
    return _parts(sentences, voice)


def _parts(sentences: list[Sentence], voice: Voice) -> Iterator[Part]:
    time, shape = 0.0, (16_000, 1)
    for sentence in sentences:
        if sentence.pause:
            yield Part(np.zeros((round(sentence.pause * shape[0]), shape[1]), np.float32), shape[0], (), ())
            time += round(sentence.pause * shape[0]) / shape[0]
        if not words_of(sentence.text):
            if sentence.marks:
                yield Part(
                    np.zeros((0, shape[1]), np.float32),
                    shape[0],
                    (),
                    tuple(TimedMark(m.name, time) for m in sentence.marks),
                )
            continue
        # Where words have to be found in the sound, or changed in it, the sentence has to be whole.
        pieces = voice.speak(sentence.text)
        whole = bool(sentence.marks or sentence.emphases)
        begun, first = time, True
        caption = TimedMark(sentence.text, begun)
        made: list[Piece] = []
        for piece in pieces:
            made.append(piece)
            shape = (piece.rate, piece.samples.shape[1])
            if not whole:
                words = tuple(Word(w.text, begun + w.start, begun + w.end, w.told) for w in piece.words)
                yield Part(piece.samples, piece.rate, words, (), caption if first else None)
                first = False
                time += len(piece.samples) / piece.rate
        if not made:
            continue
        if whole:
            part = _with_marks(sentence, made, begun)
            yield part._replace(caption=caption)
            time += len(part.samples) / part.rate
        elif not first and not any(piece.words for piece in made):  # its words are shared out when its length is known
            sound = np.concatenate([piece.samples for piece in made])
            yield Part(
                np.zeros((0, shape[1]), np.float32), shape[0], shared_out(sentence.text, sound, shape[0], begun), ()
            )


def shared_out(text: str, samples: np.ndarray, rate: int, begun: float = 0.0) -> tuple[Word, ...]:
    """The words of a sentence over its sound, by their length, where the engine does not tell: right within some 0.2 s."""
    words = words_of(text)
    loud = np.flatnonzero(np.abs(samples).max(axis=1) > _SILENT) if len(samples) else np.zeros(0, int)
    first, last = (loud[0], loud[-1] + 1) if len(loud) else (0, len(samples))
    weights = np.cumsum([0] + [end - start + 1 for _, start, end in words])
    times = begun + (first + (last - first) * weights / weights[-1]) / rate
    return tuple(Word(word, float(times[i]), float(times[i + 1]), False) for i, (word, _, _) in enumerate(words))


def _places(text: str, words: tuple[Word, ...]) -> list[int]:
    """Where each word begins in the text; an engine may take two words as one. Empty where one is not found."""
    places, at = [], 0
    for word in words:
        place = text.find(word.text, at)
        if place < 0:
            return []
        places.append(place)
        at = place + len(word.text)
    return places


def _with_marks(sentence: Sentence, pieces: list[Piece], begun: float) -> Part:
    rate = pieces[0].rate
    samples = np.concatenate([piece.samples for piece in pieces])
    told = [word for piece in pieces for word in piece.words]
    if told:
        words = tuple(Word(w.text, begun + w.start, begun + w.end) for w in told)
    else:
        words = shared_out(sentence.text, samples, rate, begun)
    places = words_of(sentence.text)
    end = begun + len(samples) / rate

    starts = _places(sentence.text, words) or [start for _, start, _ in places]

    def time_at(character: int) -> float:
        """When a place of the text is spoken."""
        index = sum(start < character for start in starts)
        if index >= len(starts):
            return words[-1].end if words else end
        return words[min(index, len(words) - 1)].start

    marks = [TimedMark(mark.name, time_at(mark.at)) for mark in sentence.marks]
    gain = np.zeros(len(samples), np.float32)
    for emphasis in sentence.emphases:
        first, last = time_at(emphasis.first), time_at(emphasis.last)
        if emphasis.decibels > 0:
            marks.append(TimedMark(BROWS, first))
        gain[round((first - begun) * rate) : round((last - begun) * rate)] = emphasis.decibels
    if sentence.emphases:
        width = max(1, round(_RAMP_S * rate))
        gain = np.convolve(gain, np.full(width, 1 / width, np.float32), "same")
        samples = samples * (10 ** (gain / 20)).astype(np.float32)[:, None]
        samples /= max(1.0, float(np.abs(samples).max()))
    return Part(samples, rate, words, tuple(sorted(marks, key=lambda mark: mark.time)))
