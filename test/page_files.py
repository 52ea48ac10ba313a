"""The built page and a small server for it, for tests that need a browser."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import http.server
import json
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.web import page_bundle
from avatar_forcing_ros.web.chromium import find_chromium


def need_browser() -> None:
    """Skips where there is no Chromium."""
    try:
        find_chromium()
    except InputError as error:
        pytest.skip(str(error))


def packages(cache) -> Path:
    """npm's packages as the lock file names them, kept in pytest's cache. Skips where they cannot be had."""
    lock = (page_bundle.SOURCES / "package-lock.json").read_bytes()
    work = Path(cache.mkdir(f"page_{hashlib.sha256(lock).hexdigest()[:12]}"))
    done = work / "complete"
    with _alone(work):
        if not done.exists():
            for name in ("package.json", "package-lock.json", ".npmrc"):
                (work / name).write_bytes((page_bundle.SOURCES / name).read_bytes())
            try:
                page_bundle.install_packages(work)
            except InputError as error:
                pytest.skip(f"npm's packages cannot be had: {error}")
            done.touch()
    return work / "node_modules"


@contextlib.contextmanager
def _alone(folder: Path):
    """Of several test processes one at a time, so that two do not fill one folder."""
    with open(folder / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def built_page(cache) -> Path:
    """The folder of the page, built of the present sources. Skips where it cannot be built."""
    modules = None if page_bundle.is_current() else packages(cache)
    with _alone(Path(cache.mkdir("page_build"))):
        if not page_bundle.is_current():
            page_bundle.build(packages=modules)
    return page_bundle.dist()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextlib.contextmanager
def served(folder: Path):
    """The address of a folder, served on this machine."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def run_module(cache, source: str, script: str, globals_: str = "") -> object:
    """What a script says as its last line of JSON, run by Node with a module of the page's sources as `page`.

    source: its path under web/page/src. globals_: JavaScript that runs before the module. Skips where Node or npm's packages are missing.
    """
    modules = packages(cache)
    node = page_bundle.find_node()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "module.mjs"
        entry = page_bundle.SOURCES / "src" / source
        command = [
            node,
            str(modules / "esbuild" / "bin" / "esbuild"),
            str(entry),
            "--bundle",
            "--format=esm",
            f"--outfile={out}",
        ]
        subprocess.run([*command, "--log-level=error"], check=True, capture_output=True, text=True)
        main = Path(folder) / "main.mjs"
        main.write_text(f"{globals_}\nconst page = await import('./module.mjs');\n{script}")
        done = subprocess.run([node, str(main)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])
