"""`tuner recommend`."""

from __future__ import annotations

import argparse
from pathlib import Path

from tuner.cli.arguments import Commands
from tuner.workflows.export.serving import ExportError, add_arguments, answer

__all__ = ["add"]


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    recommend = commands.add_parser(
        "recommend",
        help="recommend by an exported model",
        description="Recommend by a model that `tuner export` wrote. Its own recommend.py does the same "
        "where there is no tuner.",
    )
    recommend.add_argument("model", type=Path, metavar="MODEL", help="folder of the export")
    add_arguments(recommend)
    recommend.set_defaults(command=_recommend)


def _recommend(arguments: argparse.Namespace) -> None:
    from tuner.errors import Problem, StoreError

    try:
        answer(arguments.model, arguments)
    except ExportError as error:
        raise StoreError(str(arguments.model), [Problem("", str(error))]) from error
