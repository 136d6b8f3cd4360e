"""From the reports of workers, and from Ray's word that one is lost, to events in the life of a trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tuner.search import events as on
from tuner.search.attempts import RunningAttempt
from tuner.search.events import Event
from tuner.search.fleet import Fleet
from tuner.search.retries import Cause, failure_of, why_lost
from tuner.training.memory import oom_kills
from tuner.trials.messages import BEGAN, DONE, EVALUATION, FAILED, USERS
from tuner.trials.outcomes import OUT_OF_MEMORY, Failure

__all__ = ["events_in", "loss_of"]


def events_in(attempt: RunningAttempt, result: Mapping[str, Any], fleet: Fleet) -> Iterator[Event]:
    """Yield the events that a report brings; see `tuner.trials.messages`."""
    if BEGAN in result:
        yield on.Placed(result[BEGAN])
    if EVALUATION in result:
        yield on.Evaluated(result[EVALUATION])
    if USERS in result:
        yield on.FoldMeasured(result[USERS])
    if DONE not in result:
        return
    failure: Failure | None = result.get(FAILED)
    folds, seconds = attempt.folds, result[DONE]
    if failure is None:
        yield on.Measured(folds, seconds)
        return
    seconds += attempt.of.running_seconds - attempt.meter.seconds  # of the attempts beside it
    if failure.kind == OUT_OF_MEMORY:
        yield on.OutOfMemory(folds, failure, seconds, fleet.large.estimate(attempt.job.params))
    else:
        yield on.Failed(folds, failure, seconds)


def loss_of(attempt: RunningAttempt, text: str, fleet: Fleet, timeout: float | None) -> on.WorkerLost:
    """Return the event that Ray has lost the worker of an attempt.

    Parameters
    ----------
    attempt
        The attempt.
    text
        Ray's error text.
    fleet
        The machines.
    timeout
        Seconds that a trial may take over all its folds; None for no limit.
    """
    seconds, place = attempt.meter.seconds, attempt.place
    cause = why_lost(
        text,
        no_memory=oom_kills() > attempt.oom_kills,
        late=timeout is not None and place is not None and seconds + attempt.job.spent >= timeout,
        is_reachable=lambda: place is None or fleet.answers(place),
    )
    estimate = fleet.large.estimate(attempt.job.params) if cause is Cause.MEMORY else None
    failure = failure_of(cause, timeout=timeout, text=text)
    return on.WorkerLost(attempt.folds, cause, failure, attempt.of.running_seconds, estimate)
