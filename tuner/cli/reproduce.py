"""The command `tuner reproduce`."""

from __future__ import annotations

import argparse
import sys

from tuner.cli.arguments import Commands, add_data, add_results, add_trial

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
    from tuner.formatting import visible
    from tuner.workflows.model_commands import reproduce

    made = reproduce(
        arguments.study,
        arguments.trial,
        interactions=arguments.interactions,
        ended=lambda again: print(visible(str(again)), flush=True),
        output=arguments.output,
    )
    if not all(again.equal for again in made):
        sys.exit(1)
