"""Fits trials again on everything before the holdout, in Ray's workers, and measures them on the holdout."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tuner.artifacts import layout
from tuner.data.folds import Fold
from tuner.errors import InterruptedSearchError
from tuner.errors.caller import hint
from tuner.evaluation import Plan, evaluate_fold
from tuner.execution.sandbox import attempt
from tuner.holdout.looks import Fit
from tuner.search.retries import Losses, failure_of, may_retry, why_lost
from tuner.training.memory import oom_kills
from tuner.trials.messages import Job
from tuner.trials.outcomes import OUT_OF_MEMORY, Failure
from tuner.trials.records import Evaluation

__all__ = ["Ended", "refit_all"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ended:
    """A fit that has ended.

    Attributes
    ----------
    job
        The job. It has one seed.
    fit
        Result of the fit; None if it failed.
    failure
        Why the fit failed; None if it did not.
    seconds
        Duration of the fit.
    """

    job: Job
    fit: Fit | None
    failure: Failure | None
    seconds: float


def refit(job: Job, fold: Fold, plan: Plan, folder: str, *, threads: int, timeout: float | None) -> Ended:
    """Fit a job's model on a fold for exactly its epochs, and measure it once. Ray runs this in a worker.

    Parameters
    ----------
    job
        The job, with one seed.
    fold
        Data before the holdout to fit on, and the holdout to test on.
    plan
        What is measured.
    folder
        Folder of the study, for the log.
    threads
        Number of torch's threads.
    timeout
        Seconds after which the worker ends itself; None for no limit.
    """
    began = time.perf_counter()
    evaluations: list[Evaluation] = []
    by_user: dict[str, NDArray[np.float32]] = {}
    once = replace(plan, evaluate_every=max(1, int(str(job.params.get("epochs", 1)))), patience=None)

    def work() -> None:
        evaluate_fold(
            job.params, fold, once, job.seeds[0], evaluations.append, report_all_users=by_user.update
        )

    failure = attempt(
        work,
        job,
        log=Path(folder, layout.holdout_fit_log(job.number, job.seeds[0])),
        threads=threads,
        timeout=timeout,
    )
    fit = Fit(evaluations[-1], by_user) if failure is None else None
    return Ended(job, fit, failure, time.perf_counter() - began)


def refit_all(
    jobs: Sequence[Job],
    fold: Fold,
    plan: Plan,
    folder: Path,
    *,
    share: Mapping[str, float],
    slots: int,
    timeout: float | None,
    report: Callable[[Ended], None],
) -> None:
    """Fit jobs, several at once.

    If memory is not enough for a fit, it runs again alone after the others have ended.

    Parameters
    ----------
    jobs
        Jobs in the order in which they begin, each with one seed.
    fold, plan, folder, timeout
        See `refit`.
    share
        Resources that are reserved for a fit, by Ray's names.
    slots
        Number of fits at once.
    report
        Called with each fit that has ended.

    Raises
    ------
    InterruptedSearchError
        If the user presses Ctrl-C.
    """
    import ray  # noqa: PLC0415  # ray

    remote = _remote_refit(share)
    shared = (ray.put(fold), ray.put(plan), str(folder))
    threads = max(1, int(share["CPU"]))

    def begin(job: Job) -> Any:  # noqa: ANN401  # Ray's reference
        return remote.remote(job, *shared, threads=threads, timeout=timeout)

    try:
        crowded = _run(jobs, begin, slots=slots, timeout=timeout, report=report)
        _run(crowded, begin, slots=1, timeout=timeout, report=report, exclusive=True)
    except KeyboardInterrupt:
        raise InterruptedSearchError(
            "interrupted; finished fits are kept",
            hint=hint(command="run the same command again to continue", python="call it again to continue"),
        ) from None


def _remote_refit(share: Mapping[str, float]) -> Any:  # noqa: ANN401  # Ray's remote function
    """Return `refit` as a function that Ray runs with these resources."""
    import ray  # noqa: PLC0415  # ray

    return ray.remote(cast("Any", refit)).options(
        num_cpus=share["CPU"],
        num_gpus=share.get("GPU", 0),
        resources={name: amount for name, amount in share.items() if name not in {"CPU", "GPU"}},
        max_retries=0,
    )


def _run(
    jobs: Sequence[Job],
    begin: Callable[[Job], Any],
    *,
    slots: int,
    timeout: float | None,
    report: Callable[[Ended], None],
    exclusive: bool = False,
) -> list[Job]:
    """Run jobs, and return those for which memory was not enough while others ran."""
    import ray  # noqa: PLC0415  # ray

    waiting, crowded = list(jobs), []
    losses: dict[tuple[int, int], Losses] = {}
    running: dict[Any, tuple[Job, float, int]] = {}
    while waiting or running:
        while waiting and len(running) < slots:
            job = waiting.pop(0)
            running[begin(job)] = (job, time.perf_counter(), oom_kills())
        (ready, *_), _ = ray.wait(list(running))
        job, began, kills = running.pop(ready)
        try:
            ended: Ended = ray.get(ready)
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
            seconds = time.perf_counter() - began
            cause = why_lost(
                str(error),
                no_memory=isinstance(error, ray.exceptions.OutOfMemoryError) or oom_kills() > kills,
                late=timeout is not None and seconds >= timeout,
                is_reachable=lambda: True,
            )
            key = (job.number, job.seeds[0])
            losses[key] = losses.get(key, Losses()).plus(cause)
            if may_retry(cause, losses[key]):
                logger.warning("trial %d lost its worker and is fitted again", job.number)
                waiting.append(job)
                continue
            ended = Ended(job, None, failure_of(cause, timeout=timeout, text=str(error)), seconds)
        if ended.failure is not None and ended.failure.kind == OUT_OF_MEMORY and not exclusive:
            crowded.append(job)
        else:
            report(ended)
    return crowded
