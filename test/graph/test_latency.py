"""Latency from outside: from an injected camera image, and from injected speech, to the pixels that change."""

import pytest

pytest.importorskip("rclpy", reason="needs ROS: a plain Python install has no graph")

from avatar_forcing_ros.bench.latency import stimulus_test

FRAME_MS = 40
DELAY_S = 1.5  # long enough for a machine that does other things besides: what is late then is not shown late


@pytest.mark.slow
def test_what_the_graph_reports_is_what_a_viewer_sees(domain):
    """With a fixed presentation delay everything has its time, on a fast machine and on a slow one."""
    result = stimulus_test(10, DELAY_S, rounds=2, show=lambda line: None)
    smile, voice = result["smile"], result["voice"]
    # A busy machine leaves out images: nothing is seen more finely than the gaps.
    gap = smile["resolution"]
    assert smile["reported"] > 0 and smile["generator"] == 240
    # The tracker and the reflex' filters take a frame or two to let a smile begin; more would be latency that is not told.
    assert -FRAME_MS - gap <= smile["difference"] <= 4 * FRAME_MS + 2 * gap
    # Speech is placed on the next frame, and heard the presentation delay later; the lips move with it.
    assert abs(voice["to_sound"] - voice["reported"]) <= 2 * FRAME_MS + gap
    assert abs(voice["lips_after_sound"]) <= FRAME_MS + gap
    assert voice["reported"] == pytest.approx(1000 * DELAY_S, abs=0.1)
