"""The whole evaluation on small numbers: the true motion played back is perfect, a statue has nothing, errors are told."""

import argparse
import json
import shutil
from unittest import mock

import numpy as np
import pytest
from marks import HAS_VOICES, needs_voices
from rich.console import Console

from avatar_forcing_ros.assets import EMBEDDED_WEIGHTS, SAMPLE_AVATAR_AUDIO, SAMPLE_USER_VIDEO
from avatar_forcing_ros.cli.evaluate import add_evaluate, candidates
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators import make_generator
from avatar_forcing_ros.generators.lockstep import run_stream
from avatar_forcing_ros.learning.data import recordings as clips
from avatar_forcing_ros.learning.evaluation import metrics
from avatar_forcing_ros.learning.evaluation.evaluate import (
    SAMPLE_DRAWS,
    SAMPLE_REACH,
    TRUE,
    Candidate,
    evaluate,
    held_out_conversations,
)
from avatar_forcing_ros.learning.evaluation.tables import finite, print_table, write_figures, write_plots
from avatar_forcing_ros.learning.world.voices.synthesizers import INSTALL
from avatar_forcing_ros.motion import rig


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """One cache of tracked clips for the tests, and none of theirs in the user's."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


class Playback:
    """Gives the true motion of the conversation that its seed says, 4 of 10 frames a step; or a statue."""

    block_frames, commit_frames = 10, 4

    def __init__(self, motion=None, commit=None):
        self.motion = motion
        self.commit_frames = commit or 4

    def step(self, signals):
        at, count = signals.first_frame, self.commit_frames
        if self.motion is None:
            return np.tile(rig.pose(mouthSmileLeft=0.1, jawOpen=0.2), (count, 1))
        piece = self.motion[at : at + count]
        return np.concatenate([piece, np.zeros((count - len(piece), rig.DIM), np.float32)])


@pytest.fixture(scope="module")
def whole():
    """An evaluation of playback, statue and reflex over two conversations."""
    if not HAS_VOICES:
        pytest.skip(f"needs {INSTALL}")
    talks = held_out_conversations(2, 30.0, seed=5)
    reflex = make_generator("reflex")
    models = {
        "playback": Candidate(lambda seed, commit: Playback(np.tile(talks[(seed - 5) % 2].motion[0], (5, 1)), commit)),
        "statue": Candidate(lambda seed, commit: Playback(None, commit)),
        "reflex": Candidate(lambda seed, commit: reflex.open(None, seed)),
        "alone": Candidate(lambda seed, commit: reflex.open(None, seed), user=False),
    }
    said = []
    module = "avatar_forcing_ros.learning.evaluation.evaluate"
    with mock.patch(f"{module}.held_out_conversations", return_value=talks), mock.patch(f"{module}.GAIN_SHIFTS", 50):
        result = evaluate(models, conversations=2, seconds=30.0, drift_minutes=2.0, seed=5, progress=said.append)
    assert any("playback, conversation 2: " in what for what in said)
    return result


@needs_voices
def test_held_out_conversations_are_usable_and_repeatable():
    one, other = held_out_conversations(2, 4.0, 3), held_out_conversations(2, 4.0, 3)
    assert all(all(talk.seen) and all(talk.heard) and talk.speaking.any() for talk in one)
    assert all(np.array_equal(a.motion, b.motion) for a, b in zip(one, other))


def test_the_true_motion_played_back_is_perfect(whole):
    played, true = whole.figures["models"]["playback"], whole.figures["models"][TRUE]
    assert finite(played["reaction"]) == finite(true["reaction"])
    assert played["reaction"]["rpcc"] == {"expression": 0, "pose": 0}
    assert (
        played["made_speech"]["jaw"]["r_lag_0"] == pytest.approx(1) and played["made_speech"]["jaw"]["common_lag"] == 0
    )
    assert played["made_speech"]["closure"]["rate"] > 0.95 > played["made_speech"]["closure"]["chance"] + 0.3
    assert played["liveliness"]["sid"] == true["liveliness"]["sid"]
    assert played["liveliness"]["borders"]["frames"] == 4
    assert played["liveliness"]["borders_of_whole_blocks"]["frames"] == 10


def test_a_statue_has_nothing(whole):
    statue = whole.figures["models"]["statue"]
    assert statue["made_speech"]["jaw"]["r_lag_0"] == 0
    assert statue["made_speech"]["closure"]["rate"] == 0 and statue["made_speech"]["silence"]["closed"] == 0
    assert statue["reaction"]["smile"]["rate"]["1.5 s"] == 0 and statue["reaction"]["gain"]["gain"] == 0
    assert statue["liveliness"]["sid"] == {"expression": 0, "pose": 0}
    assert statue["liveliness"]["blinks_per_minute"] == 0 and statue["liveliness"]["jerk"]["pose"] == 0
    assert statue["drift"]["furthest"] == pytest.approx(0, abs=1e-6) and statue["drift"]["finite"]


def test_reaction_vanishes_without_a_user(whole):
    seeing, alone = whole.figures["models"]["reflex"]["reaction"], whole.figures["models"]["alone"]["reaction"]
    assert seeing["gain"]["gain"] > 0.2 and seeing["gain"]["p"] < 0.05
    # Two half minutes are few: what must come out at zero is tried on more in test_learning_metrics.py.
    assert max(alone["gain"]["gain"], seeing["gain_of_strangers"]["gain"]) < seeing["gain"]["gain"] - 0.3
    assert seeing["nod_in_pause"]["rate"]["1 s"] > alone["nod_in_pause"]["rate"]["1 s"] + 0.3


def test_drift_has_as_many_minutes_as_asked(whole):
    for name in ("playback", "reflex", TRUE):
        assert whole.figures["models"][name]["drift"]["finite"]
    for name in ("playback", TRUE):  # a round is one minute, and the second minute repeats it
        assert whole.figures["models"][name]["drift"]["same_signals"] == 0
    assert whole.figures["models"]["reflex"]["drift"]["same_signals"] > 0  # its sway does not repeat


def test_table_json_and_plots(whole, tmp_path, capsys):
    print_table(whole.figures)
    shown = capsys.readouterr().out
    assert "Gain of the user's signals" in shown and TRUE in shown and "Sample" not in shown
    write_figures(tmp_path / "f.json", whole.figures)
    read = json.loads((tmp_path / "f.json").read_text())
    assert set(read["models"]) == {"playback", "statue", "reflex", "alone", TRUE} and read["settings"]["seed"] == 5
    written = write_plots(tmp_path / "plots", whole)
    assert {path.name for path in written} == {"smiles.png", "gain.png"}  # no speakers, no lips
    assert all(path.stat().st_size > 5000 for path in written)
    with pytest.raises(InputError, match="cannot be written"):
        write_figures(tmp_path / "no" / "f.json", whole.figures)


def test_lips_of_speakers_and_the_sample(tmp_path, real_data, capsys):
    """A real speaker, or the sample's made user in their place."""
    folder = tmp_path / "speakers"
    folder.mkdir()
    source = real_data / "speakers" / "lwbsza.mpg" if real_data else SAMPLE_USER_VIDEO
    shutil.copy(source, folder / f"one{source.suffix}")
    (folder / "broken.mp4").write_bytes(b"no video")
    (folder / "notes.txt").write_text("not a video")
    sample = (str(folder / f"one{source.suffix}"), str(SAMPLE_AVATAR_AUDIO))
    reflex = make_generator("reflex")
    model = Candidate(lambda seed, commit: reflex.open(None, seed))
    result = evaluate({"reflex": model}, speakers=folder, conversations=0, sample=sample)
    smile = result.figures["models"]["reflex"]["sample"]["smile"]
    user, confidence = clips.tracked(sample[0])
    heard, speech = clips.sound_of(sample[0], len(user)), clips.sound_of(sample[1], len(user))
    draws = [
        metrics.smile(run_stream(reflex.open(None, seed), heard, user, confidence, speech))
        for seed in range(SAMPLE_DRAWS)
    ]
    curve = np.mean([metrics.lagged_correlation(metrics.smile(user), draw, SAMPLE_REACH) for draw in draws], axis=0)
    assert len(smile["draws"]) == SAMPLE_DRAWS and smile["r"] == pytest.approx(
        curve.max(), abs=1e-4
    )  # of the mean, not a mean of bests
    lips = result.figures["models"]["reflex"]["lips"]
    assert lips["jaw"]["r_within_2"] >= lips["jaw"]["r_lag_0"] > 0.2
    assert lips["jaw"]["recordings"] == 1 and set(lips["clips"]) == {"one"}
    assert result.figures["settings"]["clips"] == 1 and "broken.mp4" in result.figures["settings"]["clips_left_out"][0]
    assert -1 <= result.figures["baseline"]["energy"]["r_lag_0"] <= 1
    assert result.figures["models"]["reflex"]["sample"]["jaw_against_energy"]["r"] > 0.5
    assert "true motion" not in result.figures["models"] and "talked_over" not in lips  # nothing is known of it here
    silent = evaluate({"reflex": model}, conversations=0, sample=(sample[0], ""))
    print_table(silent.figures, Console(width=200))
    table = capsys.readouterr().out
    assert "smile against" in table and "speech's energy" not in table and "nan" not in table
    assert {path.name for path in write_plots(tmp_path / "plots", result)} == {"lips.png"}


class Hushed:
    """The avatar's loudness as its jaw, a quarter of it while the user is heard. Like a network that takes turns too seriously."""

    block_frames, commit_frames = 10, 5

    def step(self, signals):
        level = np.sqrt((signals.avatar_audio.reshape(10, -1) ** 2).mean(axis=1))[:5]
        user = np.sqrt((signals.user_audio.reshape(10, -1) ** 2).mean(axis=1))[:5]
        return np.stack([rig.pose(jawOpen=4 * x * (0.25 if u > 0.01 else 1.0)) for x, u in zip(level, user)])


@needs_voices
def test_speakers_who_are_talked_over(tmp_path):
    talks = held_out_conversations(2, 30.0, seed=5)
    frames = 900  # more than the user has
    samples = np.random.default_rng(0).standard_normal(frames * 640).astype(np.float32)
    samples *= np.repeat(0.1 + 0.1 * np.sin(np.arange(frames) / 3), 640).astype(np.float32)
    loudness = np.sqrt((samples.reshape(frames, -1) ** 2).mean(axis=1))
    clip = clips.SpeakerClip(
        "one", samples, np.stack([rig.pose(jawOpen=4 * x) for x in loudness]), np.ones(frames, np.float32)
    )
    models = {
        "hushed": Candidate(lambda seed, commit: Hushed()),
        "alone": Candidate(lambda seed, commit: Hushed(), user=False),
    }
    module = "avatar_forcing_ros.learning.evaluation.evaluate"
    with (
        mock.patch(f"{module}.held_out_conversations", return_value=talks),
        mock.patch(f"{module}.speaker_clips", return_value=([clip], [])),
        mock.patch(f"{module}.GAIN_SHIFTS", 5),
    ):
        found = evaluate(models, speakers=tmp_path, conversations=2, seconds=30.0, drift_minutes=0).figures["models"]
    hushed, alone = found["hushed"]["lips"], found["alone"]["lips"]
    assert hushed["jaw"]["r_lag_0"] > 0.99 and alone["talked_over"]["opening_ratio"] == 1
    assert hushed["talked_over"]["opening_ratio"] < 0.8 and hushed["talked_over"]["jaw"]["r_lag_0"] < 0.95
    assert alone["talked_over"]["jaw"] == alone["jaw"]


def test_a_tracked_clip_comes_from_the_cache(tmp_path, own_cache, monkeypatch):
    motion, confidence = np.ones((30, rig.DIM), np.float32), np.ones(30, np.float32)
    calls = []
    monkeypatch.setattr(clips, "_track", lambda path: calls.append(path) or (motion, confidence))
    one, same, other = tmp_path / "a.mp4", tmp_path / "b.mp4", tmp_path / "c.mp4"
    one.write_bytes(b"content"), same.write_bytes(b"content"), other.write_bytes(b"something else")
    for path in (one, one, same, other):
        assert np.array_equal(clips.tracked(path)[0], motion)
    assert calls == [one, other]  # the content counts, not the name
    for kept in clips.cache_folder().glob("*.npz"):
        kept.write_bytes(b"half")
    clips.tracked(one)
    assert calls == [one, other, one]


def test_bad_input(tmp_path):
    model = {"statue": Candidate(lambda seed, commit: Playback(None, commit))}
    with pytest.raises(InputError, match="there is no folder"):
        evaluate(model, speakers=tmp_path / "none", conversations=0)
    with pytest.raises(InputError, match="no video in"):
        evaluate(model, speakers=tmp_path, conversations=0)
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match="no usable video in .*a.mp4"):
        evaluate(model, speakers=tmp_path, conversations=0)
    with pytest.raises(InputError, match="2 or more of at least 21 s"):
        evaluate(model, conversations=1)
    with pytest.raises(InputError, match="2 or more, or 0 for none"):
        evaluate(model, conversations=2, drift_minutes=1)
    with pytest.raises(InputError, match="no model"):
        evaluate({})
    with pytest.raises(InputError, match="no file"):
        evaluate(model, conversations=0, sample=(str(tmp_path / "none.mp4"), str(SAMPLE_AVATAR_AUDIO)))


def test_models_by_name():
    found = candidates(["reflex", "reflex_no_user"])
    assert found["reflex"].user and not found["reflex_no_user"].user
    assert found["reflex"].open(3, None).commit_frames == 2 and found["reflex"].open(3, 5).commit_frames == 5
    with pytest.raises(InputError, match="'parrot' is unknown"):
        candidates(["parrot"])
    with pytest.raises(InputError, match="--before"):
        candidates(["before"])
    mine = candidates(["embedded", f"reflex2={EMBEDDED_WEIGHTS}"])
    assert list(mine) == ["embedded", "reflex2"] and mine["reflex2"].open(3, 10).commit_frames == 10
    with pytest.raises(InputError, match="no free name"):
        candidates([f"reflex={EMBEDDED_WEIGHTS}"])


@needs_voices
def test_command_line(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    add_evaluate(parser.add_subparsers())

    def run(*words):
        arguments = parser.parse_args(["evaluate", "--models", "reflex", "--drift-minutes", "0", *words])
        arguments.work(arguments)

    with mock.patch("avatar_forcing_ros.learning.evaluation.evaluate.GAIN_SHIFTS", 20):
        run("--conversations", "2", "--seconds", "22", "--json", str(tmp_path / "f.json"))
    assert "Smile answered" in capsys.readouterr().out
    assert json.loads((tmp_path / "f.json").read_text())["models"]["reflex"]["liveliness"]["blinks_per_minute"] > 0
    with pytest.raises(InputError, match="give --user-video"):
        run("--avatar-audio", str(SAMPLE_AVATAR_AUDIO))
