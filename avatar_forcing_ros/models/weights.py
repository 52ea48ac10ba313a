"""Weight files: finding and reading the authors', writing and reading one of ours. See docs/weights.md.

Files are read as tensors only: a file that wants to run code when opened is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.models.autoencoder import AutoEncoder
from avatar_forcing_ros.models.checkpoints import Fit, current_name, fill, fit, make_parameters, sources, unused
from avatar_forcing_ros.models.config import ModelConfig
from avatar_forcing_ros.models.model import AvatarForcing

FORMAT = "avatar_forcing_ros"
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
PARTS = ("flow_transformer", "motion_autoencoder", "wav2vec2")
WHERE = (
    "wanted are flow_transformer.pth and motion_autoencoder.pth of the authors' release and the folder "
    "wav2vec2-base-960h; docs/weights.md says where they are published"
)
MODULES = ("motion_autoencoder.", "flow_transformer.", "audio_encoder.", "audio_encoder.wav2vec2.")
WRAPPERS = ("module", "model", "ema", "ema_model", "state_dict", "_orig_mod", "net", "generator")


def published_name(name: str, known: Mapping[str, object] | set[str]) -> str:
    """A file's name for a tensor -> the published one: with the part's name before it, without what wraps it.

    A name that fits nothing comes back as it was, with the newer names of a weight norm made old.
    """
    name = current_name(name)
    rest = name
    while True:
        for module in ("", *MODULES):
            if module + rest in known:
                return module + rest
        head, dot, tail = rest.partition(".")
        if not dot or head not in WRAPPERS:
            return name
        rest = tail


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a weights file by name, lazily where the format allows it. Raises InputError on anything else."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        try:
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except (RuntimeError, ValueError):  # the old format cannot be mapped
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file makes a reader raise
        first_line = str(error).strip().split("\n")[0][:160]
        raise InputError(f"{path} is not a readable file of tensors ({first_line}); fetch it again") from error
    tensors = dict(_tensors(content))
    if not tensors:
        raise InputError(f"{path} holds no tensors")
    return tensors


def _tensors(content: object, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Named tensors of a checkpoint, whose state dict may lie below other keys."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            if isinstance(value, Tensor):
                yield f"{prefix}{key}", value
            elif not str(key).startswith("optim"):
                yield from _tensors(value, f"{prefix}{key}.")


def find_files(directory: Path) -> dict[str, Path]:
    """The authors' files in a folder or one below it: part -> file. Raises InputError when there is none."""
    if not directory.is_dir():
        raise InputError(f"{directory} is not a folder; {WHERE}")
    found: dict[str, Path] = {}
    candidates = [*sorted(directory.iterdir()), *sorted(directory.glob("*/*"))]
    for part in PARTS:
        for path in (p for p in candidates if p.name.startswith(part)):
            if path.is_dir():
                inside = [path / name for name in ("model.safetensors", "pytorch_model.bin") if (path / name).is_file()]
                path = inside[0] if inside else path
            if path.is_file() and path.suffix in SUFFIXES:
                found.setdefault(part, path)
    if not found:
        raise InputError(f"no weights in {directory}: {WHERE}")
    return found


@dataclass
class WeightsReport:
    """What `weights check` found. error: one line when the weights cannot be used, else empty."""

    files: dict[str, Path]
    fit: Fit
    error: str

    def lines(self) -> list[str]:
        fit = self.fit
        lines = [f"{part}: {self.files.get(part, 'not found')}" for part in PARTS]
        lines.append(f"fits: {len(fit.fitting)} tensors")
        for what, names in (
            ("missing", fit.missing),
            ("misshapen", fit.misshapen),
            ("left over", fit.left_over),
            ("left over, not needed", fit.harmless),
        ):
            lines.append(f"{what}: {len(names)}")
            lines += [f"    {name}" for name in sorted(names)]
        return lines


def _meta_model(config: ModelConfig) -> AvatarForcing:
    with torch.device("meta"):
        return AvatarForcing(config)


def read_published(
    directory: Path, config: ModelConfig | None = None, parts: tuple[str, ...] = PARTS, ours: str = ""
) -> tuple[WeightsReport, dict[str, Tensor]]:
    """The authors' files of a folder, under published names, and how they fit (config: default the published size).

    parts, ours: read these files only, and ask for no more than our parameters whose names begin so.
    """
    model = _meta_model(config or ModelConfig.published())
    known = {name for source in sources(model).values() for name in source.shapes} | set(unused(model))
    files = find_files(Path(directory))
    state: dict[str, Tensor] = {}
    # The audio trunk first: where the authors' own file carries a trained copy of it, that one counts.
    for part in reversed(parts):
        if part in files:
            tensors = read_tensors(files[part])
            state.update({published_name(name, known): tensor for name, tensor in tensors.items()})
    result = fit(model, {name: tuple(tensor.shape) for name, tensor in state.items()}, part=ours)
    absent = [part for part in parts if part not in files]
    error = ""
    if result.missing and absent:
        error = f"{directory} lacks {' and '.join(absent)}: {WHERE}"
    elif misfit := result.misfit():
        error = f"the weights in {directory} do not fit the network: {misfit}"
    return WeightsReport(files, result, error), state


def check_weights(
    directory: str | Path, show: Callable[[str], object] = print, config: ModelConfig | None = None
) -> WeightsReport:
    """`avatar-forcing weights check DIR`: lists what fits, is missing, is left over. Raises InputError on a misfit."""
    report, _ = read_published(Path(directory), config)
    for line in report.lines():
        show(line)
    if report.error:
        raise InputError(report.error)
    return report


def convert_weights(directory: str | Path, out: str | Path, config: ModelConfig | None = None) -> Path:
    """`avatar-forcing weights convert DIR OUT`: the authors' files -> one safetensors file of ours."""
    model = load_published_folder(Path(directory), config)
    return save_model(model, out)


def load_published_folder(directory: Path, config: ModelConfig | None = None) -> AvatarForcing:
    report, state = read_published(directory, config)
    if report.error:
        raise InputError(report.error)
    model = AvatarForcing(config or ModelConfig.published())
    fill(model, state)
    return model.eval()


def save_model(model: AvatarForcing, out: str | Path, dtype: torch.dtype | None = None) -> Path:
    """Writes parameters under our names, and the configuration. dtype: the precision on disk; None: as they are."""
    out = Path(out)
    if out.suffix != ".safetensors":
        raise InputError(f"{out}: the name of the file to write ends in .safetensors")
    tensors = {
        name: tensor.detach().to("cpu", dtype or tensor.dtype).contiguous()
        for name, tensor in model.state_dict().items()
    }
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, out, metadata={"format": FORMAT, "config": json.dumps(model.config.to_dict())})
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot write {out}: {error}") from error
    return out


def load_model(path: str | Path) -> AvatarForcing:
    """The network from one file of ours or from a folder: one of ours (*.safetensors with its configuration) inside
    it, else the authors' files. float32, on the CPU, ready to run. Raises InputError."""
    file = _own_file(Path(path))
    if file is None:
        return load_published_folder(Path(path))
    model = AvatarForcing(_own_config(file))
    _load(model, read_tensors(file), file)
    return model.eval()


def average_weights(shares: Mapping[str | Path, float]) -> AvatarForcing:
    """The weighted mean of networks, file by file their share: of one training's descendants it is often better in all that either is
    good at (Wortsman et al. 2022). Shares need not add up to one. Raises InputError for networks that are not alike."""
    if not shares or not all(0 < share < math.inf for share in shares.values()):
        raise InputError("give one file or more, each with a share above zero")
    files, total = list(shares), sum(shares.values())
    models = [load_model(file) for file in files]
    for file, model in zip(files, models):
        if model.config != models[0].config:
            raise InputError(f"{file}: is another network than {files[0]}; average networks of one training")
    states = [model.state_dict() for model in models]
    for name, tensor in states[0].items():
        if tensor.is_floating_point():
            tensor.copy_(sum(share / total * state[name].double() for share, state in zip(shares.values(), states)))
    return models[0]


def load_autoencoder(path: str | Path, config: ModelConfig | None = None) -> AutoEncoder:
    """As `load_model`, the auto-encoder alone: all that a renderer or a face tracker needs, at a sixth of the memory.

    config: of the authors' files, default the published size. Raises InputError.
    """
    file, prefix = _own_file(Path(path)), "autoencoder."
    if file is None:
        config = config or ModelConfig.published()
        report, state = read_published(Path(path), config, ("motion_autoencoder",), prefix)
        if report.error:
            raise InputError(report.error)
        tensors = make_parameters(_meta_model(config), state, prefix)
        file = Path(path)
    else:
        config = _own_config(file)
        with safe_open(file, framework="pt") as content:
            tensors = {name: content.get_tensor(name) for name in content.keys() if name.startswith(prefix)}
    if config.image_size is None:
        raise InputError(f"{path} holds a network without an auto-encoder: it cannot draw a face")
    autoencoder = AutoEncoder(config.image_size)
    _load(autoencoder, {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}, file)
    return autoencoder.eval()


def _own_file(path: Path) -> Path | None:
    """The file of ours at a path, or None where the authors' files are to be looked for."""
    if not path.exists():
        raise InputError(f"no weights at {path}: {WHERE}")
    if path.is_dir():
        return next(
            (file for file in sorted(path.glob("*.safetensors")) if _metadata(file).get("format") == FORMAT), None
        )
    if _metadata(path).get("format") != FORMAT:
        raise InputError(f"{path} was not written by this package; for the authors' files give their folder")
    return path


def _own_config(file: Path) -> ModelConfig:
    try:
        return ModelConfig(**json.loads(_metadata(file)["config"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file} has no usable configuration: {error}") from error


def _load(module: torch.nn.Module, tensors: Mapping[str, Tensor], file: Path) -> None:
    try:
        module.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except RuntimeError as error:
        raise InputError(f"{file} does not fit its configuration: {str(error).split(chr(10))[1].strip()}") from error


def _metadata(path: Path) -> dict[str, str]:
    if path.suffix != ".safetensors":
        raise InputError(f"{path} is neither a safetensors file nor a folder; {WHERE}")
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} is not a readable safetensors file: {error}") from error
