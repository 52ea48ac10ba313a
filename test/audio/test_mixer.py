"""Channels that are dead, cancel each other, or carry a constant; the framer under any stamps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_forcing_ros.audio.framer import AudioFramer
from avatar_forcing_ros.audio.mixer import Mixer
from avatar_forcing_ros.timeline import SAMPLE_RATE, time_of

S = 1_000_000_000
SPEECH = (0.3 * np.sin(np.arange(5 * SAMPLE_RATE) * 0.07) * (1 + np.sin(np.arange(5 * SAMPLE_RATE) * 0.0015))).astype(
    np.float32
)


def run(mixer: Mixer, samples: np.ndarray, chunk: int = 320) -> np.ndarray:
    return np.concatenate([mixer.mono(samples[k : k + chunk], SAMPLE_RATE) for k in range(0, len(samples), chunk)])


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))


def test_a_dead_channel_costs_no_loudness_and_is_told():
    mixer = Mixer()
    out = run(mixer, np.stack([SPEECH, 1e-6 * SPEECH], axis=1))
    assert rms(out[SAMPLE_RATE:]) == pytest.approx(rms(SPEECH[SAMPLE_RATE:]), rel=0.02)
    assert "channel 1 of 2 is dead" in mixer.line()
    run(mixer, np.stack([SPEECH, SPEECH], axis=1))
    assert mixer.line() == ""


def test_channels_against_each_other_do_not_cancel():
    mixer = Mixer()
    out = run(mixer, np.stack([SPEECH, -0.98 * SPEECH], axis=1))
    assert rms(out[SAMPLE_RATE:]) > 0.9 * rms(SPEECH[SAMPLE_RATE:]) and "against the others" in mixer.line()


def test_good_channels_are_averaged_from_the_first_sample():
    both = np.stack([SPEECH, 0.5 * SPEECH], axis=1)
    np.testing.assert_allclose(run(Mixer(), both), 0.75 * SPEECH, atol=1e-6)


@pytest.mark.parametrize("constant", [0.02, -0.3, 0.6])
def test_a_constant_is_taken_off_without_a_click(constant):
    mixer = Mixer()
    out = run(mixer, np.clip(0.3 * SPEECH + constant, -1, 1)[:, None])
    assert abs(out[2 * SAMPLE_RATE :].mean()) < 0.01
    assert np.abs(np.diff(out)).max() < np.abs(np.diff(0.3 * SPEECH)).max() + 0.02
    assert ("constant" in mixer.line()) == (abs(constant) > 0.03)


def test_digital_silence_is_told_and_sound_ends_it():
    mixer = Mixer()
    run(mixer, np.zeros((12 * SAMPLE_RATE, 1), np.float32), 16_000)
    assert "muted" in mixer.line()
    run(mixer, SPEECH[:, None])
    assert mixer.line() == ""


@settings(max_examples=60, deadline=None)
@given(
    chunks=st.lists(st.integers(80, 1600), min_size=30, max_size=60),
    jitter_ms=st.integers(0, 25),
    late=st.sets(st.integers(0, 59), max_size=4),
    late_ms=st.integers(60, 450),
    seed=st.integers(0, 1000),
)
def test_jitter_and_single_late_chunks_lose_nothing(chunks, jitter_ms, late, late_ms, seed):
    """Stamps stray by 20 ms, single chunks are late by up to half a second: every sample is kept, in order."""
    late = {k for k in late if not {k - 1, k - 2, k - 3} & late}
    framer, rng = AudioFramer(), np.random.default_rng(seed)
    frames, at, pushed = [], 0, 0
    start = time_of(1000)
    for k, count in enumerate(chunks):
        stamp = (
            start
            + at * S // SAMPLE_RATE
            + int(rng.normal(0, jitter_ms * 1e6))
            + (late_ms * 1_000_000 if k in late else 0)
        )
        chunk = np.arange(at + 1, at + count + 1, dtype=np.float32)  # every sample is its own number
        frames += framer.push(chunk, stamp, start + (at + count) * S // SAMPLE_RATE)
        at += count
        pushed += count
    joined = np.concatenate([f.samples for f in frames]) if frames else np.zeros(0, np.float32)
    kept = joined[joined > 0]
    assert framer.resets == 0 and framer.gaps == 0
    assert len(kept) > 0.97 * pushed - 1280  # stretched by at most 3 %; two frames are not full yet
    assert (np.diff(kept) >= 0).all()
    steps = np.diff(kept)
    assert steps.max(initial=0) < 1.1  # nothing is left out


def test_a_real_loss_becomes_a_hole_after_a_third_of_a_second():
    framer, frames = AudioFramer(), []
    for k in range(150):
        if not 50 <= k < 60:  # 0.2 s lost on the way
            stamp = time_of(1000) + k * 20_000_000
            frames += framer.push(np.full(320, 0.1, np.float32), stamp, stamp + 20_000_000)
    assert framer.gaps == 1 and framer.gap_samples == pytest.approx(3200, abs=200)
    assert frames[-1].index == 1074
