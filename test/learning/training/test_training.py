"""Training, whole: conversations are made, both stages run, stop, resume, and what comes out moves a face."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar_forcing_ros.cli import main
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.base import BlockSignals
from avatar_forcing_ros.generators.embedded import LIPS, EmbeddedGenerator
from avatar_forcing_ros.installation import share_file
from avatar_forcing_ros.learning import diffusion_forcing as df
from avatar_forcing_ros.learning.batches import ClipSource
from avatar_forcing_ros.learning.corpus import VERSION, write_recipe, write_shard
from avatar_forcing_ros.learning.recipe import Recipe
from avatar_forcing_ros.learning.train import Trainer
from avatar_forcing_ros.models import AvatarForcing, Identity, ModelConfig, load_model, save_model
from avatar_forcing_ros.models.flow_matching import schedule
from avatar_forcing_ros.motion import rig


def write_corpus(folder, space="rig", frames=1500, seed=0):
    """A made-up corpus: the avatar's jaw follows the first band of its sound, its smile the user's, 10 frames later."""
    rng = np.random.default_rng(seed)
    bands, dim = (256, rig.DIM) if space == "rig" else (640, 512)
    def slow(*shape):
        x = rng.standard_normal((frames + 20, *shape))
        return sum(np.roll(x, i, 0) for i in range(8))[20:] / 3.0
    sound = slow(2, bands).transpose(1, 0, 2)
    motion = 0.05 * slow(2, dim).transpose(1, 0, 2)
    if space == "rig":
        smile = rig.INDEX["mouthSmileLeft"]
        motion[:, :, rig.INDEX["jawOpen"]] = 0.2 + 0.1 * sound[:, :, 0]
        motion[0, 10:, smile : smile + 2] = motion[1, :-10, smile : smile + 2]
    known = np.ones((1, 2), bool)
    write_recipe(folder, {"version": VERSION, "space": space, "hours": frames / 90000, "seed": seed, "shards": ["shard_00000.npz"]})
    write_shard(folder / "shard_00000.npz", {
        "sound": sound.astype(np.float16), "motion": motion.astype(np.float16), "speaking": sound[:, :, 0] > 0,
        "closures": np.zeros((2, frames), bool), "starts": np.zeros(1, np.int64), "seen": known, "heard": known,
    })  # fmt: skip
    return str(folder)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def tiny(corpus, **changes):
    return replace(Recipe.read(share_file("config/learning/tiny.yaml"), corpus=corpus, valid=corpus, device="cpu"), **changes)  # GPU: test_gpu.py


def train(recipe, out, steps=None):
    trainer = Trainer(recipe, out, resume=(Path(out) / "checkpoint.pt").is_file(), show=lambda line: None)
    rows = []
    for row in trainer.steps():
        rows.append(row)
        if steps and len(rows) == steps:
            break
    return trainer, rows


def test_the_loss_falls_and_what_comes_out_moves_a_face(corpus, tmp_path):
    trainer, rows = train(tiny(corpus, steps=150, stream_share=0.5), tmp_path)
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
    motion = stream.step(BlockSignals(0, 0.1 * sound, sound, np.zeros((10, rig.DIM), np.float32), np.ones(10, np.float32), yes, yes, yes))
    assert motion.shape == (5, rig.DIM) and np.isfinite(motion).all()


def test_what_the_conditions_tell_is_read_by_a_head_that_is_thrown_away(corpus, tmp_path):
    train(tiny(corpus, answer_weight=1.0, hear_both=1.0, hear_avatar=0.0, hear_user=0.0), tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["answer"] < 0.9 * rows[0]["answer"]
    assert not [name for name in load_model(tmp_path / "model.safetensors").state_dict() if "answer" in name]


def test_sounds_pass_another_microphone_in_training_alone(corpus, trained):
    """Everything but the sound stays; a response is one for a whole clip, and a part of the bands is masked."""
    from avatar_forcing_ros.learning.corpus import load_corpus

    model = load_model(trained)
    loaded = load_corpus(corpus)
    as_it_is = ClipSource(loaded, model, 3).draw(16)
    source = ClipSource(loaded, model, 3, response_spread=15.0)
    passed = source.draw(16)
    assert torch.equal(as_it_is.avatar_motion, passed.avatar_motion) and torch.equal(as_it_is.user_motion, passed.user_motion)
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
    recipe = tiny(corpus, steps=8, save_every=4, valid_every=3, log_every=2)
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
    for change, told in (({"model": {**recipe.model, "depth": 1}}, "another recipe .*depth"), ({"stream_share": 0.9}, "stream_share 0.5 -> 0.9")):
        with pytest.raises(InputError, match=told):
            Trainer(replace(recipe, **change), tmp_path / "parts", resume=True)
    with pytest.raises(InputError, match="no checkpoint.pt"):
        Trainer(recipe, tmp_path / "partz", resume=True)


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("forcing")
    train(tiny(corpus, steps=150), out)
    return str(out / "model.safetensors")


def test_a_trained_network_goes_on_with_shorter_blocks(corpus, trained, tmp_path):
    trainer, _ = train(tiny(corpus, steps=2, start=trained, model={"block_frames": 5}), tmp_path)
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
    recipe = preference(corpus, trained, steps=40, losers=32, log_every=1, preference_weight=1.0, average=0.5)
    trainer, _ = train(recipe, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert rows[0]["preference"] == pytest.approx(np.log(2.0), abs=1e-3)
    assert np.mean([row["preferred"] for row in rows[-10:]]) > 0.6
    assert min(row["preference"] for row in rows) < 0.6
    assert not any("reference" in name for name in trainer.stage.state_dict())


def test_losers_have_not_seen_the_user(corpus, trained, tmp_path):
    """The loser of a clip does not change with the clip's user; what all conditions give does."""
    model = load_model(trained)
    from avatar_forcing_ros.learning.corpus import load_corpus

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


def test_a_distilled_network_goes_in_few_steps_where_its_teacher_went_in_many(corpus, trained, tmp_path):
    """From the same noise with the same signals: one branch and two steps come nearer to the guided eight than the teacher's
    own two do, and the file tells a generator so."""
    recipe = Recipe.read(share_file("config/learning/tiny_distillation.yaml"), corpus=corpus, start=trained)
    trainer, rows = train(replace(recipe, steps=60, substeps=4, log_every=1), tmp_path)
    assert np.mean([row["loss"] for row in rows[-10:]]) < 0.5 * rows[0]["loss"]
    teacher, student = load_model(trained), load_model(tmp_path / "model.safetensors")
    assert student.config == replace(teacher.config, distilled=True, passes=4)
    for one, other in zip(teacher.audio_encoder.parameters(), student.audio_encoder.parameters(), strict=True):
        assert torch.equal(one, other)
    signals = torch.randn(1, 50, 48), torch.randn(1, 50, 48), torch.randn(1, 50, rig.DIM)
    noise = torch.randn(1, 50, rig.DIM)

    def made(model, passes, guidance):
        identity = Identity(model.to_latents(torch.zeros(1, rig.DIM)))
        return model.stream(identity, passes, guidance, guidance).step(*signals, noise=noise)

    aim = made(teacher, 10, 2.0)
    assert (made(student, 4, 1.0) - aim).norm() < 0.7 * (made(teacher, 4, 2.0) - aim).norm()
    options = EmbeddedGenerator(tmp_path / "model.safetensors").options
    assert (options.steps, options.audio_guidance, options.user_guidance) == (4, 1.0, 1.0)
    assert EmbeddedGenerator(trained, {"user_guidance": 3.0}).options.steps == 10


def test_the_mouth_opens_as_a_lip_reader_reads_off_the_sound(corpus, trained, tmp_path):
    """In the corpus the jaw is the sound's first band. A student of the reader alone is nearer to it than one of the teacher
    alone."""
    from avatar_forcing_ros.learning.corpus import load_corpus
    from avatar_forcing_ros.learning.distillation import train_reader

    model, loaded = load_model(trained), load_corpus(corpus)
    recipe = Recipe.read(share_file("config/learning/tiny_distillation.yaml"), corpus=corpus, start=trained, reading_steps=150)
    before = [p.clone() for p in model.parameters()]
    reader = train_reader(model, ClipSource(loaded, model, 3), recipe, lambda line: None)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))  # it has an encoder of its own
    clip = ClipSource(loaded, model, 4).draw(8, augment=False)
    read = reader(clip.avatar_sound, 50)[:, :-2]
    jaw = LIPS.index(rig.INDEX["jawOpen"])
    true = clip.avatar_motion[:, :-2, rig.INDEX["jawOpen"]]
    assert np.corrcoef(read[..., jaw].flatten(), true.flatten())[0, 1] > 0.8
    assert 0.8 < float(read[..., jaw].std() / true.std()) < 1.25

    def apart(share):
        trainer, _ = train(replace(recipe, steps=60, opening_reading=share), tmp_path / f"{share}")
        student = trainer.average
        given = df.Given.of(clip, (df.encode_sound(student, clip.avatar_sound, 50), df.encode_sound(student, clip.user_sound, 50)),
                            (torch.ones(8), torch.ones(8)))
        noise = torch.randn(8, 50, rig.DIM, generator=torch.Generator().manual_seed(0))
        noise[..., LIPS] *= recipe.lip_temperature
        made = df.euler_clip(student, given, noise, schedule(recipe.passes), clip.reference)
        return (made[:, :-2, rig.INDEX["jawOpen"]] - read[..., jaw]).square().mean()

    assert apart(1.0) < 0.5 * apart(0.0)


def test_a_student_hears_what_a_lip_reader_reads(corpus, trained, tmp_path):
    recipe = Recipe.read(share_file("config/learning/tiny_distillation.yaml"), corpus=corpus, start=trained, reading_steps=150)
    recipe = replace(recipe, steps=60, log_every=1, response_spread=10.0, opening_reading=1.0, mouth_weight=1.0)
    trainer, _ = train(recipe, tmp_path / "with")
    told = [json.loads(line)["mouth"] for line in (tmp_path / "with/log.jsonl").read_text().splitlines()]
    assert np.mean(told[-10:]) < 0.8 * np.mean(told[:10])
    assert trainer.average.state_dict().keys() == load_model(trained).state_dict().keys()  # the head is thrown away
    for name, change in (("without", {"mouth_weight": 0.0}), ("shared", {"response_spread": 0.0})):
        train(replace(recipe, steps=1, **change), tmp_path / name)
        assert "mouth" not in json.loads((tmp_path / name / "log.jsonl").read_text())


def test_a_stopped_distillation_keeps_its_lip_reader_and_finds_a_teacher_that_moved(corpus, trained, tmp_path):
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(Path(trained).read_bytes())
    recipe = Recipe.read(share_file("config/learning/tiny_distillation.yaml"), corpus=corpus, start=trained, reading_steps=100)
    recipe = replace(recipe, steps=4, save_every=2, response_spread=10.0, opening_reading=1.0, mouth_weight=1.0, teacher=trained)
    whole, _ = train(recipe, tmp_path / "whole")
    train(recipe, tmp_path / "parts", steps=2)
    said = []
    resumed = Trainer(replace(recipe, teacher=str(moved)), tmp_path / "parts", resume=True, show=said.append)
    list(resumed.steps())
    assert said == ["resumed at step 2"]  # no reader was trained
    for a, b in zip(whole.average.parameters(), resumed.average.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_distilled_network_learns_to_hear_another_microphone(corpus, trained, tmp_path):
    """A student that starts as its teacher: what it does when it hears as its teacher does is nothing new, so the loss is zero; how it
    opens its mouth when it hears through another microphone comes nearer to what its teacher does."""
    tiny_distilled = Recipe.read(share_file("config/learning/tiny_distillation.yaml"), corpus=corpus, start=trained)
    train(replace(tiny_distilled, steps=20), tmp_path / "distilled")
    start = str(tmp_path / "distilled/model.safetensors")
    recipe = replace(tiny_distilled, start=start, substeps=1, audio_guidance=1.0, user_guidance=1.0, log_every=1)
    for name, same in (("same", {}), ("clear", {"response_spread": 10.0, "clear_share": 1.0})):
        _, rows = train(replace(recipe, steps=1, **same), tmp_path / name)
        assert rows[0]["loss"] == pytest.approx(0.0, abs=1e-9)
    _, rows = train(replace(recipe, steps=60, response_spread=10.0, clear_share=0.0), tmp_path / "robust")
    assert rows[0]["loss"] > 1e-4
    assert np.mean([row["loss"] for row in rows[-10:]]) < 0.7 * np.mean([row["loss"] for row in rows[:10]])
    one, other = (load_model(file).audio_encoder.embed.weight for file in (start, tmp_path / "robust/model.safetensors"))
    assert not torch.equal(one, other)


def test_another_microphone_teaches_the_opening_of_the_mouth_alone(corpus, trained):
    """And what is heard as it is, all else with it: by the gradients of the network's last layer, a row for each coefficient."""
    from avatar_forcing_ros.learning.corpus import load_corpus
    from avatar_forcing_ros.learning.distillation import OPENING, Distillation

    def taught(clear_share):
        model = load_model(trained)
        source = ClipSource(load_corpus(corpus), model, 3)
        recipe = Recipe.read(share_file("config/learning/tiny_distillation.yaml"), corpus=corpus, start=trained)
        recipe = replace(recipe, response_spread=10.0, clear_share=clear_share)
        loss, _ = Distillation(recipe, model, source)(model, source.draw(4), torch.Generator().manual_seed(0))
        loss.backward()
        return model.transformer.final.weight.grad.abs().sum(1) > 0

    opening = torch.zeros(rig.DIM, dtype=torch.bool)
    opening[OPENING] = True
    assert torch.equal(taught(0.0), opening)
    assert taught(1.0).all()


def test_another_network_may_teach(corpus, trained, tmp_path):
    """The loss of a student that begins as its teacher is none; with another teacher it is not."""
    recipe = Recipe.read(share_file("config/learning/tiny_distillation.yaml"), corpus=corpus, start=trained)
    recipe = replace(recipe, steps=1, substeps=1, audio_guidance=1.0, user_guidance=1.0, log_every=1)
    train(replace(recipe, steps=20), tmp_path / "other")
    other = str(tmp_path / "other/model.safetensors")
    recipe = replace(recipe, start=other)
    for teacher, least, most in (("", 0.0, 1e-9), (trained, 1e-4, 10.0)):
        _, rows = train(replace(recipe, teacher=teacher), tmp_path / f"by_{bool(teacher)}")
        assert least <= rows[0]["loss"] <= most
    with pytest.raises(InputError, match="teacher is of a distillation"):
        replace(recipe, stage="preference", teacher=trained)
    blocks = load_model(trained)
    blocks.config = replace(blocks.config, block_frames=5)
    save_model(blocks, tmp_path / "blocks.safetensors")
    with pytest.raises(InputError, match="has block_frames 5, the student 10"):
        train(replace(recipe, teacher=str(tmp_path / "blocks.safetensors")), tmp_path / "blocks")


def test_a_stranger_takes_the_users_place(corpus, trained):
    from avatar_forcing_ros.learning.corpus import load_corpus
    from avatar_forcing_ros.learning.distillation import with_strangers

    clip = ClipSource(load_corpus(corpus), load_model(trained), 3).draw(4)
    other = with_strangers(clip, torch.tensor([True, False, False, True]))
    for name in ("user_sound", "user_motion", "user_heard", "user_seen"):
        assert torch.equal(getattr(other, name), getattr(clip, name)[[3, 1, 2, 2]]), name
    assert torch.equal(other.avatar_sound, clip.avatar_sound) and torch.equal(other.avatar_motion, clip.avatar_motion)


@pytest.mark.parametrize("clear_share", [0.0, 1.0])
def test_a_strangers_mouth_takes_the_pasts_place(corpus, trained, monkeypatch, clear_share):
    from avatar_forcing_ros.learning.corpus import load_corpus
    from avatar_forcing_ros.learning.distillation import OPENING, Distillation

    pasts, velocity = [], df.stream_velocity
    monkeypatch.setattr(df, "stream_velocity", lambda model, clean, *rest: pasts.append(clean) or velocity(model, clean, *rest))
    model = load_model(trained)
    source = ClipSource(load_corpus(corpus), model, 3)
    recipe = Recipe.read(share_file("config/learning/tiny_distillation.yaml"), corpus=corpus, start=trained, response_spread=10.0)
    recipe = replace(recipe, clear_share=clear_share, strangers=True, stream_share=1.0, context_noise=0.0)
    clip = source.draw(4)
    Distillation(recipe, model, source)(model, clip, torch.Generator().manual_seed(0))
    expected = clip.avatar_motion.clone()
    expected[..., OPENING] = clip.avatar_motion.roll(1, 0)[..., OPENING]
    assert pasts and all(torch.equal(past, expected) for past in pasts)


def test_the_published_space_trains_from_waveforms(tmp_path):
    """The published layout at a tiny size: waveforms through wav2vec2, 512 latents, both stages."""
    corpus = write_corpus(tmp_path / "corpus", "lia512", frames=120)
    size = dict(audio_front_end="wav2vec2", audio_dim=32, audio_width=64, audio_layers=1, width=32, depth=1, heads=2)
    published = share_file("config/learning/published.yaml")
    own = dict(corpus=corpus, steps=2, batch=2, model=size, log_every=1)
    trainer, _ = train(Recipe.read(published, **own, start="", freeze_audio=False), tmp_path / "first")
    clip = trainer.source.draw(64)
    assert clip.reference.shape == (64, 512) and clip.reference.std(0).mean() > 0.03  # as a portrait: some moment, not rest
    start = str(tmp_path / "first/model.safetensors")
    recipe = Recipe.read(published, **own, stage="preference", start=start, losers=2)
    trainer, _ = train(recipe, tmp_path / "second")
    before, after = (load_model(tmp_path / f"{run}/model.safetensors").audio_encoder for run in ("first", "second"))
    for one, other in zip(before.trunk.parameters(), after.trunk.parameters(), strict=True):
        assert torch.equal(one, other)  # frozen
    sound = torch.randn(2, 640 * 50)
    assert torch.equal(trainer.model.encode_audio(sound, 50), trainer.model.encode_audio(sound, 50))  # training drops nothing out
    assert load_model(tmp_path / "second/model.safetensors").config == ModelConfig(image_size=None, **size)


@pytest.mark.parametrize("text, told", [
    ("stages: forcing", "unknown stages"), ("steps: many", "give a int"), ("stage: third", "use one of forcing, preference"),
    ("passes: 2\nsteps: 3", "passes is 2"), ("hear_both: 0.9\nhear_user: 0.2", "sum is at most 1"), ("stage: preference", "give its weights as `start`"),
    ("- a\n- b", "list of `name: value` lines"), ("a: [", "is no YAML"), ("steps: 0", "at least 1"), ("learning_rate: fast", "give a float"),
    ("seed: -1", "seed is -1"), ("threads: -1", "threads is -1"), ("guidance_steps: 2", "guidance_steps is 2"), ("reading_steps: 20", "reading_steps is 20"),
    ("freeze_audio: true", "freeze_audio leaves"), ("space: lia512\nfreeze_audio: true", "freeze_audio leaves"), ("strangers: true", "strangers is of"),
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
    assert main(["train", tiny_yaml, "--corpus", corpus, "--start", str(tmp_path / "wrong.safetensors"), "--out", str(tmp_path)]) == 1
    assert "does not fit the recipe" in capsys.readouterr().err
