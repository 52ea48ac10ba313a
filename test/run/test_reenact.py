"""The face gallery: sheet, turn-table, notes on a source; and a driver's motion on a face."""

import cv2
import numpy as np
import pytest

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.cli import main
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.grid import video_on_grid
from avatar_forcing_ros.media.open import open_media
from avatar_forcing_ros.media.video_writer import VideoWriter
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.portrait.avatar import PortraitAvatar
from avatar_forcing_ros.motion.screen.avatar import ScreenFaceAvatar
from avatar_forcing_ros.run.reenact import (
    CAPTION,
    COLUMNS,
    EXPRESSIONS,
    TILE,
    TURN_SECONDS,
    contact_sheet,
    reenact,
    turntable_motion,
)
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


class Watched(ScreenFaceAvatar):
    """Keeps what it was given to draw."""

    def __init__(self, size):
        super().__init__(size)
        self.given = []

    def render(self, motion, frame=None):
        self.given.append(motion)
        return super().render(motion, frame)


def test_a_drivers_motion_is_put_on_a_face_with_its_sound(tmp_path):
    """Three seconds of somebody who begins to smile; and a driver in whom nobody is seen."""
    driver, out = tmp_path / "driver.mp4", tmp_path / "o.mp4"
    face = PortraitAvatar.from_file(str(DEFAULT_PORTRAIT), 192)
    smile = np.clip((np.arange(75) - 40) / 15, 0, 0.8)
    with VideoWriter(driver, fps=FRAME_RATE) as writer:
        for index, value in enumerate(smile):
            writer.write_frame(index, face.render(rig.pose(mouthSmileLeft=value, mouthSmileRight=value)))
        writer.write_audio(0, np.full(75 * 640, 0.1, np.float32) * np.sin(np.arange(75 * 640) / 8).astype(np.float32))
    told, avatar = [], Watched(96)
    figures = reenact(str(driver), avatar, str(out), told.append)
    assert figures == {"frames": 75, "face_share": 1.0} and told[-1] == 150 and told == sorted(told)
    with open_media(str(out)) as reader:
        assert sum(1 for _ in video_on_grid(reader)) == 75
        assert sum(len(chunk.samples) for chunk in reader.audio()) >= 74 * 640
    assert np.corrcoef(np.array(avatar.given)[:, rig.INDEX["mouthSmileLeft"]], smile)[0, 1] > 0.9
    wall, none = tmp_path / "wall.mp4", tmp_path / "none.mp4"
    with VideoWriter(wall, fps=FRAME_RATE) as writer:
        for index in range(25):
            writer.write_frame(index, np.full((96, 96, 3), 90, np.uint8))
    with pytest.raises(InputError, match="wall.mp4: no face"):
        reenact(str(wall), ScreenFaceAvatar(96), str(none))
    assert not none.exists()
