import numpy as np
import pytest

from avatar_forcing_ros.presentation.pacing import MILLISECOND, Margin, PresentationClock, Recent, Rhythm
from avatar_forcing_ros.timeline import FRAME_NS, time_of

START = 44_750_000_000  # a frame index as it is on a robot's clock


def clock(
    delay_ms: int = 200, automatic: bool = True, low: int = 50, high: int = 800, reserve: int = 15
) -> PresentationClock:
    return PresentationClock(
        *(x if isinstance(x, bool) else x * MILLISECOND for x in (delay_ms, automatic, low, high, reserve))
    )


def play(timing: PresentationClock, frames: range, need_ms: float | None = None, calm: bool = True) -> np.ndarray:
    """Delays in ms of these frames; every second frame a block comes that needs `need_ms`."""
    delays = []
    for frame in frames:
        if need_ms is not None and frame % 2 == 0:
            timing.observe(round(need_ms * MILLISECOND))
        delays.append((timing.due(frame, lambda: calm) - time_of(frame)) / MILLISECOND)
    return np.array(delays)


def test_quantiles_of_the_latest_values():
    recent = Recent(4)
    assert recent.quantile(50) == 0 and recent.newest == 0
    for value in (100, 1, 2, 3, 4):
        recent.add(value)
    assert recent.quantile(100) == 4 and recent.quantile(0) == 1 and recent.newest == 4


def test_the_next_message_of_a_regular_source_is_waited_for_while_it_is_due():
    rhythm, ms = Rhythm(), MILLISECOND
    for i in range(8):
        assert not rhythm.soon(i * 40 * ms, 10_000 * ms)  # not known well enough
        rhythm.came(i * 40 * ms)
    rhythm.came(320 * ms)  # the next one is due at 360
    assert rhythm.soon(330 * ms, 360 * ms) and not rhythm.soon(330 * ms, 359 * ms)
    assert rhythm.soon(369 * ms, 400 * ms) and not rhythm.soon(371 * ms, 400 * ms)  # overdue: it may not come at all
    for _ in range(4):  # single late ones change nothing
        rhythm.came(400 * ms)
    assert not rhythm.soon(401 * ms, 430 * ms)
    rhythm.reset()
    assert not rhythm.soon(402 * ms, 10_000 * ms)


def test_a_margin_grows_at_once_and_shrinks_slowly():
    margin = Margin(20 * MILLISECOND)
    margin.met(True)
    assert margin.ns == 20 * MILLISECOND
    for expected in (40, 80, 160, 320, 500, 500):
        margin.met(False)
        assert margin.ns == expected * MILLISECOND
    for _ in range(960):
        assert margin.ns > 20 * MILLISECOND
        margin.met(True)
    assert margin.ns == 20 * MILLISECOND


def test_a_given_delay_never_changes():
    timing = clock(300, automatic=False)
    timing.begin(500 * MILLISECOND)
    assert (play(timing, range(START, START + 400), 500) == 300).all() and timing.wanted_ns == 300 * MILLISECOND


def test_the_first_block_sets_the_delay_at_once():
    timing = clock(200)
    play(timing, range(START, START + 5))
    timing.begin(430 * MILLISECOND)
    assert play(timing, range(START + 5, START + 6))[0] == 445


@pytest.mark.parametrize("need, bound", [(330, 345), (120, 135), (20, 50), (2000, 800)])
def test_the_delay_follows_the_need_slowly_and_stays_within_its_bounds(need, bound):
    timing = clock(200)
    delays = play(timing, range(START, START + 1200), need)
    assert abs(delays[-1] - bound) <= 8
    steps = np.diff(delays)
    assert steps.max() <= 2 and steps.min() >= -1  # a frame of 40 ms is at most 5 % longer
    assert np.abs(np.diff(delays[-100:])).max() == 0  # it settles


def test_the_delay_waits_while_somebody_speaks():
    timing = clock(200)
    assert (play(timing, range(START, START + 200), 400, calm=False) == 200).all()
    assert play(timing, range(START + 200, START + 201))[0] == 202


def test_a_frame_has_one_time_whoever_asks():
    timing = clock(200)
    play(timing, range(START, START + 50), 400)
    times = [timing.due(START + f) for f in range(30, 50)]
    assert times == [timing.due(START + f, lambda: True) for f in range(30, 50)]
    assert all(FRAME_NS <= b - a <= FRAME_NS + 2 * MILLISECOND for a, b in zip(times, times[1:], strict=False))
    assert all(t % MILLISECOND == 0 for t in times)  # whole samples of sound


def test_a_few_late_blocks_in_a_thousand_do_not_raise_it_for_good():
    timing = clock(150)
    play(timing, range(START, START + 400), 130)
    timing.observe(700 * MILLISECOND)
    assert play(timing, range(START + 400, START + 900), 130)[-1] < 160


def test_a_jump_of_time_keeps_the_delay():
    timing = clock(150)
    play(timing, range(START, START + 100), 130)
    timing.reset()
    assert play(timing, range(50, 60))[0] == play(timing, range(60, 70))[0] != 0
