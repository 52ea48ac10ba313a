"""Commands compute on one thread unless they are told otherwise."""

import subprocess
import sys

import pytest

CODE = """
import sys, cv2
from avatar_forcing_ros.run.threads import few_threads
print(few_threads(), cv2.getNumThreads())
if "torch" in sys.argv:
    import torch
    print(torch.get_num_threads())
"""


def run(tmp_path, monkeypatch, asked, *arguments) -> list[str]:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    command = [sys.executable, "-c", CODE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout.split()


@pytest.mark.parametrize("asked, count", [("", "1"), ("2", "2"), ("many", "1")])
def test_one_thread_unless_told_otherwise(tmp_path, monkeypatch, asked, count):
    assert run(tmp_path, monkeypatch, asked) == [count, count]


@pytest.mark.slow
def test_pytorch_too(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="needs PyTorch: pip install 'avatar_forcing_ros[train]'")
    assert run(tmp_path, monkeypatch, "", "torch") == ["1", "1", "1"]
