"""An attempt: one run of a trial by a worker, as the driver knows it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from tuner.artifacts import layout
from tuner.search.capacity import Share
from tuner.search.lifecycle import Goal, Trial
from tuner.search.retries import Losses
from tuner.search.usage import Meter
from tuner.store import Asked
from tuner.training.memory import oom_kills
from tuner.trials.messages import Job, Place
from tuner.trials.outcomes import Attempt
from tuner.trials.status import TrialStatus

__all__ = ["RunningAttempt", "begin_attempt"]


@dataclass
class RunningAttempt:
    """An attempt that Ray Tune has not let go of.

    Attributes
    ----------
    trial
        The trial in its life.
    job
        What the worker gets.
    share
        What the attempt takes of a node.
    meter
        Measures its resource usage.
    place
        Where it runs; None while it waits for a machine.
    stops
        Whether the worker is to end its work.
    oom_kills
        Processes that the kernel of the driver's machine had killed when the attempt began.
    """

    trial: Trial
    job: Job
    share: Share
    meter: Meter
    place: Place | None = None
    stops: bool = False
    oom_kills: int = field(default_factory=oom_kills)

    @property
    def seconds(self) -> float:
        """Seconds that the trial has run, including those before it was paused."""
        return self.trial.earlier + self.meter.seconds

    @property
    def log(self) -> str:
        """Path of the trial's log, from the study's folder."""
        return layout.trial_log(self.job.number)

    def record(self, lost: str = "", *, by_machine: bool = False) -> Attempt:
        """Return the attempt for the store."""
        place = self.place or Place("")
        began = time.time() - self.meter.seconds
        cpus, gpus = self.share.get("CPU", 0), self.share.get("GPU", 0)
        return Attempt(place.host, place.pid, began, cpus, gpus, lost=lost, by_machine=by_machine)


def begin_attempt(
    asked: Asked,
    share: Share,
    *,
    goal: Goal,
    status: TrialStatus,
    exclusive: bool = False,
    pauses_at: tuple[int, ...] = (),
    losses: Losses | None = None,
) -> RunningAttempt:
    """Return an attempt of a trial that the store gave.

    Parameters
    ----------
    asked
        The trial.
    share
        What the attempt takes of a node.
    goal, status, exclusive, losses
        See `Trial`; the status is the one before the attempt.
    pauses_at
        Epochs at which it may be paused, if it is no baseline.
    """
    baseline = asked.name is not None
    label = asked.name or str(asked.params["cls"]).rsplit(".", 1)[-1]
    pauses = () if baseline else pauses_at
    job = Job(asked.number, asked.params, asked.seeds, label, pauses, baseline=baseline)
    resumed = status is TrialStatus.PAUSED and asked.pause is not None
    earlier = asked.pause.seconds if resumed and asked.pause is not None else 0.0
    trial = Trial(
        status, goal, baseline=baseline, exclusive=exclusive, earlier=earlier, losses=losses or Losses()
    )
    return RunningAttempt(trial, job, share, Meter(share))
