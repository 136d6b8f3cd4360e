"""The command `tuner watch`."""

from __future__ import annotations

import argparse

from tuner.cli.arguments import Commands, add_results, results_folder

__all__ = ["add"]


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    watch = commands.add_parser(
        "watch",
        help="follow a run from another terminal",
        description="Follow the run of a study until it ends. If no run has begun, wait for it.",
    )
    add_results(watch)
    watch.set_defaults(command=_watch)


def _watch(arguments: argparse.Namespace) -> None:
    from functools import partial

    from tuner.monitoring.console import Progress, stderr_console
    from tuner.workflows.watch import watch

    console, folder = stderr_console(), results_folder(arguments)
    watch(folder, partial(Progress, console, folder=str(folder)), console.print)
