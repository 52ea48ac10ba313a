"""Conversations: the same for a seed, causes before effects, rates of the literature; the corpus; prepared recordings."""

from __future__ import annotations

import numpy as np
import pytest
from marks import needs_voices

from avatar_forcing_ros.audio.level import runs
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.learning.evaluation.metrics import blinks_per_minute
from avatar_forcing_ros.learning.world import behaviour, gestures
from avatar_forcing_ros.learning.world.behaviour import Phrase, Side, pauses, plan, random_style
from avatar_forcing_ros.learning.world.conversation import make_conversation
from avatar_forcing_ros.learning.world.voices.speech import (
    ESPEAK,
    FLITE,
    HELD_OUT_ESPEAK,
    HELD_OUT_FLITE,
    HELD_OUT_VARIANTS,
    VARIANTS,
)
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.timeline import FRAME_RATE, SAMPLES_PER_FRAME

MINUTES = 4


def _sides(seed: int, minutes: float = MINUTES) -> tuple[Side, Side]:
    """Two people who take turns of phrases of 1.6 s with pauses of 0.4 s, without sound."""
    rng = np.random.default_rng(seed)
    count = round(minutes * 60 * FRAME_RATE)
    active, phrases = np.zeros((2, count), bool), ([], [])
    frame, person = 10, 0
    while frame < count - 200:
        parts = int(rng.integers(1, 4))
        for part in range(parts):
            active[person, frame : frame + 40] = True
            phrases[person].append(
                Phrase(
                    frame, frame + 40, part == 0, part == parts - 1, bool(rng.random() < 0.2), bool(rng.random() < 0.2)
                )
            )
            frame += 50
        person = 1 - person
    loudness = active * (0.5 + 0.4 * np.sin(np.arange(count) / 2.0))
    return tuple(
        Side(random_style(rng), tuple(phrases[p]), active[p], loudness[p], np.zeros((count, rig.DIM), np.float32))
        for p in (0, 1)
    )


@pytest.fixture(scope="module")
def planned():
    """Events of five pairs of people: [(sides, events)]."""
    made = []
    for seed in range(5):
        sides = _sides(seed)
        made.append((sides, plan(np.random.default_rng(100 + seed), sides)))
    return made


def test_causes_precede_their_effects(planned):
    for _, events in planned:
        answers = [e for e in events if e.cause_frame is not None]
        assert {e.kind for e in answers} >= {"smile", "nod", "brow", "glance", "blink", "tilt"}
        assert all(e.cause_frame < e.frame for e in answers)


def test_smiles_are_answered_within_a_second(planned):
    begun = answered = 0
    delays = []
    for _, events in planned:
        smiles = [e for e in events if e.kind == "smile"]
        for smile in (e for e in smiles if e.cause_frame is None):
            replies = [e for e in smiles if e.person != smile.person and e.cause_frame == smile.frame]
            begun += 1
            answered += any(e.frame - smile.frame <= FRAME_RATE for e in replies)
            for reply in replies:
                delays.append((reply.frame - smile.frame) / FRAME_RATE)
                assert 0.5 * smile.strength <= reply.strength <= smile.strength
                assert reply.end > smile.end  # it outlasts what it answers
    assert begun > 50
    assert 0.85 < answered / begun < 0.99  # a distribution: not every time
    assert 0.45 < np.median(delays) < 0.7 and np.std(delays) > 0.05


def test_a_face_that_is_not_seen_is_not_answered():
    sides = _sides(1)
    hidden = (Side(**{**sides[0].__dict__, "seen": False, "heard": False}), sides[1])
    events = plan(np.random.default_rng(0), hidden)
    answers = [
        e
        for e in events
        if e.person == 1 and e.cause_frame is not None and e.kind in ("smile", "nod", "glance", "brow", "tilt")
    ]
    assert answers == []
    assert any(e.person == 0 and e.cause_frame is not None for e in events)  # the other way round it works


def test_nods_come_in_the_others_pauses(planned):
    in_pause = of_pauses = 0
    for sides, events in planned:
        for person in (0, 1):
            starts = {first for first, _ in pauses(sides[1 - person].active)}
            of_pauses += len(starts)
            in_pause += len({e.cause_frame for e in events if e.kind == "nod" and e.person == person} & starts)
    assert 0.3 < in_pause / of_pauses < 0.85


def test_pauses_need_talk_before_them():
    active = np.zeros(200, bool)
    active[10:20] = True  # 0.4 s
    active[60:100] = True  # 1.6 s, with a hole of 80 ms that is none
    active[80:82] = False
    assert pauses(active) == [(100, 200)]


def test_looking_and_blinking_are_of_human_rates(planned):
    looks = {"listen": [0, 0], "speak": [0, 0]}
    blinks = []
    for sides, events in planned:
        motion = gestures.perform(np.random.default_rng(1), sides, events)
        for person in (0, 1):
            away = np.zeros(len(sides[0].active), bool)
            for e in events:
                if e.kind == "glance" and e.person == person:
                    away[e.frame : e.end] = True
            for state, mask in (
                ("speak", sides[person].active),
                ("listen", sides[1 - person].active & ~sides[person].active),
            ):
                looks[state][0] += int((mask & ~away).sum())
                looks[state][1] += int(mask.sum())
            blinks.append(blinks_per_minute(motion[person]))
    assert 0.65 < looks["listen"][0] / looks["listen"][1] < 0.85
    assert 0.40 < looks["speak"][0] / looks["speak"][1] < 0.65
    assert 14 < np.mean(blinks) < 28


def test_motion_is_smooth_bounded_and_of_human_size(planned):
    for sides, events in planned[:2]:
        motion = gestures.perform(np.random.default_rng(1), sides, events)
        assert motion.shape == (2, MINUTES * 60 * FRAME_RATE, rig.DIM) and motion.dtype == np.float32
        assert np.isfinite(motion).all() and (motion >= rig.LOW).all() and (motion <= rig.HIGH).all()
        steps = np.abs(np.diff(motion, axis=1)).max(axis=(0, 1))
        for name, most in (
            ("headYaw", 0.15),
            ("headPitch", 0.15),
            ("headRoll", 0.06),
            ("mouthSmileLeft", 0.3),
            ("headX", 0.08),
        ):
            assert steps[rig.INDEX[name]] < most, name
        spread = motion.std(axis=1).mean(axis=0)
        for name, low, high in (("headYaw", 0.04, 0.14), ("headPitch", 0.03, 0.11), ("headRoll", 0.02, 0.09)):
            assert low < spread[rig.INDEX[name]] < high, name


def test_a_nod_is_a_nod_and_a_smile_is_on_both_sides():
    pitch = gestures.nod(50, 10.0, 2, 3.0, 0.1)
    assert pitch.min() == pytest.approx(-0.1, abs=0.01) and pitch.max() <= 0.0
    assert not pitch[:10].any() and not pitch[28:].any()
    sides = _sides(3, 1.0)
    smile = behaviour.Event("smile", 0, 300, 60, 0.8)
    motion = gestures.perform(np.random.default_rng(0), sides, [smile])[0]
    left, right = (motion[:, rig.INDEX[f"mouthSmile{side}"]] for side in ("Left", "Right"))
    assert left[330:350].min() > 0.4 and right[330:350].min() > 0.4
    assert abs(left[330:350] - right[330:350]).mean() < 0.2
    assert left[:300].max() == 0.0 and left[430:].max() == 0.0
    assert np.diff(left[300:330]).max() > 1.3 * -np.diff(left[355:430]).min()  # comes faster than it goes


def test_the_pose_is_mirrored_later():
    sides = _sides(5)
    roll = []
    for own in (False, True):
        events = [behaviour.Event("tilt", 0, 500, 150, 0.3)] if own else []
        roll.append(gestures.perform(np.random.default_rng(9), sides, events)[1][:, rig.INDEX["headRoll"]])
    difference = roll[1] - roll[0]
    assert np.abs(difference[:505]).max() < 1e-6  # nothing before the cause
    answer = difference[500:720]
    assert answer.min() < -0.03 and abs(answer.max()) < 0.01  # to the other side of the image: a mirror


def test_follow_uses_no_future():
    curve = np.zeros(100)
    curve[50:] = 1.0
    late = gestures.follow(curve, 10, 1.0)
    assert not late[:60].any() and late[99] > 0.9


def test_voices_of_training_and_holding_out_are_apart():
    assert not set(FLITE) & set(HELD_OUT_FLITE) and not set(VARIANTS) & set(HELD_OUT_VARIANTS)
    assert not {n for names in ESPEAK.values() for n in names} & {
        n for names in HELD_OUT_ESPEAK.values() for n in names
    }


@needs_voices
def test_a_conversation_is_of_its_seed():
    first, again, other, held = (
        make_conversation(s, 8.0, h) for s, h in ((5, False), (5, False), (6, False), (5, True))
    )
    count = 8 * FRAME_RATE
    assert first.samples.shape == (2, count * SAMPLES_PER_FRAME) and first.samples.dtype == np.float32
    assert first.motion.shape == (2, count, rig.DIM) and first.speaking.shape == first.closures.shape == (2, count)
    assert np.abs(first.samples).max() <= 1.0
    for name in ("samples", "motion", "speaking", "closures"):
        assert np.array_equal(getattr(first, name), getattr(again, name)), name
        assert name == "closures" or not np.array_equal(getattr(first, name), getattr(other, name)), name
    assert first.events == again.events and first.voices == again.voices
    assert not np.array_equal(first.samples, held.samples)


@needs_voices
def test_lips_move_with_the_own_voice_only():
    talk = quiet = 0
    jaws = []
    for seed in range(4):
        made = make_conversation(seed, 12.0)
        for person in (0, 1):
            jaw = made.motion[person, :, rig.INDEX["jawOpen"]]
            near = np.convolve(made.speaking[person], np.ones(41))[27:][
                : len(jaw)
            ]  # half a second before, and a breath after
            silent = near < 0.5
            quiet += int((jaw[silent] < 0.06).sum())
            talk += int(silent.sum())
            jaws.append(jaw[made.speaking[person]])
            for a, b in runs(made.closures[person]):
                assert jaw[max(0, a - 1) : b + 1].min() < 0.08
    assert quiet / talk > 0.95
    assert np.concatenate(jaws).mean() > 0.08


@pytest.mark.parametrize("seconds", (0.0, 3.9, 601.0, float("nan")))
def test_length_is_checked(seconds):
    with pytest.raises(InputError, match="4 to 600"):
        make_conversation(0, seconds)
