"""`kiosk --check`: a whole kiosk, with a browser before it, tells its figures."""

import json

import pytest

pytest.importorskip("aiortc", reason="the extra [kiosk] is not installed")

from page_files import built_page, need_browser

from avatar_forcing_ros import cli

pytestmark = [pytest.mark.graph, pytest.mark.slow]


def test_a_kiosk_tells_what_it_does(request, tmp_path, capsys):
    need_browser()
    built_page(request.config.cache)
    figures_file, picture = tmp_path / "kiosk.json", tmp_path / "page.png"
    status = cli.main([
        "kiosk", "--check", "--seconds", "20", "--avatar", "screen_face", "--json", str(figures_file), "--screenshot", str(picture),
    ])  # fmt: skip
    assert status == 0, capsys.readouterr().err
    figures = json.loads(figures_file.read_text())
    assert set(figures["errors"]) <= {"no_server"}  # which a busy machine may lose for a moment
    assert figures["connect_s"] > 0 and figures["fps"] > 0
    assert figures["visitor_frames"] > 0  # the visitor's face was tracked
    assert 0 < figures["motion_kbps"] <= 5.0
    for when in ("start", "end"):
        assert all(figures["memory_mb"][when][part] > 1 for part in ("server", "nodes", "browser", "page_heap"))
    assert picture.read_bytes().startswith(b"\x89PNG")
