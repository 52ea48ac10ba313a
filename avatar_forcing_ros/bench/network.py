"""Benchmarks: the published network's stream written plainly against ours, and a soak test over simulated hours.

Weights are made up (speed does not depend on them), so both run on any machine.
"""

from __future__ import annotations

import copy
import platform
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import psutil
import torch
from torch import Tensor

from avatar_forcing_ros.bench.plain_network import PlainStream, decode
from avatar_forcing_ros.models import Anchor, AvatarForcing, Identity, ModelConfig, MotionStream
from avatar_forcing_ros.models.rolling_audio import WINDOW_FRAMES
from avatar_forcing_ros.models.runtime import prepare, resolve_device, resolve_precision, speed_up
from avatar_forcing_ros.timeline import BLOCK_FRAMES, FRAME_RATE, SAMPLES_PER_FRAME


def benchmark(
    config: ModelConfig | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    compile_mode: str = "none",
    repeats: int = 3,
    threads: int = 0,
    show: Callable[[str], object] = print,
) -> dict:
    """The stream as published (plain: float32, nothing hoisted, the no-op step, the clip before the first image)
    against ours, on this machine, in this run: sound of two speakers, motion of one block, decoding its 10 images,
    all of it, and the time to the first image after activation.

    config: default the published size. precision, compile_mode: of ours. threads: of the CPU, 0: as many as PyTorch
    takes. Returns a JSON-able dict: per stage the best time in ms of plain and ours (other load on a machine only ever
    adds), their ratio and all times; memory in MB (on a GPU what either allocated at most, on a CPU
    this process' resident memory with both networks); how far the results of the two differ. Raises InputError for a device or precision that does not run here.
    """
    if threads:
        torch.set_num_threads(threads)
    place = resolve_device(device)
    dtype = resolve_precision(precision, place)
    torch.manual_seed(0)
    model = AvatarForcing(config or ModelConfig.published()).eval().requires_grad_(False).to(place)
    report = {
        "machine": _machine(place), "precision": str(dtype).removeprefix("torch."), "compile": compile_mode,
        "threads": torch.get_num_threads(), "repeats": repeats, "budget_ms": 1000 * BLOCK_FRAMES / FRAME_RATE,
        "gpu_measured": place.type == "cuda",
    }  # fmt: skip
    show(f"{report['machine']}, {report['threads']} threads; ours in {report['precision']}, compile {compile_mode}")
    inputs = _Inputs(model, place)

    # Both are held at once and measured in turns, so that whatever else the machine does meets both alike.
    fast = prepare(copy.deepcopy(model), place, dtype)
    plain, ours = _Meter(_PlainBlock(model, inputs), place), _Meter(_OurBlock(fast, inputs, compile_mode), place)
    for _ in range(repeats):
        plain.measure()
        ours.measure()
    weights = {"plain": _weights_mb(model), "ours": _weights_mb(fast)}
    report["weights_mb"] = weights
    if place.type == "cuda":  # of a measured peak, the other one's weights are not its own
        report["memory_mb"] = {
            "plain": round(plain.peak_mb - weights["ours"], 1), "ours": round(ours.peak_mb - weights["plain"], 1)
        }  # fmt: skip
    else:
        report["memory_mb"] = {"process with both": ours.peak_mb}
    report["stages"] = {}
    for stage in plain.ms:
        a, b = min(plain.ms[stage]), min(ours.ms[stage])
        report["stages"][stage] = {
            "plain_ms": round(a, 2), "ours_ms": round(b, 2), "ratio": round(b / a, 3),
            "plain_all_ms": [round(x, 1) for x in plain.ms[stage]], "ours_all_ms": [round(x, 1) for x in ours.ms[stage]],
        }  # fmt: skip
        show(f"{stage:12} plain {a:9.1f} ms   ours {b:9.1f} ms   ratio {b / a:.2f}")
    difference = (plain.latents - ours.latents).norm() / plain.latents.norm()
    grey = (plain.images - ours.images).clamp(-1, 1).abs().mean() * 127.5
    report["latents_relative_difference"] = float(difference)
    report["images_mean_difference_grey_levels"] = float(grey)
    show(f"latents differ by {difference:.1e} (relative), images by {grey:.2f} grey levels on average")
    show(f"weights in MB: {weights}; memory in MB: {report['memory_mb']}")
    if not report["gpu_measured"]:
        show("no GPU was measured: on a GPU run the same with device cuda, precision bfloat16, compile graph")
    return report


class _Inputs:
    """What both streams get: a smooth portrait, two speakers' sound, a priming clip's and blocks' signals."""

    def __init__(self, model: AvatarForcing, device: torch.device):
        config, generator = model.config, torch.Generator().manual_seed(1)
        line = torch.linspace(0, 6, config.image_size)
        self.portrait = torch.stack(
            [torch.sin(line[:, None] * (c + 1)) * torch.cos(line[None] * 2 + c) for c in range(3)]
        )[None].to(device)
        samples = WINDOW_FRAMES * SAMPLES_PER_FRAME
        self.sound = torch.randn(2, samples, generator=generator).to(device)
        sizes = (config.audio_dim, config.audio_dim, config.motion_dim, config.motion_dim)
        self.clip, self.block = (
            [torch.randn(1, count, size, generator=generator).to(device) for size in sizes]
            for count in (config.clip_frames, config.block_frames)
        )


class _PlainBlock:
    def __init__(self, model: AvatarForcing, inputs: _Inputs):
        self.model, self.inputs = model, inputs
        with torch.inference_mode():
            self.identity = model.encode_identity(inputs.portrait)
        self.identity = replace(self.identity, features=tuple(x.contiguous() for x in self.identity.features))

    def open(self) -> None:
        """What happens after activation before the first block: the clip, whose images nobody sees."""
        self.stream = PlainStream(self.model, self.identity)
        self.stream.step(*self.inputs.clip)

    def audio(self) -> Tensor:
        return torch.cat([self.model.encode_audio(one, WINDOW_FRAMES) for one in self.inputs.sound.split(1)])

    def motion(self) -> Tensor:
        return self.stream.step(*self.inputs.block)

    def decode(self, latents: Tensor) -> Tensor:
        return decode(self.model, self.identity, latents)


class _OurBlock:
    def __init__(self, model: AvatarForcing, inputs: _Inputs, compile_mode: str):
        self.model = model
        self.inputs = inputs
        with torch.inference_mode():
            self.identity = model.encode_identity(inputs.portrait)
        self.stream = model.stream(self.identity)
        self.stream.step(*inputs.clip)
        self.stream.start = self.stream.state.clone()  # as `prime` leaves it, with the plain stream's clip
        speed_up(self.stream, compile_mode)

    def open(self) -> None:
        self.stream.reset()

    def audio(self) -> Tensor:
        return self.model.encode_audio(self.inputs.sound, WINDOW_FRAMES)

    def motion(self) -> Tensor:
        *signals, noise = self.inputs.block
        return self.stream.step(*signals, noise=noise)

    def decode(self, latents: Tensor) -> Tensor:
        return self.model.decode(self.identity, latents)


class _Meter:
    """Times of every stage in ms, and the first block's latents and images."""

    @torch.inference_mode()
    def __init__(self, block: _PlainBlock | _OurBlock, device: torch.device):
        self.block, self.device, self.peak_mb = block, device, 0.0
        self.ms: dict[str, list[float]] = {stage: [] for stage in ("audio", "motion", "decode", "block", "first_image")}
        block.open()  # warm-up, and the results to compare
        block.audio()
        latents = block.motion()[0]
        self.latents, self.images = latents.float().cpu(), block.decode(latents).float().cpu()

    @torch.inference_mode()
    def measure(self) -> None:
        block = self.block
        _reset_memory(self.device)
        audio, _ = self._time(block.audio)
        motion, made = self._time(block.motion)
        decoding, _ = self._time(lambda: block.decode(made[0]))

        def first_image() -> Tensor:
            block.open()
            block.audio()
            return block.decode(block.motion()[0, :1])

        first, _ = self._time(first_image)
        for stage, spent in zip(self.ms, (audio, motion, decoding, audio + motion + decoding, first)):
            self.ms[stage].append(spent)
        self.peak_mb = max(self.peak_mb, _memory_mb(self.device))

    def _time(self, work: Callable[[], Tensor]) -> tuple[float, Tensor]:
        _finish(self.device)
        began = time.perf_counter()
        result = work()
        _finish(self.device)
        return 1000 * (time.perf_counter() - began), result


def soak(
    frames: int = 45_000,
    config: ModelConfig | None = None,
    anchor: Anchor | None = Anchor(time_constant=2.0, dead_band=0.5, gain=0.5, slew=0.05),
    push: float = 0.01,
    show: Callable[[str], object] = print,
) -> dict:
    """A session of so many frames in lockstep, with made-up weights and a network that is made to drift.

    push: what the mean pose is moved by per frame along one direction, on top of a random walk (see DriftingStream).
    Returns {frames, finite, distance_max, distance_end, rss_start_mb, rss_end_mb, seconds}: distance of the
    mean pose of each 100 frames from the reference motion; memory of this process, the start taken after 10 % of the
    session, when allocators have settled.
    """
    torch.manual_seed(0)
    model = (
        AvatarForcing(config or ModelConfig.embedded(width=64, depth=2, audio_width=32)).eval().requires_grad_(False)
    )
    size = model.config
    stream = DriftingStream(
        size, model.dual_motion_encoder, model.transformer, Identity(torch.zeros(1, size.motion_dim)), anchor=anchor
    )
    stream.push = push
    stream.prime()
    process, began = psutil.Process(), time.perf_counter()
    signals = torch.Generator().manual_seed(1)
    blocks = frames // size.block_frames
    mean, finite, distances, rss_start = np.zeros(size.motion_dim), True, [], 0.0
    for i in range(blocks):
        shape = (1, size.block_frames)
        audio = torch.randn(2, *shape, size.audio_dim, generator=signals)
        motion = torch.randn(*shape, size.motion_dim, generator=signals)
        made = stream.step(audio[0], audio[1], motion)[0]
        finite = finite and bool(torch.isfinite(made).all())
        mean += made.mean(0).numpy() / 10
        if i % 10 == 9:
            distances.append(float(np.linalg.norm(mean)))
            mean[:] = 0.0
        if i == blocks // 10:
            rss_start = process.memory_info().rss / 2**20
    result = {
        "frames": blocks * size.block_frames, "finite": finite, "distance_max": max(distances), "distance_end": distances[-1],
        "rss_start_mb": round(rss_start, 1), "rss_end_mb": round(process.memory_info().rss / 2**20, 1),
        "seconds": round(time.perf_counter() - began, 1),
    }  # fmt: skip
    show(", ".join(f"{key} {value}" for key, value in result.items()))
    return result


class DriftingStream(MotionStream):
    """A stream whose mean pose walks off, as the published network's does over minutes: along one direction every
    block goes on from where the last one ended, and is pushed."""

    push = 0.01  # per frame, in units of the latent

    def _denoise(self, latents: Tensor, context: int, **rest) -> Tensor:
        made = super()._denoise(latents, context, **rest)
        if context:
            count = made.shape[1] - context
            walk = 0.02 * made[0, context:, 0].cumsum(0) + self.push * torch.arange(1, count + 1, device=made.device)
            made[0, context:, 0] = latents[0, context - 1, 0] + walk
        return made


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reset_memory(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _memory_mb(device: torch.device) -> float:
    """On a GPU the peak of allocated memory since the last reset, on a CPU this process' resident memory now."""
    size = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else psutil.Process().memory_info().rss
    return round(size / 2**20, 1)


def _machine(device: torch.device) -> str:
    return (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"CPU {platform.processor() or platform.machine()}"
    )


def _weights_mb(module: torch.nn.Module) -> float:
    tensors = [*module.parameters(), *(part.packed for part in module.modules() if hasattr(part, "packed"))]
    return round(sum(t.numel() * t.element_size() for t in tensors) / 2**20, 1)
