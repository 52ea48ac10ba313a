"""Measures a face against the figures of docs/face.md.

    python tools/measure_face.py cycle [IMAGE or VIDEO ...]    the rig drawn and tracked again; a video gives its first frame
    python tools/measure_face.py reenact VIDEO ...             the mouth of a reenacted speaker against the speaker's own
    python tools/measure_face.py speed                         process time of a frame and of preparation, one core
    python tools/measure_face.py still [IMAGE ...]             grey levels: background of a moving head, frame to frame at rest

Without sources the portrait in the box is measured.
"""

import argparse
import time

import cv2
import numpy as np

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.bench.rig_cycle import MIXED, MIXED_NAMES, picture_of, run_cycle, sequence
from avatar_forcing_ros.media.grid import video_on_grid
from avatar_forcing_ros.media.open import open_media
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.idle import micro_motion
from avatar_forcing_ros.motion.portrait.avatar import PortraitAvatar
from avatar_forcing_ros.motion.portrait.source import Source
from avatar_forcing_ros.motion.tracking import landmarks
from avatar_forcing_ros.motion.tracking.tracker import FaceTracker, face_at_rest
from avatar_forcing_ros.motion.tracking.video_mesh import VideoMesh
from avatar_forcing_ros.timeline import FRAME_RATE

MOVES = 0.02  # D, standard deviation; the landmarks of a still mouth tremble by a third to a half of it


def cycle(sources: list[str]) -> None:
    print(
        "r and amplitude, by the package's tracker and by MediaPipe's landmarks; * misses r, + the amplitude 0.8 to 1.25"
    )
    missed = {by: np.zeros(2, int) for by in ("tracked", "measured")}
    for source in sources:
        result = run_cycle(PortraitAvatar(picture_of(source), 384))
        print(source)
        seen = {by: result.required(by) for by in missed}
        for name in seen["tracked"]:
            line = []
            for by, count in missed.items():
                r, amplitude, *misses = seen[by][name]
                count += misses
                line.append(f"{r:5.2f} x{amplitude:.2f} {'*' * misses[0] + '+' * misses[1]:2}")
            print(f"  {name:18}", "   ".join(line))
        for by, words in (("tracked", "by the tracker"), ("true", "by the points that were drawn")):
            mixed = (f"{n} {result.agreement(MIXED, n, by)[0]:.2f}" for n in MIXED_NAMES)
            print(f"  mixed, {words}:", ", ".join(mixed), flush=True)
    for by, words in (("tracked", "tracker"), ("measured", "landmarks")):
        print(f"by the {words}: {missed[by][0]} miss r, {missed[by][1]} the amplitude")


def mouth_of(pictures) -> np.ndarray:
    """Opening and width of the mouth (n, 2) in the head's frame, in D, by MediaPipe's landmarks alone."""
    mesh, rows = VideoMesh(), []
    for picture in pictures:
        found = mesh.process(picture)
        if found:
            points = found[0] * (1, -1, -1)
            head = landmarks.fit_pose(points).to_head(points)
            row = (head[13, 1] - head[14, 1], head[291, 0] - head[61, 0])
        rows.append(row)
    return np.array(rows)


def reenact(sources: list[str]) -> None:
    avatar, found, moved = PortraitAvatar.from_file(DEFAULT_PORTRAIT), [], []
    for source in sources:
        with open_media(source) as reader:
            pictures = [image for _, image in video_on_grid(reader)]
        tracker = FaceTracker(neutral=face_at_rest(pictures), calm=0.0)
        motions = [tracker.track(image, i / FRAME_RATE).motion for i, image in enumerate(pictures)]
        tracker.close()
        own, shown = mouth_of(pictures)[5:], mouth_of(avatar.render(m) for m in motions)[5:]
        found.append([np.corrcoef(own[:, k], shown[:, k])[0, 1] for k in (0, 1)])
        moved.append(own[:, 1].std())
        r = found[-1]
        print(f"{source}: opening r {r[0]:.2f}, width r {r[1]:.2f} (moves by {moved[-1]:.3f} D)", flush=True)
    mean, median, least = (f(found, axis=0).round(2) for f in (np.mean, np.median, np.min))
    print(f"opening and width: mean {mean}, median {median}, least {least}")
    wide = np.array(found)[np.array(moved) >= MOVES, 1]
    if len(wide):
        mean, median, least = (f(wide).round(2) for f in (np.mean, np.median, np.min))
        print(f"width of the {len(wide)} who move it by {MOVES} D or more: mean {mean}, median {median}, least {least}")


def speed() -> None:
    cv2.setNumThreads(1)
    drawn, stretches = sequence()
    PortraitAvatar.from_file(DEFAULT_PORTRAIT, 128)  # loads what is loaded once
    for size in (256, 512, 1080):
        began = time.process_time()
        avatar = PortraitAvatar.from_file(DEFAULT_PORTRAIT, size)
        prepared, times = time.process_time() - began, []
        for motion in drawn[stretches[MIXED]]:
            began = time.process_time()
            avatar.render(motion)
            times.append(1000 * (time.process_time() - began))
        p50, p95 = np.percentile(times, (50, 95))
        print(f"{size}x{size}: prepared in {prepared:.1f} s; a frame p50 {p50:.1f}, p95 {p95:.1f} ms")


def still(sources: list[str]) -> None:
    for source in sources:
        picture = picture_of(source)
        avatar = PortraitAvatar(picture, 512)
        person = (Source.of(picture, 512).mask > 0).astype(np.uint8)
        beyond = cv2.dilate(person, np.ones((161, 161), np.uint8)) == 0  # where the moving head never comes
        poses = [rig.pose(headYaw=0.3), rig.pose(headYaw=-0.3, headPitch=0.15), rig.pose(headRoll=0.2, jawOpen=0.6)]
        apart = (
            [np.abs(avatar.render(p).astype(int) - avatar.photo)[beyond].mean() for p in poses] if beyond.any() else []
        )
        frames = [avatar.render(micro_motion(f), f).astype(int) for f in range(50)]
        change = [np.abs(b - a).mean() for a, b in zip(frames, frames[1:])]
        background = f"{max(apart):.2f}" if apart else "not to be seen"
        print(f"{source}: background {background}, frame to frame at rest {max(change):.2f} grey levels")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("cycle", "reenact", "speed", "still"))
    parser.add_argument("sources", nargs="*")
    options = parser.parse_args()
    given = options.sources or [str(DEFAULT_PORTRAIT)]
    if options.what == "speed":
        speed()
    elif options.what == "reenact":
        reenact(options.sources or parser.error("give one or more videos"))
    else:
        {"cycle": cycle, "still": still}[options.what](given)
