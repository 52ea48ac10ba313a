"""The benchmark's tables in a document; the live benchmark at its shortest."""

import pytest

from avatar_forcing_ros.bench.tables import machine, write_tables
from avatar_forcing_ros.errors import InputError

TIMES = {"p50": 10.0, "p95": 20.0, "p99": 30.0, "max": 40.0}
RUN = {
    "commit_frames": 2, "seconds": 60.0, "fps": 24.991, "late_blocks": 0, "cpu_cores": {"face": 1.04, "all": 1.41},
    "sessions": 1.9, "first_image_s": 3.9, "peak_rss_mb": 1300.0, "peak_pss_mb": 650.0, "sound_reaction_latency_ms": {"p50": None, "p95": None},
    **{f"{name}_ms": TIMES for name in ("reaction_latency", "presentation_delay", "av_skew", "frame_interval_error", "block_compute", "render")},
}  # fmt: skip


def test_tables_replace_what_stands_between_the_marks_and_nothing_else(tmp_path):
    document = tmp_path / "b.md"
    document.write_text(
        "# Title\n\n<!-- bench: machine -->\nstale\n<!-- end -->\n\nwords\n\n<!-- bench: live -->\n<!-- end -->\nend\n"
    )
    report = {"machine": machine(), "live": [RUN, {**RUN, "commit_frames": 10}]}
    assert write_tables(document, report) == ["machine", "live"]
    once = document.read_text()
    assert (
        "stale" not in once
        and once.startswith("# Title\n")
        and "\nwords\n" in once
        and once.endswith("<!-- end -->\nend\n")
    )
    assert (
        "| frames committed per step | 2 | 10 |" in once
        and "| reaction latency p50, p95 ms | 10.0, 20.0 | 10.0, 20.0 |" in once
    )
    assert "| of the user's sound | -, - | -, - |" in once and "24.99; 0" in once
    write_tables(document, report)
    assert document.read_text() == once


def test_a_document_without_marks_is_refused(tmp_path):
    document = tmp_path / "b.md"
    document.write_text("nothing\n")
    with pytest.raises(InputError, match="no section between '<!-- bench: machine -->'"):
        write_tables(document, {"machine": machine()})
    with pytest.raises(InputError, match="cannot be read"):
        write_tables(tmp_path / "none.md", {"machine": machine()})


def test_the_live_benchmark_runs_the_graph():
    pytest.importorskip("rclpy", reason="needs ROS")
    from avatar_forcing_ros.bench.live import benchmark_live

    lines = []
    (run,) = benchmark_live(4.0, "reflex", (5,), lines.append)
    assert run["commit_frames"] == 5 and run["frames"] > 50 and run["sessions"] > 0
    assert len(lines) == 1 and lines[0].startswith(" 5 frames per step")


def test_small_machines_have_a_table(tmp_path):
    document = tmp_path / "b.md"
    document.write_text("<!-- bench: small -->\n<!-- end -->\n")
    one = {**RUN, "late_blocks": 3, "late_blocks_after_10_s": 1, "user_frames": 750}
    assert write_tables(document, {"small": {"seconds": 60.0, "one core": one}}) == ["small"]
    text = document.read_text()
    assert (
        "| 60 s | one core |" in text and "| 3; 1 |" in text and "| camera images followed per second | 12.5 |" in text
    )
