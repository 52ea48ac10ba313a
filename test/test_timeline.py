import pytest

from avatar_forcing_ros import timeline as t


def test_a_frame_covers_exactly_40_ms():
    assert t.FRAME_NS == 40_000_000 and t.SAMPLES_PER_FRAME == 640
    assert t.frame_at(t.time_of(17)) == 17
    assert t.frame_at(t.time_of(18) - 1) == 17


def test_the_same_stamp_is_the_same_frame_at_any_epoch():
    stamp = 1_790_000_000 * t.NANOSECONDS + 123_456_789  # a stamp as robots have them: beyond float precision
    frame = t.frame_at(stamp)
    assert t.time_of(frame) <= stamp < t.time_of(frame + 1)


@pytest.mark.parametrize("frame, start, following", [(0, 0, 0), (1, 0, 10), (9, 0, 10), (10, 10, 10), (25, 20, 30)])
def test_blocks_lie_on_a_fixed_grid(frame, start, following):
    assert t.block_start(frame) == start
    assert t.next_block_start(frame) == following


def test_presentation_follows_the_frame_by_the_delay():
    assert t.presentation_time(25, 500) == t.NANOSECONDS + 500
    assert t.ns_to_seconds(t.seconds_to_ns(0.52)) == 0.52
