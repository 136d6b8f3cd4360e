"""The command `tuner check`."""

from __future__ import annotations

import argparse

from tuner.cli.arguments import Commands, add_study_file

__all__ = ["add"]


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    check = commands.add_parser(
        "check",
        help="check a study before it costs time",
        description="Check a study and its data, and train every alternative of its space for one batch on a "
        "slice of the data. This does not use Ray.",
    )
    add_study_file(check)
    check.set_defaults(command=_check)


def _check(arguments: argparse.Namespace) -> None:
    from tuner.preparation.further import read_study
    from tuner.workflows.commands import check

    print(check(read_study(arguments.study, arguments.set, arguments.profile)))
