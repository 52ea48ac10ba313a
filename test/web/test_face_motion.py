"""What the pages are told of the face: in order, early, without a jump. All on a clock that the test moves."""

from __future__ import annotations

import numpy as np

from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.timeline import FRAME_NS, NANOSECONDS, time_of
from avatar_forcing_ros.web.face_motion import HANDOVER_FRAMES, FaceMotion

START = 1000 * 25  # frame
JAW = rig.INDEX["jawOpen"]
SMILE = rig.INDEX["mouthSmileLeft"]
BUFFER_NS = 120_000_000
DELAY_NS = 200_000_000


class Play:
    """Moves the clock in steps of a frame; the block of two frames comes when its first frame is over."""

    def __init__(self) -> None:
        self.motion = FaceMotion(BUFFER_NS)
        self.frame, self.out = START, []
        self.own = rig.pose(jawOpen=0.2)
        self.blocks = True

    def step(self, operator: np.ndarray | None = None, tracked: bool = False) -> None:
        self.frame += 1
        now = time_of(self.frame)
        if self.blocks and self.frame % 2 == 0:
            for frame in (self.frame - 2, self.frame - 1):
                self.motion.put(frame, self.own, time_of(frame) + DELAY_NS)
        if tracked:
            self.motion.put_operator(now - 60_000_000, operator)
        self.out += self.motion.take(now)

    def values(self, index: int) -> np.ndarray:
        return np.array([f.latent[index] for f in self.out])


def test_every_frame_leaves_once_in_order_and_before_its_time():
    play = Play()
    for _ in range(50):
        play.step()
        assert all(f.time_ns == time_of(f.frame) + DELAY_NS for f in play.out)
    frames = [f.frame for f in play.out]
    assert frames == list(range(frames[0], frames[0] + len(frames))) and len(frames) > 40
    assert [f.first for f in play.out] == [True] + [False] * (len(frames) - 1)
    last = play.out[-1]
    assert np.allclose(last.latent, play.own)
    assert last.time_ns > time_of(play.frame)  # it is known before it is due


def test_without_the_generator_the_face_goes_on_and_returns_to_rest():
    play = Play()
    for _ in range(10):
        play.step()
    play.blocks = False
    for _ in range(60):
        play.step()
    frames = [f.frame for f in play.out]
    assert frames == list(range(frames[0], frames[0] + len(frames))) and play.motion.held_frames > 40
    assert abs(play.out[-1].latent[JAW]) < 0.02
    play.blocks = True
    before = len(play.out)
    for _ in range(20):
        play.step()
    assert np.abs(np.diff(play.values(JAW)[before - 1 :])).max() < 0.08  # back without a jump
    assert abs(play.out[-1].latent[JAW] - 0.2) < 0.02


def test_a_jump_of_time_begins_anew():
    play = Play()
    for _ in range(10):
        play.step()
    play.frame += 1000 - play.frame % 2
    before = len(play.out)
    for _ in range(10):
        play.step()
    assert play.out[before].first and play.out[before].frame > START + 900
    assert not any(f.first for f in play.out[before + 1 :])


def test_handing_over_and_back_never_jumps():
    play = Play()
    smile = rig.pose(mouthSmileLeft=1.0, jawOpen=0.8)
    for _ in range(20):
        play.step(smile, tracked=True)
    assert play.values(SMILE).max() == 0  # nothing before the operator is live
    play.motion.live = True
    for _ in range(40):
        play.step(smile, tracked=True)
    assert play.out[-1].operator == 1.0 and abs(play.out[-1].latent[SMILE] - 1.0) < 1e-3
    play.motion.live = False
    for _ in range(40):
        play.step(smile, tracked=True)
    assert play.out[-1].operator == 0.0 and play.out[-1].latent[SMILE] == 0
    assert np.abs(np.diff(play.values(SMILE))).max() < 1.6 / HANDOVER_FRAMES
    assert np.abs(np.diff(play.values(JAW))).max() < 1.6 / HANDOVER_FRAMES


def test_the_operator_is_shown_at_his_time_plus_buffer_and_delay():
    play = Play()
    play.motion.live = True
    for _ in range(80):  # a smile that grows with the time it was captured at
        captured = time_of(play.frame + 1) - 60_000_000
        play.step(rig.pose(mouthSmileLeft=min((captured - time_of(START)) / NANOSECONDS / 4, 1.0)), tracked=True)
    frame = play.out[-1]
    assert frame.operator == 1.0
    expected = (time_of(frame.frame) - BUFFER_NS - time_of(START)) / NANOSECONDS / 4
    assert abs(frame.latent[SMILE] - expected) < 0.01 + FRAME_NS / NANOSECONDS / 100


def test_an_operator_who_leaves_the_picture_gives_the_face_back():
    play = Play()
    smile = rig.pose(mouthSmileLeft=1.0)
    play.motion.live = True
    for _ in range(40):
        play.step(smile, tracked=True)
    for _ in range(40):
        play.step(None, tracked=True)
    assert play.out[-1].operator == 0.0 and play.out[-1].latent[SMILE] == 0
    for _ in range(40):
        play.step(smile, tracked=True)
    for _ in range(40):
        play.step()  # nothing comes any more
    assert play.out[-1].operator == 0.0
    assert np.abs(np.diff(play.values(SMILE))).max() < 1.6 / HANDOVER_FRAMES
    frames = [f.frame for f in play.out]
    assert frames == list(range(frames[0], frames[0] + len(frames)))
