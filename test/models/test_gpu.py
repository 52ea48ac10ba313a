"""What runs on a GPU gives there what it gives on a CPU. The portrait's drawing has its test in test_warp.py."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'avatar_forcing_ros[train]'")


torch = pytest.importorskip("torch")

from corpora import write_corpus

from avatar_forcing_ros.assets import EMBEDDED_WEIGHTS
from avatar_forcing_ros.bench.network import benchmark
from avatar_forcing_ros.generators.embedded import EmbeddedGenerator
from avatar_forcing_ros.generators.lockstep import run_stream
from avatar_forcing_ros.learning.training.recipe import Recipe
from avatar_forcing_ros.learning.training.trainer import Trainer
from avatar_forcing_ros.models import ModelConfig, load_model
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.paths import share_file
from avatar_forcing_ros.timeline import SAMPLES_PER_FRAME

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no GPU here; on a CPU the same code has its own tests"
)
FRAMES = 150


def rolled_out(**options):
    """Six seconds of the network in the box with a user who speaks and smiles."""
    rng = np.random.default_rng(3)
    loud = np.repeat(np.abs(np.sin(np.arange(FRAMES) / 7)), SAMPLES_PER_FRAME)
    voices = (0.1 * loud * rng.standard_normal((2, FRAMES * SAMPLES_PER_FRAME))).astype(np.float32)
    user = np.zeros((FRAMES, rig.DIM), np.float32)
    user[40:90, rig.INDEX["mouthSmileLeft"]] = user[40:90, rig.INDEX["mouthSmileRight"]] = 0.8
    stream = EmbeddedGenerator(EMBEDDED_WEIGHTS, options).open(None, 0, None)
    return run_stream(stream, voices[0], user, None, voices[1])


@pytest.mark.parametrize("compile_mode", ["none", "graph"])
def test_the_network_in_the_box_moves_as_on_a_cpu(compile_mode):
    wanted = rolled_out(device="cpu", precision="float32")
    made = rolled_out(device="cuda", precision="float32", compile=compile_mode)
    assert wanted.std(0).max() > 0.05
    assert np.abs(made - wanted).max() < 0.02 and np.abs(made - wanted).mean() < 1e-3


@pytest.mark.parametrize("compile_mode", ["none", "graph"])
def test_the_published_stream_is_as_written_plainly(compile_mode):
    config = replace(
        ModelConfig.published(), image_size=64, audio_front_end="log_mel", audio_dim=64, audio_width=64, audio_layers=2, width=128, depth=2,
        heads=2, time_frequencies=32,
    )  # fmt: skip
    report = benchmark(
        config, device="cuda", precision="float32", compile_mode=compile_mode, repeats=1, show=lambda line: None
    )
    assert report["gpu_measured"]
    assert report["latents_relative_difference"] < 2e-3
    assert report["images_mean_difference_grey_levels"] < 0.5


def test_all_stages_train(tmp_path):
    corpus, start = write_corpus(tmp_path / "corpus"), ""
    for name in ("tiny", "tiny_preference", "tiny_distillation"):
        recipe = Recipe.read(
            share_file(f"config/learning/{name}.yaml"),
            corpus=corpus,
            valid=corpus,
            start=start or None,
            device="cuda",
            training_steps=12,
        )
        trainer = Trainer(replace(recipe, save_every=6), tmp_path / name, show=lambda line: None)
        assert all(np.isfinite(row["loss"]) for row in trainer.steps())
        resumed = Trainer(recipe, tmp_path / name, resume=True, show=lambda line: None)
        assert resumed.step == 12 and resumed.model.device.type == "cuda"
        start = str(tmp_path / name / "model.safetensors")
    assert load_model(start).config.distilled
