"""Where and how a network runs: device, precision, and what makes it fast there. Results stay the same but for
rounding; the network is for inference only afterwards."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.models.autoencoder import AutoEncoder
from avatar_forcing_ros.models.model import AvatarForcing
from avatar_forcing_ros.models.stream import MotionStream

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
COMPILE_MODES = ("none", "compile", "graph")


def resolve_device(name: str) -> torch.device:
    """ "auto" is a GPU when there is one. Raises InputError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device {name!r} is unknown; use auto, cpu or cuda") from error
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"device {name!r} is not supported; use auto, cpu or cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device {name!r}: PyTorch sees {torch.cuda.device_count()} CUDA devices here; use auto or cpu"
        )
    return device


def resolve_precision(name: str, device: torch.device) -> torch.dtype:
    """ "auto" is bfloat16 on a GPU and on a CPU that calculates in it (half the time), else float32."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" or _cpu_has_bfloat16() else torch.float32
    if name not in PRECISIONS:
        raise InputError(f"precision is {name!r}; use auto, {', '.join(PRECISIONS)}")
    if name == "float16" and device.type == "cpu":
        raise InputError("precision float16 needs a GPU; on a CPU use float32 or bfloat16")
    if name == "bfloat16" and device.type == "cpu" and not cpu_takes_bfloat16():
        raise InputError("precision bfloat16 needs a GPU or a processor with AVX-512; on this one use float32 or auto")
    return PRECISIONS[name]


def cpu_takes_bfloat16() -> bool:
    """Whether the CPU's matrix kernels take it, if slowly; `auto` asks for more."""
    try:  # asked of the kernel itself: its instructions may be capped below the processor's
        torch.ops.mkldnn._reorder_linear_weight(torch.zeros(16, 16, dtype=torch.bfloat16), 1)
    except (AttributeError, RuntimeError):
        return False
    return True


def _cpu_has_bfloat16() -> bool:
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")) and cpu_takes_bfloat16()


class PackedLinear(nn.Module):
    """A linear layer whose weight lies in the order that the CPU's matrix kernel reads (oneDNN), packed once
    instead of with every call. With the few dozen rows of a block that is a third of the time."""

    def __init__(self, linear: nn.Linear, rows: int):
        super().__init__()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), rows)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], None)


def can_pack() -> bool:
    """Whether this PyTorch has oneDNN's packed linear, which is not part of its stable interface."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")


def pack_linears(module: nn.Module, rows: int) -> None:
    """Replace the linear layers below `module` in place. rows: the usual number of rows of their input."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, PackedLinear(child, rows))
        elif not isinstance(child, nn.MultiheadAttention):  # it reads its layers' weights itself
            pack_linears(child, rows)


def prepare_autoencoder(autoencoder: AutoEncoder, device: torch.device, dtype: torch.dtype) -> AutoEncoder:
    """As `prepare`, for the auto-encoder alone. The encoder stays in float32: it runs once per portrait, or once per
    camera image, and what it says is the reference of everything after it."""
    autoencoder = autoencoder.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
    autoencoder.decoder.to(dtype)
    return autoencoder


def prepare(model: AvatarForcing, device: torch.device, dtype: torch.dtype) -> AvatarForcing:
    """The same model on its device, in its precision, for inference only. Changes `model` in place."""
    model = model.to(device).eval().requires_grad_(False)
    for part in (model.audio_encoder, model.dual_motion_encoder, model.transformer):
        part.to(dtype)
    if model.autoencoder is not None:
        prepare_autoencoder(model.autoencoder, device, dtype)
    if device.type == "cpu" and can_pack():
        pack_linears(model.transformer.blocks, 3 * model.config.window_frames)
        pack_linears(model.audio_encoder, 128)
    return model


class BlockGraph:
    """A stream's block as one CUDA graph: some thousand kernels are started by a single call. The state is of fixed
    size and updated in place, so the graph may be played again and again. Needs a GPU."""

    def __init__(self, stream: MotionStream):
        config, device, dtype = stream.config, stream.device, stream.dtype
        count = config.block_frames
        self.signals = tuple(
            torch.zeros(1, count, dim, device=device, dtype=dtype)
            for dim in (config.audio_dim, config.audio_dim, config.motion_dim)
        )
        self.noise = torch.zeros(1, count, config.motion_dim, device=device, dtype=torch.float64)
        state = stream.state.clone()
        with torch.inference_mode(), torch.cuda.device(device):
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):  # libraries allocate their workspaces before the capture
                for _ in range(2):
                    stream.run_block(self.signals, self.noise)
            torch.cuda.current_stream().wait_stream(aside)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.latents = stream.run_block(self.signals, self.noise)
        stream.state.copy_from(state)

    def __call__(self, signals: tuple[Tensor, Tensor, Tensor], noise: Tensor) -> Tensor:
        for kept, signal in zip(self.signals, signals):
            kept.copy_(signal)
        self.noise.copy_(noise)
        self.graph.replay()
        return self.latents.clone()


def speed_up(stream: MotionStream, mode: str) -> MotionStream:
    """mode: "none", "compile" (torch.compile; takes a minute at the first block) or "graph" (the whole block as one
    CUDA graph). Both are for a GPU, a CPU has its packed layers. Raises InputError for a mode that does not run here."""
    if mode not in COMPILE_MODES:
        raise InputError(f"compile is {mode!r}; use one of {', '.join(COMPILE_MODES)}")
    if mode != "none" and stream.device.type != "cuda":
        raise InputError(f"compile mode {mode!r} needs a GPU; on a CPU use 'none'")
    if mode == "compile":
        stream.transformer = torch.compile(stream.transformer, dynamic=False)
    if mode == "graph":
        stream.run_block = BlockGraph(stream)
    return stream
