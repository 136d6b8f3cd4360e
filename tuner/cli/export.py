"""The command `tuner export`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tuner.artifacts import layout
from tuner.cli.arguments import Commands, add_data, add_results, add_trial, study_as_run

__all__ = ["add"]


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    export = commands.add_parser(
        "export",
        help="fit a trial's model and write it to a folder",
        description="Fit a trial's model on all data, including the holdout, and write everything that is "
        "needed to recommend with it: the model, params, code, requirements, interactions and a model card.",
    )
    add_results(export)
    add_trial(export, note="; default: best", nargs="?", default="best")
    export.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder to write")
    export.add_argument("--before-holdout", action="store_true", help="fit without the holdout")
    export.add_argument(
        "--seed", type=int, metavar="N", help="seed of the fit; default: derived from the study's seed"
    )
    export.add_argument("--force", action="store_true", help="replace an earlier export")
    add_data(export)
    export.add_argument("--other-data", action="store_true", help="accept data that the search did not use")
    export.set_defaults(command=_export)


def _export(arguments: argparse.Namespace) -> None:
    from tuner.execution.logs import logs_to

    study, folder = study_as_run(arguments)
    with logs_to(layout.command_log(folder, "export")):
        from tuner.formatting import size
        from tuner.monitoring.console import stderr_console
        from tuner.workflows.export.make import export

        made = export(
            study,
            folder,
            arguments.trial,
            arguments.to,
            say=stderr_console().print,
            whole=not arguments.before_holdout,
            seed=arguments.seed,
            other_data=arguments.other_data,
            force=arguments.force,
        )
    record, fitted = made.row.record, made.fitted
    epochs = f", {fitted.epochs} epochs" if fitted.epochs else ""
    what = f"trial {record.number} {record.label}{epochs}, seed {fitted.seed}"
    print(f"{made.folder}: {what}, {size(made.n_bytes)}")
    print(
        f"  tuner recommend {made.folder} --users ID,ID\n"
        f"  {made.folder}/README.md: what the model is, and how to use it",
        file=sys.stderr,
    )
