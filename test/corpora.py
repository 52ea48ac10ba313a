"""Made-up corpora for tests of training, and the smallest training."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from avatar_forcing_ros.learning.data.corpus import VERSION, write_recipe, write_shard
from avatar_forcing_ros.learning.training.recipe import Recipe
from avatar_forcing_ros.learning.training.trainer import Trainer
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.paths import share_file


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
    write_recipe(
        folder,
        {"version": VERSION, "space": space, "hours": frames / 90000, "seed": seed, "shards": ["shard_00000.npz"]},
    )
    write_shard(folder / "shard_00000.npz", {
        "sound": sound.astype(np.float16), "motion": motion.astype(np.float16), "speaking": sound[:, :, 0] > 0,
        "closures": np.zeros((2, frames), bool), "starts": np.zeros(1, np.int64), "seen": known, "heard": known,
    })  # fmt: skip
    return str(folder)


def tiny(corpus, **changes):
    return replace(
        Recipe.read(share_file("config/learning/tiny.yaml"), corpus=corpus, valid=corpus, device="cpu"), **changes
    )  # GPU: test_gpu.py


def train(recipe, out, steps=None):
    trainer = Trainer(recipe, out, resume=(Path(out) / "checkpoint.pt").is_file(), show=lambda line: None)
    rows = []
    for row in trainer.steps():
        rows.append(row)
        if steps and len(rows) == steps:
            break
    return trainer, rows
