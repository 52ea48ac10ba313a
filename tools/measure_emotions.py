"""Measures whether seven emotions at three intensities are told apart on rendered faces (docs/direction.md).

    python tools/measure_emotions.py [IMAGE or VIDEO ...]     portraits; a video gives its first frame. Default: the two in the box
    ... --learn IMAGE or VIDEO ...                            the protocol of docs/direction.md: learned on these, judged on the others
    python tools/measure_emotions.py --themes                 the screen face's themes
    ... --sheet PNG                                           what was judged, as a picture, to be looked at

The measure: an emotion is that of the nearest centroid, one for each emotion and intensity. Portraits: what the package's
tracker measures on the drawn picture, without the head's pose, each coefficient divided by its spread over the training pictures;
trained on every second face, tested on the others, and the other way round. Themes: the picture shrunk to 50 x 50 points (a face
13 cm high at 3 m for a tired eye) and blurred by a point, laid over each other as well as shifts by up to two points allow,
while head, gaze, brows and jaw move a little at random; trained on some of these movements, tested on others.
"""

import argparse
import contextlib
from collections import Counter

import cv2
import numpy as np

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.bench.rig_cycle import picture_of
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.direction import Director, Expression
from avatar_forcing_ros.motion.direction.expressions import BASIC
from avatar_forcing_ros.motion.portrait.avatar import PortraitAvatar
from avatar_forcing_ros.motion.screen.avatar import ScreenFaceAvatar
from avatar_forcing_ros.motion.screen.theme import theme_names
from avatar_forcing_ros.motion.tracking.tracker import FaceTracker
from avatar_forcing_ros.timeline import FRAME_RATE

INTENSITIES = (0.4, 0.7, 1.0)
LOOKS = 12  # at a picture, until the tracker's filters have settled
SIZE, POINTS, TILE = 384, 50, 160
FACE = [i for i, n in enumerate(rig.NAMES) if not n.startswith("head")]
MOVES = {
    "headYaw": 0.05,
    "headPitch": 0.04,
    "headRoll": 0.04,
    "gazeX": 0.2,
    "gazeY": 0.2,
    "browInnerUp": 0.08,
    "jawOpen": 0.08,
}  # standard deviations
DRAWS, SHIFT = 20, 2


def latent_of(name: str, intensity: float) -> np.ndarray:
    return Director(Expression(name, intensity)).apply(rig.neutral()[None], 0)[0]


def cases():
    """(emotion, intensity): neutral once, the others three times."""
    yield BASIC[0], 0.0
    yield from ((name, i) for name in BASIC[1:] for i in INTENSITIES)


def tracked(avatar: PortraitAvatar) -> np.ndarray:
    """What the tracker sees of each case, (19, 26)."""
    rows = []
    with contextlib.closing(FaceTracker(neutral=avatar.render(rig.neutral()))) as tracker:
        for k, case in enumerate(cases()):
            picture = avatar.render(latent_of(*case))
            for look in range(LOOKS):
                seen = tracker.track(picture, (LOOKS * k + look) / FRAME_RATE)
            rows.append(seen.motion[FACE])
    return np.array(rows)


def moved(rng: np.random.Generator) -> np.ndarray:
    values = {name: float(rng.normal(0.0, size)) for name, size in MOVES.items()}
    return rig.pose(**{n: v if rig.LOW[rig.INDEX[n]] < 0 else abs(v) for n, v in values.items()})


def far(picture: np.ndarray) -> np.ndarray:
    small = cv2.resize(picture, (POINTS, POINTS), interpolation=cv2.INTER_AREA).astype(np.float32)
    return cv2.GaussianBlur(small, (0, 0), 1.0)


def told(train: np.ndarray, test: np.ndarray) -> tuple[int, list[str]]:
    """train, test: (n, 19, ...), n of each case. How many of the test's are nearest to a centroid of their own emotion; the others, as words."""
    names = [name for name, _ in cases()]
    spread = train.reshape(-1, *train.shape[2:]).std(axis=0) + 0.05 if train.ndim == 3 else 1.0
    centroids = train.mean(axis=0) / spread
    guesses = [names[int(np.argmin([apart(one / spread, c) for c in centroids]))] for row in test for one in row]
    truth = names * len(test)
    return sum(g == t for g, t in zip(guesses, truth)), [f"{t} as {g}" for g, t in zip(guesses, truth) if g != t]


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Squared distance; of pictures (H, W, 3) the least over shifts by up to two points."""
    if one.ndim == 1:
        return float(((one - other) ** 2).sum())
    inner = other[SHIFT:-SHIFT, SHIFT:-SHIFT]
    return float(cv2.matchTemplate(one, inner, cv2.TM_SQDIFF).min())


def seen(sources: list[str]) -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
    """What the tracker sees of each face's cases, and their pictures."""
    rows, pictures = [], []
    for source in sources:
        avatar = PortraitAvatar(picture_of(source), SIZE)
        rows.append(tracked(avatar))
        pictures.append([avatar.render(latent_of(*case)) for case in cases()])
        print(f"{source}: tracked", flush=True)
    return rows, pictures


def portraits(sources: list[str], learn: list[str], sheet: str) -> None:
    rows, pictures = seen(sources)
    if sheet:
        save(sheet, pictures)
    if learn:
        folds = [(seen(learn)[0], list(zip(sources, rows)))]
    else:
        both = list(zip(sources, rows))
        folds = [(rows[half::2], both[1 - half :: 2]) for half in (0, 1)]
    right, count, missed = 0, 0, Counter[str]()
    for train, tests in folds:
        for source, test in tests:
            hits, wrong = told(np.array(train), test[None])
            right, count = right + hits, count + len(test)
            missed.update(wrong)
            print(f"{source}: {hits} of {len(test)}", "; ".join(wrong))
    print(f"portraits: {right} of {count}, {100 * right / count:.1f} %;", dict(missed.most_common()))


def themes(sheet: str) -> None:
    pictures, names, rng = [], [name for name, _ in cases()], np.random.default_rng(0)
    for theme in theme_names():
        avatar = ScreenFaceAvatar(256, theme)
        pictures.append([avatar.render(latent_of(*case)) for case in cases()])
        train, test = (
            np.array([[far(avatar.render(latent_of(*case) + moved(rng))) for case in cases()] for _ in range(DRAWS)])
            for _ in range(2)
        )
        hits, wrong = told(train, test)
        print(
            f"{theme}: {hits} of {DRAWS * len(names)}, {100 * hits / (DRAWS * len(names)):.1f} %",
            "; ".join(sorted(set(wrong))),
        )
    if sheet:
        save(sheet, pictures)


def save(sheet: str, pictures: list[list[np.ndarray]]) -> None:
    tiles = [np.hstack([cv2.resize(p, (TILE, TILE), interpolation=cv2.INTER_AREA) for p in row]) for row in pictures]
    cv2.imwrite(sheet, np.vstack(tiles)[:, :, ::-1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "sources", nargs="*", default=[str(DEFAULT_PORTRAIT), str(DEFAULT_PORTRAIT.parent / "user.jpg")]
    )
    parser.add_argument("--learn", nargs="+", default=[], metavar="SOURCE")
    parser.add_argument("--themes", action="store_true")
    parser.add_argument("--sheet", default="", metavar="PNG")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.themes:
        themes(options.sheet)
    else:
        portraits(options.sources, options.learn, options.sheet)
