"""`tuner compare`."""

from __future__ import annotations

import argparse
from pathlib import Path

from tuner.cli.arguments import Commands

__all__ = ["add"]


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    compare = commands.add_parser(
        "compare",
        help="line up studies on the same data and folds",
        description="Line up studies that were measured alike: their best trials, user by user, their "
        "baselines, trials of the same params, and what each has spent.",
    )
    compare.add_argument("first", type=Path, metavar="DIR")
    compare.add_argument("others", type=Path, nargs="+", metavar="DIR")
    compare.set_defaults(command=_compare)


def _compare(arguments: argparse.Namespace) -> None:
    from tuner.reporting.comparison import compare, draw_comparison

    print(draw_comparison(compare([arguments.first, *arguments.others])))
