"""The command `tuner compare`."""

from __future__ import annotations

import argparse

from tuner.cli.arguments import Commands, path

__all__ = ["add"]


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    compare = commands.add_parser(
        "compare",
        help="compare studies on the same data and folds",
        description="Compare studies with the same data, folds and metrics: their best trials on the same "
        "users, their baselines, their trials with the same params, and their resource usage.",
    )
    compare.add_argument("first", type=path, metavar="DIR")
    compare.add_argument("others", type=path, nargs="+", metavar="DIR")
    compare.set_defaults(command=_compare)


def _compare(arguments: argparse.Namespace) -> None:
    from tuner.workflows.commands import compare

    print(compare(arguments.first, *arguments.others))
