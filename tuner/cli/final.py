"""`tuner final`."""

from __future__ import annotations

import argparse

from tuner.artifacts import layout
from tuner.cli.arguments import Commands, add_results, positive, results_folder, terminal_width

__all__ = ["add"]


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    final = commands.add_parser(
        "final",
        help="judge the best trials on the holdout",
        description="Fit the best trials and the baselines on everything before the holdout, with several "
        "seeds, and judge them once on it. Run it again to go on, or to see the result.",
    )
    add_results(final)
    final.add_argument("--top", type=positive, metavar="N", help="the best N by validation; default: 5")
    final.add_argument("--seeds", type=positive, metavar="N", help="fits of each; default: 3")
    final.set_defaults(command=_final)


def _final(arguments: argparse.Namespace) -> None:
    from tuner.config import FinalJudgement, Study

    folder = results_folder(arguments)
    given = arguments.study
    study = Study.load(folder / layout.STUDY_FILE if given == folder else given)
    asked = study.final or FinalJudgement()
    changes = {key: value for key in ("top", "seeds") if (value := getattr(arguments, key)) is not None}
    from tuner.holdout.text import render_final
    from tuner.workflows.final import run_final

    final = run_final(study, folder.resolve(), asked.model_copy(update=changes))
    print(render_final(final, width=terminal_width()))
