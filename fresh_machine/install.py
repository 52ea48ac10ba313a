#!/usr/bin/env python3
"""Makes `.venv/` on a fresh machine: a real ROS 2 from wheels, what the project needs, and the project built by colcon.

Run by `make`. Each step leaves a stamp with a digest of what it was made from, so a second run starts at once.
Standard library only.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOGS = VENV / "install-logs"
PYTHONS = ("python3.11", "python3.12", "python3.10", "python3")  # those that the mediapipe wheel exists for


def fail(message: str) -> None:
    sys.exit(f"install: {message}")


def digest(paths: list[pathlib.Path], names_only: list[pathlib.Path] = ()) -> str:
    """One hash over the content of `paths` and the names of `names_only`."""
    h = hashlib.sha256(str(ROOT).encode())
    for path in sorted(paths):
        h.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    for path in sorted(names_only):
        h.update(str(path.relative_to(ROOT)).encode())
    return h.hexdigest()


def step(title: str, key: str, work) -> None:
    """Run `work` unless the stamp of this step already holds `key`."""
    stamp = VENV / f".stamp-{title.split()[0].rstrip(':')}"
    if stamp.exists() and stamp.read_text() == key:
        return
    print(f"install: {title} ...", flush=True)
    start = time.monotonic()
    work()
    stamp.write_text(key)
    print(f"install: {title}: done in {time.monotonic() - start:.0f} s", flush=True)


def run(command: list[str], log: str, environment: dict[str, str] | None = None, show=lambda line: False) -> None:
    """Run a command, its output in a log file, with the lines that `show` picks on the screen; the tail on failure."""
    LOGS.mkdir(parents=True, exist_ok=True)
    path = LOGS / log
    with open(path, "w") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for line in process.stdout:
            file.write(line)
            if show(line):
                print("  " + line.strip()[:110], flush=True)
    if process.wait() != 0:
        print("".join(path.read_text().splitlines(keepends=True)[-25:]), file=sys.stderr)
        fail(f"{command[0]} {command[1]} failed; the whole log is {path}")


def find_python() -> str:
    for name in PYTHONS:
        path = shutil.which(name)
        check = "import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))"
        if path and subprocess.run([path, "-c", check]).returncode == 0:
            return path
    fail("needs Python 3.10, 3.11 or 3.12 (the face tracker has no wheel for others); install python3.11 or python3.12")


def check_system(python: str) -> None:
    """One line for what apt has to bring; pip can not."""
    missing = [package for tool, package in (("g++", "g++"), ("make", "make")) if not shutil.which(tool)]
    if subprocess.run([python, "-c", "import venv, ensurepip"], capture_output=True).returncode != 0:
        missing.append("python3-venv")
    ldconfig = shutil.which("ldconfig", path=f"{os.environ['PATH']}:/sbin:/usr/sbin")
    if ldconfig:  # what OpenCV's wheel links
        libraries = subprocess.run([ldconfig, "-p"], capture_output=True, text=True).stdout
        for library, package in (("libGL.so.1", "libgl1"), ("libglib-2.0.so.0", "libglib2.0-0")):
            if library not in libraries:
                missing.append(package)
    if missing:
        fail(f"missing system packages; run: sudo apt-get update && sudo apt-get install -y {' '.join(missing)}")


def make_venv(python: str) -> None:
    shutil.rmtree(VENV, ignore_errors=True)
    subprocess.run([python, "-m", "venv", str(VENV)], check=True)


def install_wheels() -> None:
    requirement_files = ["-r", "fresh_machine/requirements.txt", "-r", "requirements.txt"]
    run(
        [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off", *requirement_files],
        "pip.log",
        show=lambda line: line.startswith(("Collecting", "Downloading", "Installing", "ERROR")),
    )


def mend_cmake() -> None:
    """The wheels' CMake targets name include folders of the machine that built them; point them at this one's."""
    ask = "import sysconfig, numpy; print(sysconfig.get_path('include')); print(numpy.get_include())"
    include, numpy_include = subprocess.run(
        [str(PYTHON), "-c", ask], check=True, capture_output=True, text=True
    ).stdout.split()
    patterns = (
        (re.compile(r"/opt/python/[^;\"\s]*?/include/python3\.\d+"), include),
        (re.compile(r"/[^;\"\s]*?/site-packages/numpy/_?core/include"), numpy_include),
    )
    for path in (VENV / "share").rglob("*.cmake"):
        text = mended = path.read_text()
        for pattern, replacement in patterns:
            mended = pattern.sub(replacement, mended)
        if mended != text:
            path.write_text(mended)


def ros_environment() -> dict[str, str]:
    return {
        **os.environ,
        "AMENT_PREFIX_PATH": str(VENV),
        "CMAKE_PREFIX_PATH": str(VENV),
        "LD_LIBRARY_PATH": str(VENV / "lib"),
        "PATH": f"{VENV / 'bin'}:{os.environ['PATH']}",
        "VIRTUAL_ENV": str(VENV),
        "PYTHONPATH": "",
    }


def build_package() -> None:
    """The project and the stand-in for audio_common_msgs, installed by colcon into the venv itself (one prefix)."""
    for link in VENV.glob("lib/python3*/site-packages/avatar_forcing_ros/**/*"):
        if link.is_symlink() and not link.exists():  # of a source file that is gone
            link.unlink()
    run(
        [
            str(VENV / "bin" / "colcon"), "--log-base", str(LOGS / "colcon"), "build", "--merge-install", "--symlink-install",
            "--paths", "fresh_machine/audio_common_msgs", ".",
            "--build-base", str(VENV / "build"), "--install-base", str(VENV),
            "--cmake-args", f"-DPython3_EXECUTABLE={PYTHON}", "-DBUILD_TESTING=OFF", "-Wno-dev",
        ],
        "colcon.log",
        ros_environment(),
        show=lambda line: line.startswith(("Starting", "Finished", "Failed")),
    )  # fmt: skip


def main() -> None:
    python = find_python()
    check_system(python)
    step("venv in .venv", digest([], [ROOT]), lambda: make_venv(python))
    wheels = digest([ROOT / "requirements.txt", ROOT / "fresh_machine/requirements.txt"])
    step("wheels: ROS 2, the face tracker, PyTorch (about 2 GB on disk, some minutes)", wheels, install_wheels)
    step("mend the wheels' CMake files", wheels, mend_cmake)
    sources = [ROOT / "CMakeLists.txt", ROOT / "package.xml", ROOT / "scripts/executable.in", *ROOT.glob("msg/*")]
    sources += [p for p in (ROOT / "fresh_machine/audio_common_msgs").rglob("*") if p.is_file()]
    installed = [
        p for folder in ("avatar_forcing_ros", "launch", "config") for p in (ROOT / folder).rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    ]  # fmt: skip
    step("build messages and nodes (colcon)", wheels + digest(sources, installed), build_package)


if __name__ == "__main__":
    main()
