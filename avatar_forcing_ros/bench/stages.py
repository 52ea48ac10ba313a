"""Benchmark of the rig's stages: what one frame or one block costs on this machine, on one core."""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np

from avatar_forcing_ros.assets import SAMPLE_AVATAR_AUDIO, SAMPLE_USER_VIDEO
from avatar_forcing_ros.generators import make_generator
from avatar_forcing_ros.generators.signals import SignalBuffer
from avatar_forcing_ros.media.grid import audio_16k, video_on_grid
from avatar_forcing_ros.media.images import encode_jpeg, rgb_bytes
from avatar_forcing_ros.media.open import open_media
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.space import make_avatar, make_tracker
from avatar_forcing_ros.timeline import BLOCK_FRAMES, FRAME_RATE, SAMPLES_PER_FRAME

FRAMES = 200  # eight seconds of the sample conversation


def benchmark_rig(size: int = 512, show: Callable[[str], object] = print) -> dict[str, dict[str, float]]:
    """Milliseconds per frame, p50 and p95, of each stage on the sample conversation; generators per block of 10."""
    cv2.setNumThreads(1)
    times: dict[str, list[float]] = {}

    def timed(stage: str, work: Callable, *arguments):
        began = time.perf_counter()
        result = work(*arguments)
        times.setdefault(stage, []).append(1000 * (time.perf_counter() - began))
        return result

    with open_media(str(SAMPLE_USER_VIDEO)) as reader, open_media(str(SAMPLE_AVATAR_AUDIO)) as speech:
        images = [image for _, image in zip(range(FRAMES), (i for _, i in video_on_grid(reader)), strict=False)]
        sound = np.concatenate(list(audio_16k(speech)))[: len(images) * SAMPLES_PER_FRAME]
    tracker, searcher = make_tracker(rig.SPACE), make_tracker(rig.SPACE)
    buffer, stream = SignalBuffer(rig.DIM), make_generator("reflex").open(None, 0, BLOCK_FRAMES)
    network = make_generator("embedded").open(None, 0, BLOCK_FRAMES)
    portrait, screen = make_avatar("portrait", size=size), make_avatar("screen_face", size=size)
    known = np.ones(1, bool)
    for frame, image in enumerate(images):
        face = timed("track", tracker.track, image, frame / FRAME_RATE)
        timed("track (no face in view)", searcher.track, np.full_like(image, 128), frame / FRAME_RATE)
        buffer.put_user_motion(frame, 1, face.motion, face.confidence)
        buffer.put_avatar_audio(frame, sound[frame * SAMPLES_PER_FRAME : (frame + 1) * SAMPLES_PER_FRAME], known)
        if frame % BLOCK_FRAMES == BLOCK_FRAMES - 1:
            signals, _ = buffer.block(frame - BLOCK_FRAMES + 1, BLOCK_FRAMES)
            timed("embedded (a block of 10)", network.step, signals)
            for latent in timed("reflex (a block of 10)", stream.step, signals):
                picture = timed(f"portrait {size}x{size}", portrait.render, latent)
                timed(f"screen_face {size}x{size}", screen.render, latent)
                timed("jpeg", encode_jpeg, picture)
                timed("raw message", rgb_bytes, picture)
    tracker.close()
    report = {}
    for stage, values in times.items():
        p50, p95 = np.percentile(values[len(values) // 10 :], [50, 95])  # without the warm-up
        report[stage] = {"p50": round(float(p50), 2), "p95": round(float(p95), 2)}
        show(f"{stage:24} p50 {p50:6.1f} ms   p95 {p95:6.1f} ms")
    return report
