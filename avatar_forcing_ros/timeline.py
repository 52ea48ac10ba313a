"""The frame clock: pure arithmetic between time stamps, frame indices and blocks.

Every signal of a session (the user's sound, the user's face, the avatar's speech, the images) is put on
one 25 Hz grid that starts at time 0 of the clock in use (ROS time). A stamp therefore means the same frame
on every machine, without a handshake. All times are integer nanoseconds; 1/25 s is exact in them.
"""

from __future__ import annotations

NANOSECONDS = 1_000_000_000
FRAME_RATE = 25  # frames per second of motion and images
FRAME_NS = NANOSECONDS // FRAME_RATE
BLOCK_FRAMES = 10  # frames that the generator makes at once (paper: block size B)
SAMPLE_RATE = 16_000  # Hz of the sound that the model hears
SAMPLES_PER_FRAME = SAMPLE_RATE // FRAME_RATE
HEARD_RATE = 48_000  # Hz of the sound, in stereo, of what is recorded for people


def frame_at(stamp_ns: int) -> int:
    """Index of the frame that contains `stamp_ns`: frame f covers [f, f + 1) / 25 s."""
    return stamp_ns // FRAME_NS


def time_of(frame: int) -> int:
    """Start of `frame` in nanoseconds."""
    return frame * FRAME_NS


def block_start(frame: int, block_frames: int = BLOCK_FRAMES) -> int:
    """First frame of the block that contains `frame`; blocks lie on a fixed grid from frame 0."""
    return frame - frame % block_frames


def next_block_start(frame: int, block_frames: int = BLOCK_FRAMES) -> int:
    """First frame of the first block that begins at or after `frame`."""
    return -(-frame // block_frames) * block_frames


def presentation_time(frame: int, delay_ns: int) -> int:
    """When `frame` is shown, and its sound played, in nanoseconds."""
    return time_of(frame) + delay_ns


def seconds_to_ns(seconds: float) -> int:
    return round(seconds * NANOSECONDS)


def ns_to_seconds(stamp_ns: int) -> float:
    return stamp_ns / NANOSECONDS
