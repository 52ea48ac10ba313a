"""What a face is told to do bends its motion, and lips that speak stay as they are."""

import numpy as np
import pytest

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.direction import EXPRESSIONS, GESTURES, Director, Expression, Gesture
from avatar_forcing_ros.motion.direction.director import VOICE_AHEAD
from avatar_forcing_ros.motion.direction.expressions import BASIC
from avatar_forcing_ros.timeline import FRAME_RATE

JAW, PITCH, YAW = (rig.INDEX[n] for n in ("jawOpen", "headPitch", "headYaw"))
LIPS = [i for n, i in rig.INDEX.items() if n.startswith(("jaw", "mouth")) and "Smile" not in n and "Frown" not in n]


def talk(seconds: float = 8.0) -> tuple[np.ndarray, np.ndarray]:
    """Motion (n, 32) that speaks for most of the time, the lips meeting again and again, with a head and brows that move;
    and whether the voice sounds (n,)."""
    n = round(seconds * FRAME_RATE)
    t = np.arange(n) / FRAME_RATE
    voice = (t % 4.0 > 0.8) & (t % 4.0 < 3.4)
    latents = np.zeros((n, rig.DIM), np.float32)
    syllables = np.maximum(np.sin(2 * np.pi * 2.7 * t), 0.0) * voice
    latents[:, JAW] = 0.35 * syllables
    latents[:, rig.INDEX["mouthFunnel"]] = 0.4 * voice * np.maximum(np.sin(2 * np.pi * 0.8 * t), 0.0)
    latents[:, rig.INDEX["mouthPress"]] = 0.3 * voice * (syllables == 0)
    latents[:, YAW], latents[:, PITCH] = 0.1 * np.sin(2 * np.pi * 0.3 * t), 0.06 * np.sin(2 * np.pi * 0.5 * t)
    latents[:, rig.INDEX["browInnerUp"]] = 0.2 + 0.2 * np.sin(2 * np.pi * 0.4 * t)
    return latents, np.array([voice[f : f + VOICE_AHEAD + 1].any() for f in range(n)])


def directed(latents, heard, expression=None, liveliness=0.5, step=2) -> np.ndarray:
    director = Director(expression, liveliness)
    blocks = [director.apply(latents[f : f + step], f, heard[f : f + step]) for f in range(0, len(latents), step)]
    return np.concatenate(blocks)


def test_the_names_are_those_of_hri_msgs():
    assert len(EXPRESSIONS) == 25 and set(BASIC) <= set(EXPRESSIONS)
    assert all(np.array_equal(Expression(n).offset, rig.clamp(Expression(n).offset)) for n in EXPRESSIONS)
    offsets = [Expression(n).offset for n in EXPRESSIONS]
    apart = [np.abs(a - b).max() for i, a in enumerate(offsets) for b in offsets[:i]]
    assert min(apart) >= 0.2


def test_nothing_asked_leaves_the_motion_as_it_is():
    latents, heard = talk()
    assert np.array_equal(directed(latents, heard), latents)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_lips_under_an_expression(name):
    """Full intensity: the jaw follows as without it, and every closure stays one."""
    latents, heard = talk()
    shown = directed(latents, heard, Expression(name))
    speaking = heard & np.roll(heard, 4)
    assert np.corrcoef(shown[speaking, JAW], latents[speaking, JAW])[0, 1] > 0.95
    closed = speaking & (latents[:, JAW] < 0.08)
    assert closed.sum() > 20
    assert (shown[closed, JAW] < 0.08).mean() >= 0.95
    assert np.abs(shown[speaking] - latents[speaking])[:, LIPS].max() < 0.02


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_lips_without_a_word_of_the_voice(name):
    """The lips' own movement tells that they speak: from the third frame of it on the expression has let go of them."""
    latents, _ = talk()
    shown = Director(Expression(name)).apply(latents, 0)
    speaking = np.zeros(len(latents), bool)
    for start in (0.8, 4.8):
        speaking[round((start + 0.4) * FRAME_RATE) : round((start + 2.4) * FRAME_RATE)] = True
    assert np.corrcoef(shown[speaking, JAW], latents[speaking, JAW])[0, 1] > 0.95


def test_an_expression_comes_stays_and_goes():
    director, rest = Director(), np.zeros((1, rig.DIM), np.float32)
    director.express(Expression("happy", 0.8, fade=0.4), 10)
    smile = [director.apply(rest, f)[0, rig.INDEX["mouthSmileLeft"]] for f in range(10, 40)]
    assert smile[0] == 0.0 and smile[5] < smile[10] and smile[10] == pytest.approx(0.76, abs=0.01)
    assert smile[-1] == smile[10] and np.abs(np.diff(smile)).max() < 0.15
    director.express(Expression("sad", fade=0.4), 40)
    crossing = np.concatenate([director.apply(rest, f) for f in range(40, 60)])
    assert np.abs(np.diff(crossing, axis=0)).max() < 0.25  # from one to the other without a jump
    assert np.allclose(crossing[-1], Expression("sad").offset, atol=0.02)
    director.express(None, 60)
    assert np.abs(director.apply(rest, 90)).max() == 0.0 and director.idle


def test_a_mood_lies_below_and_comes_back():
    director, rest = Director(Expression("happy", 0.3)), np.zeros((1, rig.DIM), np.float32)
    mood = director.apply(rest, 0)[0]
    assert mood[rig.INDEX["mouthSmileLeft"]] > 0.2
    director.express(Expression("surprised", fade=0.0), 1)
    assert director.shown.name == "surprised" and director.apply(rest, 5)[0, rig.INDEX["browInnerUp"]] > 0.8
    director.express(Expression("neutral", fade=0.0), 10)
    assert np.array_equal(director.apply(rest, 20)[0], mood)


def test_a_frown_takes_a_smile_away_and_sums_stay_in_range():
    smiling = np.tile(rig.pose(mouthSmileLeft=0.8, mouthSmileRight=0.8, browInnerUp=0.9), (1, 1))
    sad = Director(Expression("sad")).apply(smiling, 0)[0]
    assert sad[rig.INDEX["mouthSmileLeft"]] < 0.2 and sad[rig.INDEX["mouthFrownLeft"]] > 0.8
    for name in EXPRESSIONS:
        for latent in (rig.HIGH, rig.LOW):
            bent = Director(Expression(name), 1.0).apply(latent[None], 0)[0]
            assert np.array_equal(bent, rig.clamp(bent)), name


def test_liveliness_halves_the_variance_of_the_pose_and_leaves_the_lips():
    latents, heard = talk()
    calm = directed(latents, heard, liveliness=0.2)
    for i in (YAW, PITCH):
        assert calm[:, i].var() <= 0.5 * latents[:, i].var()
    assert np.array_equal(calm[:, LIPS], latents[:, LIPS])
    assert directed(latents, heard, liveliness=1.0)[:, YAW].var() > 2 * latents[:, YAW].var()
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="liveliness"):
            Director(liveliness=wrong)


def test_a_stream_gives_the_same_as_the_whole_and_nothing_grows():
    latents, heard = talk(20.0)
    whole, parts = Director(Expression("happy", 0.6), 0.8), Director(Expression("happy", 0.6), 0.8)
    for director in (whole, parts):
        director.express(Expression("angry"), 60)
        for k in range(40):
            director.gesture(Gesture(GESTURES[k % len(GESTURES)]), 100 + 3 * k)
    at_once = whole.apply(latents, 0, heard)
    in_parts = np.concatenate([parts.apply(latents[f : f + 1], f, heard[f : f + 1]) for f in range(len(latents))])
    assert np.array_equal(at_once, in_parts)
    assert len(parts._gestures) <= 8


@pytest.mark.parametrize("name", GESTURES)
def test_a_gesture_begins_at_once_ends_and_leaves_nothing(name):
    director, rest = Director(), np.zeros((1, rig.DIM), np.float32)
    director.gesture(Gesture(name, yaw=0.4), 10)
    moved = np.concatenate([director.apply(rest, f) for f in range(10, 80)])
    reach = np.abs(moved).max(axis=1)
    assert reach[7] > 0.08  # within 300 ms
    assert reach[-10:].max() == 0.0 and director.idle
    assert np.abs(np.diff(moved[:, :3], axis=0)).max() < 0.1  # radians in a frame: a head, not a jerk


def test_a_nod_shows_while_speaking_and_leaves_the_lips():
    latents, heard = talk()
    director = Director()
    director.gesture(Gesture("nod"), 50)
    nodded = director.apply(latents, 0, heard)
    assert np.array_equal(nodded[:, LIPS], latents[:, LIPS])
    pitch = nodded[50:58, PITCH] - latents[49, PITCH]
    assert pitch.min() < -0.08  # down by 5 degrees within 300 ms


def test_gestures_combine_with_an_expression_and_with_each_other():
    director, rest = Director(Expression("sad")), np.zeros((1, rig.DIM), np.float32)
    director.gesture(Gesture("brows"), 0)
    director.gesture(Gesture("nod"), 0)
    bent = director.apply(rest, 6)[0]
    sad = Expression("sad").offset
    assert bent[PITCH] < sad[PITCH] - 0.05 and bent[rig.INDEX["browOuterUpLeft"]] > 0.3
    assert bent[rig.INDEX["mouthFrownLeft"]] > 0.9


def test_a_look_is_toward_the_point_and_may_stay():
    left = Gesture.toward(1.0, 0.5, 0.0)
    assert left.yaw == pytest.approx(0.4636, abs=1e-3) and left.pitch == 0.0  # the person's left is image right: +
    director, rest = Director(), np.zeros((1, rig.DIM), np.float32)
    director.gesture(Gesture.toward(1.0, 0.5, 0.2, forever=True), 0)
    late = director.apply(rest, 5000)[0]
    assert late[YAW] > 0.15 and late[rig.INDEX["gazeX"]] > 0.2 and late[PITCH] > 0.05
    director.gesture(Gesture("look", seconds=0.2), 5001)
    assert np.abs(director.apply(rest, 5050)).max() == 0.0
    with pytest.raises(InputError, match="not a point"):
        Gesture.toward(0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "text, name, intensity", [("happy:0.6", "happy", 0.6), ("Sad", "sad", 1.0), ("", "neutral", 1.0)]
)
def test_text_of_the_command_line(text, name, intensity):
    parsed = Expression.parse(text)
    assert (parsed.name, parsed.intensity) == (name, intensity)


@pytest.mark.parametrize("text", ["cheerful", "happy:2", "happy:x", "happy:nan", "2,0", "0.1,0.2,0.3"])
def test_wrong_text_is_named(text):
    with pytest.raises(InputError, match="expression"):
        Expression.parse(text)


def test_valence_and_arousal_lead_to_their_expressions():
    for valence, arousal, name in (
        (0.8, 0.35, "happy"),
        (-0.8, 0.75, "angry"),
        (-0.75, -0.4, "sad"),
        (0.1, 0.9, "surprised"),
    ):
        offset = Expression.parse(f"{valence},{arousal}").offset
        nearest = min(BASIC, key=lambda n: np.abs(Expression(n).offset - offset).sum())
        assert nearest == name
    assert np.abs(Expression.parse("0,0").offset).max() < 0.05
