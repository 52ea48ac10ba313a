"""Conversations: the same for a seed, causes before effects, rates of the literature; the corpus; prepared recordings."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.learning import behaviour, corpus, gestures, prepare, synthesizers
from avatar_forcing_ros.learning.behaviour import Phrase, Side, pauses, plan, random_style
from avatar_forcing_ros.learning.conversation import make_conversation
from avatar_forcing_ros.learning.metrics import blinks_per_minute, runs
from avatar_forcing_ros.learning.speech import ESPEAK, FLITE, HELD_OUT_ESPEAK, HELD_OUT_FLITE, HELD_OUT_VARIANTS, VARIANTS
from avatar_forcing_ros.media.writer import VideoWriter
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.portrait import PortraitAvatar
from avatar_forcing_ros.timeline import FRAME_RATE, SAMPLES_PER_FRAME

needs_voices = pytest.mark.skipif(
    not all(map(shutil.which, synthesizers.PROGRAMS)), reason=f"needs {synthesizers.INSTALL}"
)
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
            phrases[person].append(Phrase(frame, frame + 40, part == 0, part == parts - 1, bool(rng.random() < 0.2), bool(rng.random() < 0.2)))
            frame += 50
        person = 1 - person
    loudness = active * (0.5 + 0.4 * np.sin(np.arange(count) / 2.0))
    return tuple(
        Side(random_style(rng), tuple(phrases[p]), active[p], loudness[p], np.zeros((count, rig.DIM), np.float32)) for p in (0, 1)
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
    answers = [e for e in events if e.person == 1 and e.cause_frame is not None and e.kind in ("smile", "nod", "glance", "brow", "tilt")]
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
            for state, mask in (("speak", sides[person].active), ("listen", sides[1 - person].active & ~sides[person].active)):
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
        for name, most in (("headYaw", 0.15), ("headPitch", 0.15), ("headRoll", 0.06), ("mouthSmileLeft", 0.3), ("headX", 0.08)):
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
    assert not {n for names in ESPEAK.values() for n in names} & {n for names in HELD_OUT_ESPEAK.values() for n in names}


@needs_voices
def test_a_conversation_is_of_its_seed():
    first, again, other, held = (make_conversation(s, 8.0, h) for s, h in ((5, False), (5, False), (6, False), (5, True)))
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
            near = np.convolve(made.speaking[person], np.ones(41))[27:][: len(jaw)]  # half a second before, and a breath after
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


@needs_voices
def test_corpus_is_resumed_and_sampled(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "SECONDS", 6.0)
    monkeypatch.setattr(corpus, "PER_SHARD", 2)
    folder = tmp_path / "corpus"
    monkeypatch.setattr(corpus, "ProcessPoolExecutor", _Here)
    told = []
    corpus.make_corpus(folder, 24 / 3600, 3, progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 2), (1, 2), (2, 2)]
    whole = corpus.load_corpus(folder)
    assert whole.sound.shape == (2, 600, 256) and whole.motion.shape == (2, 600, 32) and whole.space == "rig"
    assert whole.starts.tolist() == [0, 150, 300, 450]
    assert whole.sound.dtype == whole.motion.dtype == np.float16 and np.isfinite(whole.sound.astype(np.float32)).all()

    shard = folder / "shard_00001.npz"
    stamp, kept = (folder / "shard_00000.npz").stat().st_mtime_ns, whole.motion
    shard.unlink()
    with pytest.raises(InputError, match="1 of 2 shards are missing"):
        corpus.load_corpus(folder)
    corpus.make_corpus(folder, 24 / 3600, 3)
    assert (folder / "shard_00000.npz").stat().st_mtime_ns == stamp
    assert np.array_equal(corpus.load_corpus(folder).motion, kept)
    with pytest.raises(InputError, match="made differently \\(seed\\)"):
        corpus.make_corpus(folder, 24 / 3600, 4)
    shard.write_bytes(b"PK nothing")
    with pytest.raises(InputError, match="shard_00001.npz is damaged"):
        corpus.load_corpus(folder)


class _Here:
    """A pool of no processes."""

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, call, *arguments):
        from concurrent.futures import Future

        job = Future()
        job.set_result(call(*arguments))
        return job

    def shutdown(self, **_):
        pass


def _numbered(space_size: int = 256) -> corpus.Corpus:
    """Three conversations of 40, 10 and 70 frames; sound and motion tell person, conversation and frame."""
    lengths = (40, 10, 70)
    starts = np.array([0, 40, 50])
    count = sum(lengths)
    label = np.repeat(np.arange(3), lengths)
    value = np.stack([label * 2 + person for person in (0, 1)]).astype(np.float16)
    motion = np.zeros((2, count, 32), np.float16)
    motion[:, :, 0], motion[:, :, 1] = value, np.arange(count)
    sound = np.repeat(value[:, :, None], space_size, 2)
    seen = np.array([[True, True], [True, True], [True, False]])
    mask = np.zeros((2, count), bool)
    return corpus.Corpus("rig", sound, motion, mask, mask, starts, seen, np.ones((3, 2), bool), {})


def test_windows_lie_inside_one_conversation():
    made = _numbered()
    drawn = made.sample(np.random.default_rng(0), 500, 30)
    assert drawn["avatar_sound"].shape == (500, 30, 256) and drawn["user_motion"].shape == (500, 30, 32)
    who = drawn["avatar_motion"][:, :, 0]
    assert (who == who[:, :1]).all() and (np.diff(drawn["avatar_motion"][:, :, 1], axis=1) == 1).all()
    assert set(np.unique(who)) == {0, 1, 4}  # both roles, the long ones only, and never the unseen person as the avatar
    assert (drawn["avatar_sound"][:, :, 0] == who).all()
    hidden = ~drawn["user_present"]
    assert np.array_equal(hidden, who[:, 0] == 4) and not drawn["user_motion"][hidden].any()
    assert (drawn["user_sound"][:, 0, 0] == np.where(who[:, 0] % 2 == 0, who[:, 0] + 1, who[:, 0] - 1)).all()
    firsts = drawn["avatar_motion"][who[:, 0] == 0][:, 0, 1]
    assert firsts.min() == 0 and firsts.max() == 10  # the first and the last window too
    assert made.sample(np.random.default_rng(0), 4, 70)["avatar_motion"][:, 0, 0].tolist() == [4] * 4
    with pytest.raises(InputError, match="71 frames"):
        made.sample(np.random.default_rng(0), 4, 71)


def test_sound_as_samples_comes_flat():
    drawn = _numbered(SAMPLES_PER_FRAME).sample(np.random.default_rng(0), 4, 30)
    assert drawn["avatar_sound"].shape == (4, 30 * SAMPLES_PER_FRAME)


def test_missing_and_damaged_corpora(tmp_path):
    with pytest.raises(InputError, match="there is no corpus"):
        corpus.load_corpus(tmp_path)
    (tmp_path / "corpus.json").write_text(json.dumps({"space": "rig"}))
    with pytest.raises(InputError, match="corpus.json is damaged"):
        corpus.load_corpus(tmp_path)


def test_pairs_are_found_and_checked(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        prepare.find_pairs(tmp_path / "nothing")
    with pytest.raises(InputError, match="no conversation"):
        prepare.find_pairs(tmp_path)
    for name in ("x_a.mp4", "x_b.mov", "y_a.mp4", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match="without a partner.*y_a.mp4"):
        prepare.find_pairs(tmp_path)
    (tmp_path / "y_b.mkv").write_bytes(b"")
    assert [(a.name, b.name) for a, b in prepare.find_pairs(tmp_path)] == [("x_a.mp4", "x_b.mov"), ("y_a.mp4", "y_b.mkv")]
    (tmp_path / "pairs.csv").write_text("x_a.mp4, y_b.mkv\n\n")
    (tmp_path / "pairs.yaml").write_text("- [x_a.mp4, y_b.mkv]\n")
    for name in ("pairs.csv", "pairs.yaml"):
        assert [(a.name, b.name) for a, b in prepare.find_pairs(tmp_path, tmp_path / name)] == [("x_a.mp4", "y_b.mkv")]
    (tmp_path / "pairs.csv").write_text("x_a.mp4, z.mp4\n")
    with pytest.raises(InputError, match="z.mp4"):
        prepare.find_pairs(tmp_path, tmp_path / "pairs.csv")
    (tmp_path / "pairs.yaml").write_text("a: b\n")
    with pytest.raises(InputError, match="two file names"):
        prepare.find_pairs(tmp_path, tmp_path / "pairs.yaml")


def test_recordings_are_cut_where_a_face_is_lost():
    first, second = np.ones(600, bool), np.ones(600, bool)
    first[100:108] = False  # held
    second[300:330] = False
    first[380:420] = False  # leaves less than 4 s before it
    assert prepare.seen_together(first, second) == [(0, 300), (420, 600)]


def test_recordings_become_a_corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder, out = tmp_path / "recordings", tmp_path / "corpus"
    folder.mkdir()
    count = 108
    smile = 0.8 * gestures.swell(count, 60.0, 10.0, 20.0, 10.0)
    face = PortraitAvatar.from_file(str(DEFAULT_PORTRAIT), 192)
    rng = np.random.default_rng(0)
    with VideoWriter(str(folder / "x_a.mp4"), fps=FRAME_RATE) as writer:
        for frame in range(count):
            writer.write_frame(frame, face.render(rig.pose(mouthSmileLeft=smile[frame], mouthSmileRight=smile[frame])))
        writer.write_audio(0, (0.1 * rng.standard_normal(count * SAMPLES_PER_FRAME)).astype(np.float32))
    shutil.copy(folder / "x_a.mp4", folder / "x_b.mp4")
    with VideoWriter(str(folder / "wall_a.mp4"), fps=FRAME_RATE) as writer:  # nobody there
        for frame in range(30):
            writer.write_frame(frame, np.full((96, 96, 3), 90, np.uint8))
        writer.write_audio(0, (0.1 * rng.standard_normal(30 * SAMPLES_PER_FRAME)).astype(np.float32))
    shutil.copy(folder / "wall_a.mp4", folder / "wall_b.mp4")
    left_out = prepare.prepare_folder(folder, out)
    assert len(left_out) == 1 and "wall_a.mp4 shows a face in 0 %" in left_out[0]
    made = corpus.load_corpus(out)
    assert made.motion.shape[0] == 2 and made.sound.shape[1:] == (made.motion.shape[1], 256)
    assert abs(made.motion.shape[1] - count) <= 3 and made.starts.tolist() == [0]
    tracked = made.motion[0, :, rig.INDEX["mouthSmileLeft"]].astype(float)
    assert tracked[75:85].mean() > tracked[:50].mean() + 0.2
    assert prepare.prepare_folder(folder, out) == left_out  # again: what is there is kept
    (folder / "day2").mkdir()
    for name in ("x_a.mp4", "x_b.mp4"):
        shutil.copy(folder / name, folder / "day2" / name)
    (folder / "pairs.csv").write_text("x_a.mp4,x_b.mp4\nday2/x_a.mp4,day2/x_b.mp4\n")
    assert prepare.prepare_folder(folder, tmp_path / "both", pairs=folder / "pairs.csv") == []
    assert corpus.load_corpus(tmp_path / "both").starts.tolist() == [0, made.motion.shape[1]]  # none twice, none lost
    (folder / "pairs.csv").write_text("x_a.mp4,x_b.mp4\nx_a.mp4,x_b.mp4\n")
    assert "which another conversation is" in prepare.prepare_folder(folder, tmp_path / "both", pairs=folder / "pairs.csv")[0]
    told = (out / "corpus.json").read_text()
    (out / "corpus.json").write_text(told.replace(f'"version": {corpus.VERSION}', '"version": 1'))
    with pytest.raises(InputError, match="is of version 1"):
        corpus.load_corpus(out)
    with pytest.raises(InputError, match="needs the published weights"):
        prepare.prepare_folder(folder, out, space="lia512")
