"""The sounds of speech by name, as every synthesizer here gives them and the mouth model draws them."""

from __future__ import annotations

from dataclasses import dataclass

PHONES: tuple[str, ...] = tuple(
    (
        "pau iy ih e ey eh ae a aa ah ax er ao o uh uw ue oe p b m bh f v w th dh t d n l s z sh zh "
        "ch jh ny k g ng x r rr y hh q ay aw oy ow "
    ).split()
)  # "pau" is silence
DIPHTHONGS = ("ay", "aw", "oy", "ow")
VOWELS = frozenset("iy ih e ey eh ae a aa ah ax er ao o uh uw ue oe".split()) | frozenset(DIPHTHONGS)
BILABIALS = frozenset("pbm")


@dataclass(frozen=True)
class Phone:
    """A sound of speech: symbol (one of PHONES; "pau" is silence), start and end in seconds in its utterance."""

    symbol: str
    start: float
    end: float
