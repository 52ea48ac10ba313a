"""User and avatar beside each other, as a bystander would have seen and heard them."""

from __future__ import annotations

import itertools
from typing import Any

import cv2
import numpy as np

from avatar_forcing_ros.media.base import MediaReader
from avatar_forcing_ros.media.grid import audio_stereo, in_pieces, video_on_grid
from avatar_forcing_ros.media.open import open_media
from avatar_forcing_ros.media.video_writer import VideoWriter
from avatar_forcing_ros.timeline import FRAME_RATE, HEARD_RATE


def write_side_by_side(user: MediaReader, voice: MediaReader | None, avatar: str, out: str, delay_s: float) -> None:
    """Writes an mp4 of both videos and both voices, as long as the shorter video.

    voice: where the user's sound is; None: the user is not heard. avatar: the video of a run. delay_s: the avatar's frame for
    time t was shown at t + delay_s; here it stands beside the user's frame of that later moment, so the latency is seen as it was.
    """
    lag = round(delay_s * FRAME_RATE)
    with open_media(avatar) as made, VideoWriter(out, fps=FRAME_RATE, sample_rate=HEARD_RATE, channels=2) as writer:
        avatar_images = video_on_grid(made)
        shown: Any = next(avatar_images)[1]  # before its first frame the avatar is at rest
        side, frames = shown.shape[0], 0
        for index, image in video_on_grid(user):
            if index > lag and (shown := next(avatar_images, (0, None))[1]) is None:
                break
            writer.write_frame(index, np.hstack([fit(image, side), shown]))
            frames = index + 1
        own = in_pieces(audio_stereo(voice, HEARD_RATE) if voice is not None and voice.has_audio else (), HEARD_RATE)
        late = [np.zeros((round(delay_s * HEARD_RATE), 2), np.float32)]
        said = audio_stereo(made, HEARD_RATE) if made.has_audio else ()
        other = in_pieces(itertools.chain(late, said), HEARD_RATE)
        silence = np.zeros((HEARD_RATE, 2), np.float32)
        end = frames * HEARD_RATE // FRAME_RATE
        for first in range(0, end, HEARD_RATE):
            both = next(own, silence) + next(other, silence)
            writer.write_audio(first, np.clip(both[: end - first], -1, 1))


def fit(image: np.ndarray, side: int) -> np.ndarray:
    """The middle square of an image, resized to side x side."""
    height, width = image.shape[:2]
    edge = min(height, width)
    y, x = (height - edge) // 2, (width - edge) // 2
    return cv2.resize(image[y : y + edge, x : x + edge], (side, side), interpolation=cv2.INTER_AREA)
