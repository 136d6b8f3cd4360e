"""The Ray trainable: runs one job in a worker and reports its evaluations.

A failure of the model's or the user's code is a result like any other: it is reported, and the worker
lives on for the next trial. Only what kills the process reaches Ray as an error.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ray import get_runtime_context, tune

from tuner.artifacts.places import Artifacts
from tuner.artifacts.user_values import checkpoint_path, log_path
from tuner.data.folds import Fold
from tuner.evaluation import Plan, evaluate_folds
from tuner.execution.sandbox import attempt
from tuner.store.fitted_models import keep_model
from tuner.training.checkpoints import Checkpoint, read_checkpoint
from tuner.trials.messages import BEGAN, DONE, EVALUATION, FAILED, USERS, Job, Place
from tuner.trials.records import Evaluation, Users

__all__ = ["run_trial"]

logger = logging.getLogger(__name__)

#: Work that a trial may lose when it is cut off, beside what leads to its next evaluation.
CHECKPOINT_SECONDS = 30.0


def run_trial(
    config: Mapping[str, Any],
    *,
    folds: Sequence[Fold],
    plan: Plan,
    folder: str,
    artifacts: Artifacts | None = None,
    threads: int,
    timeout: float | None = None,
    keep_models: bool = False,
) -> None:
    """Run one trial; the function that Ray Tune calls.

    Parameters
    ----------
    config
        ``{"job": Job}``.
    folds, plan
        From the object store, shared by all trials of a node.
    folder
        Of the study, for the trial's log and its checkpoint.
    artifacts
        Where log and checkpoint are kept instead; None: in the folder.
    threads
        For torch; the trial's share of CPUs.
    timeout
        Seconds after which the worker ends itself.
    keep_models
        Whether to save the fitted model of each fold; the driver removes those that are not kept.
    """
    job: Job = config["job"]
    began = time.perf_counter()
    reports = _Reports(last=folds[-1].index)
    tune.report({BEGAN: Place(socket.gethostname(), get_runtime_context().get_node_id(), os.getpid())})
    with _files(job, Path(folder), artifacts) as (log, checkpoint):
        work = partial(
            evaluate_folds,
            job.params,
            folds,
            plan,
            job.seeds,
            reports.evaluation,
            report_users=reports.users,
            checkpoint=checkpoint,
            keep_model=partial(keep_model, Path(folder), job.number) if keep_models else None,
        )
        failure = attempt(work, job, log=log, threads=threads, timeout=timeout)
    failed = {} if failure is None else {FAILED: failure}
    tune.report({**reports.at_the_end, **failed, DONE: time.perf_counter() - began})


@dataclass(frozen=True)
class _Reports:
    """Sends what is measured to the driver.

    Attributes
    ----------
    last
        Index of the last fold. Its per-user values decide nothing, so they go with the last report.
    at_the_end
        What the last report is to bring.
    """

    last: int
    at_the_end: dict[str, Any] = field(default_factory=dict)

    def evaluation(self, evaluation: Evaluation) -> None:
        tune.report({EVALUATION: evaluation})

    def users(self, users: Users) -> None:
        if users.fold == self.last:
            self.at_the_end[USERS] = users
        else:
            tune.report({USERS: users})


@contextmanager
def _files(job: Job, folder: Path, artifacts: Artifacts | None) -> Iterator[tuple[Path, Checkpoint]]:
    """Give a trial's log and checkpoint: in the study's folder, or here and copied to the place."""
    if artifacts is None:
        checkpoint = read_checkpoint(checkpoint_path(folder, job.number), CHECKPOINT_SECONDS, job.pauses_at)
        yield log_path(folder, job.number), checkpoint
        return
    with TemporaryDirectory(prefix="tuner-") as name:
        here = Path(name)
        log, kept = log_path(here, job.number), checkpoint_path(here, job.number)

        def copy(path: Path) -> None:
            try:
                if path.exists():
                    artifacts.write(path.relative_to(here).as_posix(), path.read_bytes())
            except OSError as error:
                logger.warning("%s cannot be kept in %s: %s", path.name, artifacts.place, error)

        def copy_both() -> None:
            copy(kept)
            copy(log)

        _bring(kept, here, artifacts)
        checkpoint = read_checkpoint(kept, CHECKPOINT_SECONDS, job.pauses_at)
        checkpoint.on_kept = copy_both
        try:
            yield log, checkpoint
        finally:
            copy(log)


def _bring(path: Path, here: Path, artifacts: Artifacts) -> None:
    """Bring a checkpoint from the place, if there is one; without it the trial begins anew."""
    try:
        content = artifacts.read(path.relative_to(here).as_posix())
    except OSError as error:
        logger.warning("%s cannot be read from %s: %s", path.name, artifacts.place, error)
        return
    if content is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
