"""Looks for false faces: a camera turns through rooms in which nobody is, for as many minutes as asked.

    python tools/measure_rooms.py PANORAMA... [--minutes 10] [--out false_faces/]

Each panorama is a picture of a whole room, equirectangular, as HDR collections have them (.exr, .hdr, .jpg). Sharp things are drawn
onto it: boards, lamps, knobs, lines, and the --pictures as posters. The camera pans, tilts, zooms, is rolled by a hand, exposes now more
and now less, and has a sensor's noise. Images in which the tracker saw a face are kept.
"""

import argparse
import os
from pathlib import Path

os.environ["OPENCV_IO_ENABLE_OPENEXR"] = "1"  # read when OpenCV is loaded

import cv2
import numpy as np

from avatar_forcing_ros.motion.tracking import A_FACE
from avatar_forcing_ros.motion.tracking.tracker import FaceTracker

SIZE = (1280, 720)
RATE = 12.5  # images per second
STAY_S = 20.0  # in a room, before the camera is carried to the next one


def panorama(path: str) -> np.ndarray:
    """Any picture, (H, W, 3) float32 RGB, its median brightness 0.18 as a camera exposes it."""
    image = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise SystemExit(f"{path} cannot be read: give pictures")
    rgb = (
        cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim == 2 else cv2.cvtColor(image[..., :3], cv2.COLOR_BGR2RGB)
    )
    rgb = (rgb / 255.0) ** 2.2 if rgb.dtype == np.uint8 else rgb
    rgb = np.nan_to_num(rgb.astype(np.float32))
    return rgb * (0.18 / max(float(np.median(rgb.mean(axis=2))), 1e-6))


def furnish(room: np.ndarray, pictures: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """The same room, 4096 pixels around, with things in it."""
    room = cv2.resize(room, (4096, 2048), interpolation=cv2.INTER_CUBIC)
    for _ in range(80):
        x, y = int(rng.uniform(0, 4000)), int(rng.uniform(600, 1400))
        w, h = (int(v) for v in rng.uniform(8, 160, 2))
        colour = [float(v) for v in rng.uniform(0.02, 0.8, 3)]
        kind = rng.integers(5)
        if kind == 0:
            cv2.rectangle(room, (x, y), (x + w, y + h), colour, -1)
        elif kind == 1:
            cv2.ellipse(room, (x, y), (w // 2, h // 2), float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
        elif kind == 2:  # a pair of things above a third one, which simple detectors take for a face
            for dx, dy in ((-w // 2, 0), (w // 2, 0), (0, w)):
                cv2.circle(room, (x + dx, y + dy), max(2, w // 8), colour, -1, cv2.LINE_AA)
        elif kind == 3:
            for i in range(6):
                cv2.line(room, (x, y + 12 * i), (x + w, y + 12 * i), colour, 2, cv2.LINE_AA)
        elif pictures:
            picture = pictures[rng.integers(len(pictures))]
            side = min(w + 60, 4096 - x)
            room[y : y + side, x : x + side] = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return room


def rays(angle: float) -> np.ndarray:
    """(pixels, 3) float32: where each pixel of a camera looks that sees `angle` radians from left to right."""
    width, height = SIZE
    x, y = np.meshgrid(np.arange(width) - width / 2, np.arange(height) - height / 2)
    forward = np.full(x.size, 0.5 * width / np.tan(angle / 2))
    return np.stack([x.ravel(), y.ravel(), forward], axis=-1).astype(np.float32)


def view(room: np.ndarray, seen: np.ndarray, yaw: float, pitch: float, roll: float) -> np.ndarray:
    """What a camera with the rays `seen` sees that looks there (radians)."""
    turn = cv2.Rodrigues(np.array([0.0, yaw, 0.0]))[0] @ cv2.Rodrigues(np.array([pitch, 0.0, roll]))[0]
    x, y, z = (np.ascontiguousarray(part) for part in turn.astype(np.float32) @ seen.T)
    east, down = cv2.phase(z, x), cv2.phase(cv2.magnitude(x, z), y)  # both 0 .. 2 pi
    down = np.where(down > np.pi, down - 2 * np.pi, down)
    maps = east * (room.shape[1] / (2 * np.pi)), (down + np.pi / 2) * (room.shape[0] / np.pi)
    shape = SIZE[::-1]
    return cv2.remap(
        room, *(m.reshape(shape).astype(np.float32) for m in maps), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )


def main(paths: list[str], pictures: list[str], minutes: float, out: Path) -> None:
    rng = np.random.default_rng(0)
    count, stay = round(minutes * 60 * RATE), round(STAY_S * RATE)
    posters = [panorama(path) for path in pictures]
    seen: dict[str, list[int]] = {}
    for first in range(0, count, stay):
        path = paths[first // stay % len(paths)]
        room, tracker = furnish(panorama(path), posters, rng), FaceTracker()
        room, sight = 255.0 * np.clip(room, 0.0, None) ** np.float32(1 / 2.2), rays(rng.uniform(0.6, 1.5))
        yaw, pan = rng.uniform(-np.pi, np.pi), rng.uniform(-0.3, 0.3)  # radians; radians a second
        pitch, roll = rng.normal(0.0, 0.15), rng.normal(0.0, 0.03)
        bright, noise = 2.0 ** (rng.uniform(-2.0, 1.0) / 2.2), rng.uniform(1.0, 6.0)  # noise in grey levels
        grain = noise * rng.standard_normal((5, *SIZE[::-1], 3), dtype=np.float32)
        for frame in range(min(stay, count - first)):
            t = frame / RATE
            grey = (
                bright
                * (1.0 + 0.05 * np.sin(t))
                * view(room, sight, yaw + pan * t, pitch + 0.03 * np.sin(0.7 * t), roll)
            )
            image = np.clip(grey + grain[frame % len(grain)], 0, 255).astype(np.uint8)
            face = tracker.track(image, t)
            found = seen.setdefault(Path(path).stem, [0, 0, 0])
            found[0] += 1
            found[1] += face.faces > 0
            found[2] += face.confidence > A_FACE
            if face.faces:
                out.mkdir(parents=True, exist_ok=True)
                if face.box:
                    x0, y0, x1, y1 = (round(v) for v in face.box)
                    cv2.rectangle(image, (x0, y0), (x1, y1), (255, 0, 0), 2)
                cv2.imwrite(str(out / f"{Path(path).stem}_{first + frame}.jpg"), image[..., ::-1])
        print(f"{first // stay + 1} of {-(-count // stay)}: {path}", flush=True)
    for name, (images, faces, sure) in seen.items():
        print(f"{name:12} {images} images, a face in {faces}, sure of it in {sure}")
    images, faces, sure = np.sum(list(seen.values()), axis=0)
    print(f"{'all':12} {images} images, a face in {faces}, sure of it in {sure}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("panoramas", nargs="+")
    parser.add_argument("--pictures", nargs="*", default=[], help="of things, animals and places")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--out", type=Path, default=Path("out/false_faces"))
    options = parser.parse_args()
    main(options.panoramas, options.pictures, options.minutes, options.out)
