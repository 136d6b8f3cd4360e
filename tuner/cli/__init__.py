"""The command line: it parses arguments, calls one function, and turns errors into messages and exit codes.

Exit codes: 0 done; 1 the search failed; 2 the command, study or data must be corrected; 75 Ray died, run the
command again; 130 interrupted.

Each command has a module in this package, with a function `add(commands)` that adds it to the parser.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from tuner.cli import (
    check,
    compare,
    export,
    fetch,
    final,
    init,
    leaderboard,
    recommend,
    report,
    reproduce,
    run,
    show,
    space,
    steer,
    submit,
    watch,
)

__all__ = ["main"]

_DESCRIPTION = "Search hyperparameters and modules of RecTools models."
_EPILOG = (
    "Exit codes: 0 done, 1 the search failed, 2 correct the command, study or data, "
    "75 Ray died, run the command again, 130 interrupted."
)
_COMMANDS = (
    init,
    space,
    check,
    run,
    watch,
    leaderboard,
    show,
    steer,
    final,
    report,
    compare,
    reproduce,
    export,
    recommend,
    submit,
    fetch,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit code."""
    arguments = _parser().parse_args(argv)
    from tuner.errors import TunerError

    try:
        arguments.command(arguments)
        sys.stdout.flush()
    except TunerError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tuner", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"tuner {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add(commands)
    return parser


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("rectools-tuner")
    except PackageNotFoundError:
        return "(not installed)"
