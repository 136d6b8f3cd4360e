"""The Ray trainable: runs one job in a worker and reports its evaluations.

A failure of the model's or the user's code is a result like any other: it is reported, and the worker
lives on for the next trial. Only what kills the process reaches Ray as an error.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ray import tune

from tuner.attempt import attempt
from tuner.checkpoints import read_checkpoint
from tuner.evaluation import Plan, evaluate_folds
from tuner.folds import Fold
from tuner.per_user import checkpoint_path
from tuner.results import DONE, EVALUATION, FAILED, USERS, Evaluation, Job, Users

__all__ = ["run_trial"]

#: Work that a trial may lose when it is cut off, beside what leads to its next evaluation.
CHECKPOINT_SECONDS = 30.0


def run_trial(
    config: Mapping[str, Any],
    *,
    folds: Sequence[Fold],
    plan: Plan,
    folder: str,
    threads: int,
    timeout: float | None = None,
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
    threads
        For torch; the trial's share of CPUs.
    timeout
        Seconds after which the worker ends itself.
    """
    job: Job = config["job"]
    began = time.perf_counter()

    def report(evaluation: Evaluation) -> None:
        tune.report({EVALUATION: evaluation})

    def report_users(users: Users) -> None:
        tune.report({USERS: users})

    path = checkpoint_path(Path(folder), job.number)
    work = partial(
        evaluate_folds,
        job.params,
        folds,
        plan,
        job.seeds,
        report,
        report_users=report_users,
        checkpoint=read_checkpoint(path, CHECKPOINT_SECONDS, job.rests_at),
    )
    log = Path(folder) / "logs" / f"trial-{job.number:04d}.log"
    failure = attempt(work, job, log=log, threads=threads, timeout=timeout)
    tune.report({**({} if failure is None else {FAILED: failure}), DONE: time.perf_counter() - began})
