#!/usr/bin/env python3
"""Writes docs/parameters.md from the nodes' settings. `--check`: exit status 1 where the page is not what they say."""

from __future__ import annotations

import sys
from pathlib import Path

from avatar_forcing_ros.ros.graph.launching import arguments
from avatar_forcing_ros.ros.setting import settings_in
from avatar_forcing_ros.ros.settings import NODES, NodeSettings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "parameters.md"
HEAD = """# Parameters

This page is made from `avatar_forcing_ros/ros/settings.py` by `tools/docs/parameters.py`; do not edit it by hand.

Give parameters in a YAML file (`params_file:=` of a launch file, `--config` of `avatar-forcing run`; start from
`config/nodes.yaml`), or with `ros2 param set` where the last column allows it. The last column says when a node reads the
parameter:

- *configure*: when the node is configured. A change later is refused, with the reason. `ros2 lifecycle set NODE deactivate`, then
  `cleanup`, set the parameter, then `configure` and `activate`.
- *activate*: when the node is activated. Deactivate it, set the parameter, activate it.
- *running*: at once.
- *process start*: give it when the process is started.

A name with a dot, such as `anchor.gain`, is nested in a file: `anchor: {gain: 0.5}`.

An impossible value leaves the node unconfigured: `/diagnostics` says what is wrong, and the node can be configured once it is fixed.
"""


def _shown(value) -> str:
    return str(value).lower() if isinstance(value, bool) else f"`{value}`" if value != "" else "empty"


def _table(kind: type, skip: set[str]) -> list[str]:
    lines = ["| parameter | type | default | range | meaning | read at |", "|---|---|---|---|---|---|"]
    for name, one in settings_in(kind).items():
        if name not in skip:
            unit = f" {one.unit}" if one.unit and one.range else ""
            cells = (
                f"`{name}`",
                one.kind.__name__,
                _shown(one.to_ros(one.default)),
                one.range + unit,
                one.text,
                one.read_at,
            )
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def page() -> str:
    common = set(settings_in(NodeSettings))
    lines = [HEAD, "## Every node", "", *_table(NodeSettings, set())]
    for name, kind in NODES.items():
        lines += ["", f"## {name}", "", *_table(kind, common)]
    lines += ["", "## Arguments of the launch files", ""]
    lines += [
        "All launch files have these; `--show-args` tells each one's own. An empty argument leaves what `params_file` says.",
        "",
    ]
    lines += ["| argument | default | meaning |", "|---|---|---|"]
    lines += [f"| `{name}` | {_shown(default)} | {text} |" for name, (default, text) in arguments().items()]
    return "\n".join(lines) + "\n"


def main() -> int:
    if "--check" in sys.argv[1:]:
        return PAGE.read_text() != page()
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
