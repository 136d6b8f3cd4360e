"""The command `tuner final`."""

from __future__ import annotations

import argparse

from tuner.artifacts import layout
from tuner.cli.arguments import Commands, add_results, positive, results_folder, terminal_width

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
    from tuner.config import FinalJudgement, Study

    folder = results_folder(arguments)
    named = arguments.study
    study = Study.load(folder / layout.STUDY_FILE if named == folder else named)
    settings = study.final or FinalJudgement()
    given = {key: getattr(arguments, key) for key in ("top", "seeds", "best")}
    changes = {key: value for key, value in given.items() if value is not None}
    from tuner.holdout.text import render_final
    from tuner.workflows.final import run_final

    final = run_final(study, folder.resolve(), settings.model_copy(update=changes))
    print(render_final(final, width=terminal_width()))
