"""The Ray trainable: it runs one job in a worker and reports its evaluations.

If the model's or the user's code fails, the worker reports the failure like a result, and can run the next
trial. Ray sees an error only if the process of the worker dies.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ray import get_runtime_context, tune

from tuner.artifacts import layout
from tuner.artifacts.places import Artifacts
from tuner.data.folds import Fold
from tuner.evaluation import Plan, evaluate_folds
from tuner.execution.sandbox import attempt
from tuner.store.fitted_models import save_fitted_model
from tuner.training.checkpoints import Checkpoint, read_checkpoint
from tuner.trials.messages import BEGAN, DONE, EVALUATION, FAILED, USERS, Job, Place
from tuner.trials.records import Evaluation, Users

__all__ = ["run_trial"]

logger = logging.getLogger(__name__)

#: Seconds after which a new checkpoint is due at the latest. It is saved at the next evaluation. An
#: interrupted trial repeats the work since its last checkpoint.
CHECKPOINT_SECONDS = 30.0
#: A worker's shortest time limit: `faulthandler` takes no limit of 0.
_LEAST_SECONDS = 1.0


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
    """Run one attempt of a trial. Ray Tune calls this function in a worker.

    Parameters
    ----------
    config
        ``{"job": Job}``.
    folds, plan
        Folds and plan from Ray's object store. All trials on a node share them.
    folder
        Folder of the study, for the attempt's log and checkpoints.
    artifacts
        Place for the log and the checkpoints instead of the folder; None to use the folder.
    threads
        Number of torch's threads.
    timeout
        Seconds that all attempts of the trial may take together; None for no limit.
    keep_models
        Whether to save the fitted model of each fold. The driver later removes those that are not retained.
    """
    job: Job = config["job"]
    began = time.perf_counter()
    chosen = range(len(folds)) if job.folds is None else job.folds
    reports = _Reports(last=chosen[-1])
    tune.report({BEGAN: Place(socket.gethostname(), get_runtime_context().get_node_id(), os.getpid())})
    with _files(job, Path(folder), artifacts) as (log, checkpoint_of):
        work = partial(
            evaluate_folds,
            job.params,
            [folds[index] for index in chosen],
            plan,
            [job.seeds[index] for index in chosen],
            reports.evaluation,
            report_users=reports.users,
            checkpoint_of=checkpoint_of,
            keep_model=partial(save_fitted_model, Path(folder), job.number) if keep_models else None,
        )
        failure = attempt(work, job, log=log, threads=threads, timeout=_left(job, timeout))
    failed = {} if failure is None else {FAILED: failure}
    tune.report({**reports.at_the_end, **failed, DONE: time.perf_counter() - began})


def _left(job: Job, timeout: float | None) -> float | None:
    """Return the seconds after which the worker ends itself; None for no limit."""
    return None if timeout is None else max(_LEAST_SECONDS, timeout - job.spent)


@dataclass(frozen=True)
class _Reports:
    """Sends what is measured to the driver.

    Attributes
    ----------
    last
        Index of the attempt's last fold. Its per-user values go with the last report.
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
def _files(
    job: Job, folder: Path, artifacts: Artifacts | None
) -> Iterator[tuple[Path, Callable[[int], Checkpoint]]]:
    """Yield the path of an attempt's log, and a function from the index of a fold to its checkpoint.

    The files are in the study's folder. If the study has another place for artifacts, they are in a temporary
    folder of this machine and are copied to the place.
    """
    name = layout.attempt_log(job.number, job.folds)
    if artifacts is None:
        yield folder / name, partial(_checkpoint, job, folder)
        return
    with TemporaryDirectory(prefix="tuner-") as temporary:
        here = Path(temporary)
        log = here / name

        def copy(path: Path) -> None:
            try:
                if path.exists():
                    artifacts.write(path.relative_to(here).as_posix(), path.read_bytes())
            except OSError as error:
                logger.warning("%s cannot be written to %s: %s", path.name, artifacts.place, error)

        def checkpoint_of(fold: int) -> Checkpoint:
            for saved in (layout.fold_checkpoint(job.number, fold), layout.checkpoint(job.number)):
                _download(here / saved, here, artifacts)
            checkpoint = _checkpoint(job, here, fold)

            def copy_both() -> None:
                copy(checkpoint.path)
                copy(log)

            checkpoint.on_kept = copy_both
            return checkpoint

        try:
            yield log, checkpoint_of
        finally:
            copy(log)


def _checkpoint(job: Job, folder: Path, fold: int) -> Checkpoint:
    """Return the checkpoint of a fold, from its file or from that of an earlier version."""
    return read_checkpoint(
        folder / layout.fold_checkpoint(job.number, fold),
        CHECKPOINT_SECONDS,
        job.pauses_at,
        fold=fold,
        earlier=folder / layout.checkpoint(job.number),
    )


def _download(path: Path, here: Path, artifacts: Artifacts) -> None:
    """Copy a checkpoint from the place of artifacts. Without one, the fold starts from its beginning."""
    try:
        content = artifacts.read(path.relative_to(here).as_posix())
    except OSError as error:
        logger.warning("%s cannot be read from %s: %s", path.name, artifacts.place, error)
        return
    if content is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
