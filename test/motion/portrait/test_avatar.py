"""The animated photo: neutral is the photo, coefficients do what rig.py says, odd sources work or are refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.portrait.avatar import PortraitAvatar
from avatar_forcing_ros.motion.portrait.photo import read_picture
from avatar_forcing_ros.motion.tracking.mesh import (
    EYE_OUTER_LEFT,
    EYE_OUTER_RIGHT,
    INNER_LIP_LOWER,
    INNER_LIP_UPPER,
    LOWER_LID,
    UPPER_LID,
    find_face,
    triangles,
)

ASSETS = Path(__file__).parents[3] / "avatar_forcing_ros" / "assets"
SIZE = 384


@pytest.fixture(scope="module")
def neutral_points(avatar):
    return find_face(avatar.render(rig.neutral()))


def eye_distance(points):
    return np.linalg.norm(points[EYE_OUTER_LEFT] - points[EYE_OUTER_RIGHT])


def middle_gap(points):
    return (points[14] - points[13])[1]


def difference(a, b):
    return np.abs(a.astype(int) - b.astype(int))


def test_neutral_is_the_photo(avatar):
    apart = difference(avatar.render(rig.neutral()), avatar.photo)
    assert apart.mean() < 1.0
    assert np.percentile(apart, 99) <= 12


def test_same_latent_gives_the_same_picture_whatever_came_before(avatar):
    latent = rig.pose(headYaw=0.2, jawOpen=0.3, eyeBlinkLeft=0.4)
    first = avatar.render(latent)
    avatar.render(rig.pose(headYaw=-0.4, mouthPucker=1.0))
    assert np.array_equal(avatar.render(latent), first)
    assert first.shape == (SIZE, SIZE, 3) and first.dtype == np.uint8


def test_a_small_change_of_the_latent_is_a_small_change_of_the_picture(avatar):
    """No jump: opening the mouth, closing the eyes and turning in steps changes the picture evenly."""
    steps = [
        avatar.render(rig.pose(jawOpen=0.25 * t, eyeBlinkLeft=t, eyeBlinkRight=t, headYaw=0.2 * t))
        for t in np.linspace(0, 1, 41)
    ]
    changes = np.array([difference(a, b).mean() for a, b in zip(steps, steps[1:])])
    assert changes.max() < 2.5 * np.median(changes)


@pytest.mark.parametrize(
    "motion",
    [
        dict(headYaw=0.26),
        dict(headYaw=-0.26, headPitch=0.15),
        dict(headRoll=0.2, headX=0.2),
        dict(jawOpen=0.6),
        dict(headScale=0.1),
    ],
)
def test_the_background_stays(avatar, motion):
    """Corners far from the person do not change at all."""
    frame = avatar.render(rig.pose(**motion))
    edge = SIZE // 8
    for corner in (np.s_[:edge, :edge], np.s_[:edge, -edge:]):
        assert difference(frame[corner], avatar.photo[corner]).max() <= 2


@pytest.mark.parametrize("value", [0.2, 0.4, 0.6])
def test_jaw_opens_the_inner_lips_as_defined(avatar, neutral_points, value):
    unit = eye_distance(neutral_points)
    points = find_face(avatar.render(rig.pose(jawOpen=value)))
    opened = (middle_gap(points) - middle_gap(neutral_points)) / unit
    assert opened == pytest.approx(0.45 * value, rel=0.25, abs=0.06)  # the mesh sees a narrow gap wider


def test_mouth_interior_is_dark_only_when_open(avatar, neutral_points):
    """At rest nothing of the cavity shows; open, the middle of the mouth is darker than the lips."""
    unit = eye_distance(neutral_points)
    opened = avatar.render(rig.pose(jawOpen=0.5))
    x, y = ((neutral_points[13] + neutral_points[14]) / 2)[:2]
    inside = opened[int(y + 0.10 * unit), int(x)].mean()
    before = avatar.photo[int(y + 0.10 * unit), int(x)].mean()
    assert inside < 0.6 * before


@pytest.mark.parametrize("side", ["Left", "Right"])
def test_blink_closes_that_eye_only(avatar, neutral_points, side):
    other = "Right" if side == "Left" else "Left"

    def gap(points, which):
        return np.mean(
            [points[low][1] - points[up][1] for up, low in zip(UPPER_LID[which][2:-2], LOWER_LID[which][2:-2])]
        )

    points = find_face(avatar.render(rig.pose(**{f"eyeBlink{side}": 1.0})))
    assert gap(points, side) < 0.55 * gap(neutral_points, side)
    assert gap(points, other) > 0.75 * gap(neutral_points, other)


def test_closed_eye_shows_no_iris(avatar, neutral_points):
    """The pupil's place takes the brightness of skin."""
    closed = avatar.render(rig.pose(eyeBlinkLeft=1.0, eyeBlinkRight=1.0))
    for centre in (468, 473):
        x, y = neutral_points[centre, :2].astype(int)
        patch = np.s_[y - 2 : y + 1, x - 2 : x + 3]
        assert closed[patch].mean() > avatar.photo[patch].mean() + 15


@pytest.mark.parametrize(("value", "sign"), [(0.8, 1), (-0.8, -1)])
def test_gaze_moves_both_irises_toward_the_side(avatar, neutral_points, value, sign):
    points = find_face(avatar.render(rig.pose(gazeX=value)))
    for iris in (468, 473):
        assert sign * (points[iris] - neutral_points[iris])[0] > 0.02 * eye_distance(neutral_points)


def test_smile_moves_corners_out_and_up(avatar, neutral_points):
    points = find_face(avatar.render(rig.pose(mouthSmileLeft=1.0, mouthSmileRight=1.0)))
    moved = (points - neutral_points) / eye_distance(neutral_points)
    for corner, outward in ((61, -1), (291, 1)):
        assert outward * moved[corner, 0] == pytest.approx(0.10, abs=0.05)
        assert -moved[corner, 1] == pytest.approx(0.10, abs=0.05)


@pytest.mark.parametrize(
    ("name", "value", "axis", "expected"),
    [("headX", 0.3, 0, 0.3), ("headX", -0.3, 0, -0.3), ("headY", 0.2, 1, -0.2)],
)
def test_shift_is_in_eye_distances(avatar, neutral_points, name, value, axis, expected):
    points = find_face(avatar.render(rig.pose(**{name: value})))
    moved = (points - neutral_points)[:, axis].mean() / eye_distance(neutral_points)
    assert moved == pytest.approx(expected, abs=0.04)


@pytest.mark.parametrize("roll", [-0.25, 0.25])
def test_roll_is_clockwise_as_seen(avatar, roll):
    points = find_face(avatar.render(rig.pose(headRoll=roll)))
    across = points[EYE_OUTER_LEFT] - points[EYE_OUTER_RIGHT]
    neutral = find_face(avatar.photo)
    rest = neutral[EYE_OUTER_LEFT] - neutral[EYE_OUTER_RIGHT]
    assert np.arctan2(across[1], across[0]) - np.arctan2(rest[1], rest[0]) == pytest.approx(roll, abs=0.04)


@pytest.mark.parametrize("sign", [-1, 1])
def test_yaw_turns_the_nose_toward_the_side(avatar, neutral_points, sign):
    points = find_face(avatar.render(rig.pose(headYaw=0.25 * sign)))

    def nose_offset(p):
        return p[1, 0] - (p[EYE_OUTER_LEFT, 0] + p[EYE_OUTER_RIGHT, 0]) / 2

    assert sign * (nose_offset(points) - nose_offset(neutral_points)) > 0.06 * eye_distance(neutral_points)


def test_moving_by_parts_of_a_pixel_keeps_the_sharpness(avatar, picture):
    """A source finer than the picture: no shimmer between sharp and soft while the head drifts."""
    unit = eye_distance(find_face(avatar.photo))
    window = np.s_[SIZE // 8 : SIZE // 2, SIZE // 4 : 3 * SIZE // 4]
    detail = [
        np.abs(cv2.Laplacian(avatar.render(rig.pose(headX=shift / unit))[window].astype(np.float32), cv2.CV_32F)).mean()
        for shift in (0.0, 0.25, 0.5, 0.75)
    ]
    assert min(detail) > 0.9 * max(detail)


def test_any_latent_in_or_out_of_range_gives_a_picture(avatar):
    random = np.random.default_rng(3)
    for latent in random.uniform(-3, 3, (6, rig.DIM)):
        assert avatar.render(latent).shape == (SIZE, SIZE, 3)
    assert np.array_equal(avatar.render(np.full(rig.DIM, np.nan)), avatar.render(rig.neutral()))
    with pytest.raises(InputError, match="32"):
        avatar.render(np.zeros(31))


@pytest.mark.parametrize("size", [128, 300, 511])
def test_size_of_the_picture(picture, size):
    frame = PortraitAvatar(picture, size).render(rig.pose(jawOpen=0.3, headYaw=0.2))
    assert frame.shape == (size, size, 3)


def save(path, image):
    assert cv2.imwrite(str(path), image)
    return path


def test_odd_sources_give_the_same_face(picture, tmp_path):
    """Grey, transparent, 16 bits, tiny, huge, tilted: each is animated."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    alpha = np.dstack([bgr, np.full(bgr.shape[:2], 255, np.uint8)])
    alpha[:40, :, 3] = 0
    height, width = bgr.shape[:2]
    tilt = cv2.getRotationMatrix2D((width / 2, height / 2), 15, 1)
    sources = {
        "grey.png": cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY),
        "alpha.png": alpha,
        "deep.png": bgr.astype(np.uint16) * 257,
        "tiny.png": cv2.resize(bgr, (200, 200), interpolation=cv2.INTER_AREA),
        "huge.jpg": cv2.resize(bgr, (5000, 5000)),
        "tilted.png": cv2.warpAffine(bgr, tilt, (width, height), borderMode=cv2.BORDER_REPLICATE),
    }
    for name, image in sources.items():
        avatar = PortraitAvatar.from_file(save(tmp_path / name, image), 256)
        opened = find_face(avatar.render(rig.pose(jawOpen=0.5)))
        assert middle_gap(opened) > 0.1 * eye_distance(opened), name


def test_a_grey_photo_stays_grey(picture):
    grey = np.repeat(picture.mean(axis=2).astype(np.uint8)[..., None], 3, axis=2)
    frame = PortraitAvatar(grey, 256).render(rig.pose(jawOpen=0.7, mouthUpperUp=0.6, headYaw=0.2)).astype(int)
    assert np.ptp(frame, axis=2).max() <= 3


def test_a_photo_from_the_side_turns_less(avatar):
    side = PortraitAvatar(avatar.render(rig.pose(headYaw=0.55)), SIZE)
    turned = [find_face(a.render(rig.pose(headYaw=-0.35)))[1, 0] - find_face(a.photo)[1, 0] for a in (avatar, side)]
    assert turned[0] < turned[1] < 0


def test_a_face_from_the_side_stays_whole_when_it_turns_to_the_viewer(avatar):
    """What the photo shows edge-on is not stretched: no triangle that covers a part of the face grows to twice its width."""
    side = PortraitAvatar(avatar.render(rig.pose(headYaw=0.55)), SIZE)
    corners = side.points(rig.neutral())[triangles()], side.points(rig.pose(headYaw=-0.35))[triangles()]
    width = [np.ptp(c[:, :, 0], axis=1) for c in corners]
    assert (width[1] < 2.0 * width[0] + 0.01 * SIZE).all()


def test_the_largest_face_is_taken(picture):
    small = cv2.resize(picture, None, fx=0.55, fy=0.55, interpolation=cv2.INTER_AREA)
    both = np.full((picture.shape[0], picture.shape[1] + small.shape[1], 3), picture[5, 5], np.uint8)
    both[:, small.shape[1] :] = picture
    both[: small.shape[0], : small.shape[1]] = small[:, ::-1]
    face = find_face(both)
    assert face[:, 0].mean() > small.shape[1]


def test_no_face_is_told():
    noise = np.random.default_rng(0).integers(0, 255, (256, 320, 3), dtype=np.uint8)
    for image in (np.full((300, 300, 3), 128, np.uint8), noise):
        with pytest.raises(InputError, match="no face"):
            PortraitAvatar(image)


@pytest.mark.parametrize(
    "image", [np.zeros((20, 20, 3), np.uint8), np.zeros((200, 200), np.uint8), np.zeros((200, 200, 3), np.float32)]
)
def test_unfit_arrays_are_told(image):
    with pytest.raises(InputError):
        PortraitAvatar(image)


def test_unreadable_files_are_told(tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    empty = tmp_path / "empty.png"
    empty.write_bytes(b"")
    for path in (broken, empty, tmp_path / "missing.jpg", tmp_path):
        with pytest.raises(InputError, match=path.name):
            PortraitAvatar.from_file(path)


def test_both_people_of_the_package_have_a_calm_face():
    for name in ("portrait.jpg", "user.jpg"):
        path = ASSETS / name
        assert path.stat().st_size <= 250_000
        points = find_face(read_picture(path))
        unit = eye_distance(points)
        assert max(points[low][1] - points[up][1] for up, low in zip(INNER_LIP_UPPER, INNER_LIP_LOWER)) < 0.06 * unit
        for side in ("Left", "Right"):
            assert points[LOWER_LID[side][4]][1] - points[UPPER_LID[side][4]][1] > 0.05 * unit


@pytest.fixture(scope="module")
def laughing(avatar):
    """A photo of a laugh, made: its mouth is open and shows teeth."""
    return avatar.render(rig.pose(jawOpen=0.35, mouthSmileLeft=0.8, mouthSmileRight=0.8, mouthUpperUp=0.5))


def test_an_open_mouth_is_closed_at_rest_and_opens_again(laughing):
    source = find_face(laughing)
    other = PortraitAvatar(laughing, SIZE)
    rest, opened = (find_face(other.render(rig.pose(jawOpen=v))) for v in (0.0, 0.4))
    unit = eye_distance(source)
    assert middle_gap(source) > 0.15 * unit
    assert middle_gap(rest) < 0.05 * unit
    assert middle_gap(opened) > 0.12 * unit
    eyes = np.s_[: int(source[1, 1] - 0.1 * unit)]
    assert difference(other.render(rig.neutral())[eyes], other.photo[eyes]).mean() < 1.0


def test_the_photos_own_teeth_show_in_its_laugh(laughing):
    """Brighter than the darkness between the lips of the same face whose teeth are unknown would be."""
    other = PortraitAvatar(laughing, SIZE)
    picture = other.render(rig.pose(jawOpen=0.35, mouthSmileLeft=0.8, mouthSmileRight=0.8, mouthUpperUp=0.5))
    points = find_face(picture)
    x, y = points[13, :2]
    unit = eye_distance(points)
    teeth = picture[int(y + 0.03 * unit) : int(y + 0.06 * unit), int(x - 0.08 * unit) : int(x + 0.08 * unit)]
    assert teeth.mean() > 90


def test_rounding_takes_the_skin_beside_the_lips_along(avatar):
    """It holds the end of the line between the lips: left behind, the mouth stays as wide as that line is long."""
    rest, rounded = (avatar.points(rig.pose(mouthPucker=v)) for v in (0.0, 0.8))
    moved = (rounded - rest)[:, 0]
    for corner, skin, sign in ((61, 57, 1), (291, 287, -1)):
        assert sign * moved[corner] > 0.08 * eye_distance(rest)
        assert 0.9 < moved[skin] / moved[corner] < 1.1


def test_a_photo_that_smiles_stops_smiling_where_its_lips_are_round(avatar):
    smiling = PortraitAvatar(avatar.render(rig.pose(mouthSmileLeft=0.9, mouthSmileRight=0.9)), SIZE)
    falls = []
    for one in (avatar, smiling):
        rest, rounded = (one.points(rig.pose(mouthPucker=v)) for v in (0.0, 0.8))
        falls.append((rounded - rest)[[61, 291], 1].mean() / eye_distance(rest))
    assert abs(falls[0]) < 0.01
    assert falls[1] > 0.02


@pytest.fixture(scope="module")
def narrow(avatar):
    """A photo whose eyes are narrow, made; and the avatar of it."""
    return PortraitAvatar(avatar.render(rig.pose(eyeBlinkLeft=0.75, eyeBlinkRight=0.75)), SIZE)


def test_narrow_eyes_stay_open_when_they_look_down(narrow):
    lids = np.array([(UPPER_LID[side][4], LOWER_LID[side][4]) for side in ("Right", "Left")])
    rest, down = (np.diff(narrow.points(rig.pose(gazeY=v))[lids, 1])[:, 0] for v in (0.0, -1.0))
    assert (down > 0.45 * rest).all()
    assert (down < 0.9 * rest).all()


def test_shoulders_breathe_and_nothing_else_moves(avatar):
    frames = [avatar.render(rig.neutral(), frame).astype(int) for frame in range(0, 110, 10)]
    moved = np.ptp(frames, axis=0).max(axis=2)
    assert moved[SIZE * 9 // 10 :].max() > 3
    assert moved[: SIZE // 2].max() <= 1
    assert max(np.abs(b - a).mean() for a, b in zip(frames, frames[1:])) < 1.0
    assert np.array_equal(avatar.render(rig.neutral(), 40), avatar.render(rig.neutral(), 40))


def test_other_people_stay_in_the_background(picture):
    small = cv2.resize(picture, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    both = np.full((picture.shape[0], 2 * picture.shape[1] - 500, 3), picture[5, 5], np.uint8)
    both[-small.shape[0] :, -small.shape[1] :] = small[:, ::-1]
    both[:, : picture.shape[1] - 60] = picture[:, :-60]
    two = PortraitAvatar(both, SIZE)
    tilted = two.render(rig.pose(headRoll=0.3, headX=0.1))
    edge = np.s_[SIZE // 3 :, -SIZE // 10 :]
    assert difference(tilted[edge], two.photo[edge]).mean() < 2.0


@pytest.mark.parametrize(
    ("name", "closed"),
    [
        ("a2f2d_sample.png", True),
        ("single_face.jpg", False),
        ("face_no_surprise.jpg", False),
        ("multi_face.jpg", False),
    ],
)
def test_real_photos(name, closed, real_data):
    if real_data is None:
        pytest.skip("real photos are not here")
    avatar = PortraitAvatar.from_file(real_data / "portraits" / name, 320)
    neutral, rest = avatar.render(rig.neutral()), find_face(avatar.photo)
    seen = np.s_[:] if closed else np.s_[: int(rest[1, 1])]
    assert difference(neutral[seen], avatar.photo[seen]).mean() < 2.0
    assert middle_gap(find_face(neutral)) < max(0.06 * eye_distance(rest), 0.5 * middle_gap(rest))
    turned = find_face(avatar.render(rig.pose(headYaw=0.2)))
    offset = [p[1, 0] - (p[EYE_OUTER_LEFT, 0] + p[EYE_OUTER_RIGHT, 0]) / 2 for p in (rest, turned)]
    assert offset[1] - offset[0] > 0.03 * eye_distance(rest)
