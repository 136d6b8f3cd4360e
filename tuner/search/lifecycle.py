"""The life of a trial: one table from (status, event) to a handler, which returns effects.

`TrialStatus` has the picture. A handler is a pure function: it takes a trial and an event, and returns the
trial after the event, with the effects in the order in which they are to be carried out. Nothing here imports
Ray or Optuna. A pair that is not in the table is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tuner.search import effects as do
from tuner.search import events as on
from tuner.search.effects import Effect
from tuner.search.events import Event
from tuner.search.retries import Cause, Losses, exclusive_failure, may_retry
from tuner.trials.constraints import Constraint, broken
from tuner.trials.objective import Direction, summarise
from tuner.trials.outcomes import PAUSED, Failure
from tuner.trials.records import Evaluation
from tuner.trials.status import TrialStatus

__all__ = ["Goal", "Trial", "handle"]

S = TrialStatus


class UnknownTransitionError(RuntimeError):
    """An event cannot happen to a trial of this status: an error of this program."""

    def __init__(self, status: TrialStatus, event: Event) -> None:
        super().__init__(f"(status, event) must be in TRANSITIONS, but got ({status}, {event})")


@dataclass(frozen=True)
class Goal:
    """What makes a trial good.

    Attributes
    ----------
    objective
        Name of the metric that decides.
    direction
        Direction of the objective.
    constraints
        A trial that breaks one is never the best.
    """

    objective: str
    direction: Direction
    constraints: Sequence[Constraint] = ()


@dataclass(frozen=True)
class Trial:
    """A trial from the time it was given to Ray, as far as its life depends on it.

    It has one attempt or several at once, each for some of its folds. The life is that of the whole trial.

    Attributes
    ----------
    status
        Where it is in its life.
    goal
        What makes it good.
    baseline
        Whether it is a baseline. Early stopping neither judges it nor compares other trials with it.
    exclusive
        Whether it has the machine to itself.
    earlier
        Seconds of its attempts that have ended, including those before it was paused.
    evaluations
        What its attempts have reported, in order of arrival.
    losses
        Workers that it lost in this run.
    waiting
        Folds that no attempt has measured or runs.
    running
        Folds of the attempts that run.
    leads
        Whether it is a leader, so that its other folds do not wait for the first one.
    """

    status: TrialStatus
    goal: Goal
    baseline: bool = False
    exclusive: bool = False
    earlier: float = 0.0
    evaluations: tuple[Evaluation, ...] = field(default=(), repr=False)
    losses: Losses = field(default_factory=Losses)
    waiting: frozenset[int] = frozenset()
    running: frozenset[int] = frozenset()
    leads: bool = False


Step = tuple[Trial, list[Effect]]
Handler = Callable[[Trial, Any], Step]


def handle(trial: Trial, event: Event) -> Step:
    """Return a trial after an event, and the effects of the event.

    Raises
    ------
    UnknownTransitionError
        If the event cannot happen to a trial of this status.
    """
    handler = TRANSITIONS.get((trial.status, type(event)))
    if handler is None:
        raise UnknownTransitionError(trial.status, event)
    return handler(trial, event)


def _become(trial: Trial, status: TrialStatus, *found: Effect) -> Step:
    return replace(trial, status=status), list(found)


# ####  --------------  Start and resume  --------------  #### #


def _start(trial: Trial, event: on.Started) -> Step:
    again = trial.status is S.INTERRUPTED
    trial = _with_running(trial, event.folds)
    further = [_queued(trial.waiting)] if trial.baseline and trial.waiting else []
    return _become(trial, S.RUNNING, do.ForgetResults(), do.NotifyStarted(again), *further)


def _resume(trial: Trial, event: on.Started) -> Step:
    trial = _with_running(trial, event.folds)
    return _become(trial, S.RUNNING, do.WriteDecision(), do.NotifyStarted(again=False))


def _begin_folds(trial: Trial, event: on.Started) -> Step:
    """Let a further attempt run, of a trial that runs already."""
    return _with_running(trial, event.folds), []


def _with_running(trial: Trial, folds: frozenset[int]) -> Trial:
    return replace(trial, waiting=trial.waiting - folds, running=trial.running | folds)


def _queued(folds: frozenset[int]) -> do.QueueFolds:
    return do.QueueFolds(tuple(sorted(folds)))


# ####  --------------  Reports of the worker  --------------  #### #


def _placed(trial: Trial, event: on.Placed) -> Step:
    return trial, [do.BeginMeter(event.place), do.WriteAttempt()]


def _evaluated(trial: Trial, event: on.Evaluated) -> Step:
    one = event.evaluation
    trial = replace(trial, evaluations=(*trial.evaluations, one))
    return trial, [do.WriteEvaluation(one), do.NotifyEvaluated(one), *_searched(trial, do.Judge(one))]


def _fold_measured(trial: Trial, event: on.FoldMeasured) -> Step:
    return trial, [do.KeepUsers(event.users), *_searched(trial, do.JudgeFold(event.users))]


def _searched(trial: Trial, effect: Effect) -> list[Effect]:
    """Return an effect on early stopping. A baseline has none."""
    return [] if trial.baseline else [effect]


def _measured(trial: Trial, event: on.Measured) -> Step:
    """End an attempt. After the first fold, the other ones are queued. After the last one, it is complete."""
    seconds = trial.earlier + event.seconds
    trial = replace(trial, running=trial.running - event.folds, earlier=seconds)
    if not trial.running and not trial.waiting:
        return _complete(trial)
    wait = 0 in event.folds and not trial.leads and not trial.baseline and trial.waiting
    return trial, [do.ChargeAttempt(), do.StopWorker(), *([_queued(trial.waiting)] if wait else [])]


def _complete(trial: Trial) -> Step:
    goal, seconds = trial.goal, trial.earlier
    summary = summarise(trial.evaluations, goal.objective, goal.direction)
    feasible = not broken(goal.constraints, summary)
    return _become(
        trial,
        S.COMPLETE,
        do.Charge(),
        do.DropCheckpoint(),
        do.WriteComplete(summary, seconds),
        *_searched(trial, do.RememberComplete(summary, feasible)),
        do.CountEnded(summary.mean if feasible else None),
        do.NotifyFinished(summary, seconds),
        do.StopWorkers(),
    )


def _failed(trial: Trial, event: on.Failed) -> Step:
    return _fail(_without(trial, event.folds), event.failure, event.seconds)


def _fail(trial: Trial, failure: Failure, seconds: float, *before: Effect) -> Step:
    return _become(
        trial,
        S.FAILED,
        do.Charge(),
        *before,
        do.DropCheckpoint(),
        do.WriteFailure(failure, seconds + trial.earlier),
        do.NotifyFailed(failure.cause),
        do.StopWorkers(),
    )


def _out_of_memory(trial: Trial, event: on.OutOfMemory) -> Step:
    """Run the trial again with the machine to itself. If it had that already, it has failed."""
    failure = event.failure
    if not trial.exclusive:
        return _become(
            trial,
            S.INTERRUPTED,
            do.Charge(),
            do.RememberLarge(),
            do.WriteAttempt(failure.cause),
            do.StopWorkers(),
            do.Requeue(exclusive=True),
            do.NotifyInterrupted(f"{failure.cause}; it then has the machine to itself"),
        )
    seen = trial.evaluations
    most = replace(
        failure,
        peak_memory=max([failure.peak_memory or 0, *(one.peak_memory or 0 for one in seen)]),
        peak_gpu_memory=max([failure.peak_gpu_memory or 0, *(one.peak_gpu_memory or 0 for one in seen)]),
    )
    cause = exclusive_failure(most, event.estimate).cause
    trial = _without(trial, event.folds)
    return _fail(trial, replace(failure, cause=cause), event.seconds, do.RememberLarge())


# ####  --------------  Early stopping  --------------  #### #


def _pause(trial: Trial, event: on.PauseDecided) -> Step:
    if trial.baseline:
        return trial, []
    return _become(
        trial,
        S.PAUSED,
        do.Charge(),
        do.WriteAttempt(PAUSED),
        do.WritePause(event.pause),
        do.WriteDecision(),
        do.NotifyPaused(event.pause),
        do.StopWorkers(),
    )


def _lead(trial: Trial, event: on.LeaderDecided) -> Step:  # noqa: ARG001  # a handler's signature
    """Queue the folds that the trial would otherwise begin only after its first one."""
    further = [_queued(trial.waiting)] if trial.waiting else []
    return replace(trial, leads=True), [do.WriteDecision(), *further]


def _stop(trial: Trial, event: on.StopDecided) -> Step:
    return (trial, []) if trial.baseline else _stop_running(_without(trial, event.folds), event)


def _stop_running(trial: Trial, event: on.StopDecided | on.StopAsked) -> Step:
    return _become(
        trial,
        S.STOPPED,
        do.Charge(),
        do.CountEnded(None),
        do.DropCheckpoint(),
        do.WriteStop(event.stop, event.seconds),
        do.NotifyStopped(event.stop, event.seconds),
        do.StopWorkers(),
    )


def _stop_idle(trial: Trial, event: on.SearchEnded | on.StopAsked) -> Step:
    """Stop a trial that does not run. So no budget is charged and no worker is stopped."""
    return _become(
        trial,
        S.STOPPED,
        do.CountEnded(None),
        do.DropCheckpoint(),
        do.WriteStop(event.stop, trial.earlier),
        do.NotifyStopped(event.stop, trial.earlier),
    )


# ####  --------------  Interruptions  --------------  #### #


def _worker_lost(trial: Trial, event: on.WorkerLost) -> Step:
    cause = event.cause
    if not event.folds & trial.running:  # they are measured: the worker ended after its last report
        return trial, []
    trial = replace(trial, losses=trial.losses.plus(cause))
    if cause is Cause.MEMORY:
        no_memory = on.OutOfMemory(event.folds, event.failure, event.seconds, event.estimate)
        trial, found = _out_of_memory(trial, no_memory)
        return trial, [do.WriteAttempt(Cause.WORKER.value), *found]
    by_machine = cause is Cause.MACHINE
    why = cause if cause in {Cause.MACHINE, Cause.IMPORT} else Cause.WORKER
    lost = do.WriteAttempt(why.value, by_machine=by_machine)
    if not may_retry(cause, trial.losses):
        return _fail(_without(trial, event.folds), event.failure, event.seconds, lost)
    trial = _without(trial, event.folds)
    if trial.running:
        told = [do.NotifyFoldLost(fold, why.value) for fold in sorted(event.folds)]
        return trial, [do.ChargeAttempt(), lost, _queued(event.folds), *told]
    again = (do.Requeue(), do.NotifyInterrupted(why.value))
    return _become(trial, S.INTERRUPTED, do.Charge(), lost, do.StopWorkers(), *again)


def _without(trial: Trial, folds: frozenset[int]) -> Trial:
    """Return a trial of which an attempt has ended before it measured its folds."""
    return replace(trial, waiting=trial.waiting | folds, running=trial.running - folds)


def _released(trial: Trial, event: on.Released) -> Step:
    """Interrupt the trial, because the search ends. The next run of the study continues it.

    An attempt that has measured its folds had ended before. While other attempts run, so does the trial.
    """
    if not event.folds & trial.running:
        return trial, []
    trial = _without(trial, event.folds)
    return (trial, [do.ChargeAttempt()]) if trial.running else _become(trial, S.INTERRUPTED, do.Charge())


def _forsaken(trial: Trial, event: on.DriverLost | on.RulesChanged) -> Step:  # noqa: ARG001  # a handler's signature
    return _become(trial, S.INTERRUPTED, do.Requeue())


def _ignore(trial: Trial, event: Event) -> Step:  # noqa: ARG001  # a handler's signature
    return trial, []


def _let_go(trial: Trial, event: on.Released | on.WorkerLost) -> Step:
    """Delete what an attempt may have written since the trial ended by another one."""
    others = trial.running - event.folds
    if others == trial.running:
        return trial, []
    return replace(trial, running=others), [do.DropCheckpoint()]


#: Late reports of an attempt that has ended: its trial was reported, paused, or runs again elsewhere.
_LATE = (
    on.Placed,
    on.Evaluated,
    on.FoldMeasured,
    on.Measured,
    on.Failed,
    on.OutOfMemory,
    on.WorkerLost,
    on.Released,
)
_ENDED = (S.STOPPED, S.COMPLETE, S.FAILED)
_ATTEMPT_ENDED = (S.PAUSED, S.INTERRUPTED, *_ENDED)

TRANSITIONS: dict[tuple[TrialStatus, type[Event]], Handler] = {
    **{(status, event): _ignore for status in _ATTEMPT_ENDED for event in _LATE},
    **{(status, event): _let_go for status in _ENDED for event in (on.Released, on.WorkerLost)},
    (S.QUEUED, on.Started): _start,
    (S.INTERRUPTED, on.Started): _start,
    (S.PAUSED, on.Started): _resume,
    (S.PAUSED, on.SearchEnded): _stop_idle,
    **{(status, on.StopAsked): _stop_idle for status in (S.QUEUED, S.PAUSED, S.INTERRUPTED)},
    (S.RUNNING, on.StopAsked): _stop_running,
    (S.PAUSED, on.DriverLost): _forsaken,
    (S.PAUSED, on.RulesChanged): _forsaken,
    (S.RUNNING, on.Started): _begin_folds,
    (S.RUNNING, on.Placed): _placed,
    (S.RUNNING, on.Evaluated): _evaluated,
    (S.RUNNING, on.FoldMeasured): _fold_measured,
    (S.RUNNING, on.PauseDecided): _pause,
    (S.RUNNING, on.StopDecided): _stop,
    (S.RUNNING, on.LeaderDecided): _lead,
    (S.RUNNING, on.Measured): _measured,
    (S.RUNNING, on.Failed): _failed,
    (S.RUNNING, on.OutOfMemory): _out_of_memory,
    (S.RUNNING, on.WorkerLost): _worker_lost,
    (S.RUNNING, on.Released): _released,
    (S.RUNNING, on.DriverLost): _forsaken,
}
