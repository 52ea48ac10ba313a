"""What the benches of a conversation make of what they have seen."""

import shutil

import pytest

from avatar_forcing_ros.bench.tables import TABLES
from avatar_forcing_ros.bench.talk.graph import quantiles
from avatar_forcing_ros.bench.talk.interrupt import _closing
from avatar_forcing_ros.timeline import FRAME_NS, FRAME_RATE

LAST = 1_000_000_000


def lips(*jaws):
    """Shown from the frame before the last sound's end on."""
    return [(LAST - FRAME_NS // 2 + i * FRAME_NS, jaw) for i, jaw in enumerate(jaws)]


@pytest.mark.parametrize(
    "jaws, closed_ms, again",
    [
        ((0.3, 0.2, 0.1, 0.02, 0.0), 100, []),
        ((0.0, 0.0, 0.0), 0, []),
        ((0.3, 0.02, 0.0, 0.1, 0.2, 0.0), 20, [(100, 0.2)]),  # closed, and open once more
        ((0.3, 0.3, 0.3), 600, []),  # never, as far as was looked
    ],
)
def test_when_lips_have_closed_and_whether_they_open_again(jaws, closed_ms, again):
    closed, opened = _closing(lips(*jaws), LAST)
    assert closed == pytest.approx(closed_ms)
    assert [(round(ms), jaw) for ms, jaw in opened] == again


def test_figures_of_a_conversation_become_tables():
    times = quantiles([1000 / FRAME_RATE] * 3)
    speak = TABLES["speak"](
        {"goals": 3, **{f"{n}_ms": times for n in ("whole", "voice", "delay", "rest", "goal", "grid")}}
    )
    assert speak.count("| 40 | 40 | 40 |") == 6 and "3 goals" in speak
    interrupt = TABLES["interrupt"](
        {
            "interruptions": 10,
            "while_heard": 8,
            "ended_once": 10,
            "positions_right": 8,
            "silence_ms": times,
            "lips_closed_ms": times,
            "position_error_ms": times,
        }  # fmt: skip
    )
    assert "8 of 10 interruptions" in interrupt and "10 of 10 ended" in interrupt and "8 of 8 positions" in interrupt
    barge_in = TABLES["barge_in"](
        {
            "detector": "silero",
            "interruptions": 200,
            "back_channels": 200,
            "false_stops": 2,
            "echo_stops": 0,
            "echo_minutes": 30.0,
            "silent_within_300_ms": 0.965,
            "silent_ms": {"p50": 217.0, "p95": 258.0},
            "stopped_at_all": 1.0,
            "stop_ms": {"p50": 317.0, "p95": 558.0},
            "paused": {"hums": 3, "words": 31},
        }  # fmt: skip
    )
    assert "96.5 % of 200" in barge_in and "2 of 200" in barge_in and "0 in 30 minutes" in barge_in
    assert "3, 31 of 100 each" in barge_in and "317, 558 ms" in barge_in


@pytest.mark.slow
@pytest.mark.graph
@pytest.mark.skipif(
    not (shutil.which("espeak-ng") or shutil.which("flite")), reason="wants a voice: apt-get install espeak-ng"
)
def test_the_graph_speaks_and_is_interrupted():
    pytest.importorskip("rclpy", reason="needs ROS")
    from avatar_forcing_ros.bench.talk.interrupt import benchmark_interrupt
    from avatar_forcing_ros.bench.talk.speak import benchmark_speak

    spoken = benchmark_speak(2)
    assert spoken["goals"] == 2 and spoken["voice_ms"]["p50"] > 0 and spoken["delay_ms"]["p50"] > 0
    sums = spoken["goal_ms"]["p50"] + spoken["grid_ms"]["p50"]
    assert spoken["rest_ms"]["p50"] == pytest.approx(sums, abs=0.3)  # medians of two are means
    found = benchmark_interrupt(3)
    assert found["ended_once"] == 3 and found["positions_right"] == found["while_heard"]
