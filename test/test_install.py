"""The installer of the fresh machine: what it says is missing, and what it mends."""

import importlib.util
import shutil
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def install():
    spec = importlib.util.spec_from_file_location("install", ROOT / "fresh_machine" / "install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_missing_system_packages_are_one_line_that_installs_them(install, monkeypatch):
    found = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, **k: None if name == "g++" else found(name, **k))
    with pytest.raises(SystemExit) as stop:
        install.check_system(sys.executable)
    assert str(stop.value).count("\n") == 0 and "apt-get install -y g++" in str(stop.value)


def test_no_usable_python_is_one_line(install, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name, **k: None)
    with pytest.raises(SystemExit, match="3.10 to 3.13"):
        install.find_python()


def test_include_folders_of_the_machine_that_built_the_wheels_are_mended(install, monkeypatch, tmp_path):
    file = tmp_path / "share" / "pkg" / "cmake" / "export.cmake"
    file.parent.mkdir(parents=True)
    file.write_text(
        'INTERFACE_INCLUDE_DIRECTORIES "/opt/python/cp311-cp311/include/python3.11;'
        '/tmp/build-env-x/lib/python3.11/site-packages/numpy/_core/include;${_IMPORT_PREFIX}/include"'
    )
    monkeypatch.setattr(install, "VENV", tmp_path)
    monkeypatch.setattr(install, "PYTHON", Path(sys.executable))
    install.mend_cmake()
    mended = file.read_text()
    assert mended == (
        f'INTERFACE_INCLUDE_DIRECTORIES "{sysconfig.get_path("include")};{np.get_include()};${{_IMPORT_PREFIX}}/include"'
    )


def test_a_step_runs_once_and_again_when_what_it_was_made_from_changes(install, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(install, "VENV", tmp_path)
    runs = []
    for key in ("a", "a", "b"):
        install.step("build it", key, lambda k=key: runs.append(k))
    assert runs == ["a", "b"] and "build it" in capsys.readouterr().out
