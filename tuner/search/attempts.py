"""The trials that this driver runs, and their attempts: one run of some folds of a trial by a worker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tuner.artifacts import layout
from tuner.search.capacity import Share
from tuner.search.lifecycle import Goal, Trial
from tuner.search.retries import Losses
from tuner.search.usage import Meter
from tuner.store import Asked
from tuner.training.memory import oom_kills
from tuner.trials.messages import Job, Place
from tuner.trials.outcomes import Attempt, Usage
from tuner.trials.status import TrialStatus

__all__ = ["Attempts", "RunningAttempt", "RunningTrial", "begin_trial"]


@dataclass
class RunningTrial:
    """A trial that was given to Ray, with its attempts.

    Attributes
    ----------
    trial
        The trial in its life.
    asked
        The trial as the store gave it.
    share
        What each of its attempts takes of a node.
    pauses_at
        Epochs at which it may be paused.
    attempts
        Its attempts in this life, oldest first.
    """

    trial: Trial
    asked: Asked
    share: Share
    pauses_at: tuple[int, ...] = ()
    attempts: list[RunningAttempt] = field(default_factory=list)

    @property
    def log(self) -> str:
        """Path of the trial's log, from the study's folder. Later folds may have logs of their own."""
        return layout.trial_log(self.asked.number)

    @property
    def runs(self) -> bool:
        """Whether the trial runs, or waits for workers for its other folds."""
        return self.trial.status is TrialStatus.RUNNING

    @property
    def running(self) -> list[RunningAttempt]:
        """The attempts whose resource usage has not been charged yet."""
        return [one for one in self.attempts if not one.charged]

    @property
    def seconds(self) -> float:
        """Seconds of all attempts of the trial, including those before it was paused."""
        return self.trial.earlier + self.running_seconds

    @property
    def running_seconds(self) -> float:
        """Seconds of the attempts that run."""
        return sum(one.meter.seconds for one in self.running)

    def attempt(self, folds: tuple[int, ...], index: int) -> RunningAttempt:
        """Return a new attempt.

        Parameters
        ----------
        folds
            Indices of the folds that it evaluates.
        index
            Number of the attempt in the store, from 1.
        """
        asked = self.asked
        job = Job(
            asked.number,
            asked.params,
            asked.seeds,
            asked.name or str(asked.params["cls"]).rsplit(".", 1)[-1],
            self.pauses_at,
            baseline=self.trial.baseline,
            folds=folds,
            spent=self.trial.earlier,
        )
        found = RunningAttempt(self, job, index, Meter(self.share))
        self.attempts.append(found)
        return found


@dataclass(eq=False)
class RunningAttempt:
    """An attempt that Ray Tune has not let go of.

    Attributes
    ----------
    of
        Its trial, which may have other attempts.
    job
        What the worker gets.
    index
        Number of the attempt in the store, from 1.
    meter
        Measures its resource usage.
    place
        Where it runs; None while it waits for a machine.
    stops
        Whether the worker is to end its work.
    charged
        Whether the budget has been charged with its resource usage.
    oom_kills
        Processes that the kernel of the driver's machine had killed when the attempt began.
    """

    of: RunningTrial
    job: Job
    index: int
    meter: Meter
    place: Place | None = None
    stops: bool = False
    charged: bool = False
    oom_kills: int = field(default_factory=oom_kills)

    @property
    def trial(self) -> Trial:
        """The trial in its life."""
        return self.of.trial

    @property
    def folds(self) -> frozenset[int]:
        """Indices of the folds that it evaluates."""
        return frozenset(self.job.folds or ())

    @property
    def log(self) -> str:
        """Path of the attempt's log, from the study's folder."""
        return layout.attempt_log(self.job.number, self.job.folds)

    def record(self, lost: str = "", *, by_machine: bool = False) -> Attempt:
        """Return the attempt for the store."""
        place = self.place or Place("")
        began = time.time() - self.meter.seconds
        cpus, gpus = self.of.share.get("CPU", 0), self.of.share.get("GPU", 0)
        folds = tuple(self.job.folds or ())
        return Attempt(
            place.host, place.pid, began, cpus, gpus, lost=lost, by_machine=by_machine, folds=folds
        )


def begin_trial(
    asked: Asked,
    share: Share,
    *,
    goal: Goal,
    status: TrialStatus,
    exclusive: bool = False,
    pauses_at: tuple[int, ...] = (),
    losses: Losses | None = None,
) -> RunningTrial:
    """Return a trial that the store gave, without an attempt.

    Parameters
    ----------
    asked
        The trial.
    share
        What each of its attempts takes of a node.
    goal, status, exclusive, losses
        See `Trial`; the status is the one before the attempt.
    pauses_at
        Epochs at which it may be paused, if it is no baseline.
    """
    baseline = asked.name is not None
    resumed = status is TrialStatus.PAUSED and asked.pause is not None
    trial = Trial(
        status,
        goal,
        baseline=baseline,
        exclusive=exclusive,
        earlier=asked.pause.seconds if resumed and asked.pause is not None else 0.0,
        losses=losses or Losses(),
        waiting=frozenset(range(len(asked.seeds))),
    )
    return RunningTrial(trial, asked, share, () if baseline else pauses_at)


class Attempts:
    """The attempts of one driver by id, and the trials that they belong to."""

    def __init__(self) -> None:
        self._attempts: dict[str, RunningAttempt] = {}
        self._trials: dict[int, RunningTrial] = {}

    def __len__(self) -> int:
        return len(self._attempts)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._attempts))

    def add(self, attempt_id: str, attempt: RunningAttempt) -> None:
        """Add an attempt, and its trial if it is new."""
        self._attempts[attempt_id] = attempt
        self._trials[attempt.job.number] = attempt.of

    def get(self, attempt_id: str) -> RunningAttempt | None:
        """Return an attempt, None if Ray Tune has let go of it."""
        return self._attempts.get(attempt_id)

    def pop(self, attempt_id: str) -> RunningAttempt | None:
        """Remove an attempt, and its trial if it runs no more."""
        attempt = self._attempts.pop(attempt_id, None)
        for number in [number for number, one in self._trials.items() if not one.runs]:
            del self._trials[number]
        return attempt

    def running(self, number: int) -> RunningTrial | None:
        """Return a trial if it runs, also if its other folds wait for workers."""
        trial = self._trials.get(number)
        return trial if trial is not None and trial.runs else None

    @property
    def trials(self) -> list[RunningTrial]:
        """The trials that run."""
        return [one for one in self._trials.values() if one.runs]

    @property
    def running_indices(self) -> dict[int, list[int]]:
        """Numbers, in the store, of the attempts whose resource usage the budget does not know, by trial."""
        return {one.asked.number: [attempt.index for attempt in one.running] for one in self.trials}

    @property
    def shares(self) -> list[Share]:
        """What each attempt takes of a node."""
        return [one.of.share for one in self._attempts.values()]

    @property
    def any_exclusive(self) -> bool:
        """Whether an attempt has the machine to itself."""
        return any(one.trial.exclusive for one in self._attempts.values())

    @property
    def usage(self) -> Usage:
        """Resource usage of the running attempts, which the budget does not know yet."""
        return sum((one.meter.usage for trial in self.trials for one in trial.running), Usage())
