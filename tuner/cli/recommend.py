"""The command `tuner recommend`."""

from __future__ import annotations

import argparse

from tuner.cli.arguments import Commands, path
from tuner.workflows.export.serving import ExportError, add_arguments, answer

__all__ = ["add"]


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    recommend = commands.add_parser(
        "recommend",
        help="recommend with an exported model",
        description="Recommend with a model that `tuner export` wrote. The file recommend.py in the export "
        "does the same without the tuner.",
    )
    recommend.add_argument("model", type=path, metavar="MODEL", help="folder of the export")
    add_arguments(recommend)
    recommend.set_defaults(command=_recommend)


def _recommend(arguments: argparse.Namespace) -> None:
    from tuner.errors import Problem, StoreError

    try:
        answer(arguments.model, arguments)
    except ExportError as error:
        raise StoreError(str(arguments.model), [Problem("", str(error))]) from error
