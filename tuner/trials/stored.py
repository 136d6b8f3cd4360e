"""A study as read from its store. Leaderboard, report and export are made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tuner.space import Value
from tuner.trials.objective import Direction
from tuner.trials.outcomes import Attempt, Decision, Failure, Pause, Stop, Usage
from tuner.trials.records import Evaluation, Summary
from tuner.trials.requests import Exclusion
from tuner.trials.status import TrialStatus

__all__ = ["StoredStudy", "TrialRecord", "as_now", "further_objectives"]


def as_now(
    stored: Mapping[str, Any], facts: Mapping[str, object], former: Mapping[str, object]
) -> dict[str, Any]:
    """Return stored facts, with those of earlier versions as this version writes them.

    Parameters
    ----------
    stored, facts
        Facts in the store, and the facts of the study now.
    former
        Values that earlier versions wrote for the same study, by the key of the fact.
    """
    return {**stored, **{key: facts[key] for key, value in former.items() if stored.get(key) == value}}


@dataclass(frozen=True)
class TrialRecord:
    """One trial as the store has it.

    Attributes
    ----------
    number
        Trial number.
    status
        Status, as far as the store knows it; see `tuner.trials.schema.status_of`.
    name
        Name of the baseline; None for a trial that the sampler chose.
    params
        Flat params.
    evaluations
        Evaluations, ordered by fold, then by epoch.
    summary
        Result; None until the trial is complete.
    failure
        Why a failed trial failed.
    stop
        Why and where a stopped trial was stopped.
    pause
        Where a paused trial is paused.
    seeds
        Seeds, one per fold.
    log
        Path of the trial's log, relative to the study's folder.
    seconds
        Seconds from the trial's start to its end.
    usage
        Resource usage over all attempts. For a running trial it may be up to a minute old.
    attempts
        Attempts, oldest first. A trial that was interrupted or paused has more than one.
    started, ended
        Start and end, in local time.
    driver
        The driver that runs the trial or ran it last, if several drivers share the study; see
        `tuner.store.locking.drivers.Driver`.
    request
        Id of the request that added the trial; None for other trials.
    excluded
        Why and by whom the trial was excluded from ranking and sampling; None if it was not.
    decisions
        What halving decided on the trial at each rung.
    """

    number: int
    status: TrialStatus
    name: str | None
    params: Mapping[str, Value]
    evaluations: tuple[Evaluation, ...] = ()
    summary: Summary | None = None
    failure: Failure | None = None
    stop: Stop | None = None
    pause: Pause | None = None
    seeds: tuple[int, ...] = ()
    log: str | None = None
    seconds: float | None = None
    usage: Usage = field(default_factory=Usage)
    attempts: tuple[Attempt, ...] = ()
    started: datetime | None = None
    ended: datetime | None = None
    driver: str | None = None
    request: str | None = None
    excluded: Exclusion | None = None
    decisions: tuple[Decision, ...] = ()

    @property
    def n_attempts(self) -> int:
        """The largest number of attempts that any fold of the trial had."""
        folds = {fold for attempt in self.attempts for fold in attempt.folds}
        return max((sum(one.covers(fold) for one in self.attempts) for fold in folds or {0}), default=0)

    @property
    def label(self) -> str:
        """The name of the baseline, or the short name of the model class."""
        return self.name or str(self.params.get("cls", "?")).rsplit(".", 1)[-1]


@dataclass(frozen=True)
class StoredStudy:
    """A study as its store has it.

    Attributes
    ----------
    name, direction
        Name of the Optuna study, and direction of its objective.
    facts
        See `open_store`.
    versions
        Versions of the packages with which the study began, by package.
    records
        All trials, ordered by number.
    description
        The description of data and folds that `tuner.preparation.prepare` wrote; empty without one.
    attributes
        Other attributes of the study in the store, such as its final judgement.
    thin_curves
        If the records were read without evaluations: the objective of each trial by (fold, epoch), by trial
        number; see `curves`.
    """

    name: str
    direction: Direction
    facts: Mapping[str, Any]
    versions: Mapping[str, str]
    records: list[TrialRecord] = field(default_factory=list)
    description: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    thin_curves: Mapping[int, Mapping[tuple[int, int], float]] = field(default_factory=dict)

    @property
    def curves(self) -> Mapping[int, Mapping[tuple[int, int], float]]:
        """The objective of each trial by (fold, epoch), by trial number."""
        objective = str(self.facts["objective"])
        # A trial that was copied into the store, as at a change of the space, has its evaluations always.
        whole = {
            record.number: {
                (e.fold, e.epoch): e.metrics[objective] for e in record.evaluations if objective in e.metrics
            }
            for record in self.records
            if record.evaluations
        }
        return {**self.thin_curves, **whole}


def further_objectives(facts: Mapping[str, Any]) -> Mapping[str, Direction]:
    """Return the objectives of a study after the first, with their directions."""
    further: Mapping[str, Direction] = facts.get("further objectives", {})
    return further
