"""Runs a study as a job of a cluster, and finds the job that runs a study."""

from __future__ import annotations

import json
import os
import shlex
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tuner.cluster.version_check import deciding_versions
from tuner.cluster.working_folder import Parcel, pack
from tuner.config import Study
from tuner.errors import ClusterError, Problem, UserError
from tuner.errors.caller import hint
from tuner.execution.user_modules import USER_FILES

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

__all__ = ["DEFAULT_RESULTS", "Submitted", "find_job", "pack_checked", "running_job", "submit"]

#: Default folder of results on the head.
DEFAULT_RESULTS = "~/studies"

#: Keys in the metadata of a job: the study's name, and the folder of its results on the head.
STUDY, RESULTS = "tuner_study", "tuner_results"
#: Seconds that a search has to end by itself when its job is stopped.
_STOP_SECONDS = 60


@dataclass(frozen=True)
class Submitted:
    """A job that runs, ran or will run a study.

    Attributes
    ----------
    job_id
        Ray's submission id.
    study
        Name of the study.
    results
        Folder on the head that contains the study's folder.
    running
        Whether the job has not ended.
    started
        Start of the job, in milliseconds since 1970; 0 if it has not started.
    refused
        Whether the job ended with a `UserError`. Then the search may not have begun, and `results` may be
        empty.
    """

    job_id: str
    study: str
    results: str
    running: bool
    started: int = 0
    refused: bool = False


def pack_checked(path: Path, study: Study) -> Parcel:
    """Check a study as far as possible without its data, and choose the files to send.

    Parameters
    ----------
    path
        Path of the study file.
    study
        The study.

    Raises
    ------
    UserError
        If the space, the baselines or the sampler cannot be used, or the files are too large.
    """
    from tuner.data.own_splitter import splitter_class  # noqa: PLC0415  # rectools
    from tuner.evaluation import metric_problems  # noqa: PLC0415  # torch
    from tuner.execution.user_modules import modules_of, named_modules  # noqa: PLC0415  # with the space
    from tuner.preparation.prepare import study_models  # noqa: PLC0415  # torch

    problems = list(metric_problems(study.metrics.all, item_features=True))  # the data may be elsewhere
    if problems:
        raise study.refusal(problems)
    space, baselines = study_models(study)
    given: list[Mapping[str, object]] = [
        *(baseline.params for baseline in baselines),
        {"metrics": study.metrics.own},
    ]
    if study.folds.splitter is not None:
        splitter_class(study.folds.splitter.use)  # its module is sent if it can be imported
        given.append({"splitter": study.folds.splitter.use})
    return replace(pack(path, study, modules_of(space, given)), modules=tuple(named_modules(space, given)))


def submit(
    client: JobSubmissionClient,
    study: Study,
    parcel: Parcel,
    *,
    overrides: Sequence[str],
    profile: str | None,
    results: str,
) -> Submitted:
    """Start a job that begins or continues a study.

    Parameters
    ----------
    client
        See `tuner.cluster.connection.connect`.
    study, parcel
        See `pack_checked`.
    overrides, profile
        The user's changes to the study file, and the profile to use.
    results
        Folder on the head that will contain the study's folder.
    """
    job_id = f"{study.study}-{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory() as folder:
        parcel.write(Path(folder) / USER_FILES)
        os.environ["RAY_RUNTIME_ENV_IGNORE_GITIGNORE"] = "1"  # the parcel has exactly the files to send
        client.submit_job(
            entrypoint=f"exec {shlex.join(command(parcel, overrides, profile, results))}",
            submission_id=job_id,
            runtime_env={
                "working_dir": folder,
                "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(_STOP_SECONDS), "PYTHONWARNINGS": "ignore"},
            },
            metadata={STUDY: study.study, RESULTS: results},
        )
    return Submitted(job_id, study.study, results, running=True)


def command(parcel: Parcel, overrides: Sequence[str], profile: str | None, results: str) -> list[str]:
    """Return the command line of a job as a list of arguments; see `submit`."""
    line = ["python", "-um", "tuner.cluster.on_head", "run", parcel.study, "--output", results]
    line += [part for change in (*overrides, *parcel.overrides) for part in ("--set", change)]
    line += ["--profile", profile] if profile is not None else []
    line += ["--modules", *parcel.modules]
    line += ["--client", json.dumps(deciding_versions(), separators=(",", ":"))]
    return line


def running_job(client: JobSubmissionClient, study: str) -> Submitted | None:
    """Return the job that runs a study, or None if no job does."""
    return next((job for job in _jobs(client) if job.study == study and job.running), None)


def find_job(client: JobSubmissionClient, study: str, *, with_results: bool = False) -> Submitted:
    """Return the running job of a study, or else its newest job.

    Parameters
    ----------
    client
        See `tuner.cluster.connection.connect`.
    study
        Name of the study.
    with_results
        Whether to prefer jobs that were not refused.

    Raises
    ------
    ClusterError
        If the study was not submitted to this cluster. The message names the studies that were.
    """
    jobs = _jobs(client)
    found = [job for job in jobs if job.study == study]
    if not found:
        known = ", ".join(sorted({job.study for job in jobs})) or "none"
        rule = (
            f"must be a study that was submitted to this cluster, but got {study!r}; submitted were: {known}"
        )
        runs_one = hint(command="`tuner submit STUDY.yaml` runs one", python="submit(study) runs one")
        raise ClusterError(client.get_address(), [Problem("", rule, runs_one)])
    if with_results:
        found = [job for job in found if not job.refused] or found
    return next((job for job in found if job.running), found[-1])


def _jobs(client: JobSubmissionClient) -> list[Submitted]:
    """Return all jobs that ran a study, oldest first."""
    jobs = [_read(details) for details in client.list_jobs()]
    return sorted((job for job in jobs if job is not None), key=lambda job: job.started)


def _read(details: JobDetails) -> Submitted | None:
    metadata: Mapping[str, str] = details.metadata or {}
    if STUDY not in metadata or details.submission_id is None:
        return None
    running = not details.status.is_terminal()
    return Submitted(
        details.submission_id,
        metadata[STUDY],
        metadata[RESULTS],
        running,
        details.start_time or 0,
        refused=details.driver_exit_code == UserError.exit_code,
    )
