"""The command `avatar-forcing`."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading

from avatar_forcing_ros import __version__
from avatar_forcing_ros.errors import AvatarForcingError, missing_package

_LIVE = ("run", "kiosk")  # commands that start nodes ...
_NOT_LIVE = ("-h", "--help", "--offline", "--make-certificate")  # ... but with these


def _parser() -> argparse.ArgumentParser:
    from avatar_forcing_ros.cli.bench import add_bench
    from avatar_forcing_ros.cli.doctor import add_doctor
    from avatar_forcing_ros.cli.evaluate import add_evaluate
    from avatar_forcing_ros.cli.face import add_face
    from avatar_forcing_ros.cli.kiosk import add_kiosk
    from avatar_forcing_ros.cli.learning import add_learning
    from avatar_forcing_ros.cli.models import add_models
    from avatar_forcing_ros.cli.run import add_run
    from avatar_forcing_ros.cli.say import add_say
    from avatar_forcing_ros.cli.weights import add_weights

    parser = argparse.ArgumentParser(prog="avatar-forcing", description="The face of a robot that listens, live.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_run(commands)
    add_say(commands)
    add_face(commands)
    add_models(commands)
    add_kiosk(commands)
    add_weights(commands)
    add_bench(commands)
    add_learning(commands)
    add_doctor(commands)
    add_evaluate(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Exit status 0, or 1 with one clear line on what the user can mend."""
    logging.getLogger("absl").setLevel(logging.ERROR)
    words = sys.argv[1:] if argv is None else argv
    if words and words[0] in _LIVE and not any(word.startswith(_NOT_LIVE) for word in words):
        from avatar_forcing_ros.run.forked import prepare

        prepare()  # the nodes' imports, beside this process's own
    arguments = _parser().parse_args(argv)
    if (
        threading.current_thread() is threading.main_thread()
    ):  # ended from outside, a session ends its nodes as after Ctrl-C
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # nohup
                signal.signal(number, signal.default_int_handler)
    try:
        arguments.work(arguments)
    except (AvatarForcingError, ModuleNotFoundError) as error:
        told = missing_package(error) if isinstance(error, ModuleNotFoundError) else error
        if not isinstance(told, AvatarForcingError):
            raise
        print(f"avatar-forcing: {told}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
