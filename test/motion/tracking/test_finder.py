"""Finding faces: far, at the border, in the dark, none where there is none; and whose face is followed among several."""

import cv2
import numpy as np
import pytest

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.portrait.avatar import PortraitAvatar
from avatar_forcing_ros.motion.tracking import A_FACE, FOLLOW
from avatar_forcing_ros.motion.tracking import finder as finder_module
from avatar_forcing_ros.motion.tracking.detector import Detection
from avatar_forcing_ros.motion.tracking.finder import FaceFinder, _parts
from avatar_forcing_ros.motion.tracking.models import SHORT_RANGE
from avatar_forcing_ros.motion.tracking.tracker import FaceTracker

CHIN_TO_BROWS = 0.31  # of the portrait's side


@pytest.fixture(scope="module")
def avatar() -> PortraitAvatar:
    return PortraitAvatar.from_file(DEFAULT_PORTRAIT, 384)


@pytest.fixture(scope="module")
def photo(avatar) -> np.ndarray:
    return avatar.photo


def scene(*people, width=1280, height=720, seed=0, noise=3.0) -> np.ndarray:
    """A room with people: (picture, pixels from chin to brows, x and y of the face's middle)."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(170, 210, width)[None, :, None] * np.linspace(1, 0.9, height)[:, None, None]
    canvas = np.repeat(ramp, 3, axis=2).astype(np.float32)
    for x in range(80, width, 260):
        cv2.rectangle(canvas, (x, 90), (x + 120, 260), (110, 95, 80), -1)
    for picture, size, x, y in people:
        side = round(size / CHIN_TO_BROWS)
        small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
        x0, y0 = x - side // 2, y - round(0.53 * side)
        a, b = max(x0, 0), max(y0, 0)
        c, d = min(x0 + side, width), min(y0 + side, height)
        canvas[b:d, a:c] = small[b - y0 : d - y0, a - x0 : c - x0]
    return np.clip(canvas + rng.normal(0, noise, canvas.shape[:2])[..., None], 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size, least", [(60, 0.95), (40, 0.80)])
def test_a_far_face_is_followed(avatar, size, least):
    """A face that moves and speaks, of so many pixels in 1280 x 720; who comes into view is believed after some images."""
    tracker, faces = FaceTracker(), []
    for i in range(30):
        picture = avatar.render(rig.pose(jawOpen=0.2 + 0.2 * np.sin(i), headYaw=0.2 * np.sin(i / 6)))
        faces.append(tracker.track(scene((picture, size, 500 + 4 * i, 300), seed=i), i / 25))
    assert np.mean([f.box is not None for f in faces]) >= least
    assert np.mean([f.confidence > A_FACE for f in faces[6:]]) >= least


def test_no_face_where_there_is_none(photo):
    """An empty room, and one with a poster out of focus, which is a face to the detectors still."""
    blurred = cv2.GaussianBlur(photo, (0, 0), 0.06 * CHIN_TO_BROWS * len(photo))
    finder = FaceFinder()
    for i in range(6):
        assert finder.look(scene(seed=i), i / 25, 1.0).points is None
        assert finder.look(scene((blurred, 120, 640, 330), seed=i), i / 25, 1.0).points is None


@pytest.mark.parametrize("noise", [1.0, 4.0, 7.0])
@pytest.mark.parametrize("size", [70, 130, 220])
def test_a_noisy_camera_sharpens_no_poster_and_hides_no_face(photo, size, noise):
    blurred = cv2.GaussianBlur(photo, (0, 0), 0.06 * CHIN_TO_BROWS * len(photo))
    for picture, seen in ((blurred, False), (photo, True)):
        finder = FaceFinder()
        looks = [
            finder.look(scene((picture, size, 640, 330), seed=i, noise=noise), i / 25, 1.0).points for i in range(5)
        ]
        assert any(points is not None for points in looks) == seen


@pytest.mark.parametrize(
    "score, closely, believed", [(0.86, None, True), (0.8, 0.8, True), (0.8, 0.7, False), (0.6, None, False)]
)
def test_an_unsure_detector_is_asked_again_closely(monkeypatch, photo, score, closely, believed):
    """A box with two knobs and a slot gets 0.65 there, faces 0.78 and more."""
    box = np.array([100.0, 100.0, 180.0, 180.0])

    def look(image, model, window, gain):
        assert model == SHORT_RANGE and window[0] < 100 and window[3] > 180
        return [] if closely is None else [Detection(box + 2, np.zeros((6, 2)), closely)]

    monkeypatch.setattr(finder_module, "detect", look)
    assert finder_module._confirmed(photo, Detection(box, np.zeros((6, 2)), score)) == believed


@pytest.mark.parametrize("x, y", [(40, 300), (1250, 300), (640, 60)])
def test_a_face_at_the_border_is_found(photo, x, y):
    finder = FaceFinder()
    seen = [finder.look(scene((photo, 120, x, y), seed=i), i / 25, 1.0) for i in range(8)]
    middle = seen[-1].points[:, :2].mean(axis=0)
    assert abs(middle[0] - x) < 40 and abs(middle[1] - y) < 40


def test_a_face_in_the_dark_is_found(photo):
    dark = (scene((photo, 110, 600, 330)) * 0.08).astype(np.uint8)
    finder = FaceFinder()
    assert [finder.look(dark, i / 25, 1.0) for i in range(4)][-1].points is not None


def test_parts_cover_the_image_with_what_neighbours_share():
    for width, height in ((1280, 720), (1920, 1080), (640, 480), (320, 240), (480, 640)):
        seen = np.zeros((height, width), int)
        for x0, y0, x1, y1 in _parts(width, height):
            seen[max(y0, 0) : y1, max(x0, 0) : x1] += 1
        assert seen.min() >= 1


def followed(follow, scenes, point=None, dwell=0.5):
    """Where across the face is that is followed in each scene, shown for 1.2 s each."""
    finder, where, new = FaceFinder(follow=follow, dwell=dwell), [], 0
    if point:
        finder.point = point
    time = 0.0
    for image in scenes:
        for _ in range(30):
            seen = finder.look(image, time, 1.0)
            where.append(None if seen.points is None else float(seen.points[:, 0].mean()))
            new += seen.new
            time += 0.04
    return where, new


def test_first_stays_with_whom_it_found(photo):
    alone = scene((photo, 90, 300, 360))
    both = scene((photo, 90, 300, 360), (photo, 150, 900, 360))
    where, new = followed("first", [alone, both, both])
    assert abs(where[-1] - 300) < 30 and new == 1


def test_the_larger_face_is_followed_after_a_while(photo):
    alone = scene((photo, 90, 300, 360))
    both = scene((photo, 90, 300, 360), (photo, 150, 900, 360))
    where, new = followed("largest", [alone, both])
    changed = next(i for i, x in enumerate(where) if x > 600)
    assert 30 + 12 <= changed <= 30 + 25 and new == 2  # a dwell of half a second, and a look each 0.4 s
    assert min(where[changed:]) > 600  # once, not to and fro


def test_nearly_as_large_is_not_larger(photo):
    both = scene((photo, 100, 300, 360), (photo, 105, 900, 360))
    _, new = followed("largest", [both, both])
    assert new == 1


def test_the_face_nearest_to_the_middle_or_to_a_point_is_followed(photo):
    both = scene((photo, 140, 200, 360), (photo, 90, 700, 360))
    assert abs(followed("middle", [both, both])[0][-1] - 700) < 30
    assert abs(followed("topic", [both, both], (0.1, 0.5))[0][-1] - 200) < 30
    assert abs(followed("topic", [both, both], (0.6, 0.5))[0][-1] - 700) < 30


CROWD = ((60, 130, 200), (95, 420, 430), (140, 800, 380), (45, 620, 200), (75, 1120, 300))  # pixels chin to brows, x, y


def crowd(photo, *without):
    return scene(*((photo, *place) for i, place in enumerate(CROWD) if i not in without))


@pytest.mark.parametrize("follow, point, x", [("largest", None, 800), ("middle", None, 620)])
def test_among_five_people(photo, follow, point, x):
    """Whoever was alone at first: the largest of five, or the far one in the middle, once and for good."""
    where, new = followed(follow, [scene((photo, *CROWD[1])), crowd(photo), crowd(photo)], point)
    assert abs(where[25] - 420) < 30 and abs(where[-1] - x) < 30 and new == 2
    changed = next(i for i, place in enumerate(where) if abs(place - x) < 30)
    assert 30 + 12 <= changed <= 30 + 45  # after the dwell, and as many looks as it takes to see all


def test_whoever_is_pointed_at_among_five_is_followed(photo):
    finder, image, time = FaceFinder(follow="topic", dwell=0.5), crowd(photo), 0.0
    for _, x, y in CROWD:
        finder.point = (x / 1280, y / 720)
        seen = []
        for _ in range(60):
            seen.append(finder.look(image, time, 1.0))
            time += 0.04
        assert abs(seen[-1].points[:, 0].mean() - x) < 30
        assert sum(s.new for s in seen[20:]) <= 1  # who is found first is not yet the one
    assert seen[-1].faces == 5


@pytest.mark.parametrize("follow, then", [("first", 420), ("largest", 420), ("middle", 620)])
def test_when_the_one_followed_leaves_the_next_is_chosen_by_the_rule(photo, follow, then):
    """The largest goes; the wait is as long as it may only have turned away."""
    where, _ = followed(follow, [scene((photo, *CROWD[2])), crowd(photo, 2), crowd(photo, 2), crowd(photo, 2)])
    assert abs(where[25] - 800) < 30 and where[31] is None and abs(where[-1] - then) < 30


def test_a_crowd_that_comes_and_goes_takes_nobody_away_from_the_first(photo):
    where, new = followed("first", [scene((photo, *CROWD[0])), crowd(photo), crowd(photo, 1, 4), crowd(photo, 2)])
    assert new == 1 and max(abs(x - 130) for x in where[8:]) < 30


def test_a_change_of_person_does_not_jump(avatar, photo):
    turned = avatar.render(rig.pose(headYaw=0.3))
    tracker = FaceTracker(follow="largest", dwell=0.3)
    scenes = [scene((photo, 90, 300, 360))] * 40 + [scene((photo, 90, 300, 360), (turned, 150, 900, 360))] * 60
    motions = np.array([tracker.track(image, i / 25).motion for i, image in enumerate(scenes)])
    assert np.abs(np.diff(motions[5:], axis=0)).max() < 0.3


def test_wrong_parameters_are_named():
    assert FOLLOW == ("first", "largest", "middle", "topic")
    with pytest.raises(InputError, match="follow is 'nearest'"):
        FaceFinder(follow="nearest")
    with pytest.raises(InputError, match="dwell"):
        FaceFinder(dwell=-1.0)


def speech(avatar, rate: float, seconds: float = 5.0):
    """What a camera of so many images per second sees of somebody who speaks and turns the head."""
    t = np.arange(round(rate * seconds)) / rate
    jaw = 0.25 * (1 + np.sin(2 * np.pi * 1.1 * t)) * (0.6 + 0.4 * np.sin(2 * np.pi * 0.3 * t))
    return [avatar.render(rig.pose(jawOpen=j, headYaw=0.25 * np.sin(2 * np.pi * 0.4 * s))) for j, s in zip(jaw, t)]


def test_cameras_of_5_to_60_images_a_second_give_the_same_motion_and_confidence(avatar):
    """With the face at rest learned from those images."""
    spread = {}
    for rate in (25, 60, 12.5, 25 / 3, 5):
        tracker = FaceTracker()
        faces = [tracker.track(image, i / rate) for i, image in enumerate(speech(avatar, rate))]
        assert np.mean([f.confidence > A_FACE for f in faces]) >= 0.97
        motions = np.array([f.motion for f in faces])
        spread[rate] = motions[:, [rig.INDEX["jawOpen"], rig.INDEX["headYaw"]]].std(axis=0)
    for rate in spread:
        np.testing.assert_allclose(spread[rate], spread[25], rtol=0.10, err_msg=f"{rate:.3g} images a second")
