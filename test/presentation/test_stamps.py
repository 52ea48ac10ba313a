"""Clocks of the field: each kind of wrong stamp, made here, with a fake clock."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_forcing_ros.presentation.image_order import FrameOrder, ImageSorter
from avatar_forcing_ros.presentation.stamps import AHEAD_NS, Lateness, StampClock

S = 1_000_000_000
MS = S // 1000
START = 1_700_000_000 * S
WAY = 20 * MS


def run(clock: StampClock, stamp_of, count: int = 150, way=lambda k: WAY, start: int = START):
    """Maps `count` images at 25 per second; the error of each against when it was really seen, in seconds."""
    errors = []
    for k in range(count):
        seen = start + k * 40 * MS
        errors.append((clock.map(stamp_of(k, seen), seen + way(k)) - seen) / S)
    return np.array(errors)


def test_a_good_clock_passes_untouched():
    clock = StampClock()
    rng = np.random.default_rng(0)
    assert not run(clock, lambda k, t: t, way=lambda k: WAY + int(rng.exponential(30 * MS))).any()
    assert clock.state == "" and clock.line("images") == "" and clock.offset_ns == 0


@pytest.mark.parametrize(
    "stamp, state, words",
    [
        (lambda k, t: 0, "unstamped", "without stamps"),
        (lambda k, t: None, "unstamped", "without stamps"),
        (lambda k, t: START, "still", "stand still"),
        (lambda k, t: 77 * S + (t - START) // 1000, "still", "stand still"),  # milliseconds taken for nanoseconds
        (lambda k, t: t - START + 5000 * S, "boot", "machine's start"),
        (lambda k, t: t + 3600 * S, "shifted", "3600.0 s ahead of"),
        (lambda k, t: t + 400 * MS, "shifted", "0.4 s ahead of"),
        (lambda k, t: t - 7300 * S, "shifted", "2.0 hours behind"),
        (lambda k, t: t - 200_000_000 * S, "shifted", "years behind.*use_sim_time"),
        (lambda k, t: t + int(0.05 * (t - START)) - 100 * S, "shifted", "behind"),
    ],
)
def test_a_foreign_clock_is_mapped_and_told(stamp, state, words):
    import re

    clock = StampClock()
    errors = run(clock, stamp, 400)
    assert clock.state == state
    assert re.search(words, clock.line("images")), clock.line("images")
    assert np.abs(errors[50:]).max() < 0.1
    assert errors.max() < 0.1  # nothing runs ahead, from the first image on


def test_an_hour_ahead_from_one_moment_on_and_back():
    clock = StampClock()
    errors = run(clock, lambda k, t: t + (3600 * S if 50 <= k < 100 else 0))
    assert np.abs(errors).max() < 0.1
    assert clock.state == ""


def test_one_strange_stamp_changes_nothing():
    clock = StampClock()
    errors = run(clock, lambda k, t: t + (3600 * S if k == 5 else -50 * S if k == 20 else 0))
    assert np.abs(errors).max() < 0.02 and clock.offset_ns == 0 and clock.strange_stamps == 2


def test_lateness_within_half_a_second_is_believed_and_told():
    clock = StampClock()
    assert not run(clock, lambda k, t: t, way=lambda k: 420 * MS).any()
    assert clock.state == "late" and "0.42 s late" in clock.line("sound")


def test_a_second_behind_is_another_clock_after_a_second():
    clock = StampClock()
    errors = run(clock, lambda k, t: t - 1 * S)
    assert clock.state == "shifted" and "1.0" in clock.line("images") and np.abs(errors[40:]).max() < 0.05


def test_a_stall_of_the_network_is_no_change_of_clock():
    clock = StampClock()
    run(clock, lambda k, t: t, way=lambda k: max(WAY, 1200 * MS - (k - 60) * 40 * MS) if 60 <= k < 90 else WAY)
    assert clock.offset_ns == 0


def test_drift_is_followed():
    clock = StampClock()
    errors = run(clock, lambda k, t: t + 900 * S + (t - START) // 2000, 5000)
    assert np.abs(errors[100:]).max() < 0.05


def test_random_stamps_are_told_as_such():
    clock = StampClock()
    rng = np.random.default_rng(1)
    errors = run(clock, lambda k, t: t + int(rng.uniform(-500, 500) * S))
    assert clock.state == "chaos" and np.abs(errors).max() < 0.6


def test_set_right_again():
    clock = StampClock()
    run(clock, lambda k, t: t + 2 * S, 100)
    assert clock.state == "shifted"
    run(clock, lambda k, t: t, 100, start=START + 4 * S)
    assert clock.state == "" and clock.offset_ns == 0


@settings(max_examples=200, deadline=None)
@given(
    offset=st.integers(-(10**18), 10**18),
    drift=st.floats(-0.002, 0.002, allow_subnormal=False),
    jitter=st.integers(0, 20),
    chunk=st.integers(5, 200),
    seed=st.integers(0, 100),
)
def test_any_offset_drift_and_jitter_is_mapped_to_now(offset, drift, jitter, chunk, seed):
    clock, rng = StampClock(), np.random.default_rng(seed)
    for k in range(200):
        now = START + k * chunk * MS
        stamp = now - WAY + offset + int(drift * k * chunk * MS) + int(rng.normal(0, jitter * MS))
        time = clock.map(max(stamp, 1), now)
        assert time <= now + AHEAD_NS
        if k > max(60, 3000 // chunk):
            assert time > now - 700 * MS


# --- order ----------------------------------------------------------------------------------------------------------


def test_good_times_pass_exactly_and_gaps_stay_gaps():
    order = FrameOrder()
    times = [START + int(k * 40 * MS) + (k % 3) * MS + (500 * MS if k > 30 else 0) for k in range(60)]
    assert [order.place(t) for t in times] == times and order.late == 0


def test_jitter_is_smoothed_and_nothing_is_lost():
    order, rng = FrameOrder(), np.random.default_rng(0)
    true = START + np.arange(300) * 40 * MS
    placed = [order.place(int(t + rng.normal(0, 20 * MS)), int(t + WAY + rng.normal(0, 4 * MS))) for t in true]
    kept = [(p, t) for p, t in zip(placed, true) if p is not None]
    assert len(kept) >= 295
    error = np.array([p - t for p, t in kept]) / MS
    assert error[20:].std() < 11 and (np.diff([p for p, _ in kept]) > 0).all()


def test_an_uneven_pace_that_the_arrivals_share_passes_exactly():
    order, rng = FrameOrder(), np.random.default_rng(0)
    times = np.cumsum(rng.integers(20, 200, 100)) * MS + START
    assert [order.place(int(t), int(t + WAY + rng.normal(0, 5 * MS))) for t in times] == times.tolist()


def test_late_images_are_left_out():
    order = FrameOrder()
    placed = [
        order.place(START + k * 40 * MS - (120 * MS if k % 5 == 4 else 0), START + k * 40 * MS) for k in range(100)
    ]
    assert order.late == 20 and [p is None for p in placed] == [k % 5 == 4 for k in range(100)]


def sort(indices, period=40, start=START) -> list[int]:
    """Which images are passed on, in order, where they come in the order of `indices`."""
    sorter = ImageSorter()
    out = [item for i in indices for _, item in sorter.put(start + i * period * MS, i)]
    return out + [item for _, item in sorter.rest()]


def swapped(every: int, count: int = 120) -> list[int]:
    """Pairs of images of which each `every`th is handed over the wrong way round."""
    return [i ^ 1 if i // 2 % every == every - 1 else i for i in range(count)]


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("period", [17, 33, 40, 80])
def test_images_that_overtake_each_other_are_sorted(every, period):
    """Of a driver with several threads: true stamps, the wrong order. All come, in order but for the first ones."""
    out = sort(swapped(every), period)
    assert sorted(out) == list(range(120))
    assert out[60:] == list(range(60, 120))


def test_what_comes_three_behind_is_waited_for_where_that_is_short():
    threads = [i + 3 if i % 4 == 0 else i - 1 for i in range(120)]  # 3 0 1 2, 7 4 5 6 ...
    threads = [threads.index(i) for i in range(120)]  # 1 2 3 0, 5 6 7 4 ...
    assert sort(threads, 17)[60:] == list(range(60, 120))
    assert sort(threads, 66) == threads  # would take 200 ms: passed on as they come


def test_stamps_that_stray_and_single_late_images_are_not_waited_for():
    sorter, rng = ImageSorter(), np.random.default_rng(0)
    for k in range(200):
        time = START + k * 40 * MS + int(rng.normal(0, 20 * MS))
        assert sorter.put(time, k) == [(time, k)]
    order = [i ^ 1 if i // 2 % 10 == 9 else i for i in range(200)]
    assert sort(order) == order


def test_a_video_that_begins_again_gives_what_waited_first():
    sorter = ImageSorter()
    out = [sorter.put(START + i * 40 * MS, i) for i in swapped(1, 40)]
    assert out[-1] == [(START + 38 * 40 * MS, 38)]
    assert [item for _, item in sorter.put(START - 5 * S, "again")] == [39, "again"]


def test_seconds_back_is_a_new_beginning():
    order = FrameOrder()
    assert order.place(START) == START and order.place(START - 5 * S) == START - 5 * S


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-3000, 3000), min_size=1, max_size=80), st.integers(10, 200))
def test_times_only_go_forward_but_for_a_restart(noise, period):
    order, last, shown = FrameOrder(), None, 0
    for k, n in enumerate(noise):
        time = order.place(START + k * period * MS + n * MS, START + k * period * MS)
        if time is not None:
            assert last is None or time > last or time <= last - 1 * S
            last, shown = time, shown + 1
    assert shown >= 1


def test_lateness_is_told_while_it_lasts():
    late = Lateness()
    for _ in range(60):
        late.note("user motion", 0.31)
        late.note("user audio", -0.1)
        late.step(["user motion"])
    assert late.line().startswith("50 of 50 steps") and "user motion: it comes 0.31 s too late" in late.line()
    for _ in range(60):
        late.note("user motion", -0.1)
        late.step([])
    assert late.line() == ""


def test_an_input_that_stops_is_told_without_a_lateness():
    late = Lateness()
    for _ in range(20):
        late.step(["user audio"])
    assert "20 of 20 steps were made without all of user audio" in late.line()
