"""What the avatar is to say, with marks in it -> sentences to be synthesized one after the other.

Text may hold a few tags of SSML: `<mark name="nod"/>` asks for a gesture or an expression when that place is spoken,
`<break time="400ms"/>` (or strength="weak|medium|strong") is a pause, `<emphasis level="strong">words</emphasis>` makes words louder
and lifts the brows; `<speak>`, `<p>` and `<s>` may be there and `<p>`, `<s>` end sentences. Text without tags is taken as it is.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

from avatar_forcing_ros.errors import InputError

MAX_CHARACTERS = 100_000
MAX_BREAK_S = 10.0
_LONG = 220  # characters after which a sentence is cut at a clause, so that sound comes soon
_TAG = re.compile(r"<(/?)([A-Za-z][\w:.-]*)((?:\s+[\w:.-]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*)\s*(/?)>")
_ATTRIBUTE = re.compile(r"([\w:.-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_TIME = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|s)")
_STRENGTHS = {"none": 0.0, "x-weak": 0.1, "weak": 0.2, "medium": 0.4, "strong": 0.7, "x-strong": 1.2}
_EMPHASES = {"none": 0.0, "reduced": -3.0, "moderate": 3.0, "strong": 5.0}  # dB
_END = re.compile(r"[.!?…。！？]+[\"'”’)\]]*(?=\s|$)|[。！？]")
_CLAUSE = re.compile(r"[,;:–—]\s+")
_TITLES = frozenset("mr mrs ms dr prof st vs etc e.g i.e no fig".split())


@dataclass(frozen=True)
class Mark:
    """A gesture or an expression asked for at a place of the text. at: characters of the sentence before it."""

    name: str
    at: int


@dataclass(frozen=True)
class Emphasis:
    first: int  # characters of the sentence
    last: int
    decibels: float


@dataclass(frozen=True)
class Sentence:
    """text: plain; pause: seconds of silence before it. A sentence without text is a pause, or marks alone."""

    text: str
    pause: float = 0.0
    marks: tuple[Mark, ...] = ()
    emphases: tuple[Emphasis, ...] = ()


class _Writer:
    def __init__(self) -> None:
        self.sentences: list[Sentence] = []
        self.begin()

    def begin(self, pause: float = 0.0) -> None:
        self.text, self.pause = "", pause
        self.marks: list[Mark] = []
        self.emphases: list[Emphasis] = []

    def end(self, pause: float = 0.0) -> None:
        """The sentence so far, as one or more that are not too long."""
        if self.text.strip() or self.marks or self.pause:
            self.sentences += _divided(Sentence(self.text, self.pause, tuple(self.marks), tuple(self.emphases)))
        self.begin(pause)


def parse(text: str) -> list[Sentence]:
    """The sentences of a text, in order. Raises InputError for a tag that is not known, and for a text that is too long."""
    if len(text) > MAX_CHARACTERS:
        raise InputError(f"text of {len(text)} characters: at most {MAX_CHARACTERS} can be said at once")
    text = "".join(c if c.isprintable() or c.isspace() else " " for c in text)
    tagged = _TAG.search(text) is not None
    writer, at = _Writer(), 0
    emphases: list[tuple[int, float]] = []
    for tag in _TAG.finditer(text):
        _write(writer, text[at : tag.start()], tagged)
        at = tag.end()
        closing, name, attributes = bool(tag[1]), tag[2].lower(), _attributes(tag[3])
        if name == "speak":
            continue
        if name in ("p", "s"):
            writer.end()
        elif name == "mark":
            mark = attributes.get("name", "").strip()
            if not mark:
                raise InputError('a mark needs a name: <mark name="nod"/>')
            writer.marks.append(Mark(mark, len(writer.text)))
        elif name == "break":
            writer.end(_pause(attributes))
        elif name == "emphasis" and not closing and not tag[4]:
            emphases.append((len(writer.text), _EMPHASES.get(attributes.get("level", "moderate"), 3.0)))
        elif name == "emphasis":
            if emphases:
                first, decibels = emphases.pop()
                if first < len(writer.text):  # it may have begun in a sentence that has ended
                    writer.emphases.append(Emphasis(first, len(writer.text), decibels))
        else:
            raise InputError(f"<{name}> is not known: use mark, break, emphasis, or text without tags")
    _write(writer, text[at:], tagged)
    writer.end()
    return writer.sentences


def words_of(text: str) -> list[tuple[str, int, int]]:
    """(word, first character, character after it) of a sentence."""
    return [(m[0], m.start(), m.end()) for m in re.finditer(r"\S+", text) if any(c.isalnum() for c in m[0])]


def _write(writer: _Writer, text: str, tagged: bool) -> None:
    text = re.sub(r"\s+", " ", html.unescape(text) if tagged else text)
    if not writer.text:
        text = text.lstrip()
    at = 0
    for end in _END.finditer(text):
        before = (writer.text + text[at : end.start()]).rsplit(" ", 1)[-1].strip("(\"'“‘").lower()
        after = text[end.end() :].lstrip()
        if end[0] == "." and (
            before in _TITLES or (len(before) == 1 and before.isalpha()) or (after and after[0].islower())
        ):
            continue
        writer.text += text[at : end.end()]
        at = end.end() + (text[end.end() : end.end() + 1] == " ")
        if after:  # marks behind the last sentence belong to it
            writer.end()
    writer.text += text[at:]


def _divided(sentence: Sentence) -> list[Sentence]:
    parts, pause, offset, text = [], sentence.pause, 0, sentence.text
    while len(text) > _LONG:
        places = [m.end() for m in _CLAUSE.finditer(text) if 40 < m.end() < _LONG] or [
            text.rfind(" ", 40, _LONG) + 1 or _LONG
        ]
        parts.append(_part(sentence, offset, offset + places[-1], pause))
        offset, text, pause = offset + places[-1], text[places[-1] :], 0.0
    return [*parts, _part(sentence, offset, len(sentence.text) + 1, pause)]


def _part(sentence: Sentence, first: int, last: int, pause: float) -> Sentence:
    text = sentence.text[first:last]
    marks = tuple(Mark(m.name, m.at - first) for m in sentence.marks if first <= m.at < last)
    emphases = tuple(
        Emphasis(max(e.first - first, 0), min(e.last - first, len(text)), e.decibels)
        for e in sentence.emphases if e.first < last and e.last > first
    )  # fmt: skip
    return Sentence(text, pause, marks, emphases)


def _attributes(text: str) -> dict[str, str]:
    return {m[1].lower(): html.unescape(m[2] if m[2] is not None else m[3]) for m in _ATTRIBUTE.finditer(text or "")}


def _pause(attributes: dict[str, str]) -> float:
    if "time" in attributes:
        time = _TIME.fullmatch(attributes["time"].strip())
        seconds = float(time[1]) / (1000 if time[2] == "ms" else 1) if time else -1.0
        if not 0.0 <= seconds <= MAX_BREAK_S:
            raise InputError(
                f"a break of '{attributes['time']}': give a time such as 400ms or 1.5s, up to {MAX_BREAK_S:.0f} s"
            )
        return seconds
    strength = attributes.get("strength", "medium")
    if strength not in _STRENGTHS:
        raise InputError(f"a break of strength '{strength}': use one of {', '.join(_STRENGTHS)}")
    return _STRENGTHS[strength]
