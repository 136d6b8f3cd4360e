"""The command `tuner check`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tuner.cli.arguments import Commands, add_study_file

__all__ = ["add"]


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    check = commands.add_parser(
        "check",
        help="check a study before it costs time",
        description="Check a study and its data, and train every alternative of its space for one batch on a "
        "slice of the data. This does not use Ray.",
    )
    add_study_file(check)
    check.set_defaults(command=_check)


def _check(arguments: argparse.Namespace) -> None:
    from tuner.config import Study

    study = Study.load(arguments.study, arguments.set, arguments.profile)
    import tempfile

    from tuner.errors import SpaceError
    from tuner.execution.logs import logs_to
    from tuner.formatting import duration, visible
    from tuner.monitoring.console import stderr_console

    with tempfile.TemporaryDirectory() as folder, logs_to(Path(folder) / "check.log"):
        from tuner.workflows.check import check

        checked = check(study, stderr_console().print)
    for region, share in checked.regions:
        print(
            f"infeasible, never tried ({share:.0%} of random points): {visible(str(region))}", file=sys.stderr
        )
    if checked.problems:
        raise SpaceError(study.study, checked.problems)
    print(
        f"{study.study}: {checked.n_points} configurations with {checked.n_options} options in "
        f"{checked.n_pairs} pairs were built, trained for a batch and recommended: "
        f"none failed ({duration(checked.seconds)})"
    )
    if checked.estimates:
        from tuner.workflows.estimate_table import draw_estimates

        print(draw_estimates(checked.estimates, study))
