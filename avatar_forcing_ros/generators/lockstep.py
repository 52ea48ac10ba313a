"""The one driver of a generator's stream in lockstep: what a live node would feed it, as fast as it goes. Offline runs and
evaluation are made of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.base import GeneratorStream, frames_known
from avatar_forcing_ros.generators.signals import SignalBuffer
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.timeline import SAMPLES_PER_FRAME, time_of


@dataclass(frozen=True)
class FrameInputs:
    """What came in the time of one frame; None: nothing of that kind. Sound (640,) float32 at 16 kHz, motion (dim,)."""

    avatar_audio: np.ndarray | None = None
    user_audio: np.ndarray | None = None
    user_motion: np.ndarray | None = None
    user_confidence: float = 1.0


@dataclass(frozen=True)
class Step:
    """first_frame: of the latents (commit_frames, dim) that the step committed. arrived: the inputs of these frames and of
    those known beyond them, fewer at the end of the recording. compute_ms: time that the back end took."""

    first_frame: int
    latents: np.ndarray
    arrived: list[FrameInputs]
    compute_ms: float


def steps(
    stream: GeneratorStream, frames: Iterator[FrameInputs], dim: int, *, known: int | None = None
) -> Iterator[Step]:
    """The stream's steps for frames from 0 on, until they end; the last one may commit beyond the end.

    known: how many frames of a step's signals have arrived when it begins; None: as live (base.frames_known).
    """
    buffer, heard = SignalBuffer(dim), np.ones(1, bool)
    known = frames_known(stream) if known is None else known
    first = 0
    waiting: list[FrameInputs] = []  # of the frames from `first` on
    while True:
        while len(waiting) < known and (inputs := next(frames, None)) is not None:
            frame = first + len(waiting)
            if inputs.user_motion is not None:
                # Stamp 0 means "no camera frame", so stamps count from 1 here.
                buffer.put_user_motion(frame, time_of(frame) + 1, inputs.user_motion, inputs.user_confidence)
            if inputs.user_audio is not None:
                buffer.put_user_audio(frame, inputs.user_audio, heard)
            if inputs.avatar_audio is not None:
                buffer.put_avatar_audio(frame, inputs.avatar_audio, heard)
            waiting.append(inputs)
        if not waiting:
            return
        signals, _ = buffer.block(first, stream.block_frames)
        began = time.perf_counter()
        latents = np.asarray(stream.step(signals), np.float32)[: stream.commit_frames]
        yield Step(first, latents, list(waiting), 1000 * (time.perf_counter() - began))
        del waiting[: stream.commit_frames]
        first += stream.commit_frames


def run_stream(
    stream: GeneratorStream,
    user_samples: np.ndarray | None,
    user_motion: np.ndarray | None,
    user_confidence: np.ndarray | None,
    avatar_samples: np.ndarray,
    *,
    known: int | None = None,
    progress: Callable[[int], None] = lambda frames: None,
) -> np.ndarray:
    """The stream's motion latents (n, dim) float32 for a recording of n frames at 25 Hz.

    user_samples, avatar_samples: (n * 640,) float32 at 16 kHz. user_motion (n, dim) and user_confidence (n,) in [0, 1].
    None: that signal never comes; without all three the stream has no user.
    known: how many of a step's frames have arrived when it begins, from its committed frames to the whole block; the
        others are marked as unknown. None: as live (base.frames_known).
    progress: called with the number of frames done after every step.
    Raises InputError where the signals' lengths differ or `known` is outside its range.
    """
    block, commit = stream.block_frames, stream.commit_frames
    known = frames_known(stream) if known is None else known
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
    committed = []
    for step in steps(
        stream, _frames(count, user_samples, user_motion, user_confidence, avatar_samples), dim, known=known
    ):
        committed.append(step.latents)
        progress(min(step.first_frame + commit, count))
    return np.concatenate(committed)[:count] if committed else np.zeros((0, dim), np.float32)


def _frames(
    count: int,
    user_samples: np.ndarray | None,
    user_motion: np.ndarray | None,
    user_confidence: np.ndarray | None,
    avatar_samples: np.ndarray,
) -> Iterator[FrameInputs]:
    for frame in range(count):
        span = slice(frame * SAMPLES_PER_FRAME, (frame + 1) * SAMPLES_PER_FRAME)
        yield FrameInputs(
            avatar_samples[span],
            None if user_samples is None else user_samples[span],
            None if user_motion is None else user_motion[frame],
            1.0 if user_confidence is None else float(user_confidence[frame]),
        )
