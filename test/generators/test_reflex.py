from dataclasses import replace

import numpy as np
import pytest

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators import BlockSignals, make_generator
from avatar_forcing_ros.generators.reflex import MIRROR_DELAY_FRAMES
from avatar_forcing_ros.motion import rig

INDEX = rig.INDEX
MOUTH_OPEN = INDEX["jawOpen"]


def noise(frames, db, seed=0):
    return (10 ** (db / 20) * np.random.default_rng(seed).normal(size=640 * frames)).astype(np.float32)


def babble(frames, hertz=4.0, seed=0):
    """Vowel-like buzz in syllables: harmonics of 120 Hz under formants at 700 and 1200 Hz."""
    t = np.arange(640 * frames) / 16_000
    buzz = sum(np.sin(2 * np.pi * 120 * k * t) / (1 + ((120 * k - 700) / 200) ** 2) for k in range(1, 25))
    return (0.15 * buzz * np.maximum(0.0, np.sin(2 * np.pi * hertz * t))).astype(np.float32)


def run(frames, block=10, seed=1, *, voice=None, heard=None, motion=None, confidence=None, first=0, known=True):
    def whole(value, shape, fill=0.0):
        return np.full(shape, fill, np.float32) if value is None else np.asarray(value, np.float32)

    voice, heard = whole(voice, 640 * frames), whole(heard, 640 * frames)
    motion, confidence = whole(motion, (frames, rig.DIM)), whole(confidence, frames, 1.0)
    stream, out = make_generator("reflex").open(None, seed), []
    for a in range(0, frames, block):
        b = min(frames, a + block)
        mask = np.full(b - a, known)
        sound = slice(640 * a, 640 * b)
        out.append(
            stream.step(
                BlockSignals(
                    first_frame=first + a,
                    avatar_audio=voice[sound],
                    user_audio=heard[sound],
                    user_motion=motion[a:b],
                    user_confidence=confidence[a:b],
                    avatar_audio_known=mask,
                    user_audio_known=mask,
                    user_motion_known=mask,
                )
            )
        )
    return np.concatenate(out)


def conversation(frames=300):
    """Signals with everything in them: talk of both, a moving and smiling user, a face that goes and comes."""
    t = np.arange(frames) / 25
    heard, voice = babble(frames), babble(frames, 5.0)
    heard[640 * 100 :] = 0.0
    voice[: 640 * 120] = 0.0
    motion = np.zeros((frames, rig.DIM), np.float32)
    motion[:, INDEX["headYaw"]] = 0.3 * np.sin(t)
    motion[:, INDEX["mouthSmileLeft"]] = motion[:, INDEX["mouthSmileRight"]] = t % 4 > 2
    confidence = np.where((t > 5) & (t < 7), 0.0, 1.0)
    return dict(voice=voice, heard=heard, motion=motion, confidence=confidence)


def test_shape_range_and_names():
    generator = make_generator("reflex")
    assert (generator.name, generator.space, generator.dim) == ("reflex", rig.SPACE, rig.DIM)
    out = run(300, **conversation())
    assert out.shape == (300, 32) and out.dtype == np.float32
    np.testing.assert_array_equal(out, rig.clamp(out))


@pytest.mark.parametrize("block", [1, 2, 5, 7, 300])
def test_blocks_of_any_length_give_the_same_motion(block):
    signals = conversation()
    np.testing.assert_array_equal(run(300, block=block, **signals), run(300, block=10, **signals))


def test_nothing_jumps_at_block_borders():
    out = run(300, **conversation())
    pose = out[:, : INDEX["gazeX"]]  # a blink or a syllable may be fast, a head may not
    steps = np.abs(np.diff(pose, axis=0))
    border = steps[9::10]
    inside = np.delete(steps, np.arange(9, len(steps), 10), axis=0)
    assert (border.max(axis=0) <= inside.max(axis=0) * 1.05 + 1e-4).all()
    assert steps.max() < 0.04


def test_the_same_seed_gives_the_same_face_and_reset_begins_again():
    signals = conversation(100)
    one = run(100, seed=5, **signals)
    np.testing.assert_array_equal(one, run(100, seed=5, **signals))
    assert np.abs(one - run(100, seed=6, **signals)).max() > 0.1
    stream = make_generator("reflex").open(None, 5)
    mask = np.ones(100, bool)
    block = BlockSignals(
        first_frame=0,
        avatar_audio=signals["voice"],
        user_audio=signals["heard"],
        user_motion=signals["motion"],
        user_confidence=signals["confidence"],
        avatar_audio_known=mask,
        user_audio_known=mask,
        user_motion_known=mask,
    )
    first = stream.step(block)
    stream.step(block)
    stream.reset()
    np.testing.assert_array_equal(stream.step(block), first)


def test_a_late_first_frame_changes_nothing():
    np.testing.assert_array_equal(run(50, first=0), run(50, first=42_500_000_000))


def test_the_mouth_follows_the_voice_and_closes_in_silence():
    voice = np.concatenate([np.zeros(640 * 25), babble(75), np.zeros(640 * 50)])
    out = run(150, voice=voice)
    jaw = out[:, MOUTH_OPEN]
    assert jaw[:25].max() < 0.02
    assert 0.12 < jaw[25:100].max() < 0.5
    energy = np.sqrt((voice.reshape(-1, 640) ** 2).mean(axis=1))
    assert np.corrcoef(jaw[25:100], energy[25:100])[0, 1] > 0.7
    assert jaw[102] < 0.5 * jaw[25:100].max() and jaw[112:].max() < 0.06
    spectrum = np.abs(np.fft.rfft(jaw[30:100] - jaw[30:100].mean()))
    peak = np.fft.rfftfreq(70, 0.04)[spectrum.argmax()]
    assert peak == pytest.approx(4.0, abs=0.5)  # the syllables are seen


@pytest.mark.parametrize("db", [-65, -50, -40])
def test_low_noise_does_not_open_the_mouth(db):
    jaw = run(150, voice=noise(150, db))[:, MOUTH_OPEN]
    assert jaw[50:].max() < 0.02 and jaw.max() < 0.08


def test_hiss_narrows_the_mouth_rather_than_opening_it():
    hiss = np.diff(noise(100, -24), prepend=0.0).astype(np.float32)
    hiss[: 640 * 40] = hiss[640 * 50 :] = 0.0
    vowel = babble(100, 1.25)
    vowel[: 640 * 40] = vowel[640 * 50 :] = 0.0
    assert run(100, voice=hiss)[:, MOUTH_OPEN].max() < 0.5 * run(100, voice=vowel)[:, MOUTH_OPEN].max()


def test_sound_that_did_not_arrive_leaves_the_mouth_closed():
    assert run(50, voice=babble(50), known=False)[:, MOUTH_OPEN].max() < 0.01


def test_a_smile_is_mirrored_late_and_softer():
    motion = np.zeros((150, rig.DIM), np.float32)
    motion[50:, INDEX["mouthSmileLeft"]] = motion[50:, INDEX["mouthSmileRight"]] = 0.8
    smile = run(150, motion=motion)[:, INDEX["mouthSmileLeft"]]
    assert smile[: 50 + MIRROR_DELAY_FRAMES].max() < 0.1
    assert 0.3 < smile[80] < 0.8 and smile[60] > smile[55] + 0.05
    assert np.abs(np.diff(smile)).max() < 0.2


def test_the_head_is_mirrored_as_a_mirror_shows_it():
    motion = np.zeros((100, rig.DIM), np.float32)
    motion[40:, INDEX["headYaw"]], motion[40:, INDEX["headPitch"]], motion[40:, INDEX["headRoll"]] = 0.3, 0.25, -0.3
    moved = run(100, motion=motion) - run(100)
    at = moved[65]
    assert (
        -0.25 < at[INDEX["headYaw"]] < -0.04
        and 0.04 < at[INDEX["headPitch"]] < 0.2
        and 0.04 < at[INDEX["headRoll"]] < 0.25
    )
    assert at[INDEX["gazeX"]] > 0.03  # the eyes stay on the viewer


def test_a_pause_after_talk_earns_a_nod_and_a_short_word_does_not():
    def dip(talk_frames):
        heard = np.concatenate([np.zeros(640 * 50), babble(talk_frames), np.zeros(640 * (150 - talk_frames))])
        pitch = run(200, heard=heard)[:, INDEX["headPitch"]] - run(200)[:, INDEX["headPitch"]]
        return pitch[50 + talk_frames :].min()

    assert dip(60) < -0.05
    assert dip(10) > -0.02


def test_no_nod_while_the_avatar_speaks():
    heard = np.concatenate([babble(80), np.zeros(640 * 70)])
    voice = babble(150)
    pitch = run(150, heard=heard, voice=voice)[:, INDEX["headPitch"]] - run(150, voice=voice)[:, INDEX["headPitch"]]
    assert np.abs(pitch).max() < 0.02


def test_blinks_come_as_peoples_do():
    out = run(25 * 120)
    blink = out[:, INDEX["eyeBlinkLeft"]]
    starts = np.flatnonzero((blink[1:] > 0) & (blink[:-1] == 0))
    gaps = np.diff(starts) / 25
    assert 1.5 < gaps.min() and gaps.max() < 5.5 and 25 < len(starts) < 60
    lengths = [np.argmin(blink[s + 1 : s + 10] > 0) for s in starts if s + 10 < len(blink)]
    assert set(lengths) <= {3, 4, 5} and (blink[starts[0] : starts[0] + 6] == 1.0).any()


def test_the_idle_face_is_alive_and_calm():
    out = run(250)
    yaw = out[:, INDEX["headYaw"]]
    assert 0.005 < yaw.std() < 0.05 and np.abs(np.diff(yaw)).max() < 0.01
    assert out[:, INDEX["gazeX"]].std() > 0.01 and out[:, MOUTH_OPEN].max() == 0.0


def test_without_a_face_everything_mirrored_eases_away():
    motion = np.zeros((200, rig.DIM), np.float32)
    motion[:, INDEX["mouthSmileLeft"]] = motion[:, INDEX["mouthSmileRight"]] = 1.0
    motion[40:, INDEX["headYaw"]] = 0.8
    gone = np.where(np.arange(200) < 80, 1.0, 0.0)
    out = run(200, motion=motion, confidence=gone)
    calm = run(200)
    difference = np.abs(out - calm)
    assert difference[75, INDEX["mouthSmileLeft"]] > 0.4
    assert difference[190:, : INDEX["gazeX"]].max() < 0.01 and difference[190:, INDEX["mouthSmileLeft"]].max() < 0.02
    assert np.abs(np.diff(out[78:, INDEX["mouthSmileLeft"]])).max() < 0.08  # it eases


def test_never_a_face_is_as_calm_as_a_neutral_one():
    motion = np.full((100, rig.DIM), 0.7, np.float32)
    np.testing.assert_allclose(run(100, motion=motion, confidence=np.zeros(100)), run(100), atol=1e-6)


def test_signals_that_are_not_numbers_do_not_reach_the_face():
    motion = np.full((30, rig.DIM), np.nan, np.float32)
    assert np.isfinite(run(30, motion=motion)).all()


def test_wrong_signals():
    stream = make_generator("reflex").open(None, 0)
    mask, sound = np.ones(10, bool), np.zeros(6400, np.float32)
    confidence = np.ones(10, np.float32)
    good = BlockSignals(
        first_frame=0, avatar_audio=sound, user_audio=sound, user_motion=np.zeros((10, 32), np.float32),
        user_confidence=confidence, avatar_audio_known=mask, user_audio_known=mask, user_motion_known=mask,
    )  # fmt: skip
    with pytest.raises(InputError, match="512"):
        stream.step(replace(good, user_motion=np.zeros((10, 512), np.float32)))
    with pytest.raises(InputError, match="user_audio has 6399 samples"):
        stream.step(replace(good, user_audio=sound[1:]))


def test_an_unknown_generator():
    with pytest.raises(InputError, match="'reflexx' is unknown; use one of .*reflex"):
        make_generator("reflexx")


def test_how_somebody_sits_and_looks_by_nature_is_not_mirrored():
    motion = np.zeros((150, rig.DIM), np.float32)
    motion[:, INDEX["headYaw"]], motion[:, INDEX["browInnerUp"]] = 0.4, 0.9
    moved = run(150, motion=motion) - run(150)
    assert np.abs(moved[50:, INDEX["headYaw"]]).max() < 0.03 and moved[50:, INDEX["browInnerUp"]].max() < 0.1
