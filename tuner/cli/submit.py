"""`tuner submit` and `tuner attach`."""

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

__all__ = ["add"]


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Describe the commands."""
    submit = commands.add_parser(
        "submit",
        help="run a study on a cluster, or go on with it",
        description="Run a study on a Ray cluster, or go on with it there; then follow it. Ctrl-C leaves it "
        "running. A study that is running there is followed.",
    )
    add_study_file(submit)
    add_search_budgets(submit)
    add_address(submit)
    submit.add_argument(
        "--output",
        metavar="DIR",
        help="folder on the cluster for results; default: ~/studies",
    )
    submit.add_argument("--detach", action="store_true", help="do not follow it")
    submit.set_defaults(command=_submit)
    attach = commands.add_parser(
        "attach",
        help="follow a study that runs on a cluster",
        description="Follow a study that runs on a cluster. Ctrl-C leaves it running.",
    )
    attach.add_argument("study", metavar="STUDY", help="its name, or its file")
    add_address(attach)
    attach.set_defaults(command=_attach)


def _submit(arguments: argparse.Namespace) -> None:
    import tempfile

    from tuner.cluster.connection import connect
    from tuner.cluster.submit import DEFAULT_RESULTS, find_job, pack_checked, running_job, submit
    from tuner.config import Study
    from tuner.errors import ClusterError
    from tuner.execution.logs import logs_to

    changes = overrides(arguments)
    study = Study.load(arguments.study, changes, arguments.profile)
    client = connect(arguments.address)
    job = running_job(client, study.study)
    if job is not None:
        print(
            f"{study.study} is running there as {job.job_id}; it is followed, not sent again", file=sys.stderr
        )
        return _follow(client, job, arguments, from_start=False)
    results = arguments.output
    if results is None:
        try:
            earlier = find_job(client, study.study, with_results=True)
            results = DEFAULT_RESULTS if earlier.refused else earlier.results  # where it was begun
        except ClusterError:
            results = DEFAULT_RESULTS
    with tempfile.TemporaryDirectory() as folder, logs_to(Path(folder) / "check.log"):  # libraries chatter
        parcel = pack_checked(arguments.study, study)
    print(f"sending {parcel}", file=sys.stderr)
    job = submit(client, study, parcel, overrides=changes, profile=arguments.profile, results=results)
    print(
        f"{study.study} runs as {job.job_id}; results in {results}/{study.study} on the cluster",
        file=sys.stderr,
    )
    return None if arguments.detach else _follow(client, job, arguments, from_start=True)


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
            f"\n{job.study} goes on there\n  tuner attach {job.study}{where}    comes back to it\n"
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
