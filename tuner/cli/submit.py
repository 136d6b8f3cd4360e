"""The commands `tuner submit` and `tuner attach`."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
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
    from ray.job_submission import JobSubmissionClient

    from tuner.cluster.submit import Submitted
    from tuner.cluster.working_folder import Parcel
    from tuner.config import Study


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
    from tuner.cluster.connection import connect
    from tuner.cluster.submit import DEFAULT_RESULTS, find_job, running_job, submit
    from tuner.config import Study
    from tuner.errors import ClusterError
    from tuner.formatting import visible

    changes = overrides(arguments)
    study = Study.load(arguments.study, changes, arguments.profile)
    if arguments.dry_run:
        return print(visible(_parcel(arguments, study).listing()))
    client = connect(arguments.address)
    job = running_job(client, study.study)
    if job is not None:
        print(
            f"{study.study} is already running on the cluster as {job.job_id}; following it", file=sys.stderr
        )
        return _follow(client, job, arguments, from_start=False)
    results = arguments.output
    if results is None:
        try:
            earlier = find_job(client, study.study, with_results=True)
            results = (
                DEFAULT_RESULTS if earlier.refused else earlier.results
            )  # the place where the study began
        except ClusterError:
            results = DEFAULT_RESULTS
    parcel = _parcel(arguments, study)
    print(f"sending {parcel}; --dry-run lists them", file=sys.stderr)
    job = submit(client, study, parcel, overrides=changes, profile=arguments.profile, results=results)
    print(
        f"{study.study} runs as {job.job_id}; results in {results}/{study.study} on the cluster",
        file=sys.stderr,
    )
    return None if arguments.detach else _follow(client, job, arguments, from_start=True)


def _parcel(arguments: argparse.Namespace, study: Study) -> Parcel:
    """Check the study, and choose the files to send. Warn of modules that have the names of others."""
    import tempfile

    from tuner.cluster.submit import pack_checked
    from tuner.execution.logs import logs_to
    from tuner.execution.user_modules import shadow_lines
    from tuner.formatting import visible

    for line in shadow_lines([Path.cwd(), arguments.study.parent]):
        print(visible(line), file=sys.stderr)
    with (
        tempfile.TemporaryDirectory() as folder,
        logs_to(Path(folder) / "check.log"),
    ):  # hides libraries' logs
        return pack_checked(arguments.study, study)


def _attach(arguments: argparse.Namespace) -> None:
    from tuner.cluster.connection import connect
    from tuner.cluster.submit import find_job

    client = connect(arguments.address)
    _follow(client, find_job(client, study_name(arguments.study)), arguments, from_start=False)


def _follow(
    client: JobSubmissionClient, job: Submitted, arguments: argparse.Namespace, *, from_start: bool
) -> None:
    from tuner.cluster.follow import follow

    given = f" --address {shlex.quote(arguments.address)}"
    where = "" if arguments.address == arguments.default_address else given
    try:
        follow(client, job.job_id, from_start=from_start)
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
