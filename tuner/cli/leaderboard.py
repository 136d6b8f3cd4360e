"""`tuner leaderboard`."""

from __future__ import annotations

import argparse
import sys

from tuner.cli.arguments import Commands, add_results, positive, results_folder, terminal_width

__all__ = ["add"]


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    board = commands.add_parser(
        "leaderboard",
        help="print the leaderboard of a study",
        description="Print the leaderboard of a study, also while it runs.",
    )
    add_results(board)
    board.add_argument("--format", choices=("table", "csv", "json", "md"), default="table")
    board.add_argument("--top", type=positive, metavar="N", help="only the first N rows")
    board.add_argument(
        "--sort", metavar="METRIC", help="rank by another metric, in the objective's direction"
    )
    board.set_defaults(command=_leaderboard)


def _leaderboard(arguments: argparse.Namespace) -> None:
    from tuner.leaderboard import load_leaderboard, render

    board = load_leaderboard(results_folder(arguments), sort=arguments.sort, curves=False)
    print(render(board, arguments.format, top=arguments.top, width=terminal_width()))
    if board.run_by is not None:
        sys.stdout.flush()
        print(board.run_by, file=sys.stderr)
