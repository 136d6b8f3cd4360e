"""The command `tuner init`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tuner.cli.arguments import Commands, path

__all__ = ["add"]


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    init = commands.add_parser(
        "init",
        help="write a study for a file of interactions",
        description="Read a file of interactions (text, JSON lines, Parquet or Feather, also compressed), "
        "and write a study for it with comments.",
    )
    init.add_argument("data", metavar="DATA", help="path or URL of the file")
    init.add_argument(
        "-o", "--to", type=path, default=Path("study.yaml"), metavar="STUDY.yaml", help="default: study.yaml"
    )
    init.add_argument("--force", action="store_true", help="replace an existing study file")
    init.set_defaults(command=_init)


def _init(arguments: argparse.Namespace) -> None:
    from tuner.formatting import in_shell
    from tuner.workflows.commands import init

    draft = init(arguments.data, arguments.to, force=arguments.force)
    print(draft.heading)
    written = in_shell(draft.path)
    next_commands = [f"  tuner check {written}", f"  tuner run {written}"]
    print(*draft.notes, *next_commands, sep="\n", file=sys.stderr)
