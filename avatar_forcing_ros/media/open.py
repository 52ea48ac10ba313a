"""Opens whatever a source's name says: a file, a bag, a webcam or a microphone."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.base import MediaReader
from avatar_forcing_ros.media.files import FileReader
from avatar_forcing_ros.media.wave_file import WaveFileReader, is_plain_wave

_SILENT = 10 ** (-70 / 20)


def is_live(source: str) -> bool:
    """A webcam or a microphone, by its name."""
    return source.startswith(("webcam:", "mic:"))


def open_media(source: str, camera_topic: str | None = None, audio_topic: str | None = None) -> MediaReader:
    """Opens a video file, a sound file, a rosbag2 (folder, .db3 or .mcap), `webcam:0`, `mic:` or `mic:NAME`.

    The topics choose inside a bag; without them the first camera and the first sound are taken. Raises InputError in
    one line where the source is missing, cannot be read, or holds neither images nor sound.
    """
    source = str(source)
    if source.startswith("webcam:"):
        from avatar_forcing_ros.media.devices import WebcamReader

        return WebcamReader(source)
    if source.startswith("mic:"):
        from avatar_forcing_ros.media.devices import MicrophoneReader

        return MicrophoneReader(source)
    path = Path(source)
    if not path.exists():
        raise InputError(f"there is no file {source}")
    if path.is_dir() or path.suffix in (".db3", ".mcap"):
        from avatar_forcing_ros.media.bag_reader import BagReader

        return BagReader(source, camera_topic, audio_topic)
    if is_plain_wave(path):
        return WaveFileReader(source)
    return FileReader(source)


def check_sound(reader: MediaReader) -> None:
    """Raises InputError where the source has no sound, or nothing but silence (no sample above -70 dB)."""
    if not reader.has_audio:
        raise InputError(f"{reader.source} has no sound")
    if not any(np.abs(chunk.samples).max(initial=0.0) > _SILENT for chunk in reader.audio()):
        raise InputError(
            f"the sound of {reader.source} is silent throughout: give a track with speech, or leave it out"
        )
