"""The network in ONNX Runtime: what PyTorch computes, on its own, and what it cannot do is one line."""

import subprocess
import sys

import numpy as np
import pytest

from avatar_forcing_ros.assets import EMBEDDED_NETWORK, EMBEDDED_WEIGHTS
from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators.base import BlockSignals
from avatar_forcing_ros.generators.embedded import EmbeddedGenerator
from avatar_forcing_ros.generators.spectra import RollingSpectra
from avatar_forcing_ros.motion import rig

STEPS = 1000


def signals(first: int, rng: np.random.Generator) -> BlockSignals:
    """Speech, a user who comes and goes, frames that have not come yet."""
    loud = 0.08 * abs(np.sin(first / 7)) * (first % 150 < 100)
    there = first % 400 < 250
    frame = np.arange(10)
    return BlockSignals(
        first_frame=first,
        avatar_audio=(loud * rng.standard_normal(6400)).astype(np.float32),
        user_audio=(0.05 * there * rng.standard_normal(6400)).astype(np.float32),
        user_motion=(0.2 * rng.standard_normal((10, rig.DIM))).astype(np.float32),
        user_confidence=np.full(10, float(there), np.float32),
        avatar_audio_known=frame < 4, user_audio_known=(frame < 3) & there, user_motion_known=frame < 1,
    )  # fmt: skip


def run(generator, steps, commits=(2,), seed=5):
    """Motion of a session that commits these numbers of frames in turn."""
    stream, rng, first, made = generator.open(None, seed), np.random.default_rng(1), 0, []
    for i in range(steps):
        stream.commit_frames = commits[i * len(commits) // steps]
        made.append(stream.step(signals(first, rng)))
        first += stream.commit_frames
    return np.concatenate(made)


@pytest.fixture(scope="module")
def generator():
    return EmbeddedGenerator()


@pytest.mark.slow
@pytest.mark.parametrize(
    "options, commits",
    [({}, (2,)), ({"audio_guidance": 2.0, "user_guidance": 1.5, "passes": 6}, (2,)), ({"anchor": None}, (1, 5, 2, 10))],
)
def test_it_computes_what_pytorch_does(options, commits):
    torch = pytest.importorskip(
        "torch", reason="needs PyTorch to compare with: pip install 'avatar_forcing_ros[train]'"
    )
    torch.set_num_threads(1)
    steps = STEPS if not options else 100
    ours, theirs = (
        run(EmbeddedGenerator(weights, dict(options)), steps, commits) for weights in ("", EMBEDDED_WEIGHTS)
    )
    assert len(ours) >= 2 * steps and theirs.std() > 0.05
    assert np.abs(ours - theirs).max() < 1e-4


def test_spectra_of_a_stream_are_those_of_the_whole_sound():
    torch = pytest.importorskip(
        "torch", reason="needs PyTorch to compare with: pip install 'avatar_forcing_ros[train]'"
    )
    from avatar_forcing_ros.models import ModelConfig
    from avatar_forcing_ros.models.audio_encoder import LogMelEncoder

    sound = np.random.default_rng(2).standard_normal((2, 640 * 40)).astype(np.float32)
    rolling = RollingSpectra(2, 19, 64)
    for speaker, piece in ((0, 3), (1, 7)):
        for first in range(0, 40, piece):
            rolling.push(speaker, sound[speaker, 640 * first : 640 * (first + piece)])
            rolling.push(speaker, sound[speaker, :0])
    whole = LogMelEncoder(ModelConfig.embedded()).spectra(torch.from_numpy(sound), 40).numpy()
    assert np.abs(rolling.spectra - whole[:, -19:]).max() < 1e-4


@pytest.mark.slow
def test_a_network_is_exported_as_it_computes(tmp_path):
    """One of the kind in the box, but small: what the box has is compared above."""
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'avatar_forcing_ros[train]'")
    pytest.importorskip("onnxscript", reason="needs the exporter's packages: pip install 'avatar_forcing_ros[train]'")
    from avatar_forcing_ros.models import AvatarForcing, ModelConfig, save_model
    from avatar_forcing_ros.models.export import export_onnx

    torch.manual_seed(0)
    sizes = {"audio_width": 32, "audio_layers": 1, "width": 32, "depth": 1, "heads": 2}
    model = AvatarForcing(ModelConfig.embedded(**sizes))
    with torch.no_grad():
        for parameter in model.parameters():  # what begins as zeros counts too
            parameter.add_(0.02 * torch.randn_like(parameter))
    written = export_onnx(model.eval(), tmp_path / "graphs")
    assert {p.name for p in written} == {p.name for p in EMBEDDED_NETWORK.glob("*.onnx")}
    ours, theirs = (
        run(EmbeddedGenerator(weights), 40)
        for weights in (tmp_path / "graphs", save_model(model, tmp_path / "small.safetensors"))
    )
    assert theirs.std() > 0.01 and np.abs(ours - theirs).max() < 1e-4


def test_nothing_on_the_default_path_imports_pytorch(tmp_path):
    """What the graph's nodes and `run --offline` import and make, in a process of its own."""
    code = """
import sys
import avatar_forcing_ros.cli
from avatar_forcing_ros.generators import make_generator
from avatar_forcing_ros.motion.space import make_avatar, make_tracker
make_generator("embedded").open(None, 0)
make_avatar("portrait", "", 128, "")
make_tracker("rig")
try:
    import avatar_forcing_ros.nodes.motion_generator, avatar_forcing_ros.nodes.renderer, avatar_forcing_ros.nodes.face_ingest
except ModuleNotFoundError as error:
    assert error.name == "rclpy", error  # a plain Python install has no graph
heavy = {"torch", "transformers", "safetensors", "onnx"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]


def test_any_number_of_frames_may_be_committed_and_changed_on_the_way(generator):
    for commit in (1, 2, 5, 10):
        stream = generator.open(None, 0, commit)
        assert stream.commit_frames == commit and stream.step(signals(0, np.random.default_rng(0))).shape == (
            commit,
            rig.DIM,
        )
    for commit in (0, 11):
        with pytest.raises(InputError, match="commit_frames"):
            generator.open(None, 0, commit)
    assert len(run(generator, 8, (1, 2, 5, 10))) == 36


@pytest.mark.slow
def test_a_change_of_the_step_does_not_jump(generator):
    """Frames keep their noise and their past, so the face goes on as it was."""
    motion = run(generator, 120, (2, 5, 1, 10, 2, 1))
    moves = np.abs(np.diff(motion, axis=0)).max(axis=1)
    usual = np.abs(np.diff(run(generator, 200), axis=0)).max(axis=1)
    assert moves.max() < 1.5 * usual.max()


def test_sessions_of_one_network_do_not_hear_each_other(generator):
    rng = np.random.default_rng(3)
    pieces = [signals(2 * i, rng) for i in range(6)]
    one, two = generator.open(None, 1), generator.open(None, 1)
    alone = [one.step(piece) for piece in pieces]
    one.reset()
    between = []
    for piece in pieces:
        between.append(one.step(piece))
        two.step(signals(0, rng))
    assert np.array_equal(alone, between)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"provider": "tpu"}, "provider 'tpu' is unknown; use one of auto, cpu, cuda, tensorrt, openvino"),
        ({"provider": "tensorrt"}, "provider 'tensorrt' is not in the installed ONNX Runtime"),
        ({"device": "tpu"}, "device 'tpu' is unknown"),
        ({"precision": "bfloat16"}, "precision 'bfloat16' is for the published network"),
        ({"compile": "graph"}, "choose a provider"),
    ],
)
def test_what_cannot_run_here_is_one_line(options, words):
    import onnxruntime

    if options.get("provider") == "tensorrt" and "TensorrtExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has TensorRT")
    with pytest.raises(InputError, match=words) as raised:
        EmbeddedGenerator(options=options)
    assert "\n" not in str(raised.value)


def test_files_that_do_not_fit_are_one_line(tmp_path):
    with pytest.raises(InputError, match="no weights at .*sound.onnx"):
        EmbeddedGenerator(tmp_path)
    for name in ("sound", "condition", "time", "motion"):
        (tmp_path / f"{name}.onnx").write_bytes(b"no graph")
    with pytest.raises(InputError, match="cannot be opened by ONNX Runtime") as raised:
        EmbeddedGenerator(tmp_path)
    assert "\n" not in str(raised.value)
