"""The rig means the same to the avatar that draws it and to the tracker that measures it.

An avatar is driven with known coefficients, one after the other and mixed; its pictures are tracked like a camera's.
Run with -s to see each coefficient's correlation, and its amplitude as a share of what was drawn.
"""

import numpy as np
import pytest

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.portrait import PortraitAvatar
from avatar_forcing_ros.motion.tracker import FaceTracker

RATE = 25.0
SMILE = ("mouthSmileLeft", "mouthSmileRight")
BLINK = ("eyeBlinkLeft", "eyeBlinkRight")
REQUIRED = {  # coefficients: least correlation
    ("headYaw",): 0.9, ("headRoll",): 0.9, ("jawOpen",): 0.9, ("headPitch",): 0.7, BLINK: 0.7, SMILE: 0.7,
}  # fmt: skip
SINGLE = (  # coefficients, amplitude, whether they go both ways
    (("headYaw",), 0.35, True), (("headPitch",), 0.25, True), (("headRoll",), 0.30, True), (("jawOpen",), 0.8, False),
    (BLINK, 1.0, False), (SMILE, 0.9, False), (("mouthSmileLeft",), 0.9, False), (("headX",), 0.3, True),
    (("headY",), 0.2, True), (("headScale",), 0.15, True), (("gazeX",), 0.8, True), (("mouthPucker",), 0.9, False),
    (("browInnerUp", "browOuterUpLeft", "browOuterUpRight"), 0.9, False), (("browDownLeft", "browDownRight"), 0.9, False),
)  # fmt: skip
REST, EACH, PAUSE, MIXED = 50, 26, 5, 150  # frames


def sequence():
    """(motions (n, 32), {name of a stretch: slice})."""
    parts, stretches, at = [np.zeros((REST, rig.DIM))], {}, REST
    phase = np.linspace(0, 1, EACH)
    for names, amplitude, both_ways in SINGLE:
        part = np.zeros((EACH + PAUSE, rig.DIM))
        for name in names:
            part[:EACH, rig.INDEX[name]] = amplitude * (np.sin(2 * np.pi * phase) if both_ways else np.sin(np.pi * phase) ** 2)
        stretches["+".join(names)] = slice(at, at + EACH)
        parts.append(part)
        at += len(part)
    t = np.arange(MIXED) / RATE
    part = np.zeros((MIXED, rig.DIM))
    smile = 0.4 * (1 - np.cos(2 * np.pi * 0.25 * t))
    lids = np.zeros(MIXED)
    for start in (20, 55, 90, 125):
        lids[start : start + 8] = (0.3, 0.7, 1, 1, 0.8, 0.5, 0.3, 0.1)
    for name, values in {
        "headYaw": 0.3 * np.sin(2 * np.pi * 0.40 * t),
        "headPitch": 0.2 * (np.sin(2 * np.pi * 0.53 * t + 1) - np.sin(1) * np.exp(-2 * t)),
        "headRoll": 0.2 * np.sin(2 * np.pi * 0.31 * t),
        "jawOpen": 0.3 * (1 - np.cos(2 * np.pi * 1.3 * t)),
        **dict.fromkeys(SMILE, smile),
        **dict.fromkeys(BLINK, lids),
    }.items():
        part[:, rig.INDEX[name]] = values
    stretches["mixed"] = slice(at, at + MIXED)
    return np.concatenate([*parts, part]).astype(np.float32), stretches


@pytest.fixture(scope="module", params=["default portrait", "real photo"])
def cycle(request, real_data):
    """(drawn (n, 32), tracked (n, 32), confidences (n,), stretches) on one portrait."""
    path = DEFAULT_PORTRAIT
    if request.param == "real photo":
        if real_data is None:
            pytest.skip("no real photo here; the default portrait covers the same")
        path = real_data / "portraits" / "a2f2d_sample.png"
    avatar = PortraitAvatar.from_file(path, 384)
    tracker = FaceTracker()
    drawn, stretches = sequence()
    faces = [tracker.track(avatar.render(motion), i / RATE) for i, motion in enumerate(drawn)]
    tracker.close()
    tracked = np.array([f.motion for f in faces])
    print(f"\n{request.param}: correlation and amplitude of what was drawn")
    for stretch, where in stretches.items():
        names = stretch.split("+") if stretch != "mixed" else [n for group in REQUIRED for n in group]
        figures = [f"{n} {agreement(drawn, tracked, n, where)[0]:.2f} x{agreement(drawn, tracked, n, where)[1]:.2f}" for n in names]
        print(f"  {'mixed: ' if stretch == 'mixed' else ''}{', '.join(figures)}")
    return drawn, tracked, np.array([f.confidence for f in faces]), stretches


def agreement(drawn, tracked, name, where):
    """(correlation, amplitude of the tracked over that of the drawn) of one coefficient over a stretch."""
    a, b = (x[where, rig.INDEX[name]].astype(float) for x in (drawn, tracked))
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-9)), float(a @ b / (a @ a))


def test_the_face_is_seen_throughout(cycle):
    assert cycle[2].min() > 0.9


def test_rest_is_neutral(cycle):
    assert np.abs(cycle[1][10:REST]).max() < 0.15


@pytest.mark.parametrize("names", REQUIRED, ids="+".join)
@pytest.mark.parametrize("mixed", [False, True], ids=["alone", "mixed"])
def test_what_is_drawn_is_tracked(cycle, names, mixed):
    drawn, tracked, _, stretches = cycle
    where = stretches["mixed" if mixed else "+".join(names)]
    for name in names:
        correlation, amplitude = agreement(drawn, tracked, name, where)
        assert correlation >= REQUIRED[names], name
        assert 0.5 <= amplitude <= 1.4, name


@pytest.mark.parametrize("stretch", ["headX", "headY", "headScale", "gazeX", "mouthPucker", "mouthSmileLeft",
                                     "browInnerUp+browOuterUpLeft+browOuterUpRight", "browDownLeft+browDownRight"])  # fmt: skip
def test_the_other_coefficients_follow(cycle, stretch):
    drawn, tracked, _, stretches = cycle
    for name in stretch.split("+"):
        correlation, amplitude = agreement(drawn, tracked, name, stretches[stretch])
        assert correlation >= 0.8 and 0.35 <= amplitude <= 1.5, name


def test_a_one_sided_smile_stays_on_its_side(cycle):
    _, tracked, _, stretches = cycle
    where = stretches["mouthSmileLeft"]
    left, right = (tracked[where, rig.INDEX[n]].max() for n in SMILE)
    assert left > 0.5 and right < 0.4 * left


def test_the_tracker_lags_by_a_frame_at_most(cycle):
    drawn, tracked, _, stretches = cycle
    where = stretches["mixed"]
    for name in ("headYaw", "headRoll", "jawOpen", "eyeBlinkLeft"):
        i = rig.INDEX[name]
        lags = [np.corrcoef(drawn[where, i][: MIXED - 4], tracked[where, i][lag : MIXED - 4 + lag])[0, 1] for lag in range(4)]
        assert int(np.argmax(lags)) <= 1, name
