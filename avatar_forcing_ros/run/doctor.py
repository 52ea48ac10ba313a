"""What this machine has of what the package needs: one finding a line, and how to mend what is missing."""

from __future__ import annotations

import importlib.util
import os
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from avatar_forcing_ros.errors import AvatarForcingError, InputError

GOOD, ABSENT, WRONG = "good", "absent", "wrong"  # absent: only some need it
_LEAST_SHARED_MEMORY_MB = 256
_PACKAGES = ("numpy", "cv2", "av", "onnxruntime", "soxr", "rosbags", "yaml", "psutil", "matplotlib")
_EXTRAS = {
    "torch": ("learning and the published network", "pip install 'avatar_forcing_ros[train]'"),
    "aiortc": ("the kiosk", "pip install 'avatar_forcing_ros[kiosk]'"),
}


@dataclass(frozen=True)
class Finding:
    """state: good, absent (only some need it) or wrong (has to be mended). mend: what to do, empty where good."""

    what: str
    state: str
    told: str
    mend: str = ""


def examine() -> list[Finding]:
    """Everything that is looked at, in the order of what needs what."""
    return [finding for look in LOOKS for finding in look()]


def report(findings: list[Finding]) -> dict:
    """As JSON: {"well": bool, "findings": [{what, state, told, mend}]}."""
    return {"well": all(f.state != WRONG for f in findings), "findings": [asdict(f) for f in findings]}


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    fits = sys.version_info >= (3, 10)
    yield Finding("Python", GOOD if fits else WRONG, version, "" if fits else "install Python 3.10 or later")


def _packages() -> Iterator[Finding]:
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    mend = "pip install -r requirements.txt" if missing else ""
    yield Finding("Python packages", WRONG if missing else GOOD, ", ".join(missing) or "all there", mend)
    for name, (who, command) in _EXTRAS.items():
        there = importlib.util.find_spec(name) is not None
        yield Finding(f"extra {name}", GOOD if there else ABSENT, f"for {who}", "" if there else command)


def _face_models() -> Iterator[Finding]:
    from avatar_forcing_ros.motion.tracking import models

    try:
        for name in models.FILES:
            models.find(name)
    except InputError as error:
        yield Finding("face models", WRONG, "missing", str(error))
    else:
        yield Finding("face models", GOOD, str(models.folder()))


def _weights() -> Iterator[Finding]:
    from avatar_forcing_ros.generators import make_generator

    try:
        make_generator("embedded")
    except AvatarForcingError as error:
        yield Finding("embedded network", WRONG, "does not open", str(error))
    else:
        yield Finding("embedded network", GOOD, "opens")


def _ros() -> Iterator[Finding]:
    if importlib.util.find_spec("rclpy") is None:
        yield Finding(
            "ROS 2", ABSENT, "not here; offline runs work without it", "source your ROS, or run `make install`"
        )
        return
    from avatar_forcing_ros.paths import node_executable

    told = f"{os.environ.get('ROS_DISTRO', 'from wheels')}, domain {os.environ.get('ROS_DOMAIN_ID', '0')}"
    try:
        node_executable("motion_generator")
    except AvatarForcingError as error:
        yield Finding("ROS 2", WRONG, told, str(error))
    else:
        yield Finding("ROS 2", GOOD, told)


def _shared_memory() -> Iterator[Finding]:
    folder = Path("/dev/shm")
    if not folder.is_dir():
        yield Finding("shared memory", ABSENT, "no /dev/shm", "subscribe to image_raw/compressed")
        return
    free = shutil.disk_usage(folder).free // 2**20
    enough = free >= _LEAST_SHARED_MEMORY_MB
    mend = "" if enough else "stop what fills /dev/shm, `fastdds shm clean`, or give the container --shm-size=512m"
    yield Finding("shared memory", GOOD if enough else WRONG, f"{free} MB free", mend)


def _priority() -> Iterator[Finding]:
    allowed = resource.getrlimit(resource.RLIMIT_RTPRIO)[0] if hasattr(resource, "RLIMIT_RTPRIO") else 0
    may = allowed != 0 or os.geteuid() == 0
    mend = "" if may else "for steadier images: `USER - rtprio 10` in /etc/security/limits.conf, then log in again"
    yield Finding("real-time priority", GOOD if may else ABSENT, "allowed" if may else "not allowed", mend)


def _processor() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    information = Path("/proc/cpuinfo")
    flags = information.read_text() if information.is_file() else ""
    kind = next(
        (name for name in ("avx512f", "avx2", "asimd", "neon") if name in flags), "no vector unit that is known"
    )
    mend = "" if cores > 1 else "one core: the face gives up tracked images and size before it gives up its rate"
    yield Finding("processor", GOOD if cores > 1 else ABSENT, f"{cores} cores, {kind}", mend)


def _voices() -> Iterator[Finding]:
    found = [name for name in ("espeak-ng", "flite") if shutil.which(name)]
    mend = "" if found else "to speak texts: apt-get install espeak-ng"
    yield Finding("text to speech", GOOD if found else ABSENT, ", ".join(found) or "no synthesiser", mend)


def _cache() -> Iterator[Finding]:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    there = next((p for p in (folder, *folder.parents) if p.exists()), Path("/"))
    writable = os.access(there, os.W_OK)
    mend = "" if writable else f"make {folder} writable, or set XDG_CACHE_HOME: a photo is prepared at every start"
    yield Finding("cache", GOOD if writable else ABSENT, str(folder), mend)


LOOKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _python, _packages, _face_models, _weights, _ros, _shared_memory, _priority, _processor, _voices, _cache,
)  # fmt: skip
