"""The commands `tuner submit` and `tuner attach`."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import TYPE_CHECKING

from tuner.cli.arguments import (
    Commands,
    add_address,
    add_search_budgets,
    add_study_file,
    overrides,
    study_name,
)

if TYPE_CHECKING:
    from tuner.cluster.remote import RemoteRun


__all__ = ["add"]


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the commands to the parser."""
    submit = commands.add_parser(
        "submit",
        help="begin or continue a study on a cluster",
        description="Begin or continue a study on a Ray cluster, and follow it. Ctrl-C ends only this "
        "command: the study continues. If the study is running already, it is followed and not submitted "
        "again.",
    )
    add_study_file(submit)
    add_search_budgets(submit)
    add_address(submit)
    submit.add_argument(
        "--output",
        metavar="DIR",
        help="folder on the cluster for results; default: ~/studies",
    )
    submit.add_argument(
        "--dry-run", action="store_true", help="list the files that would be sent, and send nothing"
    )
    submit.add_argument("--detach", action="store_true", help="do not follow the study")
    submit.set_defaults(command=_submit)
    attach = commands.add_parser(
        "attach",
        help="follow a study that runs on a cluster",
        description="Follow a study that runs on a cluster. Ctrl-C ends only this command: the study "
        "continues.",
    )
    attach.add_argument("study", metavar="STUDY", help="name or file of the study")
    add_address(attach)
    attach.set_defaults(command=_attach)


def _submit(arguments: argparse.Namespace) -> None:
    from tuner.cluster.commands import files_to_send, submit

    changes = overrides(arguments)
    if arguments.dry_run:
        from tuner.config import Study
        from tuner.formatting import visible

        study = Study.load(arguments.study, changes, arguments.profile)
        print(visible(files_to_send(arguments.study, study).listing()))
        return
    run = submit(
        arguments.study,
        address=arguments.address,
        output=arguments.output,
        overrides=changes,
        profile=arguments.profile,
    )
    if not (run.is_new and arguments.detach):
        _follow(run, arguments)


def _attach(arguments: argparse.Namespace) -> None:
    from tuner.cluster.commands import attach

    _follow(attach(study_name(arguments.study), address=arguments.address), arguments)


def _follow(run: RemoteRun, arguments: argparse.Namespace) -> None:
    job, given = run.job, f" --address {shlex.quote(arguments.address)}"
    where = "" if arguments.address == arguments.default_address else given
    try:
        run.wait()
    except KeyboardInterrupt:
        print(
            f"\n{job.study} continues on the cluster\n  tuner attach {job.study}{where}    follows it again\n"
            f"  tuner stop {job.study}{where}      ends it",
            file=sys.stderr,
        )
        raise
    print(
        f"results: {job.results}/{job.study} on the cluster\n"
        f"  tuner leaderboard {job.study}{given}\n"
        f"  tuner fetch {job.study}{where}",
        file=sys.stderr,
    )
