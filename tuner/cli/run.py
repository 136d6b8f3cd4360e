"""The command `tuner run`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tuner.artifacts import layout
from tuner.cli.arguments import (
    Commands,
    add_search_budgets,
    add_study_file,
    overrides,
    path,
    shows_grey,
    terminal_width,
)

if TYPE_CHECKING:
    from tuner.reporting.leaderboard import Leaderboard

__all__ = ["add"]


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    run = commands.add_parser(
        "run", help="begin or continue a study", description="Begin a study, or continue it."
    )
    add_study_file(run)
    add_search_budgets(run)
    run.add_argument(
        "--output", type=path, default=layout.DEFAULT_OUTPUT, metavar="DIR", help="default: studies"
    )
    run.add_argument(
        "--share", action="store_true", help="share the study with other drivers; it must be in a database"
    )
    run.add_argument(
        "--json-lines",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write each event as a line of JSON to FILE, or without FILE to stdout instead of the results",
    )
    run.add_argument(
        "--address",
        metavar="ADDRESS",
        help="a running Ray to join: auto on a node of a cluster; default: start Ray on this machine",
    )
    run.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> None:
    from tuner.preparation.further import read_study

    changes = [*overrides(arguments), *(["share=true"] if arguments.share else [])]
    study = read_study(arguments.study, changes, arguments.profile)
    from tuner.monitoring.json_events import events_to
    from tuner.workflows.run import run

    with events_to(arguments.json_lines) as events:
        board = run(study, arguments.output, events=events, address=arguments.address)
    if arguments.json_lines != "-":
        _summary(board, layout.study_folder(study.study, arguments.output))


def _summary(board: Leaderboard, folder: Path) -> None:
    """Print the best rows to stdout, and the next commands to stderr."""
    from tuner.formatting import in_shell, visible
    from tuner.reporting.best import best_lines
    from tuner.reporting.formats import render

    print(render(board, top=10, width=terminal_width(), grey=shows_grey()))
    sys.stdout.flush()
    where = layout.shown(folder)
    print("", *map(visible, best_lines(board)), sep="\n", file=sys.stderr)
    if board.further:
        numbers = ", ".join(str(row.record.number) for row in board.front)
        print(f"Pareto front: trials {numbers or 'none'}", file=sys.stderr)
    print(
        f"results: {where}\n"
        f"  tuner leaderboard {in_shell(where)}\n"
        f"  tuner show {in_shell(where)} best\n"
        f"  tensorboard --logdir {in_shell(f'{where}/tensorboard')}",
        file=sys.stderr,
    )
