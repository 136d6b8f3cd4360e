"""The Ray trainable: runs one job in a worker and reports its evaluations.

A failure of the model's or the user's code is a result like any other: it is reported, and the worker
lives on for the next trial. Only what kills the process reaches Ray as an error.
"""

from __future__ import annotations

import faulthandler
import gc
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import torch
from ray import tune

from tuner.checkpoints import read_checkpoint
from tuner.errors import TrialError
from tuner.evaluation import Plan, evaluate_folds
from tuner.folds import Fold
from tuner.kept import keep_model
from tuner.logs import logs_to
from tuner.memory import (
    is_out_of_memory,
    keep_freed_memory,
    peak_gpu_memory,
    peak_memory,
    return_freed_memory,
)
from tuner.per_user import checkpoint_path
from tuner.results import DONE, EVALUATION, FAILED, OUT_OF_MEMORY, USERS, Evaluation, Failure, Job, Users

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
    threads
        For torch; the trial's share of CPUs.
    timeout
        Seconds after which the worker ends itself.
    keep_models
        Whether to save the fitted model of each fold; the driver removes those that are not kept.
    """
    job: Job = config["job"]
    began = time.perf_counter()
    if not gc.get_freeze_count():
        gc.freeze()  # what the libraries brought stays; looking through it costs each clean-up 0.25 s

    def report(evaluation: Evaluation) -> None:
        tune.report({EVALUATION: evaluation})

    def report_users(users: Users) -> None:
        tune.report({USERS: users})

    torch.set_num_threads(threads)
    keep_freed_memory()
    checkpoint = read_checkpoint(checkpoint_path(Path(folder), job.number), CHECKPOINT_SECONDS)
    with _trial_log(Path(folder) / "logs" / f"trial-{job.number:04d}.log", job, timeout):
        try:
            evaluate_folds(
                job.params,
                folds,
                plan,
                job.seeds,
                report,
                report_users=report_users,
                checkpoint=checkpoint,
                keep_model=partial(keep_model, Path(folder), job.number) if keep_models else None,
            )
        except TrialError as error:
            logger.exception("trial %d failed", job.number)
            outcome = {FAILED: _failure(error)}
        else:
            outcome = {}
        finally:
            _clean_up()
    tune.report({**outcome, DONE: time.perf_counter() - began})


def _failure(error: TrialError) -> Failure:
    if is_out_of_memory(error):
        return Failure(error.message, OUT_OF_MEMORY, peak_memory(), peak_gpu_memory())
    return Failure(error.message, _kind(error))


def _kind(error: TrialError) -> str:
    """Return the class of the root cause: failures of one kind are told as one."""
    return type(error.__cause__).__name__ if error.__cause__ is not None else "TrialError"


def _clean_up() -> None:
    """Leave the worker as it was, for the next trial in it."""
    gc.collect()
    return_freed_memory()


@contextmanager
def _trial_log(path: Path, job: Job, timeout: float | None) -> Iterator[None]:
    """Keep all that the libraries and the user's modules say during a trial in one file.

    If the trial takes longer than `timeout` seconds, that is where it hangs, and then the process ends.
    """
    with logs_to(path) as file, redirect_stdout(file), redirect_stderr(file):
        file.write(f"trial {job.number}: {job.label}\nparams: {job.params}\nseeds: {list(job.seeds)}\n")
        with _ended_after(timeout, file):
            yield


@contextmanager
def _ended_after(timeout: float | None, log: TextIO) -> Iterator[None]:
    """End this process if what it does takes too long, also within C code that lets no other thread run."""
    if timeout is None:
        yield
        return
    faulthandler.dump_traceback_later(timeout, exit=True, file=log)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
