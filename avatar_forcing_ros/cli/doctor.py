"""avatar-forcing doctor: what this machine lacks, and how to mend it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from avatar_forcing_ros.errors import AvatarForcingError, InputError


def add_doctor(commands) -> None:
    doctor = commands.add_parser(
        "doctor", help="say what this machine lacks, and how to fix it",
        description="Checks what the package needs from this machine. Exit status 1 where something has to be fixed.",
    )  # fmt: skip
    doctor.add_argument("--json", default="", metavar="FILE", help="write the findings")
    doctor.set_defaults(work=_doctor)


def _doctor(arguments: argparse.Namespace) -> None:
    from avatar_forcing_ros.run.doctor import WRONG, examine, report

    findings = examine()
    for finding in findings:
        print(f"{finding.state:7} {finding.what:20} {finding.told}")
        if finding.mend:
            print(f"{'':28} -> {finding.mend}")
    if arguments.json:
        try:
            Path(arguments.json).write_text(json.dumps(report(findings), indent=2) + "\n")
        except OSError as error:
            raise InputError(f"{arguments.json}: cannot be written ({error.strerror})") from error
    wrong = [finding.what for finding in findings if finding.state == WRONG]
    if wrong:
        raise AvatarForcingError(f"to be fixed: {', '.join(wrong)}")
