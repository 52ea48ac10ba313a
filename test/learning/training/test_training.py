"""Training, whole: conversations are made, both stages run, stop, resume, and what comes out moves a face."""

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'avatar_forcing_ros[train]'")

from corpora import tiny, train, write_corpus

from avatar_forcing_ros.cli import main
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.base import BlockSignals
from avatar_forcing_ros.generators.embedded import EmbeddedGenerator
from avatar_forcing_ros.learning.training import forcing as df
from avatar_forcing_ros.learning.training.batches import ClipSource
from avatar_forcing_ros.learning.training.recipe import Recipe
from avatar_forcing_ros.learning.training.trainer import Trainer
from avatar_forcing_ros.models import AvatarForcing, ModelConfig, load_model, save_model
from avatar_forcing_ros.models.flow_matching import schedule
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.paths import share_file


def test_the_loss_falls_and_what_comes_out_moves_a_face(corpus, tmp_path, plots):
    trainer, rows = train(tiny(corpus, training_steps=100, stream_share=0.5), tmp_path)
    losses = [row["loss"] for row in rows]
    assert np.mean(losses[-20:]) < 0.85 * np.mean(losses[:10])
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {"stream", "forcing", "difference", "mouth"} <= set().union(*logged) and "valid_stream" in logged[-1]
    assert (tmp_path / "training.png").stat().st_size > 10_000
    model = load_model(tmp_path / "model.safetensors")
    assert float(model.motion_mean[rig.INDEX["jawOpen"]]) == pytest.approx(0.2, abs=0.02)
    stream = EmbeddedGenerator(model=model).open(None, 0, 5)
    yes = np.ones(10, bool)
    sound = np.random.default_rng(0).standard_normal(6400).astype(np.float32)
    motion = stream.step(
        BlockSignals(
            first_frame=0, avatar_audio=0.1 * sound, user_audio=sound, user_motion=np.zeros((10, rig.DIM), np.float32),
            user_confidence=np.ones(10, np.float32), avatar_audio_known=yes, user_audio_known=yes, user_motion_known=yes,
        )
    )  # fmt: skip
    assert motion.shape == (5, rig.DIM) and np.isfinite(motion).all()


def test_what_the_conditions_tell_is_read_by_a_head_that_is_thrown_away(corpus, tmp_path):
    train(tiny(corpus, answer_weight=1.0, hear_both=1.0, hear_avatar=0.0, hear_user=0.0), tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["answer"] < 0.9 * rows[0]["answer"]
    assert not [name for name in load_model(tmp_path / "model.safetensors").state_dict() if "answer" in name]


def test_sounds_pass_another_microphone_in_training_alone(corpus, trained):
    """Everything but the sound stays; a response is one for a whole clip, and a part of the bands is masked."""
    from avatar_forcing_ros.learning.data.corpus import load_corpus

    model = load_model(trained)
    loaded = load_corpus(corpus)
    as_it_is = ClipSource(loaded, model, 3).draw(16)
    source = ClipSource(loaded, model, 3, response_spread=15.0)
    passed = source.draw(16)
    assert torch.equal(as_it_is.avatar_motion, passed.avatar_motion) and torch.equal(
        as_it_is.user_motion, passed.user_motion
    )
    for before, after in ((as_it_is.avatar_sound, passed.avatar_sound), (as_it_is.user_sound, passed.user_sound)):
        masked = (after == -0.5).all(1)  # (B, 4 * bands)
        assert 0.05 < float(masked.float().mean()) < 0.3 and len({float(x.sum()) for x in masked}) > 4
        # Far above the floor a response is a constant in each band.
        loud = (before > 0.0) & (after > -0.8) & ~masked[:, None]
        shift = torch.where(loud, after - before, torch.nan)
        first = torch.nanmedian(shift, dim=1, keepdim=True).values
        assert float((shift - first).nan_to_num().abs().max()) < 0.05
        assert 0.3 < float(first[~first.isnan()].std()) < 1.5  # 15 dB are 0.86
    assert not (source.draw(16, augment=False).avatar_sound == -0.5).all(1).any()
    with pytest.raises(InputError, match="response_spread is 15"):
        Recipe(space="lia512", response_spread=15.0)


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(corpus, tmp_path):
    recipe = tiny(corpus, training_steps=8, save_every=4, valid_every=3, log_every=2)
    whole, _ = train(recipe, tmp_path / "whole")
    train(recipe, tmp_path / "parts", steps=6)  # stopped after 6, saved after 4
    resumed, rows = train(recipe, tmp_path / "parts")
    assert rows[0]["step"] == 5 and resumed.step == 8
    for a, b in zip(whole.average.parameters(), resumed.average.parameters(), strict=True):
        assert torch.equal(a, b)
    logged = [json.loads(line) for line in (tmp_path / "parts/log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in logged] == [2, 3, 4, 6, 8]  # none twice, though 6 was logged before the stop
    assert [row["step"] for row in logged if "valid_forcing" in row or "valid_stream" in row] == [3, 6, 8]
    assert len({float(clip.avatar_motion.sum()) for clip in resumed.valid}) == len(resumed.valid)  # no clips twice
    for change, told in (
        ({"model": {**recipe.model, "depth": 1}}, "another recipe .*depth"),
        ({"stream_share": 0.9}, "stream_share 0.5 -> 0.9"),
    ):
        with pytest.raises(InputError, match=told):
            Trainer(replace(recipe, **change), tmp_path / "parts", resume=True)
    with pytest.raises(InputError, match="no checkpoint.pt"):
        Trainer(recipe, tmp_path / "partz", resume=True)


def test_a_trained_network_goes_on_with_shorter_blocks(corpus, trained, tmp_path):
    trainer, _ = train(tiny(corpus, training_steps=2, start=trained, model={"block_frames": 5}), tmp_path)
    assert trainer.average.config.block_frames == 5 and trainer.average.config.width == 48
    stream = EmbeddedGenerator(model=trainer.average).open(None, 0)
    assert (stream.block_frames, stream.commit_frames) == (5, 2)
    with pytest.raises(InputError, match="leave width out"):
        Trainer(tiny(corpus, start=trained, model={"width": 64}), tmp_path)


def preference(corpus, trained, **changes):
    recipe = Recipe.read(share_file("config/learning/tiny_preference.yaml"), corpus=corpus, start=trained)
    return replace(recipe, **changes)


def test_preference_training_prefers_the_true_motion(corpus, trained, tmp_path):
    """By the definition of the loss: at the start nothing is preferred and it is log 2; then true motion gains on the loser's."""
    recipe = preference(corpus, trained, training_steps=40, losers=32, log_every=1, preference_weight=1.0, average=0.5)
    trainer, _ = train(recipe, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert rows[0]["preference"] == pytest.approx(np.log(2.0), abs=1e-3)
    assert np.mean([row["preferred"] for row in rows[-10:]]) > 0.6
    assert min(row["preference"] for row in rows) < 0.6
    assert not any("reference" in name for name in trainer.stage.state_dict())


def test_losers_have_not_seen_the_user(corpus, trained, tmp_path):
    """The loser of a clip does not change with the clip's user; what all conditions give does."""
    model = load_model(trained)
    from avatar_forcing_ros.learning.data.corpus import load_corpus

    clip = ClipSource(load_corpus(corpus), model, 3).draw(4, augment=False)
    other = replace(clip, user_motion=clip.user_motion + 1.0, user_sound=clip.user_sound + 1.0)
    noise = torch.randn(clip.avatar_motion.shape, generator=torch.Generator().manual_seed(0))

    def made(clip, user):
        with torch.no_grad():
            features = df.encode_sound(model, torch.cat([clip.avatar_sound, clip.user_sound]), 50).chunk(2)
            hears = (torch.ones(4), torch.full((4,), user))
            return df.euler_clip(model, df.Given.of(clip, features, hears), noise, schedule(4), clip.reference)

    assert torch.equal(made(clip, 0.0), made(other, 0.0))
    assert not torch.equal(made(clip, 1.0), made(other, 1.0))


def test_a_stranger_takes_the_users_place(corpus, trained):
    from avatar_forcing_ros.learning.data.corpus import load_corpus
    from avatar_forcing_ros.learning.training.distillation import with_strangers

    clip = ClipSource(load_corpus(corpus), load_model(trained), 3).draw(4)
    other = with_strangers(clip, torch.tensor([True, False, False, True]))
    for name in ("user_sound", "user_motion", "user_heard", "user_seen"):
        assert torch.equal(getattr(other, name), getattr(clip, name)[[3, 1, 2, 2]]), name
    assert torch.equal(other.avatar_sound, clip.avatar_sound) and torch.equal(other.avatar_motion, clip.avatar_motion)


@pytest.mark.parametrize("clear_share", [0.0, 1.0])
def test_a_strangers_mouth_takes_the_pasts_place(corpus, trained, monkeypatch, clear_share):
    from avatar_forcing_ros.learning.data.corpus import load_corpus
    from avatar_forcing_ros.learning.training.distillation import Distillation

    pasts, velocity = [], df.stream_velocity
    monkeypatch.setattr(
        df, "stream_velocity", lambda model, clean, *rest: pasts.append(clean) or velocity(model, clean, *rest)
    )
    model = load_model(trained)
    source = ClipSource(load_corpus(corpus), model, 3)
    recipe = Recipe.read(
        share_file("config/learning/tiny_distillation.yaml"), corpus=corpus, start=trained, response_spread=10.0
    )
    recipe = replace(recipe, clear_share=clear_share, strangers=True, stream_share=1.0, context_noise=0.0)
    clip = source.draw(4)
    Distillation(recipe, model, source)(model, clip, torch.Generator().manual_seed(0))
    expected = clip.avatar_motion.clone()
    expected[..., rig.OPENING] = clip.avatar_motion.roll(1, 0)[..., rig.OPENING]
    assert pasts and all(torch.equal(past, expected) for past in pasts)


def test_the_published_space_trains_from_waveforms(tmp_path):
    """The published layout at a tiny size: waveforms through wav2vec2, 512 latents, both stages."""
    corpus = write_corpus(tmp_path / "corpus", "lia512", frames=120)
    size = dict(audio_front_end="wav2vec2", audio_dim=32, audio_width=64, audio_layers=1, width=32, depth=1, heads=2)
    published = share_file("config/learning/published.yaml")
    own = dict(corpus=corpus, training_steps=2, batch=2, model=size, log_every=1)
    trainer, _ = train(Recipe.read(published, **own, start="", freeze_audio=False), tmp_path / "first")
    clip = trainer.source.draw(16)
    assert (
        clip.reference.shape == (16, 512) and clip.reference.std(0).mean() > 0.03
    )  # as a portrait: some moment, not rest
    start = str(tmp_path / "first/model.safetensors")
    recipe = Recipe.read(published, **own, stage="preference", start=start, losers=2)
    trainer, _ = train(recipe, tmp_path / "second")
    before, after = (load_model(tmp_path / f"{run}/model.safetensors").audio_encoder for run in ("first", "second"))
    for one, other in zip(before.trunk.parameters(), after.trunk.parameters(), strict=True):
        assert torch.equal(one, other)  # frozen
    sound = torch.randn(2, 640 * 50)
    assert torch.equal(
        trainer.model.encode_audio(sound, 50), trainer.model.encode_audio(sound, 50)
    )  # training drops nothing out
    assert load_model(tmp_path / "second/model.safetensors").config == ModelConfig(image_size=None, **size)


@pytest.mark.parametrize("text, told", [
    ("stages: forcing", "unknown stages"), ("training_steps: many", "give a int"), ("stage: third", "use one of forcing, preference"),
    ("passes: 2\ntraining_steps: 3", "passes is 2"), ("hear_both: 0.9\nhear_user: 0.2", "sum is at most 1"), ("stage: preference", "give its weights as `start`"),
    ("- a\n- b", "list of `name: value` lines"), ("a: [", "is not YAML"), ("training_steps: 0", "at least 1"), ("learning_rate: fast", "give a float"),
    ("seed: -1", "seed is -1"), ("threads: -1", "threads is -1"), ("loser_passes: 2", "loser_passes is 2"), ("reader_training_steps: 20", "reader_training_steps is 20"),
    ("freeze_audio: true", "freeze_audio leaves"), ("space: lia512\nfreeze_audio: true", "freeze_audio leaves"), ("strangers: true", "strangers needs"),
    ("model: {width: wide}", "width is 'wide'"), ("model: {heads: 0}", "heads is 0"), ("model: {block_frames: 7}", "blocks of 7"),
])  # fmt: skip
def test_a_wrong_recipe_is_told(tmp_path, text, told):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        assert Recipe.read(path).config


def test_the_command_tells_what_is_missing(tmp_path, corpus, capsys):
    assert main(["train", str(tmp_path / "none.yaml"), "--out", str(tmp_path)]) == 1
    assert "no such recipe" in capsys.readouterr().err
    tiny_yaml = str(share_file("config/learning/tiny.yaml"))
    assert main(["train", tiny_yaml, "--out", str(tmp_path)]) == 1
    assert "names no corpus" in capsys.readouterr().err
    assert main(["train", tiny_yaml, "--corpus", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert "no corpus in" in capsys.readouterr().err
    wrong = AvatarForcing(ModelConfig.embedded(motion_dim=8, width=16, heads=2, depth=1, audio_dim=8, audio_width=8))
    save_model(wrong, tmp_path / "wrong.safetensors")
    assert (
        main(
            [
                "train",
                tiny_yaml,
                "--corpus",
                corpus,
                "--start",
                str(tmp_path / "wrong.safetensors"),
                "--out",
                str(tmp_path),
            ]
        )
        == 1
    )
    assert "does not fit the recipe" in capsys.readouterr().err
