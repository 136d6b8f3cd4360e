"""The command `tuner show`."""

from __future__ import annotations

import argparse

from tuner.cli.arguments import Commands, add_results, add_trial, results_folder

__all__ = ["add"]


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    show = commands.add_parser(
        "show",
        help="print one trial",
        description="Print one trial: params as RecTools takes them, learning curve, folds, seeds and log.",
    )
    add_results(show)
    add_trial(show)
    show.set_defaults(command=_show)


def _show(arguments: argparse.Namespace) -> None:
    from tuner.reporting.trial_details import show_trial

    print(show_trial(results_folder(arguments), arguments.trial))
