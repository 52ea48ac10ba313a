"""Distillation: few passes for many, a lip reader that reads the mouth, other microphones, another teacher."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'avatar_forcing_ros[train]'")

from corpora import train

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.embedded import EmbeddedGenerator
from avatar_forcing_ros.learning.training import forcing as df
from avatar_forcing_ros.learning.training.batches import ClipSource
from avatar_forcing_ros.learning.training.recipe import Recipe
from avatar_forcing_ros.learning.training.trainer import Trainer
from avatar_forcing_ros.models import Identity, load_model, save_model
from avatar_forcing_ros.models.flow_matching import schedule
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.paths import share_file


def test_a_distilled_network_goes_in_few_steps_where_its_teacher_went_in_many(corpus, trained, tmp_path):
    """From the same noise with the same signals: one branch and two steps come nearer to the guided eight than the teacher's
    own two do, and the file tells a generator so."""
    recipe = Recipe.read(share_file("config/learning/tiny_distillation.yaml"), corpus=corpus, start=trained)
    trainer, rows = train(replace(recipe, training_steps=40, substeps=4, log_every=1), tmp_path)
    assert np.mean([row["loss"] for row in rows[-10:]]) < 0.5 * rows[0]["loss"]
    teacher, student = load_model(trained), load_model(tmp_path / "model.safetensors")
    assert student.config == replace(teacher.config, distilled=True, passes=4)
    for one, other in zip(teacher.audio_encoder.parameters(), student.audio_encoder.parameters(), strict=True):
        assert torch.equal(one, other)
    signals = torch.randn(1, 50, 48), torch.randn(1, 50, 48), torch.randn(1, 50, rig.DIM)
    noise = torch.randn(1, 50, rig.DIM)

    def made(model, passes, guidance):
        identity = Identity(model.to_latents(torch.zeros(1, rig.DIM)))
        return model.stream(identity, steps=passes, audio_guidance=guidance, user_guidance=guidance).step(
            *signals, noise=noise
        )

    aim = made(teacher, 10, 2.0)
    assert (made(student, 4, 1.0) - aim).norm() < 0.7 * (made(teacher, 4, 2.0) - aim).norm()
    options = EmbeddedGenerator(tmp_path / "model.safetensors").options
    assert (options.passes, options.audio_guidance, options.user_guidance) == (4, 1.0, 1.0)
    assert EmbeddedGenerator(trained, {"user_guidance": 3.0}).options.passes == 10


def test_the_mouth_opens_as_a_lip_reader_reads_off_the_sound(corpus, trained, tmp_path):
    """In the corpus the jaw is the sound's first band. A student of the reader alone is nearer to it than one of the teacher
    alone."""
    from avatar_forcing_ros.learning.data.corpus import load_corpus
    from avatar_forcing_ros.learning.training.distillation import train_reader

    model, loaded = load_model(trained), load_corpus(corpus)
    recipe = Recipe.read(
        share_file("config/learning/tiny_distillation.yaml"), corpus=corpus, start=trained, reader_training_steps=100
    )
    before = [p.clone() for p in model.parameters()]
    reader = train_reader(model, ClipSource(loaded, model, 3), recipe, lambda line: None)
    assert all(
        torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)
    )  # it has an encoder of its own
    clip = ClipSource(loaded, model, 4).draw(8, augment=False)
    read = reader(clip.avatar_sound, 50)[:, :-2]
    jaw = rig.LIPS.index(rig.INDEX["jawOpen"])
    true = clip.avatar_motion[:, :-2, rig.INDEX["jawOpen"]]
    assert np.corrcoef(read[..., jaw].flatten(), true.flatten())[0, 1] > 0.8
    assert 0.8 < float(read[..., jaw].std() / true.std()) < 1.25

    def apart(share):
        trainer, _ = train(replace(recipe, training_steps=40, opening_reading=share), tmp_path / f"{share}")
        student = trainer.average
        given = df.Given.of(
            clip,
            (df.encode_sound(student, clip.avatar_sound, 50), df.encode_sound(student, clip.user_sound, 50)),
            (torch.ones(8), torch.ones(8)),
        )
        noise = torch.randn(8, 50, rig.DIM, generator=torch.Generator().manual_seed(0))
        noise[..., rig.LIPS] *= recipe.lip_temperature
        made = df.euler_clip(student, given, noise, schedule(recipe.passes), clip.reference)
        return (made[:, :-2, rig.INDEX["jawOpen"]] - read[..., jaw]).square().mean()

    assert apart(1.0) < 0.5 * apart(0.0)


def test_a_student_hears_what_a_lip_reader_reads(corpus, trained, tmp_path):
    recipe = Recipe.read(
        share_file("config/learning/tiny_distillation.yaml"), corpus=corpus, start=trained, reader_training_steps=100
    )
    recipe = replace(
        recipe, training_steps=40, log_every=1, response_spread=10.0, opening_reading=1.0, mouth_weight=1.0
    )
    trainer, _ = train(recipe, tmp_path / "with")
    told = [json.loads(line)["mouth"] for line in (tmp_path / "with/log.jsonl").read_text().splitlines()]
    assert np.mean(told[-10:]) < 0.8 * np.mean(told[:10])
    assert trainer.average.state_dict().keys() == load_model(trained).state_dict().keys()  # the head is thrown away
    for name, change in (("without", {"mouth_weight": 0.0}), ("shared", {"response_spread": 0.0})):
        train(replace(recipe, training_steps=1, **change), tmp_path / name)
        assert "mouth" not in json.loads((tmp_path / name / "log.jsonl").read_text())


def test_a_stopped_distillation_keeps_its_lip_reader_and_finds_a_teacher_that_moved(corpus, trained, tmp_path):
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(Path(trained).read_bytes())
    recipe = Recipe.read(
        share_file("config/learning/tiny_distillation.yaml"), corpus=corpus, start=trained, reader_training_steps=100
    )
    recipe = replace(
        recipe,
        training_steps=4,
        save_every=2,
        response_spread=10.0,
        opening_reading=1.0,
        mouth_weight=1.0,
        teacher=trained,
    )
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
    train(replace(tiny_distilled, training_steps=20), tmp_path / "distilled")
    start = str(tmp_path / "distilled/model.safetensors")
    recipe = replace(tiny_distilled, start=start, substeps=1, audio_guidance=1.0, user_guidance=1.0, log_every=1)
    for name, same in (("same", {}), ("clear", {"response_spread": 10.0, "clear_share": 1.0})):
        _, rows = train(replace(recipe, training_steps=1, **same), tmp_path / name)
        assert rows[0]["loss"] == pytest.approx(0.0, abs=1e-9)
    _, rows = train(replace(recipe, training_steps=60, response_spread=10.0, clear_share=0.0), tmp_path / "robust")
    assert rows[0]["loss"] > 1e-4
    assert np.mean([row["loss"] for row in rows[-10:]]) < 0.7 * np.mean([row["loss"] for row in rows[:10]])
    one, other = (
        load_model(file).audio_encoder.embed.weight for file in (start, tmp_path / "robust/model.safetensors")
    )
    assert not torch.equal(one, other)


def test_another_microphone_teaches_the_opening_of_the_mouth_alone(corpus, trained):
    """And what is heard as it is, all else with it: by the gradients of the network's last layer, a row for each coefficient."""
    from avatar_forcing_ros.learning.data.corpus import load_corpus
    from avatar_forcing_ros.learning.training.distillation import Distillation

    def taught(clear_share):
        model = load_model(trained)
        source = ClipSource(load_corpus(corpus), model, 3)
        recipe = Recipe.read(share_file("config/learning/tiny_distillation.yaml"), corpus=corpus, start=trained)
        recipe = replace(recipe, response_spread=10.0, clear_share=clear_share)
        loss, _ = Distillation(recipe, model, source)(model, source.draw(4), torch.Generator().manual_seed(0))
        loss.backward()
        return model.transformer.final.weight.grad.abs().sum(1) > 0

    opening = torch.zeros(rig.DIM, dtype=torch.bool)
    opening[rig.OPENING] = True
    assert torch.equal(taught(0.0), opening)
    assert taught(1.0).all()


def test_another_network_may_teach(corpus, trained, tmp_path):
    """The loss of a student that begins as its teacher is none; with another teacher it is not."""
    recipe = Recipe.read(share_file("config/learning/tiny_distillation.yaml"), corpus=corpus, start=trained)
    recipe = replace(recipe, training_steps=1, substeps=1, audio_guidance=1.0, user_guidance=1.0, log_every=1)
    train(replace(recipe, training_steps=20), tmp_path / "other")
    other = str(tmp_path / "other/model.safetensors")
    recipe = replace(recipe, start=other)
    for teacher, least, most in (("", 0.0, 1e-9), (trained, 1e-4, 10.0)):
        _, rows = train(replace(recipe, teacher=teacher), tmp_path / f"by_{bool(teacher)}")
        assert least <= rows[0]["loss"] <= most
    with pytest.raises(InputError, match="teacher belongs to a distillation"):
        replace(recipe, stage="preference", teacher=trained)
    blocks = load_model(trained)
    blocks.config = replace(blocks.config, block_frames=5)
    save_model(blocks, tmp_path / "blocks.safetensors")
    with pytest.raises(InputError, match="has block_frames 5, the student 10"):
        train(replace(recipe, teacher=str(tmp_path / "blocks.safetensors")), tmp_path / "blocks")
