#!/usr/bin/env python3
"""Writes docs/reference/command_line.md from the command's own parser. `--check`: exit status 1 where it is not in step."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ["COLUMNS"] = "100"  # argparse breaks its lines for the terminal; the page has one width

from avatar_forcing_ros.cli import _parser

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "command_line.md"


def commands(parser: argparse.ArgumentParser, words: str) -> Iterator[tuple[str, argparse.ArgumentParser, str]]:
    """(words, parser, help) of every command that does something, in order."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, sub in action.choices.items():
                if any(isinstance(a, argparse._SubParsersAction) for a in sub._actions):
                    yield from commands(sub, f"{words} {name}")
                else:
                    yield f"{words} {name}", sub, helps.get(name, "")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def page() -> str:
    lines = [
        "# Command line",
        "",
        "This page is made from the command's own parser by `tools/docs/command_line.py`; do not edit it by hand.",
        "",
        "Exit status: 0; 1 with one line on standard error that says what to fix; 2 for an unknown option; 130 after Ctrl-C.",
    ]
    for words, parser, text in commands(_parser(), "avatar-forcing"):
        lines += ["", f"## {words}", "", parser.description or f"{text[:1].upper()}{text[1:]}."]
        rows = [a for a in parser._actions if a.dest != "help" and a.help is not argparse.SUPPRESS]
        if rows:
            lines += ["", "| argument | meaning |", "|---|---|"]
        for action in rows:
            name = ", ".join(action.option_strings) or str(action.metavar or action.dest)
            if action.option_strings and action.nargs != 0:
                value = "|".join(map(str, action.choices)) if action.choices else action.metavar or action.dest.upper()
                name += f" {value}"
            help_text = action.help or ""
            if "%(" in help_text:
                help_text = parser._get_formatter()._expand_help(action)
            lines.append(f"| `{_cell(name)}` | {_cell(help_text.replace('%%', '%'))} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    text = page()
    if "--check" in sys.argv[1:]:
        return not PAGE.is_file() or PAGE.read_text() != text
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
