"""Draws the contact sheets of docs/face.md from pictures of this project's own making.

    python tools/make_face_sheets.py --side three_quarter.png --character character.png --out docs/images

The two pictures come from tools/make_portrait.py (--who user --turn 32, and --who character, both --size 512 --samples 24).
The painting and the small grey laugh are made here from the portraits in the box.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.portrait.avatar import PortraitAvatar
from avatar_forcing_ros.motion.portrait.photo import read_picture
from avatar_forcing_ros.motion.screen.avatar import ScreenFaceAvatar
from avatar_forcing_ros.run.reenact import contact_sheet

LAUGH = rig.pose(
    jawOpen=0.45, mouthSmileLeft=0.8, mouthSmileRight=0.8, mouthUpperUp=0.4, eyeSquintLeft=0.4, eyeSquintRight=0.4
)


def painted(photo: np.ndarray, stroke: int = 4) -> np.ndarray:
    """Flat strokes with sharp borders (the Kuwahara filter, 1976), an ochre ground, the grain of a canvas."""
    photo = photo.astype(np.float32)
    mean = cv2.blur(photo, (stroke + 1, stroke + 1))
    spread = (cv2.blur(photo**2, (stroke + 1, stroke + 1)) - mean**2).sum(axis=2)
    best, strokes = np.full(photo.shape[:2], np.inf, np.float32), np.zeros_like(photo)
    for dx in (-stroke // 2, stroke // 2):
        for dy in (-stroke // 2, stroke // 2):
            shift = np.float32([[1, 0, dx], [0, 1, dy]])
            size = photo.shape[1::-1]
            there, colour = (cv2.warpAffine(x, shift, size, borderMode=cv2.BORDER_REFLECT) for x in (spread, mean))
            calmer = there < best
            best[calmer], strokes[calmer] = there[calmer], colour[calmer]
    grain = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 1, photo.shape[:2]).astype(np.float32), (0, 0), 1.2)
    rows, columns = np.arange(photo.shape[0]), np.arange(photo.shape[1])
    weave = 2.0 * np.sin(1.3 * columns)[None] + 2.0 * np.sin(1.3 * rows)[:, None]
    ground = strokes * (1.04, 0.98, 0.86) + (10, 4, 0)
    return np.clip(ground + (6 * grain + weave)[..., None], 0, 255).astype(np.uint8)


def small_grey_laugh(photo: np.ndarray) -> np.ndarray:
    laugh = cv2.resize(PortraitAvatar(photo, 600).render(LAUGH), (200, 200), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(cv2.cvtColor(laugh, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def write(path: Path, picture: np.ndarray, width: int) -> None:
    height = round(picture.shape[0] * width / picture.shape[1])
    picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(path), picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 76])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", required=True, metavar="PNG")
    parser.add_argument("--character", required=True, metavar="PNG")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    options = parser.parse_args()
    portrait, user = read_picture(DEFAULT_PORTRAIT), read_picture(DEFAULT_PORTRAIT.with_name("user.jpg"))
    sources = {
        "face_three_quarter": read_picture(options.side),
        "face_character": read_picture(options.character),
        "face_painting": painted(portrait),
        "face_grey_laugh": small_grey_laugh(user),
    }
    row = [cv2.resize(s, (256, 256), interpolation=cv2.INTER_AREA) for s in sources.values()]
    write(options.out / "face_sources.jpg", np.hstack(row), 1024)
    for name, picture in {"portrait_sheet": portrait, **sources}.items():
        write(options.out / f"{name}.jpg", contact_sheet(PortraitAvatar(picture, 512)), 1152)
    for name, theme in {
        "screen_face_sheet": "sunny",
        "screen_face_lumen": "lumen",
        "screen_face_beacon": "beacon",
    }.items():
        write(options.out / f"{name}.jpg", contact_sheet(ScreenFaceAvatar(512, theme)), 960)
