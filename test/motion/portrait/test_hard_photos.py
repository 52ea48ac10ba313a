"""Photos that are hard to animate, made of the one in the box: each fault that they showed is a number on drawn pixels."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.portrait.avatar import PortraitAvatar
from avatar_forcing_ros.motion.portrait.lips import with_wide_mouth
from avatar_forcing_ros.motion.portrait.matte import continued
from avatar_forcing_ros.motion.portrait.mesh import child_of, reach, wears_glasses
from avatar_forcing_ros.motion.portrait.photo import read_picture
from avatar_forcing_ros.motion.tracking.mesh import (
    EYE_OUTER_LEFT,
    EYE_OUTER_RIGHT,
    FACE_OVAL,
    INNER_LIP_LOWER,
    LOWER_LID,
    MOUTH_CORNER,
    OUTER_LIP_LOWER,
    UPPER_LID,
    find_face,
)

ASSETS = Path(__file__).parents[3] / "avatar_forcing_ros" / "assets"
SIZE = 384
LAUGH = dict(mouthSmileLeft=1.0, mouthSmileRight=1.0, jawOpen=0.45, mouthUpperUp=0.6)
OPEN_SMILE = dict(mouthSmileLeft=0.9, mouthSmileRight=0.9, jawOpen=0.12, mouthUpperUp=0.6, mouthLowerDown=0.2)


def eye_distance(points):
    return float(np.linalg.norm(points[EYE_OUTER_LEFT, :2] - points[EYE_OUTER_RIGHT, :2]))


# ---- a turned head -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("yaw", [0.5, -0.5])  # turned farther, the least smile counts, which may use more of the way
def test_a_laugh_stays_on_this_side_of_the_far_cheek(avatar, yaw):
    """Of the way from the far corner of the mouth to the cheek's outline a third is used at most; the near side laughs."""
    side = PortraitAvatar(avatar.render(rig.pose(headYaw=yaw)), SIZE)
    side = PortraitAvatar(side.render(rig.pose(headYaw=0.3 * yaw)), SIZE)  # farther than one photo turns
    rest, laugh = side.points(rig.neutral()), side.points(rig.pose(mouthSmileLeft=1.0, mouthSmileRight=1.0))
    far, near = (MOUTH_CORNER["Left" if (yaw > 0) == way else "Right"] for way in (True, False))
    assert 1 / reach(rest[far, :2], (laugh - rest)[far, :2], rest[FACE_OVAL, :2]) < 0.4
    assert np.linalg.norm((laugh - rest)[near, :2]) > 0.08 * eye_distance(rest)


def test_the_way_to_an_outline():
    square = np.array([[0, 0], [4, 0], [4, 4], [0, 4]], float)
    assert reach(np.array([1.0, 1.0]), np.array([1.5, 0.0]), square) == pytest.approx(2.0)
    assert reach(np.array([1.0, 1.0]), np.array([-0.5, -0.5]), square) == pytest.approx(2.0)
    assert reach(np.array([5.0, 1.0]), np.array([1.0, 0.0]), square) == 0.0


# ---- teeth -------------------------------------------------------------------------------------------------------------


def edge_of_teeth(one: PortraitAvatar, latent: np.ndarray) -> np.ndarray:
    """Lowest row of the upper teeth in each column of the mouth's middle, in D below the highest of these; NaN without teeth."""
    picture, points = one.render(latent), one.points(latent)
    x, wide = points[[13, 14], 0].mean(), 0.19 * eye_distance(points)
    x0, x1 = int(x - wide), int(x + wide)
    top, bottom = int(points[13, 1]), int(points[14, 1])
    inside = cv2.cvtColor(picture[top:bottom, x0:x1], cv2.COLOR_RGB2HSV)
    teeth = (inside[..., 1] < 90) & (inside[..., 2] > 110)
    lowest = np.where(teeth.any(axis=0), bottom - top - 1 - teeth[::-1].argmax(axis=0), np.nan)
    return (lowest - np.nanmin(lowest)) / eye_distance(points)


def test_upper_teeth_end_in_an_arc_and_not_in_a_bar(avatar):
    edge = edge_of_teeth(avatar, rig.pose(**LAUGH))
    middle = len(edge) // 2
    assert np.isfinite(edge).mean() > 0.9  # they are there
    front, sides = (np.nanmedian(e) for e in (edge[middle - 4 : middle + 5], np.concatenate([edge[:4], edge[-4:]])))
    assert front - sides > 0.025


@pytest.fixture(scope="module")
def laughing(avatar):
    return PortraitAvatar(
        avatar.render(rig.pose(jawOpen=0.35, mouthSmileLeft=0.8, mouthSmileRight=0.8, mouthUpperUp=0.5)), SIZE
    )


def test_a_lip_that_rises_uncovers_one_row_of_teeth(laughing):
    """The photo's own teeth go on behind the lip; no second, drawn row shows above them."""
    assert laughing._mouth._photo_teeth is not None
    latent = rig.pose(**{**LAUGH, "mouthUpperUp": 1.0})
    picture, points = laughing.render(latent).astype(float).mean(axis=2), laughing.points(latent)
    x, top = int(points[13, 0]), int(points[13, 1])
    for column in range(x - 24, x + 25, 4):
        down = picture[top + 3 : int(points[14, 1]), column - 1 : column + 2].mean(axis=1)
        bright = down > 0.6 * down.max()
        assert np.diff(bright.astype(int)).clip(0).sum() <= 1, column


def squeezed(picture: np.ndarray) -> np.ndarray:
    """A picture whose face is built as a child's: short below the eyes, with a narrow mouth."""
    points = find_face(picture)
    unit, eyes = eye_distance(points), float(points[[EYE_OUTER_LEFT, EYE_OUTER_RIGHT], 1].mean())
    height, width = picture.shape[:2]
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    below = np.clip((ys - eyes) / unit, 0.0, 1.3)
    mouth = points[[13, 14], :2].mean(axis=0)
    near = np.exp(
        -(((xs - mouth[0]) / (0.4 * unit)) ** 2) - ((ys - (eyes + (mouth[1] - eyes) * 0.85)) / (0.2 * unit)) ** 2
    )
    from_x = mouth[0] + (xs - mouth[0]) * (1 + 0.25 * near)
    return cv2.remap(
        picture,
        from_x.astype(np.float32),
        (ys + 0.17 * unit * below).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def test_a_child_has_small_teeth_that_stand_apart(avatar, picture):
    child = PortraitAvatar(squeezed(picture), SIZE)
    assert child_of(find_face(child.photo)) > 0.6
    assert child_of(find_face(avatar.photo)) == 0.0
    heights, gaps = [], []
    for one in (avatar, child):
        row = one._mouth._upper
        red, green = row[..., 0], row[..., 1] * one._mouth._light[0] / one._mouth._light[1]
        whole = (green > 0.8 * red) & (red > 0.6 * red.max()) & (row[..., 3] > 0.9)  # enamel: gum is redder
        middle = row.shape[1] // 2
        heights.append(
            whole[:, middle - int(0.06 * one._unit) : middle + int(0.06 * one._unit)].sum(axis=0).max() / one._unit
        )
        across = row[int((one._mouth._above - 0.03) * one._unit), :, :3].mean(axis=1)
        span = across[middle - int(0.1 * one._unit) : middle + int(0.1 * one._unit)]
        gaps.append(span.min() / span.max())
    assert heights[1] < 0.8 * heights[0]
    assert gaps[1] < gaps[0]


# ---- glasses -----------------------------------------------------------------------------------------------------------


def with_glasses(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the picture with a dark frame drawn on it, the frame's mask)."""
    points = find_face(picture)
    unit = eye_distance(points)
    frame = np.zeros(picture.shape[:2], np.uint8)
    width = max(2, round(0.025 * unit))
    centres = []
    for side in ("Right", "Left"):
        centre = points[UPPER_LID[side] + LOWER_LID[side], :2].mean(axis=0) + (0, 0.06 * unit)
        cv2.ellipse(
            frame, tuple(map(int, centre)), (int(0.27 * unit), int(0.19 * unit)), 0, 0, 360, 1, width, cv2.LINE_AA
        )
        centres.append(centre)
    bridge = [tuple(map(int, c + (way * 0.25 * unit, -0.06 * unit))) for c, way in zip(centres, (1, -1))]
    cv2.line(frame, *bridge, 1, width, cv2.LINE_AA)
    glasses = picture.copy()
    glasses[frame > 0] = (30, 26, 28)
    return glasses, frame


def test_lids_and_cheeks_leave_glasses_as_they_are(picture):
    glasses, _ = with_glasses(picture)
    one = PortraitAvatar(glasses, SIZE)
    assert wears_glasses(one.photo, find_face(one.photo))
    rest = one.render(rig.neutral()).astype(int)
    points = find_face(one.photo)
    frame = (rest.mean(axis=2) < 60).astype(np.uint8)
    for side in ("Right", "Left"):  # lashes and irises are dark as well
        cv2.fillPoly(frame, [points[UPPER_LID[side] + LOWER_LID[side][::-1], :2].astype(np.int32)], 0)
        cv2.polylines(frame, [points[UPPER_LID[side] + LOWER_LID[side][::-1], :2].astype(np.int32)], True, 0, 9)
    near = np.zeros_like(frame)
    cv2.fillConvexPoly(near, cv2.convexHull(points[[117, 346, 70, 300, 143, 372], :2].astype(np.int32)), 1)
    where = (frame & near) > 0
    assert where.sum() > 200
    for motion in (
        dict(eyeBlinkLeft=1.0, eyeBlinkRight=1.0),
        dict(gazeY=-0.8),
        dict(mouthSmileLeft=1.0, mouthSmileRight=1.0),
    ):
        moved = one.render(rig.pose(**motion)).astype(int)
        assert np.abs(moved - rest)[where].mean() < 6.0, motion
    shut = one.points(rig.pose(eyeBlinkLeft=1.0, eyeBlinkRight=1.0))
    assert (shut[LOWER_LID["Left"][4]] - shut[UPPER_LID["Left"][4]])[1] < 0.02 * eye_distance(points)


def test_a_bare_face_wears_no_glasses(avatar):
    assert not wears_glasses(avatar.photo, find_face(avatar.photo))
    user = read_picture(ASSETS / "user.jpg")
    assert not wears_glasses(user, find_face(user))


# ---- a wide open mouth -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shout(avatar):
    """A photo of a shout, made, and the landmarks as they were drawn (478, 3)."""
    latent = rig.pose(jawOpen=0.9)
    drawn = avatar.render(latent)
    points = find_face(drawn)
    points[:468] = avatar.points(latent)
    return drawn, points


def test_lips_that_the_mesh_puts_into_the_mouth_are_found(shout):
    picture, points = shout
    unit = eye_distance(points)
    wrong = points.copy()
    arch = np.sin(np.linspace(0.0, np.pi, len(INNER_LIP_LOWER)))
    for contour in (INNER_LIP_LOWER, OUTER_LIP_LOWER):
        wrong[contour, 1] -= 0.07 * unit * arch
    found = with_wide_mouth(picture, wrong, unit)
    off = np.abs(found - points)[INNER_LIP_LOWER[3:-3], 1] / unit
    assert off.max() < 0.03
    assert np.abs(wrong - points)[INNER_LIP_LOWER[3:-3], 1].min() / unit > 0.05  # it was wrong
    assert np.abs(found - wrong)[[1, 33, 263, 152], :2].max() < 0.01 * unit  # the rest of the face stays


def test_lips_that_meet_only_at_rest_make_a_line(shout, laughing):
    for one in (PortraitAvatar(shout[0], SIZE), laughing):
        picture, points = one.render(rig.neutral()).astype(float).mean(axis=2), one.points(rig.neutral())
        unit = eye_distance(points)
        x, y = ((points[13] + points[14]) / 2)[:2].astype(int)
        across = picture[:, x - 6 : x + 7].mean(axis=1)
        line = across[y - 2 : y + 3].min()
        lips = across[y - int(0.05 * unit)], across[y + int(0.05 * unit)]
        assert line < 0.85 * np.mean(lips)
        lip = one.points(rig.neutral())
        assert (lip[17] - lip[14])[1] > 0.06 * unit and (lip[13] - lip[0])[
            1
        ] > 0.055 * unit  # and are not stretched thin


# ---- a neck at the border ----------------------------------------------------------------------------------------------


def test_a_person_goes_on_beyond_the_border_without_streaks():
    random = np.random.default_rng(2)
    layer = np.zeros((120, 120, 4), np.uint8)
    layer[..., :3] = 120 + 30 * random.standard_normal((120, 120, 1)).clip(-3, 3)
    layer[20:, 30:90, 3] = 255
    wide = continued(layer, 24, 40, 60.0)
    assert np.array_equal(wide[40:-40, 40:-40], layer)
    assert (wide[-40:, 40 + 30 : 40 + 90, 3] == 255).all() and (wide[-40:, : 40 + 28, 3] == 0).all()
    below = wide[-32:-18, 80:120, 0].astype(float)
    assert below.mean(axis=0).std() < 0.35 * layer[-1, 40:80, 0].std()  # the border's pixels are not drawn out
    assert below.std(axis=0).mean() > 1.0  # nor is it a blur
    assert abs(below.mean() - layer[-20:, 40:80, 0].mean()) < 12


def test_a_neck_that_a_raised_chin_draws_in_is_no_streak(shout):
    """A shout cut off close below its chin: at rest the chin rises, and what was beyond the border comes into the picture."""
    picture, points = shout
    chin = int(points[152, 1] + 0.06 * eye_distance(points))
    random = np.random.default_rng(3)
    grain = random.normal(0, 9, picture.shape[:2])[..., None]
    cut = np.clip(picture + grain, 0, 255).astype(np.uint8)[: min(chin, len(picture))]
    one = PortraitAvatar(cut, SIZE)
    rest, drawn = one.render(rig.neutral()).astype(float).mean(axis=2), one.points(rig.neutral())
    x, half = int(drawn[152, 0]), int(0.2 * eye_distance(drawn))
    band = rest[int(drawn[152, 1] + 0.08 * eye_distance(drawn)) : SIZE - 2, x - half : x + half]
    assert len(band) >= 6
    across, along = np.abs(np.diff(band, axis=1)).mean(), np.abs(np.diff(band, axis=0)).mean()
    assert across < 2.5 * along
