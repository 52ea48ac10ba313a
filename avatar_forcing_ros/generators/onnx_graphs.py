"""The network in the box as ONNX Runtime runs it: four graphs of one folder (models/export.py says what each takes and
gives), on one thread, on the execution provider that was asked for. No PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.models.config import ONNX_FORMAT, ModelConfig

GRAPHS = ("sound", "condition", "time", "motion")
PROVIDERS = {  # our name -> ONNX Runtime's
    "cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}  # fmt: skip
PROVIDER_CHOICES = ("auto", *PROVIDERS)


class OnnxGraphs:
    """Raises InputError where a file is missing, is none of ours or of another configuration than the others, or where this
    ONNX Runtime has no such provider.

    config: what the network is. constants: name -> array, what is calculated outside the graphs.
    """

    def __init__(self, folder: str | Path, provider: str = "auto", threads: int = 1) -> None:
        self._sessions = {
            name: _open(Path(folder) / f"{name}.onnx", execution_provider(provider), threads) for name in GRAPHS
        }
        told = [session.get_modelmeta().custom_metadata_map for session in self._sessions.values()]
        if any(metadata.get("format") != ONNX_FORMAT for metadata in told):
            raise InputError(
                f"{folder} was not written by this version of the package; `avatar-forcing weights export-onnx` does"
            )
        if len({metadata["config"] + metadata["constants"] for metadata in told}) != 1:
            raise InputError(f"{folder} holds parts of different networks; export it again")
        self.config = ModelConfig(**json.loads(told[0]["config"]))
        self.constants = {name: np.array(value, np.float32) for name, value in json.loads(told[0]["constants"]).items()}

    def run(self, graph: str, **inputs: np.ndarray) -> list[np.ndarray]:
        return self._sessions[graph].run(None, inputs)


def execution_provider(name: str) -> str:
    """Our name of a provider -> ONNX Runtime's. "auto" is the CPU, which answers soonest at this size. Raises InputError."""
    import onnxruntime

    if name not in PROVIDER_CHOICES:
        raise InputError(f"provider {name!r} is unknown; use one of {', '.join(PROVIDER_CHOICES)}")
    wanted, there = PROVIDERS["cpu" if name == "auto" else name], onnxruntime.get_available_providers()
    if wanted not in there:
        usable = [ours for ours, theirs in PROVIDERS.items() if theirs in there]
        raise InputError(
            f"provider {name!r} is not in the installed ONNX Runtime, which has {', '.join(usable)}; docs/runtime.md says how to install it"
        )
    return wanted


def _open(path: Path, provider: str, threads: int) -> Any:
    import onnxruntime

    if not path.is_file():
        raise InputError(f"no weights at {path}: give a folder of `avatar-forcing weights export-onnx`")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = options.enable_mem_pattern = True
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:  # its own exceptions share no other parent
        raise InputError(f"{path} cannot be opened by ONNX Runtime: {str(error).splitlines()[0][:160]}") from error
    if provider not in session.get_providers():  # a provider whose libraries are missing is left out with a warning
        raise InputError(
            f"{provider} does not start on this machine (are its libraries installed?); use the provider cpu"
        )
    return session
