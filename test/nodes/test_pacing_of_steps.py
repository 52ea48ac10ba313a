"""When the generator's steps begin: `presentation` alone tells it, and where it tells nothing the face goes on. On a clock of the test's."""

import array
import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS: on a plain Python install there are no nodes to test")

from rclpy.duration import Duration  # noqa: E402
from rclpy.time import Time  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402

from avatar_forcing_ros.generators.base import LOOK_AHEAD  # noqa: E402
from avatar_forcing_ros.motion import rig  # noqa: E402
from avatar_forcing_ros.msg import AudioFrames, MotionLatent, MotionLatentBlock, PresentationState  # noqa: E402
from avatar_forcing_ros.ros import qos  # noqa: E402
from avatar_forcing_ros.ros.messages import motion_message, nanoseconds  # noqa: E402
from avatar_forcing_ros.timeline import FRAME_NS, NANOSECONDS, SAMPLES_PER_FRAME, time_of  # noqa: E402

COMMIT = 2
MILLISECOND = NANOSECONDS // 1000
STEP_NS = 5 * MILLISECOND  # of the test's clock


class Stage:
    """A generator, its clock, speech that may stop, and a renderer of which only the presentation times are there."""

    def __init__(self, ros, input_wait: float, generator: str = "reflex"):
        self.ros, self.now = ros, 1000 * NANOSECONDS
        self.blocks: list[tuple[int, MotionLatentBlock]] = []  # with the clock when they came
        self.speaks, self.delay_ns = True, None
        self.tracked_at: int | None = (
            None  # how long after a frame's border a tracked image comes, which was taken 10 ms before
        )
        self.clock = ros.publisher(Clock, "/clock")
        self.speech = ros.publisher(AudioFrames, "/speech/audio_frames")
        self.shows = ros.publisher(PresentationState, "/presentation")
        self.tracks = ros.publisher(MotionLatent, "/user/motion")
        ros.node.create_subscription(
            MotionLatentBlock, "/motion_blocks", lambda m: self.blocks.append((self.now, m)), qos.reliable(100)
        )
        ros.start(
            "motion_generator", "motion_generator", generator=generator, commit_frames=COMMIT, input_wait=input_wait,
            quality="full", use_sim_time=True,
        )  # fmt: skip
        for publisher in (self.clock, self.speech, self.shows, self.tracks):
            ros.wait_for_readers(publisher)

    def play(self, seconds: float) -> None:
        """So much of the clock, with a frame of speech and an image's presentation every 40 ms."""
        until = self.now + round(seconds * NANOSECONDS)
        while self.now < until:
            self.now += STEP_NS
            self.clock.publish(Clock(clock=Time(nanoseconds=self.now).to_msg()))
            if self.now % FRAME_NS == 0:
                self._frame(self.now // FRAME_NS - 1)
            if self.now % FRAME_NS == self.tracked_at:
                taken = self.now - 10 * MILLISECOND
                self.tracks.publish(motion_message(taken // FRAME_NS, taken, rig.neutral(), 1.0, "camera"))
            time.sleep(STEP_NS / NANOSECONDS)

    def _frame(self, frame: int) -> None:
        if self.speaks:
            message = AudioFrames(
                speaker=AudioFrames.AVATAR, first_frame=frame, sample_rate=16000, samples_per_frame=SAMPLES_PER_FRAME
            )
            message.known = [True]
            message.samples = array.array("f", np.full(SAMPLES_PER_FRAME, 0.1, np.float32).tobytes())
            self.speech.publish(message)
        if self.delay_ns is not None:
            message = PresentationState(frame=frame, settled=True)
            message.delay = Duration(nanoseconds=self.delay_ns).to_msg()
            message.lead = Duration(nanoseconds=100 * MILLISECOND).to_msg()
            self.shows.publish(message)

    def waited(self, blocks: list) -> list[float]:
        """Seconds from each block's first frame to its coming, of those that had to do without speech."""
        return [
            (came - time_of(block.first_frame)) / NANOSECONDS
            for came, block in blocks
            if MotionLatentBlock.AVATAR_AUDIO in block.missing
        ]


def test_presentation_times_alone_say_how_long_a_step_waits_for_speech(ros):
    stage = Stage(ros, input_wait=0.05)
    stage.delay_ns = 900 * MILLISECOND
    stage.play(1.5)
    ros.wait_for(lambda: stage.blocks, "blocks while there is speech")
    assert not stage.blocks[-1][1].missing
    stage.speaks = False
    stage.play(0.4)  # what has been heard is used up
    silent_from = len(stage.blocks)
    stage.play(2.0)
    waited = stage.waited(stage.blocks[silent_from:])
    assert ros.node.count_publishers("/avatar_frame") == 0
    # Frame f is shown at time(f) + 0.9 s, and its motion is needed 0.1 s before; half of that is left to the host.
    assert len(waited) >= 3 and min(waited) > 0.9 - 0.1 - 0.4


def test_a_renderer_that_never_comes_or_falls_silent_does_not_hold_the_face(ros):
    stage = Stage(ros, input_wait=0.3)
    stage.play(1.5)  # never came
    ros.wait_for(lambda: len(stage.blocks) > 5, "blocks without a renderer")
    stage.speaks = False
    stage.play(0.4)
    silent_from = len(stage.blocks)
    stage.play(1.2)
    waited = stage.waited(stage.blocks[silent_from:])
    assert waited and min(waited) > COMMIT * FRAME_NS / NANOSECONDS + 0.3 - 0.1  # input_wait counts instead

    stage.speaks, stage.delay_ns = True, 600 * MILLISECOND
    stage.play(1.0)
    stage.delay_ns, fell_silent = None, stage.now
    stage.play(2.5)
    ros.wait_for(
        lambda: stage.blocks[-1][1].first_frame * FRAME_NS > fell_silent + 1_500 * MILLISECOND,
        "blocks of the time after the renderer's last word",
    )
    sequences = [block.sequence for _, block in stage.blocks]
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))


def test_a_step_waits_for_the_image_that_is_due_while_it_has_time(ros):
    """All speech has come at the border of a frame, an image 20 ms later; the motion is needed 300 ms after that."""
    stage = Stage(ros, input_wait=0.05, generator="embedded")
    stage.tracked_at, stage.delay_ns = 20 * MILLISECOND, 600 * MILLISECOND
    stage.play(3.0)
    ros.wait_for(lambda: len(stage.blocks) > 20, "blocks")
    newest = [
        max(map(nanoseconds, block.camera_stamps)) - time_of(block.first_frame + COMMIT + LOOK_AHEAD)
        for _, block in stage.blocks[-20:]
        if block.camera_stamps and not block.missing
    ]
    assert len(newest) >= 10 and np.median(newest) >= 10 * MILLISECOND  # without waiting: 30 ms before that border
    assert np.median([nanoseconds(block.waited) for _, block in stage.blocks[-20:]]) >= 10 * MILLISECOND
