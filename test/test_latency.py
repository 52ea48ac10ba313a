"""Latency from outside: from an injected camera image, and from injected speech, to the pixels that change."""

import pytest

pytest.importorskip("rclpy", reason="needs ROS: a plain Python install has no graph")

from conftest import DOMAINS  # noqa: E402

from avatar_forcing_ros.bench_graph import stimulus_test  # noqa: E402

FRAME_MS = 40


@pytest.mark.parametrize("commit, delay", [(2, 0.0), (10, 0.7)])
def test_what_the_graph_reports_is_what_a_viewer_sees(commit, delay, monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(next(DOMAINS)))
    result = stimulus_test(commit, delay, rounds=2, show=lambda line: None)
    smile, voice = result["smile"], result["voice"]
    # The tracker and the reflex' filters take a frame or two to let a smile begin; more would be latency that is not told.
    assert smile["reported"] > 0 and smile["generator"] == 240
    # A busy machine leaves out images: nothing is seen more finely than the gaps.
    gap = smile["resolution"]
    assert -FRAME_MS - gap <= smile["difference"] <= 4 * FRAME_MS + 2 * gap
    # Speech is placed on the next frame, and heard the presentation delay later; the lips move with it.
    assert abs(voice["to_sound"] - voice["reported"]) <= 2 * FRAME_MS + gap
    assert abs(voice["lips_after_sound"]) <= FRAME_MS + gap
    if delay:
        assert voice["reported"] == pytest.approx(1000 * delay)
