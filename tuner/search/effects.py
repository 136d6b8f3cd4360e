"""The effects that events of a trial have: instructions that `tuner.search.effect_runner` carries out."""

from __future__ import annotations

from dataclasses import dataclass

from tuner.trials.messages import Place
from tuner.trials.outcomes import Failure, Pause, Stop
from tuner.trials.records import Evaluation, Summary, Users

__all__ = [
    "BeginMeter",
    "Charge",
    "ChargeAttempt",
    "CountEnded",
    "DropCheckpoint",
    "Effect",
    "ForgetResults",
    "Judge",
    "JudgeFold",
    "KeepUsers",
    "NotifyEvaluated",
    "NotifyFailed",
    "NotifyFinished",
    "NotifyFoldLost",
    "NotifyInterrupted",
    "NotifyPaused",
    "NotifyStarted",
    "NotifyStopped",
    "QueueFolds",
    "RememberComplete",
    "RememberLarge",
    "Requeue",
    "StopWorker",
    "StopWorkers",
    "WriteAttempt",
    "WriteComplete",
    "WriteDecision",
    "WriteEvaluation",
    "WriteFailure",
    "WritePause",
    "WriteStop",
]


@dataclass(frozen=True)
class Effect:
    """An instruction."""


# ####  --------------  Store  --------------  #### #


@dataclass(frozen=True)
class WriteAttempt(Effect):
    """Write where the attempt runs, or why it ended before the trial."""

    lost: str = ""
    by_machine: bool = False


@dataclass(frozen=True)
class WriteEvaluation(Effect):
    """Write an evaluation, and the resource usage if it is due."""

    evaluation: Evaluation


@dataclass(frozen=True)
class WritePause(Effect):
    """Write that the trial is paused, and let early stopping mark it."""

    pause: Pause


@dataclass(frozen=True)
class WriteDecision(Effect):
    """Write the last decision of early stopping on the trial, with its numbers."""


@dataclass(frozen=True)
class WriteComplete(Effect):
    """Report the trial as complete."""

    summary: Summary
    seconds: float


@dataclass(frozen=True)
class WriteStop(Effect):
    """Report the trial as stopped early."""

    stop: Stop
    seconds: float


@dataclass(frozen=True)
class WriteFailure(Effect):
    """Report the trial as failed."""

    failure: Failure
    seconds: float


# ####  --------------  Budget, early stopping, memory  --------------  #### #


@dataclass(frozen=True)
class BeginMeter(Effect):
    """Start to measure the resource usage of the attempt, which has begun at a place."""

    place: Place


@dataclass(frozen=True)
class Charge(Effect):
    """Charge the budget with the resource usage of all attempts of the trial that run, and write it."""


@dataclass(frozen=True)
class ChargeAttempt(Effect):
    """Charge the budget with the resource usage of this attempt, and write it."""


@dataclass(frozen=True)
class CountEnded(Effect):
    """Let the budget count a trial that has ended, with its objective if it may be the best."""

    value: float | None


@dataclass(frozen=True)
class ForgetResults(Effect):
    """Let early stopping forget an earlier attempt."""


@dataclass(frozen=True)
class Judge(Effect):
    """Let early stopping decide on an evaluation."""

    evaluation: Evaluation


@dataclass(frozen=True)
class JudgeFold(Effect):
    """Let early stopping decide on the per-user values of a fold."""

    users: Users


@dataclass(frozen=True)
class RememberComplete(Effect):
    """Let early stopping count a complete trial, and compare later trials with it if it is the best.

    Attributes
    ----------
    summary
        Result of the trial.
    feasible
        Whether it satisfies all constraints.
    """

    summary: Summary
    feasible: bool


@dataclass(frozen=True)
class RememberLarge(Effect):
    """Remember that memory was not enough for a trial of this size."""


# ####  --------------  Files, workers, queue  --------------  #### #


@dataclass(frozen=True)
class KeepUsers(Effect):
    """Save the per-user values of a fold."""

    users: Users


@dataclass(frozen=True)
class DropCheckpoint(Effect):
    """Delete the checkpoints of the trial."""


@dataclass(frozen=True)
class StopWorker(Effect):
    """Let the worker of this attempt end its work."""


@dataclass(frozen=True)
class StopWorkers(Effect):
    """Let all workers end their work on the trial, and begin no further fold of it."""


@dataclass(frozen=True)
class QueueFolds(Effect):
    """Queue folds of the running trial, before any trial that does not run.

    Attributes
    ----------
    folds
        The folds, in the order in which they begin.
    """

    folds: tuple[int, ...]


@dataclass(frozen=True)
class Requeue(Effect):
    """Queue the trial again.

    Attributes
    ----------
    exclusive
        Whether it is to have the machine to itself.
    """

    exclusive: bool = False


# ####  --------------  Observers  --------------  #### #


@dataclass(frozen=True)
class NotifyStarted(Effect):
    """Tell observers that the trial started."""

    again: bool


@dataclass(frozen=True)
class NotifyEvaluated(Effect):
    """Tell observers of an evaluation."""

    evaluation: Evaluation


@dataclass(frozen=True)
class NotifyFoldLost(Effect):
    """Log, and tell observers, that a fold of the running trial starts again, and why."""

    fold: int
    because: str


@dataclass(frozen=True)
class NotifyInterrupted(Effect):
    """Log, and tell observers, that the trial no longer runs and starts again, and why."""

    because: str


@dataclass(frozen=True)
class NotifyFinished(Effect):
    """Tell observers that the trial is complete."""

    summary: Summary
    seconds: float


@dataclass(frozen=True)
class NotifyPaused(Effect):
    """Tell observers that the trial is paused."""

    pause: Pause


@dataclass(frozen=True)
class NotifyStopped(Effect):
    """Tell observers that the trial was stopped early."""

    stop: Stop
    seconds: float


@dataclass(frozen=True)
class NotifyFailed(Effect):
    """Tell observers that the trial failed."""

    cause: str
