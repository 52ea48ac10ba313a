"""Any generator's stream over a whole recording, in lockstep: what a live node would feed it, as fast as it goes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.base import LOOK_AHEAD, GeneratorStream
from avatar_forcing_ros.generators.signals import SignalBuffer
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.timeline import SAMPLES_PER_FRAME, time_of


def run_stream(
    stream: GeneratorStream,
    user_samples: np.ndarray | None,
    user_motion: np.ndarray | None,
    user_confidence: np.ndarray | None,
    avatar_samples: np.ndarray,
    known: int | None = None,
    progress: Callable[[int], None] = lambda frames: None,
) -> np.ndarray:
    """The stream's motion latents (n, dim) float32 for a recording of n frames at 25 Hz.

    user_samples, avatar_samples: (n * 640,) float32 at 16 kHz. user_motion (n, dim) and user_confidence (n,) in [0, 1].
    None: that signal never comes; without all three the stream has no user.
    known: how many of a step's frames have arrived when it begins, from its committed frames to the whole block; the
        others are marked as unknown. None: as live, the committed ones and LOOK_AHEAD more.
    progress: called with the number of frames done after every step.
    Raises InputError where the signals' lengths differ or `known` is outside its range.
    """
    block, commit = stream.block_frames, stream.commit_frames
    known = min(commit + LOOK_AHEAD, block) if known is None else known
    if not commit <= known <= block:
        raise InputError(f"{known} frames known ahead: give {commit} (frames committed) to {block} (frames of a block)")
    count = len(avatar_samples) // SAMPLES_PER_FRAME
    if user_motion is not None and user_confidence is None:
        user_confidence = np.ones(len(user_motion), np.float32)
    for name, signal, per_frame in (
        ("user sound", user_samples, SAMPLES_PER_FRAME), ("user motion", user_motion, 1), ("confidence", user_confidence, 1)
    ):  # fmt: skip
        if signal is not None and len(signal) != count * per_frame:
            raise InputError(f"the {name} lasts {len(signal) / per_frame:g} frames, the avatar's speech {count}")
    dim = rig.DIM if user_motion is None else np.shape(user_motion)[1]
    buffer, arrived, committed = SignalBuffer(dim), 0, []
    for first in range(0, count, commit):
        until = min(first + known, count)
        if until > arrived:
            span = slice(arrived * SAMPLES_PER_FRAME, until * SAMPLES_PER_FRAME)
            heard = np.ones(until - arrived, bool)
            buffer.put_avatar_audio(arrived, avatar_samples[span], heard)
            if user_samples is not None:
                buffer.put_user_audio(arrived, user_samples[span], heard)
            if user_motion is not None:
                for frame in range(arrived, until):
                    # Stamp 0 means "no camera frame", so stamps count from 1 here.
                    buffer.put_user_motion(frame, time_of(frame) + 1, user_motion[frame], float(user_confidence[frame]))
            arrived = until
        signals, _ = buffer.block(first, block)
        committed.append(np.asarray(stream.step(signals), np.float32)[:commit])
        progress(min(first + commit, count))
    return np.concatenate(committed)[:count] if committed else np.zeros((0, dim), np.float32)
