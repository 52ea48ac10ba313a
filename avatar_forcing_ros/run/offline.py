"""The whole chain in lockstep, without ROS and as fast as it goes: the same inputs and seed give the same frames."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators import make_generator
from avatar_forcing_ros.generators.lockstep import FrameInputs, steps
from avatar_forcing_ros.media.grid import audio_16k, audio_stereo, in_pieces, video_on_grid
from avatar_forcing_ros.media.open import open_media
from avatar_forcing_ros.media.video_writer import VideoWriter
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.direction.director import sounding
from avatar_forcing_ros.motion.direction.expressions import Expression
from avatar_forcing_ros.motion.direction.gestures import Gesture
from avatar_forcing_ros.motion.idle import shown
from avatar_forcing_ros.motion.portrait.photo import read_picture
from avatar_forcing_ros.motion.space import make_avatar, make_tracker
from avatar_forcing_ros.run.plots import plot_timeline
from avatar_forcing_ros.run.session import Session
from avatar_forcing_ros.run.statistics import RunStatistics, write_json
from avatar_forcing_ros.run.threads import few_threads
from avatar_forcing_ros.timeline import FRAME_RATE, HEARD_RATE, SAMPLES_PER_FRAME, ns_to_seconds, time_of


def _sound_frames(source: str, audio_topic: str | None) -> Generator[np.ndarray, None, None]:
    """A source's sound in frames of 640 samples; the last one is filled up with silence."""
    return in_pieces(audio_16k(open_media(source, audio_topic=audio_topic)), SAMPLES_PER_FRAME)


def _voice_frames(source: str) -> Generator[np.ndarray, None, None]:
    """The avatar's voice as it is heard, in frames of (1920, 2)."""
    return in_pieces(audio_stereo(open_media(source), HEARD_RATE), HEARD_RATE // FRAME_RATE)


def _nothing() -> Generator[Any, None, None]:
    """An input that is absent."""
    yield from ()


def run_offline(
    session: Session, progress=lambda frames: None, marks: Sequence[tuple[float, Gesture | Expression]] = ()
) -> dict:
    """Runs a session and writes session.out (mp4), its .json and the timeline plot; returns the figures.

    progress: called with the number of frames done after every block. marks: what the face is asked for, and when in seconds. Raises InputError on unusable input.
    Latency and skew are null: in lockstep nothing waits.
    """
    few_threads()
    network = session.network
    avatar = make_avatar(session.avatar, session.portrait or "", session.picture_size, session.theme or "", network)
    for note in avatar.notes:
        print(f"{session.portrait}: {note}", file=sys.stderr)
    generator = make_generator(
        session.generator, session.weights or "", {"device": network.device, "precision": network.precision}
    )
    stream = generator.open(read_picture(session.portrait or str(DEFAULT_PORTRAIT)), session.seed, session.commit)
    statistics, tracker = RunStatistics(), make_tracker(session.space, network=network)
    director = session.director
    out = Path(session.out)
    user_sound, speech, voice, images = _nothing(), _nothing(), _nothing(), _nothing()
    quiet = np.zeros((HEARD_RATE // FRAME_RATE, 2), np.float32)
    if session.user_video:
        reader = open_media(session.user_video, session.camera_topic, session.audio_topic)
        images = video_on_grid(reader)
        if reader.has_audio and not session.user_audio:
            user_sound = _sound_frames(session.user_video, session.audio_topic)
    if session.user_audio:
        user_sound = _sound_frames(session.user_audio, session.audio_topic)
    if session.avatar_audio:
        speech, voice = _sound_frames(session.avatar_audio, None), _voice_frames(session.avatar_audio)

    def frames() -> Iterator[FrameInputs]:
        for frame in count():
            image, heard, said = next(images, None), next(user_sound, None), next(speech, None)
            if image is None and heard is None and said is None:
                return
            face = None if image is None else tracker.track(image[1], ns_to_seconds(time_of(frame)))
            if face is None:
                yield FrameInputs(said, heard)
            else:
                statistics.add_user_motion(time_of(frame), face.motion, face.confidence)
                yield FrameInputs(said, heard, face.motion, face.confidence)

    done = 0  # frames that were written
    silence = np.zeros(SAMPLES_PER_FRAME, np.float32)
    end = session.duration * FRAME_RATE if session.duration else math.inf
    with (
        VideoWriter(str(out), fps=FRAME_RATE, sample_rate=HEARD_RATE, channels=2) as writer,
        closing(images),
        closing(user_sound),
        closing(speech),
        closing(voice),
    ):
        for step in steps(stream, frames(), generator.dim):
            first, latents = step.first_frame, step.latents
            if session.space == rig.SPACE:
                for seconds, asked in marks:
                    frame = int(seconds * FRAME_RATE)
                    if first <= frame < first + len(latents):
                        if isinstance(asked, Gesture):
                            director.gesture(asked, frame)
                        else:
                            director.express(asked, frame)
                spoken = [silence if i.avatar_audio is None else i.avatar_audio for i in step.arrived]
                latents = director.apply(latents, first, sounding(spoken, len(latents)))
            statistics.add_block(first // stream.commit_frames, time_of(first), latents, step.compute_ms)
            for i, latent in enumerate(latents):
                began = time.perf_counter()
                picture = shown(avatar, latent, first + i)
                render_ms = 1000 * (time.perf_counter() - began)
                writer.write_frame(first + i, picture)
                statistics.add_image(first + i, time_of(first + i), camera_stamp_ns=0, render_ms=render_ms, held=False)
            heard = np.concatenate([next(voice, quiet) for _ in range(stream.commit_frames)])
            writer.write_audio(first * len(quiet), heard)
            done = first + stream.commit_frames
            progress(done)
            if done >= end:
                break
    tracker.close()
    if not done:
        out.unlink(missing_ok=True)
        raise InputError("no input has any frame or sound: nothing to do")
    figures = {"mode": "offline", "generator": generator.name, **statistics.summary()}
    figures["frame_interval_error_ms"] = None
    figures["peak_rss_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)  # Linux counts in KiB
    write_json(out.with_suffix(".json"), figures)
    plot_timeline(session.timeline_path, statistics, 0, f"{out.name} (offline)")
    return figures
