"""Measures direction against the figures of docs/direction.md: lips under every expression, liveliness, a nod.

    python tools/measure_direction.py [VOICE.wav ...] [--rendered]

The network in the box speaks each voice (default: the avatar's of the sample conversation), and the motion is bent. --rendered: lips as the
tracker sees them on the drawn portrait, under each of the seven emotions at full intensity.
"""

import argparse
import contextlib

import numpy as np

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT, SAMPLE_AVATAR_AUDIO
from avatar_forcing_ros.generators import make_generator
from avatar_forcing_ros.generators.base import LOOK_AHEAD
from avatar_forcing_ros.generators.signals import SignalBuffer
from avatar_forcing_ros.learning.evaluation.metrics import SHUT_JAW, speech_level
from avatar_forcing_ros.media.grid import audio_16k, in_pieces
from avatar_forcing_ros.media.open import open_media
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.direction import EXPRESSIONS, Director, Expression, Gesture, sounding
from avatar_forcing_ros.motion.direction.expressions import BASIC
from avatar_forcing_ros.motion.idle import shown
from avatar_forcing_ros.motion.portrait.avatar import PortraitAvatar
from avatar_forcing_ros.motion.tracking.tracker import FaceTracker
from avatar_forcing_ros.timeline import FRAME_RATE

SEEN_SHUT = 2 * SHUT_JAW  # of the jaw that the tracker sees
SEEN = 0.07  # radians; four degrees down are a nod that has begun
JAW, PITCH = rig.INDEX["jawOpen"], rig.INDEX["headPitch"]
POSE = [i for n, i in rig.INDEX.items() if n.startswith("head")]


def spoken(voice: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """The network's motion (n, 32) for a voice, and the voice's frames."""
    generator = make_generator("embedded")
    stream, buffer = generator.open(None, 0, None), SignalBuffer(generator.dim)
    frames = list(in_pieces(audio_16k(open_media(voice)), 640))
    latents, first, taken = [], 0, 0
    while first + stream.commit_frames + LOOK_AHEAD <= len(frames):
        while taken < first + stream.commit_frames + LOOK_AHEAD:
            buffer.put_avatar_audio(taken, frames[taken], np.ones(1, bool))
            taken += 1
        latents.append(stream.step(buffer.block(first, stream.block_frames)[0]))
        first += stream.commit_frames
    return np.concatenate(latents), frames


def main(voices: list[str], on_pictures: bool) -> None:
    for voice in voices:
        latents, frames = spoken(voice)
        if on_pictures:
            print(f"{voice}, on drawn pictures:")
            rendered(latents, frames)
            continue
        heard = sounding(frames, len(latents))
        speaking = speech_level(np.concatenate(frames[: len(latents)]))[1]
        shut = speaking & (latents[:, JAW] < SHUT_JAW)
        for known, words in ((heard, "the voice known"), (None, "by the lips alone")):
            worst_r, least_shut = (1.0, ""), (1.0, "")
            for name in EXPRESSIONS:
                bent = Director(Expression(name)).apply(latents, 0, known)
                worst_r = min(worst_r, (float(np.corrcoef(bent[speaking, JAW], latents[speaking, JAW])[0, 1]), name))
                least_shut = min(least_shut, (float((bent[shut, JAW] < SHUT_JAW).mean()), name))
            print(
                f"{voice}, {words}: jaw r {worst_r[0]:.3f} {worst_r[1]}, lips that stay shut {least_shut[0]:.2f} {least_shut[1]}"
            )
        calm = Director(liveliness=0.2).apply(latents, 0, heard)
        share = calm[:, POSE].var(axis=0).sum() / latents[:, POSE].var(axis=0).sum()
        print(
            f"{voice}: variance of the pose at liveliness 0.2 {share:.2f}; nods seen by the tracker: {nods(latents, frames)}"
        )


def rendered(latents: np.ndarray, frames: list[np.ndarray], seconds: float = 12.0) -> None:
    """Lips on pictures: how the tracked jaw follows the generator's, and closures that are seen, under each emotion and under none."""
    latents = latents[: round(seconds * FRAME_RATE)]
    heard, level = sounding(frames, len(latents)), speech_level(np.concatenate(frames[: len(latents)]))[1]
    shut = level & (latents[:, JAW] < SHUT_JAW)
    avatar, plain = PortraitAvatar.from_file(DEFAULT_PORTRAIT, 256, cache=True), (1.0, 1.0)
    for name in BASIC:  # `neutral` is the first
        bent = Director(Expression(name)).apply(latents, 0, heard)
        with contextlib.closing(FaceTracker(neutral=avatar.render(rig.neutral()))) as tracker:
            jaw = np.array([tracker.track(avatar.render(x), f / FRAME_RATE).motion[JAW] for f, x in enumerate(bent)])
        delayed = max(
            range(4),
            key=lambda d: np.corrcoef(
                jaw[d:][level[: len(jaw) - d]], latents[: len(jaw) - d, JAW][level[: len(jaw) - d]]
            )[0, 1],
        )
        jaw = np.concatenate([jaw[delayed:], np.repeat(jaw[-1], delayed)])  # the tracker's filters
        r, closed = float(np.corrcoef(jaw[level], latents[level, JAW])[0, 1]), float((jaw[shut] < SEEN_SHUT).mean())
        plain = (r, closed) if name == "neutral" else plain
        print(
            f"  {name}: jaw r {r:.3f} ({100 * r / plain[0]:.0f} % of neutral), closures {closed:.3f} ({100 * closed / plain[1]:.0f} %)",
            flush=True,
        )


def nods(latents: np.ndarray, frames: list[np.ndarray]) -> str:
    """How many nods, asked for while it speaks, the tracker sees on the portrait within 0.3 s, and when."""
    avatar, after, asked = PortraitAvatar.from_file(DEFAULT_PORTRAIT, 256, cache=True), [], 0
    with contextlib.closing(FaceTracker(neutral=avatar.render(rig.neutral()))) as tracker:
        for start in range(20, len(latents) - 12, 17):
            director, before, asked = Director(), 0.0, asked + 1
            director.gesture(Gesture("nod"), start)
            tracker.reset()
            for f in range(start - 6, start + 8):
                latent = director.apply(latents[f : f + 1], f, sounding(frames[f : f + 6], 1))[0]
                pitch = tracker.track(shown(avatar, latent, f), f / FRAME_RATE).motion[PITCH]
                if f < start:
                    before = pitch
                elif pitch < before - SEEN:
                    after.append(1000 * (f - start + 1) / FRAME_RATE)
                    break
    return f"{len(after)} of {asked}, after p50 {np.median(after):.0f}, p95 {np.percentile(after, 95):.0f} ms"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("voices", nargs="*", default=[str(SAMPLE_AVATAR_AUDIO)])
    parser.add_argument("--rendered", action="store_true")
    options = parser.parse_args()
    main(options.voices, options.rendered)
