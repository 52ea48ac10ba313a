"""User and avatar beside each other, as a bystander would have seen and heard them."""

from __future__ import annotations

import cv2
import numpy as np

from avatar_forcing_ros.media.reader import audio_16k, open_media, video_on_grid
from avatar_forcing_ros.media.writer import VideoWriter
from avatar_forcing_ros.timeline import FRAME_RATE, SAMPLE_RATE


def write_side_by_side(user: str, avatar: str, out: str, delay_s: float) -> None:
    """Writes an mp4 of both videos and both voices.

    delay_s: the avatar's frame for time t was shown at t + delay_s; here it stands beside the user's frame of that
    later moment, so the latency is seen as it was.
    """
    lag = round(delay_s * FRAME_RATE)
    with VideoWriter(out, fps=FRAME_RATE, sample_rate=SAMPLE_RATE) as writer:
        avatar_images = video_on_grid(open_media(avatar))
        first = next(avatar_images)[1]
        side = first.shape[0]
        shown = first  # before its first frame the avatar is at rest
        for index, image in video_on_grid(open_media(user)):
            if index > lag:
                shown = next(avatar_images, (0, shown))[1]
            writer.write_frame(index, np.hstack([fit(image, side), shown]))
        position = 0
        for chunk in _mixed(user, avatar, round(delay_s * SAMPLE_RATE)):
            writer.write_audio(position, chunk)
            position += len(chunk)


def fit(image: np.ndarray, side: int) -> np.ndarray:
    """The middle square of an image, resized to side x side."""
    height, width = image.shape[:2]
    edge = min(height, width)
    y, x = (height - edge) // 2, (width - edge) // 2
    return cv2.resize(image[y : y + edge, x : x + edge], (side, side), interpolation=cv2.INTER_AREA)


def _mixed(user: str, avatar: str, lag: int):
    """Seconds of both voices added, the avatar's `lag` samples later, as long as the user's track lasts."""
    with open_media(user) as reader:
        own = audio_16k(reader) if reader.has_audio else iter(())
        own_rest = np.zeros(0, np.float32)
        other = audio_16k(open_media(avatar))
        other_rest = np.zeros(lag, np.float32)
        for chunk in own:
            own_rest = np.concatenate([own_rest, chunk])
            while len(own_rest) >= SAMPLE_RATE:
                while len(other_rest) < SAMPLE_RATE and (more := next(other, None)) is not None:
                    other_rest = np.concatenate([other_rest, more])
                second = own_rest[:SAMPLE_RATE].copy()
                spoken = other_rest[:SAMPLE_RATE]
                second[: len(spoken)] += spoken
                yield np.clip(second, -1, 1)
                own_rest, other_rest = own_rest[SAMPLE_RATE:], other_rest[SAMPLE_RATE:]
