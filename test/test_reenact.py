"""The face gallery: sheet, turn-table, notes on a source; and a driver's motion on a face."""

import cv2
import numpy as np
import pytest

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.cli import main
from avatar_forcing_ros.media.reader import open_media, video_on_grid
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.screen_face import ScreenFaceAvatar
from avatar_forcing_ros.reenact import CAPTION, COLUMNS, EXPRESSIONS, TILE, TURN_SECONDS, contact_sheet, turntable_motion
from avatar_forcing_ros.timeline import FRAME_RATE


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_sheet_shows_every_expression_apart():
    sheet = contact_sheet(ScreenFaceAvatar(96))
    rows = len(EXPRESSIONS) // COLUMNS
    assert len(EXPRESSIONS) == rows * COLUMNS
    assert sheet.shape == (rows * (TILE + CAPTION), COLUMNS * TILE, 3)
    tiles = sheet.reshape(rows, TILE + CAPTION, COLUMNS, TILE, 3).swapaxes(1, 2)[:, :, :TILE].reshape(-1, TILE, TILE, 3)
    assert all(np.abs(a.astype(int) - tiles[0]).max() > 20 for a in tiles[1:])


def test_the_turn_table_is_smooth_and_begins_and_ends_at_rest():
    motion = np.array([turntable_motion(f) for f in range(round(TURN_SECONDS * FRAME_RATE))])
    assert np.abs(motion[0]).max() < 0.05 and np.abs(motion[-1]).max() < 0.3
    assert np.ptp(motion[:, rig.INDEX["headYaw"]]) > 0.6 and motion[:, rig.INDEX["eyeBlinkLeft"]].max() == 1.0
    moves = np.abs(np.diff(motion, axis=0)).max(axis=0)
    assert np.delete(moves, [rig.INDEX["eyeBlinkLeft"], rig.INDEX["eyeBlinkRight"]]).max() < 0.15


def test_the_face_command_writes_a_sheet_and_a_video_and_tells_of_the_source(tmp_path, capsys):
    dark = tmp_path / "dark.png"
    cv2.imwrite(str(dark), (cv2.imread(str(DEFAULT_PORTRAIT)) * 0.25).astype(np.uint8))
    assert main(["face", str(dark), "--out", str(tmp_path / "s.png"), "--size", "96"]) == 0
    assert "dark.png: the face is dark" in capsys.readouterr().out
    assert cv2.imread(str(tmp_path / "s.png")).shape[1] == COLUMNS * TILE
    with open_media(str(tmp_path / "s.mp4")) as reader:
        assert sum(1 for _ in video_on_grid(reader)) == pytest.approx(TURN_SECONDS * FRAME_RATE, abs=1)


def test_a_picture_without_a_face_is_told_with_the_way_out(tmp_path, capsys):
    plain = tmp_path / "plain.png"
    cv2.imwrite(str(plain), np.full((200, 200, 3), 120, np.uint8))
    assert main(["face", str(plain), "--out", str(tmp_path / "s.png")]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "plain.png" in told and "--avatar screen_face" in told
    assert not (tmp_path / "s.png").exists()
