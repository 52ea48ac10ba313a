"""Sound by its times: whole, in its place, back in step without a click. The device's clock is the test's."""

from __future__ import annotations

import numpy as np
import pytest

from avatar_forcing_ros.presentation.timed_sound import TimedSound
from avatar_forcing_ros.timeline import NANOSECONDS

RATE = 16_000
START = 1_790_000_000 * NANOSECONDS


def tone(seconds: float, hertz: float = 200.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def play(
    sound: TimedSound, source: np.ndarray, speed: float = 1.0, lead_s: float = 0.1, late_from: float | None = None
) -> np.ndarray:
    """The device pulls 256 samples at a time; its clock runs `speed` times as fast as the sound's. From `late_from` on it is 30 ms late."""
    heard, put = [], 0
    for i in range(0, len(source) - RATE // 5, 256):
        now = i / RATE / speed
        while put < len(source) and put / RATE < now + lead_s:
            sound.put(source[put : put + 640], START + put * NANOSECONDS // RATE)
            put += 640
        if late_from is not None and now > late_from:
            now += 0.03
        heard.append(sound.pull(256, START + round(now * NANOSECONDS)))
    return np.concatenate(heard)


def test_sound_in_step_is_left_as_it_is():
    source = tone(2.0)
    heard = play(TimedSound(RATE), source)
    assert np.abs(heard[256:] - source[256 : len(heard)]).max() < 1e-3


@pytest.mark.parametrize("speed", [1.0005, 0.9995])
def test_a_device_whose_clock_drifts_stays_in_step_without_a_click(speed):
    sound = TimedSound(RATE)
    heard = play(sound, tone(20.0), speed)
    assert sound.jumps == 0 and abs(sound.error_s) < 0.002
    assert np.abs(np.diff(heard[256:])).max() < 1.05 * np.abs(np.diff(tone(1.0))).max()


def test_a_small_step_is_taken_back_softly_and_a_large_one_at_once():
    sound = TimedSound(RATE)
    heard = play(sound, tone(12.0), late_from=1.0)
    assert sound.jumps == 0 and abs(sound.error_s) < 0.003
    assert np.abs(np.diff(heard[256:])).max() < 1.05 * np.abs(np.diff(tone(1.0))).max()
    sound.pull(256, START + 5 * NANOSECONDS)
    assert sound.jumps == 1


def test_pauses_are_silent_and_old_sound_never_returns():
    sound = TimedSound(RATE)
    sound.put(tone(0.5), START)
    sound.put(tone(0.5), START + 2 * NANOSECONDS)
    at = [sound.pull(RATE // 10, START + round(i / 10 * NANOSECONDS)) for i in range(60)]
    levels = [float(np.abs(piece).max()) for piece in at]
    assert all(levels[i] > 0.4 for i in (1, 3, 21, 23)) and all(levels[i] == 0 for i in (*range(6, 20), *range(26, 60)))


def test_time_that_jumps_back_begins_anew():
    sound = TimedSound(RATE)
    sound.put(tone(0.5), START)
    sound.put(tone(0.5), START - 100 * NANOSECONDS)
    assert np.abs(sound.pull(RATE // 10, START - 100 * NANOSECONDS)).max() > 0.4
