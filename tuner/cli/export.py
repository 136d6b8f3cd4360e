"""The command `tuner export`."""

from __future__ import annotations

import argparse
import sys

from tuner.cli.arguments import Commands, add_data, add_results, add_trial, path

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
    export.add_argument("--to", type=path, required=True, metavar="DIR", help="folder to write")
    export.add_argument("--before-holdout", action="store_true", help="fit without the holdout")
    export.add_argument(
        "--seed", type=int, metavar="N", help="seed of the fit; default: derived from the study's seed"
    )
    export.add_argument("--force", action="store_true", help="replace an earlier export")
    add_data(export)
    export.add_argument("--other-data", action="store_true", help="accept data that the search did not use")
    export.set_defaults(command=_export)


def _export(arguments: argparse.Namespace) -> None:
    from tuner.formatting import in_shell
    from tuner.workflows.model_commands import export

    made = export(
        arguments.study,
        arguments.trial,
        to=arguments.to,
        before_holdout=arguments.before_holdout,
        seed=arguments.seed,
        force=arguments.force,
        interactions=arguments.interactions,
        other_data=arguments.other_data,
        output=arguments.output,
    )
    print(made)
    print(
        f"  tuner recommend {in_shell(made.folder)} --users ID,ID\n"
        f"  {made.folder}/README.md: what the model is, and how to use it",
        file=sys.stderr,
    )
