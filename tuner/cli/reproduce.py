"""The command `tuner reproduce`."""

from __future__ import annotations

import argparse
import sys

from tuner.artifacts import layout
from tuner.cli.arguments import Commands, add_data, add_results, add_trial, study_as_run

__all__ = ["add"]


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    reproduce = commands.add_parser(
        "reproduce",
        help="run trials again and compare",
        description="Run trials of a study again in the same way, and compare their values with the recorded "
        "ones. The exit code is 0 if all values are equal, and 1 if one differs.",
    )
    add_results(reproduce)
    add_trial(reproduce, nargs="+")
    add_data(reproduce)
    reproduce.set_defaults(command=_reproduce)


def _reproduce(arguments: argparse.Namespace) -> None:
    from tuner.execution.logs import logs_to

    study, folder = study_as_run(arguments)
    differs = False
    with logs_to(layout.command_log(folder, "reproduce")):
        from tuner.formatting import visible
        from tuner.monitoring.console import stderr_console
        from tuner.workflows.reproduce import reproduce

        for again in reproduce(study, folder, arguments.trial, stderr_console().print):
            print(visible(str(again)), flush=True)
            differs = differs or not again.equal
    if differs:
        sys.exit(1)
