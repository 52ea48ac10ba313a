"""The drawn face: every coefficient shows, sides are right, sizes and themes are free, bad input is named."""

import cv2
import numpy as np
import pytest

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.screen.avatar import ScreenFaceAvatar
from avatar_forcing_ros.motion.screen.theme import Theme, theme_names

THEMES = theme_names()


@pytest.fixture(scope="module", params=THEMES)
def avatar(request):
    return ScreenFaceAvatar(256, request.param)


def change(avatar, **values) -> np.ndarray:
    """How much each pixel differs from the neutral face, (H, W)."""
    difference = avatar.render(rig.pose(**values)).astype(int) - avatar.render(rig.neutral())
    return np.abs(difference).max(axis=2)


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """A face whose pupils, nose and mouth have colours that nothing else has."""
    path = tmp_path_factory.mktemp("theme") / "marked.yaml"
    path.write_text(
        "background: '#000000'\nhead: '#808080'\nhead_edge: '#808080'\ncheek_strength: 0.0\n"
        "pupil: '#ff00ff'\nmouth_inside: '#00ff00'\ntongue: '#00ff00'\nnose: '#ffff00'\n"
    )
    return ScreenFaceAvatar(512, path)


MAGENTA, GREEN, YELLOW = (255, 0, 255), (0, 255, 0), (255, 255, 0)


def where(image, colour) -> np.ndarray:
    """(N, 2) positions x, y of the pixels that have a colour."""
    return np.argwhere(np.abs(image.astype(int) - colour).max(axis=2) <= 40)[:, ::-1]


def test_two_themes_or_more_come_with_the_package():
    assert len(THEMES) >= 2


@pytest.mark.parametrize(
    "size, shape", [(64, (64, 64, 3)), (513, (513, 513, 3)), ((800, 480), (480, 800, 3)), ((240, 432), (432, 240, 3))]
)
def test_any_size(size, shape):
    image = ScreenFaceAvatar(size).render(rig.pose(jawOpen=0.5))
    assert image.shape == shape and image.dtype == np.uint8
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 50  # a face, not a plain screen


@pytest.mark.parametrize("name", rig.NAMES)
def test_every_coefficient_shows(avatar, name):
    value = rig.HIGH[rig.INDEX[name]] * (1.0 if name[:4] not in ("head",) else 0.4)
    assert (change(avatar, **{name: float(value)}) > 40).sum() > 60


def test_left_and_right_are_the_persons_own(avatar, marked):
    """mouthSmileLeft acts at image right; gaze and turn to + go to image right."""
    middle = avatar.width // 2
    for name in ("eyeBlink", "eyeWide", "eyeSquint", "browDown", "browOuterUp"):
        moved = change(avatar, **{name + "Left": 1.0})
        assert moved[:, :middle].sum() < 0.02 * moved.sum(), name
    for name in ("mouthSmile", "mouthStretch", "mouthFrown"):
        moved = change(avatar, **{name + "Left": 1.0})
        assert moved[:, middle:].sum() > 1.5 * moved[:, :middle].sum(), name
    for name in ("headYaw", "headX", "gazeX"):
        rest = where(marked.render(rig.neutral()), MAGENTA)[:, 0].mean()
        there = where(marked.render(rig.pose(**{name: 0.3})), MAGENTA)[:, 0].mean()
        assert there > rest + 4, name


def test_mirrored_motion_is_the_mirrored_picture(avatar):
    rng = np.random.default_rng(3)
    motion = rig.clamp(rng.normal(0, 0.3, rig.DIM)).astype(np.float32)
    picture, mirrored = avatar.render(motion), avatar.render(rig.mirror(motion))
    assert np.abs(picture[:, ::-1].astype(int) - mirrored).mean() < 2.5  # the lights in the eyes do not mirror


def test_nose_up_is_up_and_roll_is_clockwise(marked):
    def middle_of_pupils(**values):
        return where(marked.render(rig.pose(**values)), MAGENTA).mean(axis=0)

    assert middle_of_pupils(headPitch=0.3)[1] < middle_of_pupils()[1] - 8
    assert middle_of_pupils(headY=0.2)[1] < middle_of_pupils()[1] - 8
    assert middle_of_pupils(gazeY=1.0)[1] < middle_of_pupils()[1] - 4
    assert middle_of_pupils(headRoll=0.3)[0] > middle_of_pupils()[0] + 4  # the eyes lie above the middle


def test_a_turn_moves_the_nose_farther_than_the_outline(marked):
    def outline_and_nose(image):
        columns = np.flatnonzero(image[256].max(axis=1) > 60)
        return (columns[0] + columns[-1]) / 2, where(image[:320], YELLOW)[:, 0].mean()

    outline, nose = outline_and_nose(marked.render(rig.neutral()))
    outline_there, nose_there = outline_and_nose(marked.render(rig.pose(headYaw=0.25)))
    assert nose_there - nose > 2 * (outline_there - outline) > 0


def test_the_mouth_is_closed_at_rest_and_opens_smoothly(marked):
    """No mouth inside at rest; opening in small steps never jumps."""
    inside = [len(where(marked.render(rig.pose(jawOpen=j)), GREEN)) for j in (0.0, 0.3, 1.0)]
    assert inside[0] == 0 and 50 < inside[1] < inside[2]
    steps = [marked.render(rig.pose(jawOpen=j)).astype(int) for j in np.linspace(0, 0.3, 31)]
    moved = [np.abs(b - a).mean() for a, b in zip(steps, steps[1:])]
    assert max(moved) < 4 * np.median(moved) + 0.05


def test_a_blink_closes_the_eyes(marked):
    seen = [len(where(marked.render(rig.pose(eyeBlinkLeft=b, eyeBlinkRight=b)), MAGENTA)) for b in (0.0, 0.5, 1.0)]
    assert seen[0] > seen[1] > seen[2] == 0


def test_sizes_agree():
    """The same face at half the size is the same picture, smaller."""
    motion = rig.pose(jawOpen=0.4, headYaw=0.2, mouthSmileLeft=0.6, gazeX=0.5)
    for theme in THEMES:
        large, small = ScreenFaceAvatar(512, theme).render(motion), ScreenFaceAvatar(256, theme).render(motion)
        shrunk = cv2.resize(large, (256, 256), interpolation=cv2.INTER_AREA)
        assert np.abs(shrunk.astype(int) - small).mean() < 2.0


def test_extreme_motion_is_drawn():
    for theme in THEMES:
        avatar = ScreenFaceAvatar((200, 120), theme)
        for motion in (rig.LOW, rig.HIGH, 100 * rig.HIGH, 100 * rig.LOW):
            assert avatar.render(motion).shape == (120, 200, 3)


@pytest.mark.parametrize("motion", [np.zeros(31), np.zeros((1, 32)), np.full(32, np.nan)])
def test_a_wrong_latent_is_named(motion):
    with pytest.raises(InputError, match="32 finite values"):
        ScreenFaceAvatar(64).render(motion)


@pytest.mark.parametrize("size", [0, 8, (640, -1), 100_000])
def test_a_wrong_size_is_named(size):
    with pytest.raises(InputError, match="pixels"):
        ScreenFaceAvatar(size)


@pytest.mark.parametrize(
    "text, message",
    [
        ("background: '#ffffff'\nhead: '#ffffff'\nhead_edge: '#eeeeee'\neyes: large\n", "no key eyes"),
        ("background: white\nhead: '#ffffff'\nhead_edge: '#eeeeee'\n", "background is 'white'"),
        ("background: '#ggffff'\nhead: '#ffffff'\nhead_edge: '#eeeeee'\n", "background"),
        ("background: '#ffffff'\nhead: '#ffffff'\nhead_edge: '#eeeeee'\neye_width: wide\n", "eye_width is wide"),
        ("background: '#ffffff'\nhead: '#ffffff'\nhead_edge: '#eeeeee'\neye_width: .nan\n", "eye_width is nan"),
        ("head: '#ffffff'\n", "add background, head_edge"),
        ("- a\n- b\n", "holds no keys"),
        ("a: [", "not readable YAML"),
    ],
)
def test_a_wrong_theme_is_named(tmp_path, text, message):
    path = tmp_path / "theme.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        Theme.load(path)


def test_an_unknown_theme_lists_the_known_ones():
    with pytest.raises(InputError, match="lumen, sunny"):
        ScreenFaceAvatar(64, "no_such_theme")


def test_own_theme_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("background: '#102030'\nhead: '#405060'\nhead_edge: '#405060'\n")
    image = ScreenFaceAvatar(128, path).render(rig.neutral())
    assert tuple(image[0, 0]) == (0x10, 0x20, 0x30)


def test_expressions_are_told_apart_at_three_metres(avatar):
    """A face 13 cm high, seen at 3 m, spans 150 arc minutes: a tired eye sees 50 points of it."""
    poses = {
        "rest": {},
        "smile": {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9},
        "speech": {"jawOpen": 0.4},
        "round": {"mouthFunnel": 0.8, "jawOpen": 0.2},
        "asleep": {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
        "sad": {"mouthFrownLeft": 0.9, "mouthFrownRight": 0.9, "browInnerUp": 0.9},
        "surprise": {"jawOpen": 0.4, "browInnerUp": 1.0, "browOuterUpLeft": 1.0, "browOuterUpRight": 1.0},
        "aside": {"gazeX": 0.9, "headYaw": 0.3},
        "tilted": {"headRoll": 0.3},
    }
    far = {}
    for name, pose in poses.items():
        far[name] = cv2.resize(avatar.render(rig.pose(**pose)), (50, 50), interpolation=cv2.INTER_AREA).astype(float)
    names = list(far)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            apart = cv2.blur(np.abs(far[first] - far[second]).max(axis=2), (3, 3)).max()
            assert apart > 20, (first, second)


def test_breath_moves_the_face_a_little(avatar):
    frames = [avatar.render(rig.neutral(), f).astype(int) for f in (0, 30, 55)]
    changes = [np.abs(b - a).mean() for a, b in zip(frames, frames[1:])]
    assert 0 < max(changes) < 4
    assert np.array_equal(avatar.render(rig.neutral(), 30), frames[1].astype(np.uint8))
