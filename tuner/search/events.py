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
    """The trial was given to Ray: for the first time, again, or to resume."""


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
class StopDecided(Event):
    """Early stopping stops the trial: it lost the race, or halving does not resume."""

    stop: Stop
    seconds: float


@dataclass(frozen=True)
class StopAsked(Event):
    """A person asked to stop the trial early. It may be queued, running, paused or interrupted."""

    stop: Stop
    seconds: float


@dataclass(frozen=True)
class Measured(Event):
    """The worker reported that all folds are measured, in so many seconds of this attempt."""

    seconds: float


@dataclass(frozen=True)
class Failed(Event):
    """The worker reported an error of the model or of user code, or a timeout."""

    failure: Failure
    seconds: float


@dataclass(frozen=True)
class OutOfMemory(Event):
    """The worker reported that memory was not enough.

    Attributes
    ----------
    failure
        What it reported.
    seconds
        Duration of the attempt.
    estimate
        Estimated memory of the trial's tensors in bytes, None if it is not known.
    """

    failure: Failure
    seconds: float
    estimate: int | None = None


@dataclass(frozen=True)
class WorkerLost(Event):
    """The worker is gone.

    Attributes
    ----------
    cause
        Why.
    failure
        The failure of the trial if it does not run again.
    seconds, estimate
        See `OutOfMemory`.
    """

    cause: Cause
    failure: Failure
    seconds: float
    estimate: int | None = None


@dataclass(frozen=True)
class Released(Event):
    """Ray Tune let the attempt go without an error: the trial had ended, or the search ends."""


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
