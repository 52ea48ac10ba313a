"""The governor on a clock of its own, with machines of any speed."""

import pytest

from avatar_forcing_ros.presentation.governor import (
    RESERVE_CORES,
    Governor,
    IdleMeter,
    Load,
    Quality,
    Thinned,
    level_for,
    levels,
)
from avatar_forcing_ros.timeline import FRAME_RATE

STEP_MS, IMAGE_MS, TRACK_MS, REST_CORES = 12.0, 14.0, 9.0, 0.25


def needed(quality: Quality) -> float:
    """Cores that a level takes on a slow machine."""
    image = 0.35 + 0.65 * quality.image_scale**2
    return (
        REST_CORES
        + FRAME_RATE / quality.commit_frames * STEP_MS / 1000
        + FRAME_RATE * image * IMAGE_MS / 1000
        + quality.camera_rate * TRACK_MS / 1000
    )


def measured(quality: Quality, cores: float) -> Load:
    """What the graph tells of itself on a machine that leaves it so many cores: what does not fit comes too late."""
    wanted = needed(quality)
    missing = max(0.0, 1.2 * (1.0 - cores / wanted) + 0.1 * (cores < wanted))
    slow = max(1.0, wanted / cores)
    return Load(
        images=round(FRAME_RATE * (1 - missing)), skipped=round(FRAME_RATE * missing), steps=12, late_steps=round(12 * missing),
        tracked=10, step_ms=STEP_MS * slow, render_ms=IMAGE_MS * slow, idle_cores=max(0.0, cores - wanted),
    )  # fmt: skip


def run(governor: Governor, cores, seconds: int, start: int = 0) -> list[int]:
    """The level at every second. cores: what is left for this face, by the second."""
    history = []
    for second in range(start, start + seconds):
        governor.observe(measured(governor.quality, cores(second)), float(second))
        history.append(governor.level)
    return history


def test_the_ladder_keeps_what_matters_longest():
    ladder = levels(1)
    assert ladder[0] == Quality(1, 25.0, 1.0) and len(set(ladder)) == len(ladder) == 7
    for better, worse in zip(ladder, ladder[1:]):
        assert better.commit_frames <= worse.commit_frames and better.camera_rate >= worse.camera_rate
        assert better.image_scale >= worse.image_scale and needed(worse) < needed(better)
    # Reactions at 12 camera images a second and short steps go last.
    assert ladder[4] == Quality(2, 12.5, 0.5) and ladder[-1] == Quality(10, 8.0, 0.5)
    assert [q.commit_frames for q in levels(10)] == [10] * len(levels(10))
    assert {q.commit_frames for q in levels(5, longest=5)} == {5}


def test_a_machine_that_keeps_up_is_left_alone():
    governor = Governor(levels(2))
    assert set(run(governor, lambda s: 2.0, 600)) == {0} and governor.priority


@pytest.mark.parametrize("cores", [0.5, 0.6, 0.75, 0.9])
def test_it_falls_within_seconds_to_what_fits_and_stays(cores):
    governor = Governor(levels(1))
    history = run(governor, lambda s: cores, 600)
    fits = next((i for i, q in enumerate(levels(1)) if needed(q) <= cores), len(levels(1)) - 1)
    assert history[9] >= fits
    assert sum(a != b for a, b in zip(history[20:], history[21:])) <= 4  # it does not swing
    assert sum(level >= fits for level in history[20:]) > 0.97 * len(history[20:])


def test_it_comes_back_to_full_quality_by_itself():
    governor = Governor(levels(1))
    run(governor, lambda s: 0.6, 4)
    assert not governor.priority
    run(governor, lambda s: 0.6, 26, start=4)
    assert governor.level > 2
    history = run(governor, lambda s: 2.0, 240, start=30)
    assert history[-1] == 0 and governor.priority
    assert all(b <= a for a, b in zip(history, history[1:]))  # and without a step back


def test_a_rise_that_was_too_much_is_tried_more_and_more_seldom():
    """Where nobody tells how idle the processors are, only trying shows it."""
    governor, tried, before = Governor(levels(2)), [], 0
    for second in range(900):
        load = measured(governor.quality, 0.75)
        governor.observe(Load(**{**vars(load), "idle_cores": None}), float(second))
        if governor.level < before:
            tried.append(second)
        before = governor.level
    gaps = [b - a for a, b in zip(tried, tried[1:])]
    assert gaps and gaps[-1] >= 60 and len(tried) < 20


def test_it_does_not_rise_into_what_would_not_fit():
    governor = Governor(levels(2), start=1)
    level = governor.quality
    idle = needed(levels(2)[0]) - needed(level) + RESERVE_CORES - 0.1
    for second in range(60):
        governor.observe(Load(step_ms=STEP_MS, render_ms=IMAGE_MS, idle_cores=idle), float(second))
    assert governor.level == 1


def test_one_bad_second_is_no_reason():
    governor = Governor(levels(2))
    for second in range(60):
        governor.observe(Load(skipped=20 if second % 20 == 5 else 0), float(second))
    assert governor.level == 0 and governor.priority


def test_any_of_the_three_may_be_too_late():
    for load in (Load(images=20, skipped=5), Load(steps=12, late_steps=3), Load(tracked=15, dropped=10)):
        governor = Governor(levels(2))
        assert not governor.observe(load, 0.0) and governor.observe(load, 1.0)
        assert governor.level >= 1 and "too late" in governor.reason
    assert Load(tracked=23, dropped=2).strain < 0.0 + 0.08


def test_fixed_quality_stays_but_priority_is_given_up_under_overload():
    for mode, level in (("full", 0), ("low", len(levels(2)) - 1)):
        governor = Governor(levels(2), mode)
        assert set(run(governor, lambda s: 0.3, 20)) == {level} and not governor.priority
        run(governor, lambda s: 3.0, 20, start=20)
        assert governor.priority and governor.level == level


def test_one_processor_begins_lower():
    assert level_for(1, 7) == 3 and level_for(2, 7) == 0 and level_for(1, 2) == 1


def test_thinned_images_come_evenly():
    thinned = Thinned()
    stamps = [i * 40_000_000 + 1_790_000_000_000_000_000 for i in range(100)]
    assert all(map(thinned.takes, stamps))
    for rate, count in ((12.5, 50), (8.0, 32)):
        thinned.rate = rate
        taken = [i for i, stamp in enumerate(stamps) if thinned.takes(stamp)]
        assert abs(len(taken) - count) <= 1
        assert max(b - a for a, b in zip(taken, taken[1:])) <= -(-25 // rate)


def test_idle_time_is_told_from_the_second_look_on():
    meter = IdleMeter()
    assert meter.cores(0.0) is None
    idle = meter.cores(1e6)
    assert idle is None or 0 <= idle < 1
