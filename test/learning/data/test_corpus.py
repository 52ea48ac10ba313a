"""The corpus: resumed, sampled within one conversation, damaged ones refused; recordings of people become one."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from marks import needs_voices

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.learning.data import corpus, prepare
from avatar_forcing_ros.learning.world import gestures
from avatar_forcing_ros.media.video_writer import VideoWriter
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.portrait.avatar import PortraitAvatar
from avatar_forcing_ros.timeline import FRAME_RATE, SAMPLES_PER_FRAME


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
    return corpus.Corpus(
        space="rig", sound=sound, motion=motion, speaking=mask, closures=mask, starts=starts, seen=seen,
        heard=np.ones((3, 2), bool), recipe={},
    )  # fmt: skip


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
    assert [(a.name, b.name) for a, b in prepare.find_pairs(tmp_path)] == [
        ("x_a.mp4", "x_b.mov"),
        ("y_a.mp4", "y_b.mkv"),
    ]
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
    assert (
        "which another conversation is"
        in prepare.prepare_folder(folder, tmp_path / "both", pairs=folder / "pairs.csv")[0]
    )
    told = (out / "corpus.json").read_text()
    (out / "corpus.json").write_text(told.replace(f'"version": {corpus.VERSION}', '"version": 1'))
    with pytest.raises(InputError, match="is of version 1"):
        corpus.load_corpus(out)
    with pytest.raises(InputError, match="needs the published weights"):
        prepare.prepare_folder(folder, out, space="lia512")
