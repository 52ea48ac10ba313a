"""Draws docs/images/beside_reflex.jpg: one conversation, the user, the network in the box and the rules at the same moments.

python tools/make_comparison.py [--user VIDEO --speech SOUND --portrait IMAGE] [--at 1.2 2.4 ...] --out o.jpg
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np

from avatar_forcing_ros.assets import SAMPLE_AVATAR_AUDIO, SAMPLE_USER_VIDEO
from avatar_forcing_ros.media.grid import video_on_grid
from avatar_forcing_ros.media.open import open_media
from avatar_forcing_ros.media.side_by_side import fit
from avatar_forcing_ros.run.offline import run_offline
from avatar_forcing_ros.run.session import Session
from avatar_forcing_ros.timeline import FRAME_RATE

SIDE, MARGIN = 256, 84  # pixels of a picture, of the row's title


def pictures(video: str, frames: list[int]) -> list[np.ndarray]:
    with open_media(video) as reader:
        found = {i: fit(image, SIDE) for i, image in video_on_grid(reader) if i in frames}
    return [found[frame] for frame in frames]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--user", default=str(SAMPLE_USER_VIDEO))
    parser.add_argument("--speech", default=str(SAMPLE_AVATAR_AUDIO))
    parser.add_argument("--portrait", default="")
    parser.add_argument("--weights", default="")
    parser.add_argument("--at", type=float, nargs="+", default=[2.0, 4.0, 6.0, 8.0, 10.0, 12.0], help="seconds")
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    frames = [round(t * FRAME_RATE) for t in arguments.at]
    rows = {"user": pictures(arguments.user, frames)}
    with tempfile.TemporaryDirectory() as folder:
        for generator in ("embedded", "reflex"):
            out = str(Path(folder) / f"{generator}.mp4")
            run_offline(
                Session(
                    out=out, user_video=arguments.user, avatar_audio=arguments.speech, portrait=arguments.portrait,
                    generator=generator, weights=arguments.weights if generator == "embedded" else None,
                )
            )  # fmt: skip
            rows[generator] = pictures(out, frames)
    sheet = np.vstack([np.hstack([_title(name), *images]) for name, images in rows.items()])
    cv2.imwrite(arguments.out, sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


def _title(text: str) -> np.ndarray:
    image = np.full((MARGIN, SIDE, 3), 255, np.uint8)
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.9, 2)
    cv2.putText(
        image,
        text,
        ((SIDE - width) // 2, (MARGIN + height) // 2),
        cv2.FONT_HERSHEY_SIMPLEX,
        0.9,
        (40, 40, 40),
        2,
        cv2.LINE_AA,
    )
    return cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE)


if __name__ == "__main__":
    main()
