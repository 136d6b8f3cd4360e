"""The command `tuner init`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tuner.cli.arguments import Commands

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
        "-o", "--to", type=Path, default=Path("study.yaml"), metavar="STUDY.yaml", help="default: study.yaml"
    )
    init.add_argument("--force", action="store_true", help="replace an existing study file")
    init.set_defaults(command=_init)


def _init(arguments: argparse.Namespace) -> None:
    from tuner.errors import Problem, StudyError

    target: Path = arguments.to
    if target.exists() and not arguments.force:
        rule = "must not exist yet, but does"
        raise StudyError(str(target), [Problem("-o", rule, "name another file, or give --force")])
    from tuner.formatting import visible
    from tuner.workflows.init.inspect import inspect_file
    from tuner.workflows.init.write import doubts, findings, study_text

    found = inspect_file(arguments.data)
    try:
        target.write_text(study_text(found), encoding="utf-8")
    except OSError as error:
        raise StudyError(str(target), [Problem("-o", f"must be writable, but {error.strerror}")]) from error
    print(visible(f"{target}: a study for {found.source.describe('keep')}"))
    for finding in findings(found):
        print(f"  found: {visible(str(finding))}", file=sys.stderr)
    for doubt in doubts(found):
        print(f"  to check: {visible(doubt)}", file=sys.stderr)
    print(f"  tuner check {target}\n  tuner run {target}", file=sys.stderr)
