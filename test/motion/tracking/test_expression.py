"""What a face's landmarks mean, and the neutral face that is learned, without a camera."""

import numpy as np
import pytest

from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.tracking import landmarks
from avatar_forcing_ros.motion.tracking.expression import expression_of
from avatar_forcing_ros.motion.tracking.landmarks import AT, MEASURES, TYPICAL
from avatar_forcing_ros.motion.tracking.neutral import NeutralLearner

RATE = 25.0
SMILE = ["cornerOutRight", "cornerOutLeft", "cornerUpRight", "cornerUpLeft"]


def test_pose_of_a_turned_head_is_found():
    rng = np.random.default_rng(0)
    shape = rng.normal(0, 0.4, (landmarks.COUNT, 3))
    shape[landmarks.RIGID_POINTS] = landmarks.RIGID_SHAPE
    for angles in rng.uniform(-0.7, 0.7, (20, 3)):
        points = 83.0 * shape @ landmarks.rotation_of(angles).T + (320.0, -240.0, 10.0)
        pose = landmarks.fit_pose(points)
        np.testing.assert_allclose(pose.angles, angles, atol=1e-6)
        assert pose.scale == pytest.approx(83.0) and pose.residual < 1e-6
        np.testing.assert_allclose(pose.to_head(points), shape, atol=1e-6)


def test_signs_of_the_head_pose():
    nose = np.array([0.0, 0.0, 1.0])
    assert (landmarks.rotation_of(np.array([0.3, 0, 0])) @ nose)[0] > 0.2  # yaw: nose to image right
    assert (landmarks.rotation_of(np.array([0, 0.3, 0])) @ nose)[1] > 0.2  # pitch: nose up
    assert (landmarks.rotation_of(np.array([0, 0, 0.3])) @ np.array([0, 1.0, 0]))[0] > 0.2  # roll: top to image right


def face(**changes) -> np.ndarray:
    """Measures of a typical face with changes in D."""
    measures = TYPICAL.copy()
    for name, change in changes.items():
        measures[AT[name]] += change
    return measures


def test_a_face_at_rest_is_neutral_exactly():
    noisy = TYPICAL + np.random.default_rng(1).normal(0, 0.0015, len(TYPICAL))
    assert not expression_of(noisy, TYPICAL).any()


@pytest.mark.parametrize(
    "changes, expected",
    [
        (dict(upperLip=0.06, lowerLip=-0.39, chinUp=-0.22, cornerUpRight=-0.12, cornerUpLeft=-0.12), dict(jawOpen=1.0)),
        (dict.fromkeys(SMILE, 0.10), dict(mouthSmileLeft=1.0, mouthSmileRight=1.0)),
        (dict(cornerOutLeft=0.05, cornerUpLeft=0.05), dict(mouthSmileLeft=0.5)),
        (dict(cornerOutRight=-0.12, cornerOutLeft=-0.12), dict(mouthPucker=1.0)),
        (dict(cornerUpRight=-0.08, cornerUpLeft=-0.08), dict(mouthFrownLeft=1.0, mouthFrownRight=1.0)),
        (dict(lidGapLeft=-0.073, lowerLidLeft=0.018), dict(eyeBlinkLeft=1.0)),
        (dict(lidGapRight=0.0475), dict(eyeWideRight=1.0)),
        (dict(irisOutLeft=0.2, irisOutRight=-0.2, irisUpLeft=-0.075, irisUpRight=-0.075), dict(gazeX=1.0, gazeY=-1.0)),
        (
            dict(lidGapLeft=-0.073, lowerLidLeft=0.018, irisUpLeft=-0.2, irisUpRight=-0.075),
            dict(eyeBlinkLeft=1.0, gazeY=-1.0),
        ),
    ],
)
def test_measures_mean_what_the_rig_says(changes, expected):
    latent = expression_of(face(**changes), TYPICAL)
    for name, value in expected.items():
        assert latent[rig.INDEX[name]] == pytest.approx(value, abs=0.2), name
    others = [n for n in rig.NAMES if n not in expected]
    assert np.abs(latent[[rig.INDEX[n] for n in others]]).max() < 0.3


def test_the_jaw_answers_for_the_gap():
    """Whatever the lips do besides, the drawn gap is the measured one."""
    for gap in (0.05, 0.15, 0.30):
        for lift in (0.0, 0.05):
            latent = expression_of(face(upperLip=lift, lowerLip=lift - gap), TYPICAL)
            drawn = latent @ rig.pose(jawOpen=0.45, mouthUpperUp=0.08, mouthLowerDown=0.08, mouthFunnel=0.12)
            assert drawn == pytest.approx(gap, abs=0.02)


def person(seed: int = 4) -> np.ndarray:
    """The measures of a face at rest that is not typical."""
    spread = np.array([m.limit for m in MEASURES.values()]) * 0.4
    spread[[AT["upperLip"], AT["lowerLip"]]] = 0.0
    return TYPICAL + np.random.default_rng(seed).uniform(-1, 1, len(TYPICAL)) * spread


def learned(frames, seconds=2.0, rate=RATE) -> NeutralLearner:
    learner = NeutralLearner(seconds)
    for measures in frames:
        learner.observe(measures, np.zeros(3), np.zeros(2), 80.0, 1 / rate)
    return learner


def test_neutral_is_learned_from_a_still_face():
    rest = person()
    noise = np.random.default_rng(0).normal(0, 0.002, (50, len(rest)))
    assert np.abs(learned(rest + noise).face.measures - rest).max() < 0.006


@pytest.mark.parametrize("activity", ["blinking", "talking", "smiling", "brows"])
def test_neutral_is_not_ruined_by_activity(activity):
    rest = person()
    frames = np.repeat(rest[None], 50, axis=0)
    t = np.arange(50) / RATE
    if activity == "blinking":
        frames[:8, [AT["lidGapRight"], AT["lidGapLeft"]]] = 0.02  # eyes closed at the start
        frames[25:30, [AT["lidGapRight"], AT["lidGapLeft"]]] = 0.02
    elif activity == "talking":
        opened = 0.15 * np.maximum(np.sin(2 * np.pi * 3 * t), 0)
        frames[:, AT["lowerLip"]] -= opened
        frames[:, AT["chinUp"]] -= 0.5 * opened
    elif activity == "smiling":
        frames[10:, [AT[n] for n in SMILE]] += 0.10
    else:
        frames[:40, [AT[n + s] for n in ("browInner", "browMiddle", "browOuter") for s in ("Right", "Left")]] += 0.08
    latent = expression_of(rest, learned(frames).face.measures)
    assert np.abs(latent).max() < 0.35


def test_who_smiles_throughout_still_smiles():
    frames = np.repeat(TYPICAL[None], 50, axis=0)
    frames[:, [AT[n] for n in SMILE]] += 0.10
    latent = expression_of(frames[0], learned(frames).face.measures)
    assert latent[rig.INDEX["mouthSmileLeft"]] > 0.6


def test_neutral_follows_a_lasting_change_slowly_and_stays_bounded():
    rest = TYPICAL.copy()
    learner = learned(np.repeat(rest[None], 50, axis=0))
    moved = face(browInnerRight=-0.03, browInnerLeft=-0.03)
    distances = []
    for _ in range(120):
        for _ in range(25):
            learner.observe(moved, np.zeros(3), np.zeros(2), 80.0, 1 / RATE)
        distances.append(abs(learner.face.measures[AT["browInnerLeft"]] - moved[AT["browInnerLeft"]]))
    assert distances[0] > 0.015 and distances[60] < 0.008
    assert len(learner._rows) <= 65
