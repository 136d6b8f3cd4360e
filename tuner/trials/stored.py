"""A study as it was read from its store: what leaderboard, report and export are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tuner.space import Value
from tuner.trials.objective import Direction
from tuner.trials.outcomes import Attempt, Failure, Pause, Stop, Usage
from tuner.trials.records import Evaluation, Summary
from tuner.trials.status import TrialStatus

__all__ = ["StoredStudy", "TrialRecord", "further_objectives"]


@dataclass(frozen=True)
class TrialRecord:
    """One trial as the store has it.

    Attributes
    ----------
    number, status
        Optuna's number of it, and its status as far as the store knows.
    name
        Of a baseline; None for a trial that the sampler chose.
    params
        Flat params.
    evaluations
        By fold, then epoch.
    summary
        None until the trial is complete.
    failure
        Of a failed trial.
    stop
        Where a stopped trial was stopped, and why.
    pause
        Where a paused trial is paused.
    seeds
        One per fold.
    log
        Path of its log, from the study's folder.
    seconds
        From its start to its end.
    usage
        Resource usage over all attempts. For a running trial it may be a minute old.
    attempts
        At it, oldest first; more than one where it was interrupted.
    started, ended
        Local time.
    driver
        Which of the drivers that share the study runs it, or ran it last; see
        `tuner.store.locking.drivers.Driver`.
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

    @property
    def label(self) -> str:
        """The baseline's name, or the short name of the model."""
        return self.name or str(self.params.get("cls", "?")).rsplit(".", 1)[-1]


@dataclass(frozen=True)
class StoredStudy:
    """A study read from its folder.

    Attributes
    ----------
    name, direction
        Of the Optuna study.
    facts
        See `open_store`.
    versions
        Of the packages that it began with.
    records
        All trials, by number.
    attributes
        What else the store has of the study, as its final judgement.
    """

    name: str
    direction: Direction
    facts: Mapping[str, Any]
    versions: Mapping[str, str]
    records: list[TrialRecord] = field(default_factory=list)
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def description(self) -> Mapping[str, Any]:
        """Facts of the data and folds, by `tuner.preparation.prepare`; empty if the study has none."""
        found: Mapping[str, Any] = self.attributes.get("description", {})
        return found


def further_objectives(facts: Mapping[str, Any]) -> Mapping[str, Direction]:
    """Return the objectives of a study beside the first, with their directions."""
    further: Mapping[str, Direction] = facts.get("further objectives", {})
    return further
