"""The whole chain in lockstep, without ROS and as fast as it goes: the same inputs and seed give the same frames."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators import make_generator
from avatar_forcing_ros.generators.base import LOOK_AHEAD
from avatar_forcing_ros.generators.signals import SignalBuffer
from avatar_forcing_ros.media.reader import audio_16k, in_pieces, open_media, video_on_grid
from avatar_forcing_ros.media.writer import VideoWriter
from avatar_forcing_ros.motion import make_avatar, make_tracker
from avatar_forcing_ros.motion.idle import shown
from avatar_forcing_ros.motion.photo import read_picture
from avatar_forcing_ros.report import RunStatistics, plot_timeline, write_json
from avatar_forcing_ros.session import Session
from avatar_forcing_ros.timeline import (
    FRAME_RATE,
    SAMPLES_PER_FRAME,
    ns_to_seconds,
    time_of,
)


def _sound_frames(source: str, audio_topic: str | None) -> Iterator[np.ndarray]:
    """A source's sound in frames of 640 samples; the last one is filled up with silence."""
    return in_pieces(audio_16k(open_media(source, audio_topic=audio_topic)), SAMPLES_PER_FRAME)


def _nothing() -> Iterator:
    """An input that is absent."""
    yield from ()


def run_offline(session: Session, progress=lambda frames: None) -> dict:
    """Runs a session and writes session.out (mp4), its .json and the timeline plot; returns the figures.

    progress: called with the number of frames done after every block. Raises InputError on unusable input.
    Latency and skew are null: in lockstep nothing waits.
    """
    network = session.network
    avatar = make_avatar(session.avatar, session.portrait, session.size, session.theme, network)
    generator = make_generator(session.generator, session.weights, {"device": network.device, "precision": network.precision})
    stream = generator.open(read_picture(session.portrait or str(DEFAULT_PORTRAIT)), session.seed, session.commit or None)
    buffer, statistics, tracker = SignalBuffer(generator.dim), RunStatistics(), make_tracker(session.space, network=network)
    out = Path(session.out)
    user_sound, speech, images = _nothing(), _nothing(), _nothing()
    if session.user_video:
        reader = open_media(session.user_video, session.camera_topic or None, session.audio_topic or None)
        images = video_on_grid(reader)
        if reader.has_audio and not session.user_audio:
            user_sound = _sound_frames(session.user_video, session.audio_topic or None)
    if session.user_audio:
        user_sound = _sound_frames(session.user_audio, session.audio_topic or None)
    if session.avatar_audio:
        speech = _sound_frames(session.avatar_audio, None)

    known = np.ones(1, bool)
    ahead = stream.block_frames if stream.commit_frames == stream.block_frames else stream.commit_frames + LOOK_AHEAD
    first = taken = 0  # frames committed, frames of the inputs taken in
    end = session.duration * FRAME_RATE if session.duration > 0 else None
    spoken: list[np.ndarray] = []  # of frames from `first` on
    with VideoWriter(str(out), fps=FRAME_RATE) as writer, closing(images), closing(user_sound), closing(speech):
        while end is None or first < end:
            while taken < first + ahead:
                image, heard, said = next(images, None), next(user_sound, None), next(speech, None)
                if image is None and heard is None and said is None:
                    end = min(taken, end or taken)
                    break
                if image is not None:
                    face = tracker.track(image[1], ns_to_seconds(time_of(taken)))
                    # Stamp 0 means "no camera frame", so stamps count from 1 here.
                    buffer.put_user_motion(taken, time_of(taken) + 1, face.motion, face.confidence)
                    statistics.add_user_motion(time_of(taken), face.motion, face.confidence)
                if heard is not None:
                    buffer.put_user_audio(taken, heard, known)
                if said is not None:
                    buffer.put_avatar_audio(taken, said, known)
                spoken.append(said if said is not None else np.zeros(SAMPLES_PER_FRAME, np.float32))
                taken += 1
            if first >= taken:
                break
            signals, _ = buffer.block(first, stream.block_frames)
            began = time.perf_counter()
            latents = stream.step(signals)
            compute_ms = 1000 * (time.perf_counter() - began)
            statistics.add_block(first // stream.commit_frames, time_of(first), latents, compute_ms)
            for i, latent in enumerate(latents):
                began = time.perf_counter()
                picture = shown(avatar, latent, first + i)
                render_ms = 1000 * (time.perf_counter() - began)
                writer.write_frame(first + i, picture)
                statistics.add_image(first + i, time_of(first + i), 0, render_ms, held=False)
            said = spoken[: stream.commit_frames] + [np.zeros(SAMPLES_PER_FRAME, np.float32)] * stream.commit_frames
            writer.write_audio(first * SAMPLES_PER_FRAME, np.concatenate(said[: stream.commit_frames]))
            del spoken[: stream.commit_frames]
            first += stream.commit_frames
            progress(first)
    tracker.close()
    if not first:
        out.unlink(missing_ok=True)
        raise InputError("no input has any frame or sound: nothing to do")
    figures = {"mode": "offline", "generator": generator.name, **statistics.summary()}
    figures["frame_interval_error_ms"] = None
    figures["peak_rss_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)  # Linux counts in KiB
    write_json(out.with_suffix(".json"), figures)
    plot_timeline(session.timeline_path, statistics, 0, f"{out.name} (offline)")
    return figures
