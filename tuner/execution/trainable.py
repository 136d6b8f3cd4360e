"""The Ray trainable: it runs one job in a worker and reports its evaluations.

If the model's or the user's code fails, the worker reports the failure like a result, and can run the next
trial. Ray sees an error only if the process of the worker dies.
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

#: Seconds after which a new checkpoint is due. It is saved at the next evaluation. An interrupted trial loses
#: the work since its last checkpoint.
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
    """Run one trial. Ray Tune calls this function in a worker.

    Parameters
    ----------
    config
        ``{"job": Job}``.
    folds, plan
        Folds and plan from Ray's object store. All trials on a node share them.
    folder
        Folder of the study, for the trial's log and checkpoint.
    artifacts
        Place for the log and the checkpoint instead of the folder; None to use the folder.
    threads
        Number of torch's threads.
    timeout
        Seconds after which the worker ends itself; None for no limit.
    keep_models
        Whether to save the fitted model of each fold. The driver later removes those that are not retained.
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
            keep_model=partial(save_fitted_model, Path(folder), job.number) if keep_models else None,
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
    """Yield the path of a trial's log, and its checkpoint.

    They are in the study's folder. If the study has another place for artifacts, they are in a temporary
    folder of this machine and are copied to the place.
    """
    if artifacts is None:
        checkpoint = read_checkpoint(
            folder / layout.checkpoint(job.number), CHECKPOINT_SECONDS, job.pauses_at
        )
        yield folder / layout.trial_log(job.number), checkpoint
        return
    with TemporaryDirectory(prefix="tuner-") as name:
        here = Path(name)
        log, saved = here / layout.trial_log(job.number), here / layout.checkpoint(job.number)

        def copy(path: Path) -> None:
            try:
                if path.exists():
                    artifacts.write(path.relative_to(here).as_posix(), path.read_bytes())
            except OSError as error:
                logger.warning("%s cannot be written to %s: %s", path.name, artifacts.place, error)

        def copy_both() -> None:
            copy(saved)
            copy(log)

        _download(saved, here, artifacts)
        checkpoint = read_checkpoint(saved, CHECKPOINT_SECONDS, job.pauses_at)
        checkpoint.on_kept = copy_both
        try:
            yield log, checkpoint
        finally:
            copy(log)


def _download(path: Path, here: Path, artifacts: Artifacts) -> None:
    """Copy a checkpoint from the place of artifacts. Without one, the trial starts from its beginning."""
    try:
        content = artifacts.read(path.relative_to(here).as_posix())
    except OSError as error:
        logger.warning("%s cannot be read from %s: %s", path.name, artifacts.place, error)
        return
    if content is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
