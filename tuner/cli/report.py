"""The command `tuner report`."""

from __future__ import annotations

import argparse
import sys

from tuner.cli.arguments import Commands, add_results, path

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
    report.add_argument("--format", choices=("html", "md"), help="default: by the ending of FILE, or html")
    report.add_argument(
        "-o",
        "--to",
        type=path,
        metavar="FILE",
        help="default: report.html in the study's folder; stdout for md",
    )
    report.add_argument("--figures", type=path, metavar="DIR", help="also write each figure as SVG and PNG")
    report.set_defaults(command=_report)


def _report(arguments: argparse.Namespace) -> None:
    from tuner.workflows.commands import report

    markdown = None if arguments.format is None else arguments.format == "md"
    to = arguments.to or (sys.stdout if markdown else None)
    figures = arguments.figures
    written = report(arguments.study, to, markdown=markdown, figures=figures, output=arguments.output)
    if written.path is not None:
        print(written)
    if figures is not None:
        print(f"{len(written.figures)} files of figures in {figures}", file=sys.stderr)
