"""The benchmark and the soak test, at a tiny size: that they run and measure what they say, not how fast."""

import json

import pytest

pytest.importorskip("torch", reason="needs PyTorch: pip install 'avatar_forcing_ros[train]'")


from avatar_forcing_ros.bench.network import benchmark, soak
from avatar_forcing_ros.models import Anchor, ModelConfig, runtime

TINY = ModelConfig(
    image_size=32, audio_front_end="log_mel", audio_dim=64, audio_width=32, audio_layers=1, width=32, depth=2, heads=2
)


@pytest.mark.parametrize("precision, bound", [("float32", 1e-4), ("bfloat16", 0.05)])
def test_benchmark_compares_two_streams_that_agree(precision, bound):
    if precision == "bfloat16" and not runtime.cpu_takes_bfloat16():
        pytest.skip("needs a processor with AVX-512")
    lines = []
    report = benchmark(TINY, device="cpu", precision=precision, repeats=1, show=lines.append)
    assert report["latents_relative_difference"] < bound
    assert report["images_mean_difference_grey_levels"] < 5.0
    assert set(report["stages"]) == {"audio", "motion", "decode", "block", "first_image"}
    for stage in report["stages"].values():
        assert stage["plain_ms"] > 0 and stage["ours_ms"] > 0
    assert not report["gpu_measured"] and any("no GPU was measured" in line for line in lines)
    json.dumps(report)


def test_a_long_session_stays_finite_and_near_the_reference():
    """2,000 frames of a network that drifts; the whole 45,000 are run by `soak()`."""
    anchor = Anchor(time_constant=2.0, dead_band=0.5, gain=0.5, slew=0.05)
    small = ModelConfig.embedded(width=32, depth=1, heads=2, audio_dim=32, audio_width=16, audio_layers=1)
    held = soak(2000, small, anchor, show=lambda line: None)
    free = soak(2000, small, None, show=lambda line: None)
    assert held["finite"] and held["frames"] == 2000
    assert held["distance_max"] < 4.0 < free["distance_end"]
    assert held["rss_end_mb"] < held["rss_start_mb"] + 20
