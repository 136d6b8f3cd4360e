"""The command `tuner report`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tuner.artifacts import layout
from tuner.cli.arguments import Commands, add_results, results_folder

__all__ = ["add"]


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    report = commands.add_parser(
        "report",
        help="write a study's report: one HTML file, Markdown, figures",
        description="Write the report of a study, also while the study runs: one HTML file that needs no "
        "network, a summary in Markdown for a pull request, or the figures as SVG and PNG.",
    )
    add_results(report)
    report.add_argument("--format", choices=("html", "md"), default="html")
    report.add_argument(
        "-o",
        "--to",
        type=Path,
        metavar="FILE",
        help="default: report.html in the study's folder; stdout for md",
    )
    report.add_argument("--figures", type=Path, metavar="DIR", help="also write each figure as SVG and PNG")
    report.set_defaults(command=_report)


def _report(arguments: argparse.Namespace) -> None:
    folder = results_folder(arguments)
    from tuner.reporting.html import gather, markdown, page, write_figures

    report = gather(folder)
    if arguments.format == "html":
        path = arguments.to or folder / layout.REPORT
        _write(path, page(report))
        print(path)
    elif arguments.to is not None:
        _write(arguments.to, markdown(report))
        print(arguments.to)
    else:
        print(markdown(report), end="")
    if arguments.figures is not None:
        written = write_figures(report, arguments.figures)
        print(f"{len(written)} files of figures in {arguments.figures}", file=sys.stderr)


def _write(path: Path, text: str) -> None:
    """Write a file. If it cannot be written, raise an error for the user."""
    from tuner.errors import Problem, StoreError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        rule = f"must be a file that can be written, but {error.strerror}"
        raise StoreError(str(path), [Problem("--to", rule)]) from error
