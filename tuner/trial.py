"""The Ray trainable: runs one job in a worker and reports its evaluations.

A failure of the model's or the user's code is a result like any other: it is reported, and the worker
lives on for the next trial. Only what kills the process reaches Ray as an error.
"""

from __future__ import annotations

import gc
import logging
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from ray import tune

from tuner.errors import TrialError
from tuner.evaluation import Plan, evaluate_folds
from tuner.folds import Fold
from tuner.results import Evaluation, Failure, Job

__all__ = ["DONE", "EVALUATION", "FAILED", "run_trial"]

#: Keys of a report. Their values are records, which Tune leaves whole; it would take dicts apart.
EVALUATION, DONE, FAILED = "evaluation", "done_in", "failure"


def run_trial(
    config: Mapping[str, Any], *, folds: Sequence[Fold], plan: Plan, logs: str, threads: int
) -> None:
    """Run one trial; the function that Ray Tune calls.

    Parameters
    ----------
    config
        ``{"job": Job}``.
    folds, plan
        From the object store, shared by all trials of a node.
    logs
        Folder for the trial's log.
    threads
        For torch; the trial's share of CPUs.
    """
    job: Job = config["job"]
    began = time.perf_counter()

    def report(evaluation: Evaluation) -> None:
        tune.report({EVALUATION: evaluation})

    torch.set_num_threads(threads)
    with trial_log(Path(logs) / f"trial-{job.number:04d}.log", job):
        try:
            evaluate_folds(job.params, folds, plan, job.seeds, report)
        except TrialError as error:
            logging.exception("trial %d failed", job.number)
            outcome = {FAILED: Failure(error.message, _kind(error))}
        else:
            outcome = {}
        finally:
            _clean_up()
    tune.report({**outcome, DONE: time.perf_counter() - began})


def _kind(error: TrialError) -> str:
    """Return the class of the root cause: failures of one kind are told as one."""
    return type(error.__cause__).__name__ if error.__cause__ is not None else "TrialError"


def _clean_up() -> None:
    """Leave the worker as it was, for the next trial in it."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def trial_log(path: Path, job: Job) -> Iterator[None]:
    """Keep all that the libraries say during a trial in one file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        handler = logging.StreamHandler(file)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root = logging.getLogger()
        before = root.handlers[:], root.level
        root.handlers, root.level = [handler], logging.INFO
        file.write(f"trial {job.number}: {job.label}\nparams: {job.params}\nseeds: {list(job.seeds)}\n")
        try:
            with redirect_stdout(file), redirect_stderr(file), warnings.catch_warnings():
                warnings.simplefilter("default")
                logging.captureWarnings(capture=True)
                yield
        except BaseException:
            file.write(traceback.format_exc())
            raise
        finally:
            logging.captureWarnings(capture=False)
            root.handlers, root.level = before
