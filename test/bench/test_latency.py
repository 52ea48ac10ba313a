"""What the stimulus test makes of what it saw: rounds that a busy machine hid are left out, and none at all is one line."""

import pytest

from avatar_forcing_ros.bench import latency
from avatar_forcing_ros.errors import AvatarForcingError
from avatar_forcing_ros.timeline import FRAME_NS, NANOSECONDS

SENT = [10 * NANOSECONDS, 20 * NANOSECONDS]


def reader(answered: list[int]) -> latency._Reader:
    """One that sent a smile twice and saw the images of 30 s, in which the mouth rises 0.4 s after those `answered`."""
    made = latency._Reader.__new__(latency._Reader)
    made._delay_ns, made._smile_sent, made._images = 0, SENT, []
    made._used = [(sent, sent + 120_000_000) for sent in SENT]
    for i in range(750):
        at = i * FRAME_NS
        smile = max((min(max((at - s) / NANOSECONDS - 0.4, 0) * 5, 1.0) for s in answered if s <= at), default=0.0)
        made._images.append(latency.SeenImage(at, smile, 0.0))
    return made


def test_a_round_that_was_not_seen_is_left_out():
    seen = reader(SENT[:1]).smiles()
    assert seen["answered"] == 1
    assert seen["reported"] == pytest.approx(120) and 400 <= seen["to_pixels"] <= 500


def test_no_answer_at_all_is_one_line_with_its_mend():
    with pytest.raises(AvatarForcingError, match="no smile of 2 was answered. The machine was too busy"):
        reader([]).smiles()
