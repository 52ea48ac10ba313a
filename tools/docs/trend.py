#!/usr/bin/env python3
"""Adds a benchmark's figures to a table over time: `trend.py BENCH.json TREND.csv`; prints what changed by more than a fifth."""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path


def flat(figures, prefix: str = "") -> Iterator[tuple[str, float]]:
    """(path, number) of everything in a report that is a number."""
    if isinstance(figures, dict):
        items = figures.items()
    elif isinstance(figures, list):
        items = enumerate(figures)
    else:
        if isinstance(figures, int | float) and not isinstance(figures, bool):
            yield prefix, float(figures)
        return
    for key, value in items:
        yield from flat(value, f"{prefix}/{key}" if prefix else str(key))


def main() -> int:
    report, table = Path(sys.argv[1]), Path(sys.argv[2])
    now = dict(flat(json.loads(report.read_text())))
    rows = list(csv.reader(table.open())) if table.is_file() else []
    before: dict[str, float] = {}
    for _, name, value in rows:
        before[name] = float(value)
    stamp = time.strftime("%Y-%m-%d")
    with table.open("a", newline="") as file:
        csv.writer(file).writerows([stamp, name, value] for name, value in now.items())
    for name, value in now.items():
        old = before.get(name)
        if old and abs(value / old - 1) > 0.2:
            print(f"{name}: {old:g} -> {value:g}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
