"""What is handed out has the page in it, with the licences of what it uses."""

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from page_files import built_page

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]
DIST = "avatar_forcing_ros/web/dist/"


def build(tmp_path, kind: str, *options: str) -> Path:
    """A wheel or a source archive of this tree, without a trace in it."""
    command = [
        sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(tmp_path), "build", "--build-base", str(tmp_path / "build"),
        kind, "-d", str(tmp_path / "out"), *options,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    [made] = (tmp_path / "out").iterdir()
    return made


def whole(names: set[str], read) -> None:
    """names: of all files; read(name): the bytes of one."""
    assert {
        DIST + name for name in ("index.html", "page.js", "page.css", "worker.js", "worklet.js", "drawing.js")
    } <= names
    assert DIST + "tracking/ort-wasm-simd-threaded.wasm" in names
    licences = read(DIST + "LICENCES.txt").decode()
    for package in ("three", "@pixiv/three-vrm", "onnxruntime-web"):
        assert re.search(rf"^{package} [\d.]+ \(\w+\)\n\n\S", licences, re.MULTILINE), (
            package
        )  # the text, not its name alone
    for name in [n for n in names if n.startswith(DIST) and n.endswith(".js")]:
        for used in re.findall(r"""(?:from|import)\s*\(?["']\./([\w.-]+\.js)["']""", read(name).decode()):
            assert DIST + used in names, f"{name} needs {used}"
    assert not [n for n in names if "node_modules" in n]


def test_a_wheel_carries_the_page_and_its_licences(tmp_path, request):
    built_page(request.config.cache)
    with zipfile.ZipFile(build(tmp_path, "bdist_wheel", "--bdist-dir", str(tmp_path / "wheel"))) as wheel:
        whole(set(wheel.namelist()), wheel.read)


def test_a_source_archive_carries_them_too(tmp_path, request):
    built_page(request.config.cache)
    with tarfile.open(build(tmp_path, "sdist")) as archive:
        names = {n.partition("/")[2]: n for n in archive.getnames()}
        whole(set(names), lambda name: archive.extractfile(names[name]).read())
