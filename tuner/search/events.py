"""The events in the life of a trial. `tuner.search.lifecycle` says what each one brings about."""

from __future__ import annotations

from dataclasses import dataclass

from tuner.search.retries import Cause
from tuner.trials.messages import Place
from tuner.trials.outcomes import Failure, Pause, Stop
from tuner.trials.records import Evaluation, Users

__all__ = [
    "DriverLost",
    "Evaluated",
    "Event",
    "Failed",
    "FoldMeasured",
    "LeaderDecided",
    "Measured",
    "OutOfMemory",
    "PauseDecided",
    "Placed",
    "Released",
    "RulesChanged",
    "SearchEnded",
    "Started",
    "StopAsked",
    "StopDecided",
    "WorkerLost",
]


@dataclass(frozen=True)
class Event:
    """Something that happened to a trial."""


@dataclass(frozen=True)
class Started(Event):
    """An attempt was given to Ray: the first one of the trial, one that continues it, or one for more folds.

    Attributes
    ----------
    folds
        Folds that the attempt evaluates.
    """

    folds: frozenset[int]


@dataclass(frozen=True)
class Placed(Event):
    """A worker began with the trial."""

    place: Place


@dataclass(frozen=True)
class Evaluated(Event):
    """The worker reported the metrics of a fold at an epoch."""

    evaluation: Evaluation


@dataclass(frozen=True)
class FoldMeasured(Event):
    """The worker reported the per-user values of a fold."""

    users: Users


@dataclass(frozen=True)
class PauseDecided(Event):
    """Early stopping pauses the trial. The seconds of the pause are those of all attempts."""

    pause: Pause


@dataclass(frozen=True)
class LeaderDecided(Event):
    """The trial is a leader: its other folds are to begin before any new trial."""


@dataclass(frozen=True)
class StopDecided(Event):
    """Early stopping stops the trial: it lost the race, or halving does not resume.

    Attributes
    ----------
    stop
        Why and where.
    seconds
        Seconds of all attempts.
    folds
        Folds of the attempt whose report decided.
    """

    stop: Stop
    seconds: float
    folds: frozenset[int] = frozenset()


@dataclass(frozen=True)
class StopAsked(Event):
    """A person asked to stop the trial early. It may be queued, running, paused or interrupted."""

    stop: Stop
    seconds: float


@dataclass(frozen=True)
class Measured(Event):
    """The worker reported that all folds of its attempt are measured.

    Attributes
    ----------
    folds
        The folds.
    seconds
        Duration of the attempt.
    """

    folds: frozenset[int]
    seconds: float


@dataclass(frozen=True)
class Failed(Event):
    """The worker reported an error of the model or of user code.

    Attributes
    ----------
    folds
        Folds of its attempt.
    failure
        What it reported.
    seconds
        Seconds of all attempts that run.
    """

    folds: frozenset[int]
    failure: Failure
    seconds: float


@dataclass(frozen=True)
class OutOfMemory(Event):
    """The worker reported that memory was not enough.

    Attributes
    ----------
    folds
        Folds of its attempt.
    failure
        What it reported.
    seconds
        Seconds of all attempts that run.
    estimate
        Estimated memory of the trial's tensors in bytes, None if it is not known.
    """

    folds: frozenset[int]
    failure: Failure
    seconds: float
    estimate: int | None = None


@dataclass(frozen=True)
class WorkerLost(Event):
    """The worker is gone.

    Attributes
    ----------
    folds
        Folds of its attempt.
    cause
        Why.
    failure
        The failure of the trial if it does not run again.
    seconds, estimate
        See `OutOfMemory`.
    """

    folds: frozenset[int]
    cause: Cause
    failure: Failure
    seconds: float
    estimate: int | None = None


@dataclass(frozen=True)
class Released(Event):
    """Ray Tune let the attempt go without an error: it had ended, or the search ends.

    Attributes
    ----------
    folds
        Folds of the attempt.
    """

    folds: frozenset[int]


@dataclass(frozen=True)
class DriverLost(Event):
    """The driver that had the trial is dead: of an earlier run, or of another driver of a shared study."""


@dataclass(frozen=True)
class RulesChanged(Event):
    """The rules that paused the trial in an earlier run are no longer the study's."""


@dataclass(frozen=True)
class SearchEnded(Event):
    """No trial begins any more, and the paused trial is not to be resumed."""

    stop: Stop
