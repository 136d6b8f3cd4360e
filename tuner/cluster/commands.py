"""The functions of the package for clusters: `tuner.submit`, `tuner.attach`, `tuner.fetch`, `tuner.stop`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tuner.artifacts import layout
from tuner.artifacts.private import private_files
from tuner.cluster.connection import DEFAULT_ADDRESS, connect
from tuner.cluster.remote import Fetched, RemoteRun
from tuner.cluster.submit import DEFAULT_RESULTS, find_job, pack_checked, running_job
from tuner.cluster.submit import submit as start_job
from tuner.cluster.written_study import written_study
from tuner.config import Study
from tuner.errors import ClusterError
from tuner.errors.caller import hint
from tuner.execution.logs import logs_to
from tuner.execution.user_modules import shadow_lines
from tuner.monitoring.console import stderr_console
from tuner.preparation.further import read_study

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

    from tuner.cluster.working_folder import Parcel

__all__ = ["attach", "fetch", "files_to_send", "stop", "submit"]


@private_files()
def submit(
    study: Study | Path | str,
    *,
    address: str = DEFAULT_ADDRESS,
    output: str | None = None,
    overrides: Sequence[str] = (),
    profile: str | None = None,
) -> RemoteRun:
    """Begin or continue a study on a Ray cluster. If it runs there already, it is not submitted again.

    Parameters
    ----------
    study
        A study, or the path of a study file. Data in memory are sent along as a file.
    address
        URL of the cluster's dashboard.
    output
        Folder on the cluster for results. None takes the one where the study began, or ``~/studies``.
    overrides, profile
        Changes to a study file, such as ``search.trials=100``, and the profile to use.

    Returns
    -------
    RemoteRun
        The run, with `status()`, `board()`, `stop()` and `wait()`.

    Raises
    ------
    UserError
        If the study cannot be used, or the cluster cannot be reached.

    Examples
    --------
    >>> running = submit(study)  # doctest: +SKIP
    >>> running.board()  # doctest: +SKIP
    """
    say = stderr_console().print
    with written_study(study) as path:
        read = read_study(path, overrides, profile)
        client = connect(address)
        job = running_job(client, read.study)
        if job is not None:
            say(f"{read.study} is already running on the cluster as {job.job_id}; following it")
            return RemoteRun(job, address)
        parcel = files_to_send(path, read)
        say(f"sending {parcel}{hint(command='; --dry-run lists them', python='')}")
        results = output or _results(client, read.study)
        job = start_job(client, read, parcel, overrides=overrides, profile=profile, results=results)
    say(f"{job.study} runs as {job.job_id}; results in {results}/{job.study} on the cluster")
    return RemoteRun(job, address, is_new=True)


def _results(client: JobSubmissionClient, study: str) -> str:
    """Return the place on the cluster where the study began, or where it will begin."""
    try:
        earlier = find_job(client, study, with_results=True)
    except ClusterError:
        return DEFAULT_RESULTS
    return DEFAULT_RESULTS if earlier.refused else earlier.results


def files_to_send(path: Path, study: Study) -> Parcel:
    """Check a study, and choose the files to send. Warn of modules that have the names of others."""
    for line in shadow_lines([Path.cwd(), path.parent]):
        stderr_console().print(line)
    with tempfile.TemporaryDirectory() as folder, logs_to(Path(folder) / "check.log"):
        return pack_checked(path, study)


@private_files()
def attach(study: str, *, address: str = DEFAULT_ADDRESS) -> RemoteRun:
    """Return the run of a study on a cluster, or its newest run.

    Parameters
    ----------
    study
        Name of the study.
    address
        URL of the cluster's dashboard.

    Returns
    -------
    RemoteRun
        The run; see `submit`.

    Raises
    ------
    ClusterError
        If the cluster cannot be reached, or the study was not submitted to it.

    Examples
    --------
    >>> attach("shop").status()  # doctest: +SKIP
    'running'
    """
    return RemoteRun(find_job(connect(address), study), address)


@private_files()
def fetch(study: str, *, address: str = DEFAULT_ADDRESS, to: Path | str = layout.DEFAULT_OUTPUT) -> Fetched:
    """Copy the results of a study from a cluster, also while it runs.

    Parameters
    ----------
    study, address
        See `attach`.
    to
        Folder here that gets the study's folder.

    Returns
    -------
    Fetched
        The study's folder here, and its leaderboard.

    Raises
    ------
    ClusterError
        If the cluster cannot be reached, or has no such results.
    StoreError
        If the folder here has results that were not fetched.

    Examples
    --------
    >>> fetch("shop").board.best  # doctest: +SKIP
    """
    run = RemoteRun(find_job(connect(address), study, with_results=True), address)
    return run.fetch(to)


@private_files()
def stop(study: str, *, address: str = DEFAULT_ADDRESS) -> bool:
    """End a study that runs on a cluster. Finished trials are kept; `submit` continues it.

    Parameters
    ----------
    study, address
        See `attach`.

    Returns
    -------
    bool
        Whether it was running.

    Raises
    ------
    ClusterError
        If the cluster cannot be reached, or the study was not submitted to it.

    Examples
    --------
    >>> stop("shop")  # doctest: +SKIP
    True
    """
    return attach(study, address=address).stop()
