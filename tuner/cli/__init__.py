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
from contextlib import suppress
from pathlib import Path

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
from tuner.cli.examples import EXAMPLES
from tuner.cli.parser import Parser
from tuner.cli.streams import discard_stdout, say, usable_streams, why_unusable

__all__ = ["main", "run_as_module"]

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
    usable_streams()
    try:
        Path.cwd()
    except FileNotFoundError:
        say("the working folder no longer exists: change to a folder that does, and run the command again")
        return 2
    from tuner.errors import TunerError
    from tuner.errors.caller import command_line

    try:
        with command_line():
            _call(argv)
    except TunerError as error:
        say(error)
        return error.exit_code
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has ended
        discard_stdout()
    except OSError as error:
        told = why_unusable(error)
        if told is None:
            raise
        discard_stdout()
        say(told[0])
        return told[1]
    return 0


def _call(argv: Sequence[str] | None) -> None:
    """Call the command that the arguments name."""
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:
        from tuner.cli.completion import answer

        answer(parser)
    try:
        arguments = parser.parse_args(argv)
    except SystemExit:  # a mistake, or a text such as that of `--help`
        sys.stdout.flush()
        raise
    from tuner.artifacts.private import private_files
    from tuner.execution.signals import ended_by_signals

    with private_files(), ended_by_signals():
        arguments.command(arguments)
    sys.stdout.flush()


def run_as_module() -> int:
    """Run the command line for ``python -m``, and return the exit code.

    Python has put the working folder first on its path. A file ``queue.py`` there would replace Python's own.
    """
    with suppress(FileNotFoundError):  # the folder was removed: `main` tells
        if sys.path[:1] == [os.getcwd()]:  # noqa: PTH109  # as Python writes it
            sys.path.append(sys.path.pop(0))
    return main()


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="tuner", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"tuner {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add(commands)
    for name, added in commands.choices.items():
        added.epilog = f"Example: {EXAMPLES[name]}"
    return parser


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("rectools-tuner")
    except PackageNotFoundError:
        return "(not installed)"
