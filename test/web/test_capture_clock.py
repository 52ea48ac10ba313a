"""When a page's camera saw: from what its reports say, or from the quickest way here. The clocks are the test's."""

from __future__ import annotations

import pytest

pytest.importorskip("aiortc", reason="the extra [kiosk] is not installed")

from avatar_forcing_ros.web.media_in import CaptureClock


def test_the_senders_reports_tell_the_capture_time():
    clock = CaptureClock()
    clock.report(media_s=10.0, wall_s=5000.0)
    for i in range(50):  # the way takes 60 to 100 ms; our clock is 7 s ahead
        media = 11.0 + i / 25
        stamp = clock.stamp(media, now_s=5008.0 + i / 25 + 0.06 + 0.04 * (i % 2), offset_s=7.0)
        assert stamp == pytest.approx(5008.0 + i / 25)


def test_without_reports_the_quickest_way_tells():
    clock, stamps = CaptureClock(), []
    for i in range(100):
        stamps.append(clock.stamp(i / 25, now_s=100.0 + i / 25 + (0.2 if i % 3 else 0.05), offset_s=None))
    assert all(b - a == pytest.approx(0.04) for a, b in zip(stamps, stamps[1:]))
    assert stamps[-1] == pytest.approx(100.0 + 99 / 25 + 0.02)


def test_a_report_of_a_wrong_clock_is_not_believed_and_stamps_never_step_back():
    clock = CaptureClock()
    clock.report(media_s=0.0, wall_s=9000.0)  # an hour off
    first = clock.stamp(1.0, now_s=101.05, offset_s=0.0)
    assert first == pytest.approx(101.02)
    clock.report(media_s=0.0, wall_s=100.0)
    assert clock.stamp(1.001, now_s=101.06, offset_s=0.0) >= first
