"""A corpus on disk: many conversations as the network hears and sees them, and random windows of them for training.

A folder holds `corpus.json` (how it was made, the names of its shards) and shards of some conversations each, end to end:
    sound     (2, N, 256) float16: log-mel spectra of each person's normalised sound (space rig), or
              (2, N, 640) float16: the normalised samples themselves (space lia512, whose encoder is not ours)
    motion    (2, N, D) float16: motion latents, D = 32 in the space rig
    speaking, closures (2, N) bool; starts (C,) int: where each conversation begins; seen, heard (C, 2) bool
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import torch

from avatar_forcing_ros.audio.normaliser import SpeechNormaliser
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.learning.data import augment
from avatar_forcing_ros.learning.world.conversation import Conversation, make_conversation
from avatar_forcing_ros.models import ModelConfig
from avatar_forcing_ros.models.audio_encoder import LogMelEncoder
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.timeline import SAMPLES_PER_FRAME

VERSION = 5  # of the conversations and the format: raise it when either changes
SECONDS = 60.0  # of one conversation
PER_SHARD = 10
ARRAYS = ("sound", "motion", "speaking", "closures", "starts", "seen", "heard")


@cache
def _encoder() -> LogMelEncoder:
    return LogMelEncoder(ModelConfig.embedded())


def spectra_of(samples: np.ndarray) -> np.ndarray:
    """(n * 640,) normalised sound -> (n, 256) float16, as the embedded network's front end hears it."""
    with torch.inference_mode():
        return _encoder().spectra(torch.from_numpy(samples)[None], len(samples) // SAMPLES_PER_FRAME)[0].half().numpy()


def recorded(rng: np.random.Generator, clean: np.ndarray, other: np.ndarray, speaking: np.ndarray) -> np.ndarray:
    """A clean voice (n * 640,) as a microphone gives it, float32 in [-1, 1].

    Three in ten stay clean, as a text-to-speech gives them, half of these with digital silence in the pauses. The others
    pass a room and a line, get noise 10 to 50 dB below the voice, and sometimes the other's voice 25 to 40 dB below. The
    voice lies at -45 to -12 dB of full scale. other: the other person's clean voice; speaking: (n,) bool of the voice.
    """
    mask = np.repeat(speaking, SAMPLES_PER_FRAME)
    voice = float(np.sqrt(np.mean(clean[mask] ** 2))) if mask.any() else 0.08
    sound = clean
    if rng.random() < 0.3:
        if rng.random() < 0.5:
            near = np.convolve(speaking, np.ones(9), "same") > 0
            sound = sound * np.repeat(near, SAMPLES_PER_FRAME)
    else:
        if rng.random() < 0.2:
            sound = sound + 10 ** (rng.uniform(-40.0, -25.0) / 20) * other
        sound = augment.room(rng, sound) if rng.random() < 0.6 else sound
        sound = augment.tilt(rng, sound) if rng.random() < 0.7 else sound
        sound = sound + voice * 10 ** (-rng.uniform(10.0, 50.0) / 20) * augment.noise(rng, len(sound))
    level = 10 ** (rng.uniform(-45.0, -12.0) / 20)
    return np.clip(sound * (level / voice), -1.0, 1.0).astype(np.float32)


def heard_and_seen(conversation: Conversation) -> dict[str, np.ndarray]:
    """The arrays of a shard for one conversation; the sound is augmented by the conversation's seed."""
    rng = np.random.default_rng([conversation.seed, 77])
    sound = []
    for person in (0, 1):
        clean, other = conversation.samples[person], conversation.samples[1 - person]
        samples = recorded(rng, clean, other, conversation.speaking[person])
        if not conversation.heard[person]:
            samples = np.zeros_like(samples)
        sound.append(spectra_of(SpeechNormaliser(int(rng.integers(1 << 30))).push(samples)))
    return {
        "sound": np.stack(sound), "motion": conversation.motion.astype(np.float16), "speaking": conversation.speaking,
        "closures": conversation.closures, "starts": np.zeros(1, np.int64), "seen": np.array([conversation.seen]),
        "heard": np.array([conversation.heard]),
    }  # fmt: skip


def joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Shards' arrays one after the other."""
    offsets = np.cumsum([0] + [part["motion"].shape[1] for part in parts])
    axis = {"starts": 0, "seen": 0, "heard": 0}
    whole = {
        name: np.concatenate([part[name] for part in parts], axis.get(name, 1)) for name in ARRAYS if name != "starts"
    }
    whole["starts"] = np.concatenate([part["starts"] + offset for part, offset in zip(parts, offsets)])
    return whole


def write_shard(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """All or nothing: a shard that is there is whole."""
    part = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    try:
        chosen: dict[str, Any] = {name: arrays[name] for name in ARRAYS}
        np.savez(part, **chosen)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_recipe(folder: Path, recipe: dict) -> None:
    """corpus.json. What was made before may grow (hours, shards); raises InputError where anything else differs."""
    path = folder / "corpus.json"
    growing = ("hours", "shards")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        known = json.loads(path.read_text()) if path.exists() else recipe
        changed = sorted(k for k in (known.keys() | recipe.keys()) - {*growing} if known.get(k) != recipe.get(k))
        if changed:
            raise InputError(
                f"{folder} holds a corpus made differently ({', '.join(changed)}): give another folder, or delete it"
            )
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(recipe, indent=1) + "\n")
        part.replace(path)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write the corpus {folder}: {error}") from error


def make_corpus(
    folder: str | Path, hours: float, seed: int, held_out: bool = False, processes: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:  # fmt: skip
    """Makes a corpus of conversations of a minute; shards that are already there are kept, so it can be stopped and resumed.

    The same hours (rounded up to whole shards of ten minutes), seed and held_out give the same corpus; more hours add to
    it. held_out: with voices that no other corpus has. progress: called with shards done and shards in all. Raises InputError for a folder
    that holds another corpus, numbers out of range or a missing synthesizer.
    """
    if not 0.0 < hours <= 10000.0:
        raise InputError(f"hours is {hours:g}: give more than 0 and at most 10000")
    if not 0 <= seed < 1 << 31:
        raise InputError(f"seed is {seed}: give 0 to 2147483647")
    if not 1 <= processes <= 256:
        raise InputError(f"processes is {processes}: give 1 to 256")
    folder = Path(folder)
    total = int(np.ceil(hours * 3600.0 / SECONDS / PER_SHARD - 1e-9))
    names = [f"shard_{index:05d}.npz" for index in range(total)]
    write_recipe(folder, {
        "version": VERSION, "space": rig.SPACE, "hours": total * PER_SHARD * SECONDS / 3600.0, "seed": seed,
        "held_out": held_out, "conversation_seconds": SECONDS, "shards": names,
    })  # fmt: skip
    missing = [index for index in range(total) if not (folder / names[index]).exists()]
    done = total - len(missing)
    progress(done, total)
    # A fresh interpreter per worker: a fork of a process with PyTorch's threads may hang.
    with ProcessPoolExecutor(min(processes, max(1, len(missing))), get_context("spawn"), _start_worker) as pool:
        jobs = [pool.submit(_make_shard, folder / names[index], seed, index, held_out) for index in missing]
        try:
            for job in as_completed(jobs):
                job.result()
                done += 1
                progress(done, total)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    torch.set_num_threads(1)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = parent_process()
    assert parent is not None  # a worker has one
    parent.join()
    os._exit(1)


def _make_shard(path: Path, seed: int, index: int, held_out: bool) -> None:
    seeds = [(seed << 32) + index * PER_SHARD + i for i in range(PER_SHARD)]
    write_shard(path, joined([heard_and_seen(make_conversation(s, SECONDS, held_out)) for s in seeds]))


@dataclass(frozen=True)
class Corpus:
    """All shards in memory, end to end; arrays as in the module's docstring, N frames of C conversations in all.

    space: the motion space. recipe: what corpus.json says.
    """

    space: str
    sound: np.ndarray
    motion: np.ndarray
    speaking: np.ndarray
    closures: np.ndarray
    starts: np.ndarray
    seen: np.ndarray
    heard: np.ndarray
    recipe: dict

    @property
    def ends(self) -> np.ndarray:
        """(C,): the frame after each conversation's last."""
        return np.append(self.starts[1:], self.motion.shape[1])

    def sample(self, rng: np.random.Generator, batch: int, frames: int) -> dict[str, np.ndarray]:
        """`batch` random windows of `frames` frames, each inside one conversation, each with a random person as the avatar.

        Who is not seen or not heard is never the avatar. Gives avatar_sound, user_sound (B, frames, 256) float16 spectra,
        in the space lia512 (B, frames * 640) float16 samples; avatar_motion, user_motion (B, frames, D) float16, zeros for a
        user who is not seen; avatar_present, user_present (B,) bool, whether the face is seen; user_heard (B,) bool;
        avatar_speaking, avatar_closures (B, frames) bool; in another space than rig reference (B, D) float16, the avatar's motion
        at some moment of the conversation. Raises InputError where no conversation is long enough.
        """
        # Row = (conversation, avatar); as many tickets as it has windows.
        windows = np.maximum(0, self.ends - self.starts - frames + 1)
        tickets = np.cumsum((windows[:, None] * (self.seen & self.heard)).reshape(-1))
        if tickets[-1] == 0:
            raise InputError(f"no conversation of the corpus has {frames} frames: give longer recordings")
        ticket = rng.integers(0, tickets[-1], batch)
        row = np.searchsorted(tickets, ticket, "right")
        conversation, avatar = row // 2, row % 2
        first = self.starts[conversation] + (tickets[row] - 1 - ticket)
        at = first[:, None] + np.arange(frames)
        user = 1 - avatar
        present = self.seen[conversation, user]
        drawn = {
            "avatar_sound": self.sound[avatar[:, None], at], "user_sound": self.sound[user[:, None], at],
            "avatar_motion": self.motion[avatar[:, None], at], "user_motion": self.motion[user[:, None], at],
            "avatar_present": np.ones(batch, bool), "user_present": present, "user_heard": self.heard[conversation, user],
            "avatar_speaking": self.speaking[avatar[:, None], at], "avatar_closures": self.closures[avatar[:, None], at],
        }  # fmt: skip
        drawn["user_motion"][~present] = 0
        if self.space != rig.SPACE:
            length = (self.ends - self.starts)[conversation]
            drawn["reference"] = self.motion[
                avatar, self.starts[conversation] + (rng.random(batch) * length).astype(int)
            ]
        if self.sound.shape[2] == SAMPLES_PER_FRAME:
            for name in ("avatar_sound", "user_sound"):
                drawn[name] = drawn[name].reshape(batch, -1)
        return drawn


def load_corpus(folder: str | Path) -> Corpus:
    """Reads a corpus into memory (about 100 MB an hour). Raises InputError where it is missing, unfinished or damaged."""
    folder = Path(folder)
    try:
        recipe = json.loads((folder / "corpus.json").read_text())
        space, paths = str(recipe["space"]), [folder / Path(name).name for name in recipe["shards"]]
    except OSError as error:
        raise InputError(f"there is no corpus in {folder} (no corpus.json): make one") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder}/corpus.json is damaged: delete the folder and make the corpus again") from error
    if recipe.get("version") != VERSION:
        raise InputError(
            f"the corpus {folder} is of version {recipe.get('version')}, this package makes {VERSION}: make it again in an empty folder"
        )
    missing = [path.name for path in paths if not path.exists()]
    if missing or not paths:
        unfinished = f"{len(missing)} of {len(paths)} shards are missing"
        raise InputError(f"the corpus {folder} is not finished: {unfinished}; make it again to resume")
    parts = []
    for path in paths:
        try:
            with np.load(path) as arrays:
                parts.append({name: arrays[name] for name in ARRAYS})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} is damaged: delete it and make the corpus again") from error
    return Corpus(space=space, recipe=recipe, **joined(parts))
