"""The command `tuner final`."""

from __future__ import annotations

import argparse

from tuner.cli.arguments import Commands, add_results, positive, terminal_width

__all__ = ["add"]


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    final = commands.add_parser(
        "final",
        help="measure the best trials on the holdout",
        description="Fit the best trials and the baselines again on everything before the holdout, with "
        "several seeds, and measure them on the holdout. Run the command again to continue, or to see the "
        "result.",
    )
    add_results(final)
    final.add_argument("--top", type=positive, metavar="N", help="number of best trials; default: 5")
    final.add_argument("--seeds", type=positive, metavar="N", help="number of fits per trial; default: 3")
    final.add_argument(
        "--best",
        action="append",
        metavar="FAMILY",
        help="judge the best trial of a family too: transformer, or a class such as SASRecModel",
    )
    final.set_defaults(command=_final)


def _final(arguments: argparse.Namespace) -> None:
    from tuner.holdout.text import render_final
    from tuner.workflows.commands import judge

    final = judge(
        arguments.study,
        top=arguments.top,
        seeds=arguments.seeds,
        best=arguments.best,
        output=arguments.output,
    )
    print(render_final(final, width=terminal_width()))
