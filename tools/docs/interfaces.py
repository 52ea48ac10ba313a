#!/usr/bin/env python3
"""Writes docs/reference/messages.md from msg/, srv/ and action/, and docs/reference/topics.md from what the nodes create.

`--check`: exit status 1 where a page is not what the files say.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "avatar_forcing_ros"
PAGES = ROOT / "docs" / "reference"
WORDS = Path(__file__).with_name("topics.yaml")  # what each name means, for people
KINDS = {  # names that the code decides at run time
    "STAMPED": "audio_common_msgs/msg/AudioDataStamped or AudioStamped",
    "PLAIN": "audio_common_msgs/msg/AudioData or Audio",
    "AudioInfo": "audio_common_msgs/msg/AudioInfo",
    "_hri": "hri_msgs/msg/Expression",
    "packet_type()": "ffmpeg_image_transport_msgs/msg/FFMPEGPacket",
}
MAKERS = {  # method -> (direction, position of the type and of the name)
    "create_publisher": ("publishes", 0, 1),
    "create_lifecycle_publisher": ("publishes", 0, 1),
    "create_subscription": ("reads", 0, 1),
    "create_service": ("service", 0, 1),
    "create_client": ("calls", 0, 1),
    "ActionServer": ("action", 1, 2),
    "ActionClient": ("calls", 1, 2),
}


class Endpoint(NamedTuple):
    """One topic, service or action of one file, as its code says it."""

    file: str
    direction: str
    name: str
    kind: str
    qos: str


def endpoints() -> list[Endpoint]:
    """Everything that the files of nodes/ and ros/ create with a name in the code."""
    found = []
    for path in sorted([*(PACKAGE / "nodes").glob("*.py"), *(PACKAGE / "ros").glob("*.py")]):
        tree = ast.parse(path.read_text())
        constants = {
            target.id: node.value.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name) and isinstance(node.value.value, str)
        }
        imported = {
            alias.asname or alias.name: f"{node.module.replace('.', '/')}/{alias.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module and node.module.endswith((".msg", ".srv", ".action"))
            for alias in node.names
        }
        for node in ast.walk(tree):
            maker = getattr(node.func, "attr", getattr(node.func, "id", "")) if isinstance(node, ast.Call) else ""
            if maker not in MAKERS:
                continue
            direction, kind_at, name_at = MAKERS[maker]
            words = {k.arg: k.value for k in node.keywords}
            values = [*node.args]
            if len(values) <= name_at:
                continue
            name = _name(values[name_at], constants)
            if name is None:
                continue
            kind = ast.unparse(values[kind_at]).split(".")[-1]
            kind = imported.get(kind) or KINDS.get(kind, kind)
            profile = words.get("qos_profile") or (values[-1] if direction in ("publishes", "reads") else None)
            found.append(Endpoint(path.stem, direction, name, kind, _qos(profile) if profile else ""))
    return found


def _name(node: ast.expr, constants: dict[str, str]) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name):
        return constants.get(node.id)
    if isinstance(node, ast.JoinedStr):
        return "".join(v.value if isinstance(v, ast.Constant) else "PREFIX" for v in node.values)
    return None


def _qos(node: ast.expr) -> str:
    text = ast.unparse(node)
    if "latched" in text:
        return "reliable, transient local, depth 1"
    depth = re.search(r"\d+", text)
    if "reading" in text:
        return f"best effort (parameter `reliable`), depth {depth.group() if depth else '-'}"
    return f"reliable, depth {depth.group()}" if depth else "reliable"


def messages_page() -> str:
    lines = ["# Messages, services and actions", "", _made_by("msg/, srv/ and action/")]
    for folder, title in (("msg", "Messages"), ("srv", "Services"), ("action", "Actions")):
        files = sorted((ROOT / folder).glob(f"*.{folder}"))
        if files:
            lines += ["", f"## {title}"]
        for file in files:
            lines += ["", f"### {file.stem}", "", "```", file.read_text().rstrip("\n"), "```"]
    return "\n".join(lines) + "\n"


def words() -> dict[str, str]:
    """name -> what it carries, how often."""
    return yaml.safe_load(WORDS.read_text())


def topics_page() -> str:
    lines = ["# Topics, services and actions", "", _made_by("the nodes' code and `tools/docs/topics.yaml`")]
    lines += [
        "",
        "Names are relative to the node's namespace unless they begin with `/`. `~` is the node's own name. A node in a",
        "sub-namespace (`user/face`, `speech/speech`) has its topics there: `motion` of `user/face` is `user/motion`.",
        "",
        "What this package publishes is reliable with a short history, so any reader matches. Other people's cameras and",
        "microphones are read with best effort, which matches any writer; `reliable` of `face_ingest` asks for more.",
    ]
    meaning = words()
    titles = {"publishes": "Published", "reads": "Read", "service": "Services", "action": "Actions"}
    for direction, title in titles.items():
        rows = sorted({e for e in endpoints() if e.direction == direction}, key=lambda e: (e.name, e.file))
        if not rows:
            continue
        with_qos = direction in ("publishes", "reads")
        lines += ["", f"## {title}", "", "| name | type | node |" + (" QoS |" if with_qos else "") + " what |"]
        lines.append("|---|---|---|" + ("---|" if with_qos else "") + "---|")
        for e in rows:
            cells = [f"`{e.name.replace('PREFIX', '')}`", f"`{e.kind}`", _file(e.file)]
            cells += ([e.qos] if with_qos else []) + [meaning.get(e.name.replace("PREFIX", ""), "")]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _file(stem: str) -> str:
    """Files of ros/ serve several nodes."""
    shared = {
        "base": "every node",
        "sound": "media_source, renderer",
        "direction": "renderer",
        "lifecycle_client": "the command line",
    }
    return shared.get(stem, stem)


def _made_by(what: str) -> str:
    return f"This page is made from {what} by `tools/docs/interfaces.py`; do not edit it by hand."


def pages() -> dict[Path, str]:
    return {PAGES / "messages.md": messages_page(), PAGES / "topics.md": topics_page()}


def main() -> int:
    stale = [path for path, text in pages().items() if not path.is_file() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not in step: run {Path(__file__).relative_to(ROOT)}", file=sys.stderr)
        return bool(stale)
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pages()[path])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
