import pytest

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.voice.text import Emphasis, Mark, parse, words_of


@pytest.mark.parametrize(
    "text, sentences",
    [
        ("Hello", ["Hello"]),
        ("Hello there. How are you? Fine!", ["Hello there.", "How are you?", "Fine!"]),
        ("Dr. Smith paid 3.50 at 7 p.m. on Monday. He left.", ["Dr. Smith paid 3.50 at 7 p.m. on Monday.", "He left."]),
        ('J. K. Rowling said "Stop!" Then she went.', ['J. K. Rowling said "Stop!"', "Then she went."]),
        ("3 < 4 and 5 > 2, AT&T", ["3 < 4 and 5 > 2, AT&T"]),
        ("<speak><p>One</p><p>Two &amp; three</p></speak>", ["One", "Two & three"]),
        ("你好。再见。", ["你好。", "再见。"]),
        ("", []),
    ],
)
def test_sentences(text, sentences):
    assert [s.text.strip() for s in parse(text)] == sentences


def test_a_long_sentence_is_cut_at_a_clause_and_nothing_is_lost():
    text = ", ".join(f"this is the clause with number {i}" for i in range(30))
    parts = parse(text + ".")
    assert len(parts) > 3 and all(len(p.text) <= 220 for p in parts)
    assert "".join(p.text for p in parts) == text + "."


def test_marks_breaks_and_emphasis_have_their_places():
    first, second = parse(
        'I <emphasis level="strong">really</emphasis> <mark name="nod"/>mean it.<break time="400ms"/> You see?'
    )
    assert (
        first.text == "I really mean it."
        and first.marks == (Mark("nod", 9),)
        and first.emphases == (Emphasis(2, 8, 5.0),)
    )
    assert second.pause == 0.4 and second.text.strip() == "You see?"
    assert parse('<mark name="smile"/>')[0].marks == (Mark("smile", 0),)
    assert parse('Hi.<mark name="wink"/>')[0].marks == (Mark("wink", 3),)


@pytest.mark.parametrize(
    "text, words",
    [
        ("<prosody rate='slow'>x</prosody>", "prosody"),
        ("<mark/>", "name"),
        ('<break time="1h"/>', "1h"),
        ('<break time="99s"/>', "99s"),
        ('<break strength="huge"/>', "huge"),
        ("a" * 200_000, "200000"),
    ],
)
def test_what_cannot_be_said_is_told(text, words):
    with pytest.raises(InputError, match=words):
        parse(text)


def test_words():
    assert words_of("Well, -- it's 5 o'clock!") == [
        ("Well,", 0, 5),
        ("it's", 9, 13),
        ("5", 14, 15),
        ("o'clock!", 16, 24),
    ]
