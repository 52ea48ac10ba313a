"""Makes the sample conversation: avatar_forcing_ros/assets/sample/user.mp4 and avatar.wav.

    python tools/make_sample.py [--picture avatar_forcing_ros/assets/user.jpg] [--out avatar_forcing_ros/assets/sample]

Both voices are synthetic (flite: `apt-get install flite`; the only thing that is not needed at run time). The user is
the picture, animated by the portrait avatar from a script of rig coefficients: lips from the phonemes' times, and
what is listed in the constants below. The same script always gives the same motion.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np

from avatar_forcing_ros.media.video_writer import VideoWriter
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.portrait.avatar import PortraitAvatar
from avatar_forcing_ros.timeline import FRAME_RATE, SAMPLE_RATE, SAMPLES_PER_FRAME

SECONDS = 16.8
FRAMES = round(SECONDS * FRAME_RATE)
USER, AVATAR = "rms", "slt"  # flite's voices

# (speaker, start in seconds, words). The avatar's second line begins before the user's has ended, and the user's last
# one before the avatar's has.
LINES = (
    (USER, 0.40, "Good morning! I slept badly, and it will be a long day."),
    (AVATAR, 2.25, "I see."),
    (AVATAR, 4.55, "Oh no. Shall I make you a coffee before you start?"),
    (USER, 7.50, "Yes, please! And when does the first meeting begin?"),
    (AVATAR, 10.15, "It begins at ten, so there is plenty of time."),
    (USER, 12.75, "Oh, that is wonderful. Thank you so much!"),
    (AVATAR, 15.35, "You are welcome."),
)

# (start, rise, hold, fall) in seconds, height: coefficients that come and go.
SMILES = ((0.45, 0.4, 0.8, 1.0, 0.35), (7.55, 0.5, 0.7, 1.2, 0.45), (12.80, 0.45, 3.2, 0.8, 0.85))
BROWS_UP = ((0.5, 0.2, 0.2, 0.3, 0.5), (8.9, 0.2, 0.9, 0.3, 0.45), (12.8, 0.2, 0.4, 0.4, 0.6))
TILTS = ((5.0, 0.6, 1.6, 0.7, 0.13), (13.6, 0.6, 1.2, 0.6, -0.11))
LOOKS_AWAY = ((2.75, 0.12, 0.75, 0.15, 1.0),)
NODS = (5.45, 6.60, 11.45)  # while listening
BLINKS = (1.15, 2.70, 3.66, 5.30, 7.42, 9.80, 11.90, 13.45, 15.60)

# Mouths of the phonemes (ARPAbet): jaw, stretch, pucker, funnel, upper lip up, lower lip down, press.
_CLOSED = (0.00, 0.00, 0.05, 0.00, 0.00, 0.00, 0.55)
_TEETH_ON_LIP = (0.04, 0.05, 0.00, 0.00, 0.22, 0.00, 0.10)
_TEETH = (0.07, 0.18, 0.00, 0.05, 0.12, 0.25, 0.00)
_TONGUE = (0.13, 0.06, 0.00, 0.00, 0.06, 0.10, 0.00)
_BACK = (0.14, 0.02, 0.00, 0.03, 0.05, 0.08, 0.00)
_ROUND = (0.10, 0.00, 0.50, 0.30, 0.00, 0.05, 0.00)
VISEMES = {
    **dict.fromkeys(("m", "b", "p"), _CLOSED),
    **dict.fromkeys(("f", "v"), _TEETH_ON_LIP),
    **dict.fromkeys(("s", "z"), _TEETH),
    **dict.fromkeys(("t", "d", "n", "l", "th", "dh"), _TONGUE),
    **dict.fromkeys(("k", "g", "ng", "hh", "y"), _BACK),
    **dict.fromkeys(("w", "uw"), _ROUND),
    **dict.fromkeys(("sh", "ch", "jh", "zh"), (0.09, 0.00, 0.25, 0.40, 0.08, 0.15, 0.00)),
    **dict.fromkeys(("r", "er"), (0.14, 0.00, 0.25, 0.15, 0.00, 0.08, 0.00)),
    **dict.fromkeys(("iy", "ih"), (0.14, 0.35, 0.00, 0.00, 0.08, 0.12, 0.00)),
    **dict.fromkeys(("eh", "ey"), (0.26, 0.25, 0.00, 0.00, 0.08, 0.12, 0.00)),
    **dict.fromkeys(("ae", "ay"), (0.38, 0.18, 0.00, 0.00, 0.10, 0.14, 0.00)),
    **dict.fromkeys(("aa", "ah", "aw"), (0.42, 0.02, 0.00, 0.05, 0.08, 0.12, 0.00)),
    **dict.fromkeys(("ao", "ow", "oy", "uh"), (0.30, 0.00, 0.30, 0.30, 0.03, 0.06, 0.00)),
    "ax": (0.20, 0.04, 0.00, 0.02, 0.05, 0.08, 0.00),
    "pau": (0.0,) * 7,
}
_MOUTH = ("jawOpen", "mouthStretch", "mouthPucker", "mouthFunnel", "mouthUpperUp", "mouthLowerDown", "mouthPress")
_FINE = 200  # Hz of the mouth's curve before it becomes frames
_LEAD = 0.03  # seconds by which lips are ahead of the sound


def speak(voice: str, words: str, folder: Path) -> tuple[np.ndarray, list[tuple[str, float]]]:
    """(sound (n,) float32 at 16 kHz, [(phoneme, its end in seconds)]) of a line."""
    path = folder / "line.wav"
    try:
        told = subprocess.run(
            ["flite", "-voice", voice, "-psdur", "-t", words, "-o", str(path)],
            check=True,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        sys.exit("make_sample: flite is missing: apt-get install flite")
    with wave.open(str(path)) as file:
        if file.getframerate() != SAMPLE_RATE:
            sys.exit(f"make_sample: flite's voice {voice} gives {file.getframerate()} Hz, not {SAMPLE_RATE}")
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
    phonemes = [(name, float(end)) for name, end in (entry.split(":") for entry in told.stdout.split())]
    return sound, phonemes


def voices(folder: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """({voice: track (n,)}, the user's mouth (frames, 7))."""
    tracks = {voice: np.zeros(FRAMES * SAMPLES_PER_FRAME, np.float32) for voice in (USER, AVATAR)}
    mouth = np.zeros((round(SECONDS * _FINE), len(_MOUTH)))
    for voice, start, words in LINES:
        sound, phonemes = speak(voice, words, folder)
        sound *= 0.10 / np.sqrt(np.mean(sound**2))
        first = round(start * SAMPLE_RATE)
        sound = sound[: len(tracks[voice]) - first]
        tracks[voice][first : first + len(sound)] += sound
        print(f"{voice} {start:6.2f} .. {start + len(sound) / SAMPLE_RATE:5.2f}  {words}")
        if voice == USER:
            begin = 0.0
            for name, end in phonemes:
                a, b = (round((start + t - _LEAD) * _FINE) for t in (begin, end))
                mouth[max(0, a) : b] = VISEMES[name]
                begin = end
    tracks[USER] += np.random.default_rng(0).normal(0.0, 10 ** (-62 / 20), len(tracks[USER])).astype(np.float32)
    return {voice: np.clip(track, -0.99, 0.99) for voice, track in tracks.items()}, _coarticulate(mouth)


def _coarticulate(mouth: np.ndarray) -> np.ndarray:
    """The steps between phonemes, blended as lips do it, at the frame rate; what must close stays closed."""
    smooth = np.stack([_smooth(column, 0.11) for column in mouth.T], axis=1)
    closed = _smooth((mouth[:, -1] > 0.3).astype(float), 0.06)
    smooth[:, 0] *= 1.0 - np.minimum(1.0, 1.2 * closed)
    smooth[:, -1] = np.minimum(smooth[:, -1], closed)
    times = (np.arange(FRAMES) + 0.5) / FRAME_RATE
    at = np.arange(len(mouth)) / _FINE
    return np.stack([np.interp(times, at, column) for column in smooth.T], axis=1)


def _smooth(curve: np.ndarray, seconds: float) -> np.ndarray:
    window = np.hanning(round(2 * seconds * _FINE) + 1)
    return np.convolve(curve, window / window.sum(), mode="same")


def _envelope(times: np.ndarray, events) -> np.ndarray:
    """Sum of events (start, rise, hold, fall, height) with soft flanks."""
    total = np.zeros_like(times)
    for start, rise, hold, fall, height in events:
        up = np.clip((times - start) / rise, 0.0, 1.0)
        down = np.clip((times - start - rise - hold) / fall, 0.0, 1.0)
        total += height * (up * up * (3 - 2 * up) - down * down * (3 - 2 * down))
    return total


def motion(mouth: np.ndarray) -> np.ndarray:
    """The user's latents (frames, 32)."""
    times = np.arange(FRAMES) / FRAME_RATE
    latents = np.zeros((FRAMES, rig.DIM))

    def add(name: str, curve: np.ndarray) -> None:
        for full in (name, f"{name}Left", f"{name}Right"):
            if full in rig.INDEX:
                latents[:, rig.INDEX[full]] += curve

    def sway(*waves: tuple[float, float, float]) -> np.ndarray:
        return sum(a * np.sin(2 * np.pi * hz * times + phase) for hz, a, phase in waves)

    smile, away, talk = (
        _envelope(times, SMILES),
        _envelope(times, LOOKS_AWAY),
        np.convolve(mouth[:, 0], np.full(9, 1 / 9), "same"),
    )
    for name, curve in zip(_MOUTH, mouth.T):
        add(name, curve * (1.0 - 0.7 * smile) if name in ("mouthStretch", "mouthPucker", "mouthPress") else curve)
    add("mouthSmile", smile * (1.0 - 0.25 * np.minimum(1.0, mouth[:, 0] / 0.4)))
    add("eyeSquint", 0.45 * smile)
    brows = _envelope(times, BROWS_UP)
    add("browInnerUp", brows)
    add("browOuterUp", 0.8 * brows)
    add("headYaw", sway((0.11, 0.04, 0.3), (0.31, 0.025, 1.0)) + 0.16 * away)
    add("headPitch", sway((0.13, 0.02, 2.0), (0.43, 0.015, 0.5)) - 0.12 * (talk - talk.mean()) + 0.05 * away)
    add("headRoll", sway((0.09, 0.02, 1.0), (0.27, 0.015, 0.0)) + _envelope(times, TILTS))
    add("headX", sway((0.07, 0.03, 0.0), (0.19, 0.015, 1.3)))
    add("headY", sway((0.26, 0.008, 0.0)))
    add("headScale", sway((0.05, 0.015, 0.0)) + 0.03 * _envelope(times, ((7.5, 0.8, 1.5, 1.2, 1.0),)))
    for start in NODS:
        phase = np.clip((times - start) / 0.9, 0.0, 1.0)
        add("headPitch", -0.13 * 0.5 * (1 - np.cos(4 * np.pi * phase)) * np.where(phase < 0.5, 1.0, 0.6))
    turned = latents[:, rig.INDEX["headYaw"]]
    add("gazeX", np.clip(-1.2 * turned, -0.4, 0.4) * (1 - away) + 0.45 * away)
    add("gazeY", np.clip(-1.5 * latents[:, rig.INDEX["headPitch"]], -0.3, 0.3) * (1 - away) + 0.3 * away)
    for start in BLINKS:
        add("eyeBlink", np.interp(times - start, (0.0, 0.06, 0.11, 0.22), (0.0, 1.0, 1.0, 0.0)))
    return rig.clamp(latents).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--picture", default="avatar_forcing_ros/assets/user.jpg")
    parser.add_argument("--out", type=Path, default=Path("avatar_forcing_ros/assets/sample"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        tracks, mouth = voices(Path(folder))
    with wave.open(str(options.out / "avatar.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((tracks[AVATAR] * 32767).astype("<i2").tobytes())
    latents = motion(mouth)
    user = PortraitAvatar.from_file(options.picture, 512)
    with VideoWriter(options.out / "user.mp4", fps=FRAME_RATE, sample_rate=SAMPLE_RATE) as writer:
        for frame, latent in enumerate(latents):
            writer.write_frame(frame, user.render(latent))
            sound = slice(frame * SAMPLES_PER_FRAME, (frame + 1) * SAMPLES_PER_FRAME)
            writer.write_audio(sound.start, tracks[USER][sound])
    np.save(options.out / "user_motion.npy", latents.astype(np.float16))


if __name__ == "__main__":
    main()
