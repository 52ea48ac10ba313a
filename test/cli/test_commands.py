"""The documented commands as a user runs them: the installed executable, in a process of its own, on small inputs."""

import json
import os
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from marks import needs_voices

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT, SAMPLE_USER_VIDEO

ROOT = Path(__file__).resolve().parents[2]
EXECUTABLE = Path(sys.prefix) / "bin" / "avatar-forcing"
if not EXECUTABLE.is_file():
    pytest.skip(f"{EXECUTABLE} is not there: install the package", allow_module_level=True)


def run(folder: Path, *arguments) -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [str(EXECUTABLE), *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
    )


def well(folder: Path, *arguments) -> str:
    done = run(folder, *arguments)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stdout + done.stderr
    return done.stdout


def test_without_a_command_it_says_which_there_are(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 2 and "COMMAND" in done.stderr and "Traceback" not in done.stderr
    assert {"run", "face", "reenact", "bench", "evaluate", "learning", "train"} <= set(well(tmp_path, "--help").split())


@pytest.mark.slow
def test_run_offline_and_reenact_and_face(tmp_path):
    with wave.open(str(tmp_path / "answer.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes((8000 * np.sin(np.arange(16000) / 9)).astype("<i2").tobytes())
    well(
        tmp_path, "run", "--avatar-audio", "answer.wav", "--offline", "--duration", 0.4, "--size", 128, "--out", "o.mp4"
    )
    assert json.loads((tmp_path / "o.json").read_text())["frames"] == 10 and (tmp_path / "o.mp4").stat().st_size > 1000
    well(tmp_path, "face", DEFAULT_PORTRAIT, "--out", "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 10_000
    done = run(tmp_path, "reenact", "--driver", "nowhere.mp4", "--out", "r.mp4")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "nowhere.mp4" in done.stderr.splitlines()[-1]


@pytest.mark.slow
@needs_voices
def test_the_path_of_learning(tmp_path):
    """As `make train-tiny`, smaller still. Its workers are spawned, and import the executable again."""
    pytest.importorskip("torch", reason="training needs the extra: pip install 'avatar_forcing_ros[train]'")
    well(tmp_path, "learning", "make", "corpus", "--hours", 0.02, "--seed", 1, "--processes", 2)
    assert list((tmp_path / "corpus").iterdir())
    recipe = ROOT / "config" / "learning" / "tiny.yaml"
    well(tmp_path, "train", recipe, "--corpus", "corpus", "--valid", "corpus", "--training-steps", 3, "--out", "net")
    weights = tmp_path / "net" / "model.safetensors"
    assert weights.is_file()
    options = ("--offline", "--duration", 0.4, "--size", 128, "--user-video", SAMPLE_USER_VIDEO, "--out", "o.mp4")
    well(tmp_path, "run", "--generator", "embedded", "--weights", weights, *options)
    assert json.loads((tmp_path / "o.json").read_text())["frames"] == 10
