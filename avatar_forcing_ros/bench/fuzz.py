"""Foreign bytes: mutated inputs for every decoder. Each has to be used or refused with an InputError; nothing else may happen.

A target has good inputs and a function that takes one. The mutations are those that wires, disks and bad firmware make, and those
that a clever sender would: bits, numbers at the ends of their ranges, parts that are doubled, left out, cut or mixed.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import struct
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace as Message
from typing import Any

import numpy as np

from avatar_forcing_ros.bench import fuzz_seeds as seeds
from avatar_forcing_ros.errors import InputError

SLOW_S = 2.0  # of the processor's time for one input; longer is a fault too
HANG_S = 60.0  # that one input may take before its process is ended
_BATCH = 5_000  # inputs of one process
_LOOK_S = 0.5  # from one look at a process to the next
_NUMBERS = (0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)


@dataclass
class Outcome:
    """used, refused: inputs; faults: kind of exception -> how many; worst_s: the most of the processor's time that one input took;
    first: where the first fault was."""

    used: int = 0
    refused: int = 0
    faults: Counter = field(default_factory=Counter)
    worst_s: float = 0.0
    first: str = ""

    @property
    def count(self) -> int:
        return self.used + self.refused + sum(self.faults.values())

    def add(self, other: Outcome) -> None:
        self.used, self.refused = self.used + other.used, self.refused + other.refused
        self.faults.update(other.faults)
        self.worst_s, self.first = max(self.worst_s, other.worst_s), self.first or other.first


def mutate(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """One to some changes of the bytes, drawn from `rng`."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        if not out:
            return bytes(rng.integers(0, 256, 16, np.uint8))
        # Most faults are near the head: that is where sizes and kinds are told.
        at = int(rng.integers(0, min(len(out), 128) if rng.random() < 0.5 else len(out)))
        size = min(int(rng.integers(1, 65)), len(out) - at)
        kind = rng.integers(0, 9)
        if kind == 0:
            out[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            out[at : at + size] = rng.integers(0, 256, size, np.uint8).tobytes()
        elif kind == 2:
            number = int(rng.choice(_NUMBERS))
            form = str(rng.choice(["<I", ">I", "<H", ">H", "<Q"]))
            packed = struct.pack(form, number & (0xFFFF if "H" in form else 0xFFFFFFFF))
            out[at : at + len(packed)] = packed
        elif kind == 3:
            del out[at : at + size]
        elif kind == 4:
            out[at:at] = out[at : at + size]
        elif kind == 5:
            del out[at:]
        elif kind == 6:
            out[at : at + size] = bytes(size)
        elif kind == 7:
            other = others[int(rng.integers(0, len(others)))]
            out[at:] = other[int(rng.integers(0, len(other) + 1)) :]
        else:
            out[at : at + size] = b"\xff" * size
    return bytes(out)


@dataclass(frozen=True)
class Target:
    """name; good: inputs that are used; feed: takes the bytes and a generator for whatever else it draws."""

    name: str
    good: Callable[[], list[bytes]]
    feed: Callable[[bytes, np.random.Generator], None]


def fuzz(target: Target, end: int, seed: int = 0, begin: int = 0, progress: Any = None) -> Outcome:
    """Feeds the mutated inputs from `begin` up to `end`; the same for the same seed. progress: `.value` becomes the input's number."""
    good, outcome = target.good(), Outcome()
    for number in range(begin, end):
        if progress is not None:
            progress.value = number
        rng = np.random.default_rng((seed, number))
        data = mutate(good[int(rng.integers(0, len(good)))], rng, good)
        began = time.process_time()  # a machine may be busy
        try:
            target.feed(data, rng)
            outcome.used += 1
        except InputError as error:
            outcome.refused += 1
            if "\n" in str(error):
                outcome.faults["an error of more than one line"] += 1
        except Exception as error:
            outcome.faults[f"{type(error).__name__}: {str(error)[:80]}"] += 1
            outcome.first = outcome.first or f"seed {seed}, input {number}"
        took = time.process_time() - began
        outcome.worst_s = max(outcome.worst_s, took)
        if took > SLOW_S:
            outcome.faults[f"slower than {SLOW_S:g} s"] += 1
            outcome.first = outcome.first or f"seed {seed}, input {number}"
    return outcome


# What is fed


def _header(rng: np.random.Generator) -> Message:
    return Message(
        stamp=Message(sec=int(rng.integers(-(2**31), 2**31)), nanosec=int(rng.integers(0, 2**32))), frame_id=""
    )


def _raw_image(data: bytes, rng: np.random.Generator) -> None:
    from avatar_forcing_ros.media.camera.encodings import ENCODINGS
    from avatar_forcing_ros.media.images import CameraDecoder

    names = [name for row in ENCODINGS for name in row.names] + ["", "rgb", "8UC2", "\x00", "compressed"]

    def number() -> int:
        return int(rng.choice([int(rng.integers(0, 100)), int(rng.integers(0, 2**32)), 48, 64, 192]))

    message = Message(
        header=_header(rng), width=number(), height=number(), step=number(), encoding=str(rng.choice(names)),
        is_bigendian=int(rng.integers(0, 2)), data=data,
    )  # fmt: skip
    CameraDecoder().decode(message)


def _compressed_image(data: bytes, rng: np.random.Generator) -> None:
    from avatar_forcing_ros.media.images import CameraDecoder

    formats = (
        "jpeg",
        "png",
        "rgb8; jpeg compressed bgr8",
        "bayer_rggb8; png compressed ",
        "16UC1; png compressed ",
        "16UC1; compressedDepth png",
        "\x00;",
    )
    CameraDecoder().decode(Message(header=_header(rng), format=str(rng.choice(formats)), data=data))


def _packet(data: bytes, rng: np.random.Generator) -> None:
    decoder = _packet_decoder()
    decoder.decode(Message(header=_header(rng), encoding="h264", pts=0, data=data))


@cache
def _packet_decoder():
    from avatar_forcing_ros.media.images import CameraDecoder, ImageLimits

    return CameraDecoder(ImageLimits(max_pixels=4_000_000))


def _sound_topic(data: bytes, rng: np.random.Generator) -> None:
    from avatar_forcing_ros.audio.decode import AudioDecoder
    from avatar_forcing_ros.audio.formats import SAMPLE_FORMATS
    from avatar_forcing_ros.audio.resample import Resampler

    decoder, resampler = AudioDecoder(), Resampler()
    info = Message(
        channels=int(rng.integers(0, 256)) if rng.random() < 0.3 else 1, sample_rate=int(rng.choice([0, 8000, 16000, 44100, 2**32 - 1])),
        sample_format=str(rng.choice([*SAMPLE_FORMATS, "S17"])), bitrate=0,
        coding_format=str(rng.choice(["wave", "mp3", "opus", "ogg", "aac", "flac", "wma", ""])),
    )  # fmt: skip
    if rng.random() < 0.6:
        decoder.set_info(info)
    cut = int(rng.integers(1, len(data) + 2))
    for part in (data[:cut], data[cut:]):
        for samples, rate in decoder.pieces(Message(data=part)):
            resampler.push(samples, rate)


def _file(ending: str) -> Callable[[bytes, np.random.Generator], None]:
    """Written to a file and read as one."""

    def feed(data: bytes, rng: np.random.Generator) -> None:
        path = Path(_folder().name) / f"input{ending}"
        path.write_bytes(data)
        if ending in (".safetensors", ".pth"):
            from avatar_forcing_ros.models.weights import read_tensors

            read_tensors(path)
        elif ending == ".jpg":
            from avatar_forcing_ros.motion.portrait.photo import read_picture

            read_picture(path)
        else:
            from avatar_forcing_ros.media.open import open_media

            with open_media(str(path)) as reader:
                for item in reader.merged():
                    del item

    return feed


@cache
def _folder() -> tempfile.TemporaryDirectory:
    memory = Path("/dev/shm")  # of Linux: files there cost no disk
    return tempfile.TemporaryDirectory(prefix="fuzz", dir=memory if os.access(memory, os.W_OK) else None)


def _own_messages(data: bytes, rng: np.random.Generator) -> None:
    """This package's messages, with anything in their fields, as far as the generator's buffer and the renderer's check."""
    from avatar_forcing_ros.motion import rig
    from avatar_forcing_ros.ros.messages import block_of, motion_of, nanoseconds, sound_of

    values = np.frombuffer(data[: len(data) // 4 * 4], "<f4")
    number = int(rng.choice([0, 1, 640, 16_000, int(rng.integers(-(2**62), 2**62)), 2**62]))
    buffer, kind = _buffer(), rng.integers(0, 3)
    if kind == 0:
        message = Message(
            sample_rate=int(rng.choice([16_000, number])), samples_per_frame=640, samples=values[: len(values) // 640 * 640 or None],
            known=[True] * int(rng.choice([len(values) // 640, 3])), first_frame=number,
        )  # fmt: skip
        samples, known = sound_of(message)
        buffer.put_user_audio(message.first_frame, samples, known)
    elif kind == 1:
        message = Message(
            space=str(rng.choice(["rig", "lia512", ""])),
            data=values[: rig.DIM],
            header=_header(rng),
            frame=number,
            confidence=float(values[0]) if len(values) else 0.0,
        )
        latent = motion_of(message, "rig", rig.DIM)
        buffer.put_user_motion(message.frame, nanoseconds(message.header.stamp), latent, message.confidence)
    else:
        count = int(rng.choice([1, 2, 10, 2**31]))
        stamps = [_header(rng).stamp] * min(count, int(rng.choice([1, 2, 10])))
        message = Message(
            space="rig",
            latent_dim=rig.DIM,
            frame_count=count,
            data=values[: count * rig.DIM],
            camera_stamps=stamps,
            user_audio_stamps=stamps,
        )
        block_of(message, "rig", rig.DIM)
    signals, _ = buffer.block(1_000, 10)
    if not all(np.isfinite(part).all() for part in (signals.user_audio, signals.user_motion, signals.user_confidence)):
        raise ValueError("what is not a number has reached the generator")


@cache
def _buffer():
    from avatar_forcing_ros.generators.signals import SignalBuffer
    from avatar_forcing_ros.motion import rig

    return SignalBuffer(rig.DIM)


TARGETS = (
    Target("raw images", seeds.raw_images, _raw_image),
    Target("compressed images", seeds.compressed_images, _compressed_image),
    Target("packets of video", seeds.packets, _packet),
    Target("topics of sound", seeds.sound_topics, _sound_topic),
    Target("WAV files", seeds.waves, _file(".wav")),
    Target("MP3 files", seeds.mp3s, _file(".mp3")),
    Target("MCAP bags", lambda: seeds.bags("mcap"), _file(".mcap")),
    Target("sqlite3 bags", lambda: seeds.bags("sqlite3"), _file(".db3")),
    Target("portraits", seeds.compressed_images, _file(".jpg")),
    Target("weights (safetensors)", lambda: seeds.weights(".safetensors"), _file(".safetensors")),
    Target("weights (PyTorch)", lambda: seeds.weights(".pth"), _file(".pth")),
    Target("messages of this package", seeds.numbers, _own_messages),
)


def benchmark_fuzz(count: int = 100_000, names: tuple[str, ...] = ()) -> list[dict]:
    """Every target, or those named, in processes of their own, one on each core, so that a decoder that crashes or hangs is counted
    and passed over.

    Each row: name, inputs, used, refused, faults (kind -> how many, crashes and hangs among them), first, worst_ms, seconds.
    """
    rows = []
    for target in TARGETS:
        if names and target.name not in names:
            continue
        began = time.perf_counter()
        total = Outcome()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for outcome in pool.map(
                lambda seed, name=target.name: in_processes(
                    partial(target_of, name), min(_BATCH, count - seed * _BATCH), seed
                ),
                range(-(-count // _BATCH)),
            ):
                total.add(outcome)
        seconds = time.perf_counter() - began
        rows.append(
            {
                "name": target.name, "inputs": total.count, "used": total.used, "refused": total.refused, "faults": dict(total.faults),
                "first": total.first, "worst_ms": round(1000 * total.worst_s), "seconds": round(seconds, 1),
            }
        )  # fmt: skip
        print(
            f"{target.name}: {total.count} inputs in {seconds:.0f} s, {total.used} used, {total.refused} refused, "
            f"{sum(total.faults.values())} faults {dict(total.faults) or ''} {total.first}, slowest {1000 * total.worst_s:.0f} ms",
            flush=True,
        )
    return rows


def target_of(name: str) -> Target:
    return next(t for t in TARGETS if t.name == name)


def in_processes(target: Callable[[], Target], count: int, seed: int, hang_s: float = HANG_S) -> Outcome:
    """One batch: in one process, and in others the inputs before and behind one that ends it, or stops it for `hang_s`."""
    context, total, parts = multiprocessing.get_context("spawn"), Outcome(), [(0, count)]
    while parts:
        begin, end = parts.pop()
        if begin >= end:
            continue
        results, progress = context.SimpleQueue(), context.Value("q", begin, lock=False)
        process = context.Process(target=_batch, args=(results, progress, target, begin, end, seed), daemon=True)
        process.start()
        moved, at = time.monotonic(), begin
        while process.is_alive() and results.empty():
            process.join(_LOOK_S)
            if progress.value != at:
                moved, at = time.monotonic(), progress.value
            elif time.monotonic() - moved > hang_s:
                process.kill()
                process.join()
        if not results.empty():
            total.add(results.get())
            process.join()
            continue
        kind = "hang" if process.exitcode == -signal.SIGKILL else f"crash ({process.exitcode})"
        total.add(Outcome(faults=Counter({kind: 1}), first=f"seed {seed}, input {progress.value}"))
        parts += [(begin, progress.value), (progress.value + 1, end)]
    return total


def _batch(results, progress, target: Callable[[], Target], begin: int, end: int, seed: int) -> None:
    import av

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    av.logging.set_level(None)  # a level would take the GIL in decoders' threads, which deadlocks when one is freed
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what decoders write for people
    outcome = fuzz(target(), end, seed, begin, progress)
    _folder().cleanup()
    results.put(outcome)
