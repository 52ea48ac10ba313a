import json

import numpy as np

from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.run.plots import plot_timeline
from avatar_forcing_ros.run.statistics import Histogram, ReactionLatency, RunStatistics, write_json
from avatar_forcing_ros.timeline import FRAME_NS, time_of


def test_percentiles_agree_with_numpy_to_the_bin():
    values = np.random.default_rng(1).gamma(3.0, 12.0, 5000)
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    for p in (50, 95, 99):
        assert abs(histogram.percentile(p) - np.percentile(values, p)) < 0.5
    assert Histogram().percentile(50) is None


def run(statistics: RunStatistics, frames: range, delay_ns: int = 500_000_000, held=lambda f: False) -> None:
    for f in frames:
        published = time_of(f) + delay_ns
        statistics.add_user_motion(time_of(f), rig.neutral(), 1.0)
        statistics.add_image(
            f, published, camera_stamp_ns=time_of(f), user_audio_stamp_ns=time_of(f - 1), render_ms=5.0, held=held(f),
            delay_ns=delay_ns,
        )  # fmt: skip
        statistics.add_arrival("image", published, published + 3_000_000)
        statistics.add_arrival("sound", published, published + 1_000_000)


def test_figures_of_a_steady_run():
    statistics = RunStatistics()
    statistics.add_block(0, 0, np.zeros((10, rig.DIM)), 2.0)
    run(statistics, range(0, 250), delay_ns=0)  # frame 0 counts as well
    assert statistics.summary()["fps"] == 25.0
    statistics = RunStatistics()
    statistics.add_block(0, 0, np.zeros((10, rig.DIM)), 2.0)
    run(statistics, range(1000, 1250))
    figures = statistics.summary()
    assert figures["frames"] == 250 and figures["fps"] == 25.0 and figures["late_blocks"] == 0
    assert abs(figures["reaction_latency_ms"]["p95"] - 500) < 0.5
    assert abs(figures["sound_reaction_latency_ms"]["p95"] - 540) < 0.5
    assert figures["presentation_delay_ms"]["start"] == 500
    assert abs(figures["av_skew_ms"]["max"] - 2) < 1e-6
    assert figures["frame_interval_error_ms"]["max"] == 0


def test_a_block_that_is_late_is_counted_once_and_the_calm_start_is_not():
    statistics = RunStatistics()
    run(statistics, range(1000, 1020), held=lambda f: True)  # before any block
    statistics.add_block(0, 0, np.zeros((10, rig.DIM)), 2.0)
    run(statistics, range(1020, 1050), held=lambda f: 1030 <= f < 1036)
    figures = statistics.summary()
    assert figures["late_blocks"] == 1 and figures["held_frames"] == 6


def test_the_latency_of_every_input_counts_whichever_of_the_two_is_told_first():
    latency = ReactionLatency()
    ms = 1_000_000
    for stamp in (0, 40, 80):
        latency.came(stamp * ms)
    latency.used(40 * ms, 200 * ms)  # this image has seen the frames of 0 and 40
    latency.used(40 * ms, 240 * ms)  # a second one adds nothing
    latency.used(120 * ms, 280 * ms)
    latency.came(120 * ms)  # told after the image that used it
    latency.came(100 * ms)  # an image that was dropped on the way: the first one with a newer frame answers it
    assert sorted(value for _, value in latency.track) == [160.0, 160.0, 180.0, 200.0, 200.0]
    latency.used(-5_000 * ms, 300 * ms)  # time has jumped back
    latency.came(-5_000 * ms)
    assert latency.histogram.count == 6


def test_memory_of_inputs_that_no_image_ever_uses_is_bounded():
    latency = ReactionLatency()
    for i in range(10_000):
        latency.came(i)
    assert len(latency._waiting) == ReactionLatency.KEPT and latency.histogram.count == 0


def test_frames_of_sound_between_two_images_count_each():
    statistics = RunStatistics()
    for f in (100, 105, 110):
        statistics.add_used(time_of(f + 4), 0, time_of(f))
    assert statistics.sound_latency.histogram.count == 11  # 100, 101 .. 110
    assert statistics.sound_latency.histogram.max == 8 * 40


def test_lost_blocks_show():
    statistics = RunStatistics()
    for sequence in (0, 1, 4):
        statistics.add_block(sequence, 0, np.zeros((10, rig.DIM)), 2.0)
    assert statistics.summary()["lost_blocks"] == 2


def test_memory_does_not_grow_with_the_session():
    statistics = RunStatistics()
    statistics.add_block(0, 0, np.zeros((10, rig.DIM)), 2.0)
    for f in range(5000):
        statistics.add_arrival("image", f * FRAME_NS, 0)  # its sound never comes
        statistics.add_user_motion(f * FRAME_NS, rig.neutral(), 1.0)
    assert len(statistics._arrivals) <= 25 and len(statistics.user_track) <= 1500


def test_json_and_plot_are_written(tmp_path):
    statistics = RunStatistics()
    statistics.add_block(0, time_of(1000), np.random.default_rng(0).normal(size=(10, rig.DIM)), 2.0)
    run(statistics, range(1000, 1010))
    write_json(tmp_path / "a.json", statistics.summary())
    plot_timeline(tmp_path / "a.png", statistics, time_of(1000), "a")
    assert json.loads((tmp_path / "a.json").read_text())["frames"] == 10
    assert (tmp_path / "a.png").stat().st_size > 10_000
    plot_timeline(tmp_path / "empty.png", RunStatistics(), 0)
