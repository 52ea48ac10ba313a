"""Real recordings as the truth of an evaluation: video files whose faces are tracked once and kept in a cache."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.grid import audio_16k, video_on_grid
from avatar_forcing_ros.media.open import check_sound, open_media
from avatar_forcing_ros.motion.tracking import A_FACE
from avatar_forcing_ros.timeline import FRAME_RATE, SAMPLES_PER_FRAME

VIDEO_ENDINGS = (".mpg", ".mpeg", ".mp4", ".mov", ".avi", ".mkv", ".webm")
_LEAST_FACES = 0.5  # share of frames with a face, below which a clip says nothing
_LEAST_SECONDS = 1.0
_VERSION = 2  # of what is in the cache: raise it when the tracker measures differently


@dataclass(frozen=True)
class SpeakerClip:
    """A person in a video. samples: (n * 640,) float32, 16 kHz; motion: (n, 32) float32 rig latents; confidence: (n,)."""

    name: str
    samples: np.ndarray
    motion: np.ndarray
    confidence: np.ndarray


def sound_of(source: str | Path, frames: int | None = None) -> np.ndarray:
    """A file's sound as (n * 640,) float32 at 16 kHz, filled up with silence, cut or padded to `frames` if given.

    Raises InputError where it is missing, has no sound or is silent throughout.
    """
    with open_media(str(source)) as reader:
        check_sound(reader)
        samples = np.concatenate(list(audio_16k(reader)))
    wanted = (-(-len(samples) // SAMPLES_PER_FRAME) if frames is None else frames) * SAMPLES_PER_FRAME
    return np.pad(samples[:wanted], (0, max(0, wanted - len(samples)))).astype(np.float32)


def cache_folder() -> Path:
    """Where tracked clips are kept: avatar_forcing_ros in $XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "avatar_forcing_ros" / "tracked"


def tracked(source: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """(motion (n, 32), confidence (n,)) of the face in a video, at 25 Hz, from the cache where it was tracked before.

    The video is seen twice: the first time for the face at rest, against which the second time measures, so the
    measure does not shift while the rest is being learned. Raises InputError for a video without images.
    """
    path = Path(source)
    if not path.is_file():
        raise InputError(f"there is no file {source}")
    kept = cache_folder() / f"{hashlib.sha256(path.read_bytes()).hexdigest()[:24]}-v{_VERSION}.npz"
    try:
        with np.load(kept) as arrays:
            return arrays["motion"], arrays["confidence"]
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # half written or of something else
        kept.unlink(missing_ok=True)
    motion, confidence = _track(path)
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(f".{os.getpid()}.npz")
    np.savez(part, motion=motion, confidence=confidence)
    part.replace(kept)
    return motion, confidence


def _track(path: Path) -> tuple[np.ndarray, np.ndarray]:
    from avatar_forcing_ros.motion.tracking.tracker import FaceTracker, face_at_rest

    with open_media(str(path)) as reader:
        if not reader.has_video:
            raise InputError(f"{path} has no images")
        tracker = FaceTracker(neutral=face_at_rest(image for _, image in video_on_grid(reader)))
        faces = [tracker.track(image, index / FRAME_RATE) for index, image in video_on_grid(reader)]
        tracker.close()
    if not faces:
        raise InputError(f"{path} has no images")
    motion = np.stack([face.motion for face in faces]).astype(np.float32)
    return motion, np.array([face.confidence for face in faces], np.float32)


def speaker_clips(
    folder: str | Path, progress: Callable[[str], None] = lambda name: None
) -> tuple[list[SpeakerClip], list[str]]:
    """(the clips of talking people in a folder, why each other video was left out), sorted by name.

    progress: called with the name of each video before it is read. Raises InputError where the folder does not exist, holds
    no video, or none of its videos can be used.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}: give one with videos of talking people")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in VIDEO_ENDINGS)
    if not paths:
        raise InputError(f"no video in {folder}: give a folder with files of {', '.join(VIDEO_ENDINGS)}")
    clips, left_out = [], []
    for path in paths:
        progress(path.name)
        try:
            motion, confidence = tracked(path)
            samples = sound_of(path, len(motion))
        except InputError as error:
            left_out.append(str(error))
            continue
        if len(motion) < _LEAST_SECONDS * FRAME_RATE:
            left_out.append(f"{path} is shorter than {_LEAST_SECONDS:g} s")
        elif (confidence > A_FACE).mean() < _LEAST_FACES:
            left_out.append(f"{path} shows a face in {100 * (confidence > A_FACE).mean():.0f} % of its frames only")
        else:
            clips.append(SpeakerClip(path.stem, samples, motion, confidence))
    if not clips:
        raise InputError(f"no usable video in {folder}: {left_out[0]}")
    return clips, left_out
