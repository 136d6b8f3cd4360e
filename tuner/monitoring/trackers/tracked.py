"""A trial as a tracker is to show it, and the interface of what brings it there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tuner.space import Value
from tuner.trials.messages import Job
from tuner.trials.records import Evaluation, Summary
from tuner.trials.status import TrialStatus
from tuner.trials.stored import TrialRecord

__all__ = ["Sink", "TrackedTrial", "values_of"]


@dataclass(frozen=True)
class TrackedTrial:
    """One trial as a tracker is to show it.

    Attributes
    ----------
    number, label, params
        See `tuner.trials.messages.Job`.
    status
        Status of the trial.
    evaluations
        Evaluations by fold and epoch, in the order of their reports.
    summary
        Result of a complete trial.
    note
        Why the trial failed or was stopped; empty for other trials.
    """

    number: int
    label: str
    params: Mapping[str, Value]
    status: TrialStatus
    evaluations: Mapping[tuple[int, int], Evaluation] = field(default_factory=dict)
    summary: Summary | None = None
    note: str = ""

    @property
    def state(self) -> str:
        """All that a tracker has to know to tell whether its run is up to date."""
        return f"{self.status} {len(self.evaluations)}"

    @classmethod
    def of_job(cls, job: Job) -> TrackedTrial:
        """Return a trial that begins."""
        return cls(job.number, job.label, job.params, TrialStatus.RUNNING)

    @classmethod
    def of_record(cls, record: TrialRecord) -> TrackedTrial:
        """Return a trial of an earlier run. One that ran then is interrupted now."""
        status = TrialStatus.INTERRUPTED if record.status is TrialStatus.RUNNING else record.status
        note = record.failure.cause if record.failure else record.stop.why if record.stop else ""
        evaluations = {(one.fold, one.epoch): one for one in record.evaluations}
        return cls(record.number, record.label, record.params, status, evaluations, record.summary, note)


class Sink(Protocol):
    """A tracker's client. Every method may raise anything while the tracker is down, and is then repeated."""

    def open(self) -> None:
        """Connect, and find or make the run of the study."""

    def push(self, trial: TrackedTrial) -> None:
        """Bring the run of a trial up to date. Doing it twice is as good as once."""

    def close(self, best: TrackedTrial | None, *, last: bool) -> None:
        """End the run of the study: `last` says whether no other driver runs it. Mark the best trial."""


def values_of(evaluation: Evaluation) -> Iterable[tuple[str, float]]:
    """Yield the curves of an evaluation: name and value, by fold from 1."""
    fold = f"fold{evaluation.fold + 1}"
    for label, value in evaluation.metrics.items():
        yield f"{fold}/{label}", value
    for name in ("train_loss", "learning_rate", "fit_seconds"):
        value = getattr(evaluation, name)
        if value is not None:
            yield f"{fold}/{name}", float(value)
