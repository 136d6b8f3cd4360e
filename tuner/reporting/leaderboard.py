"""The leaderboard, a pure function from the records of a store to ranked rows.

`tuner.reporting.formats` shows them. Needs neither Ray nor torch, and may read a study while another process
runs it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tuner.errors import Problem, StoreError, did_you_mean
from tuner.formatting import short
from tuner.holdout import Final, JudgedRow
from tuner.holdout.read import final_of
from tuner.store import read_records, study_drivers
from tuner.store.locking.drivers import Driver
from tuner.trials.constraints import Constraint, broken, quantities
from tuner.trials.objective import Direction, sort_key
from tuner.trials.pareto import fronts
from tuner.trials.status import TrialStatus
from tuner.trials.stored import StoredStudy, TrialRecord, further_objectives

__all__ = [
    "Leaderboard",
    "Row",
    "load_leaderboard",
    "rank",
    "short_key",
    "varying_params",
    "what_distinguishes",
]


@dataclass(frozen=True)
class Row:
    """One line of the leaderboard.

    Attributes
    ----------
    rank
        From 1; equal values share a rank. None where there is nothing to rank.
    record
        The trial.
    differs
        The params that vary between trials, as this one has them.
    status
        As in the record. A trial whose driver is dead is INTERRUPTED, or QUEUED if no worker had begun it.
    breaks
        The constraints that it does not keep to; then it stands below all that do.
    front
        With several objectives the Pareto front, from 1, of a trial that keeps to all constraints.
    judged
        How it was judged on the holdout, if it was.
    """

    rank: int | None
    record: TrialRecord
    differs: Mapping[str, Any]
    status: TrialStatus
    breaks: tuple[Constraint, ...] = ()
    front: int | None = None
    judged: JudgedRow | None = None

    @property
    def metrics(self) -> Mapping[str, float]:
        """Mean of each metric over folds, empty until the trial is complete."""
        return self.record.summary.metrics if self.record.summary else {}


@dataclass(frozen=True)
class Leaderboard:
    """All trials of a study, best first; those without a result at the end.

    Attributes
    ----------
    study
        Its name.
    objective, direction
        What ranks; with further objectives, within a Pareto front.
    rows
        Best first.
    further
        Objectives beside the first, with their directions.
    drivers
        Who runs the study at the moment.
    final
        The final judgement on the holdout, if there is one.
    """

    study: str
    objective: str
    direction: Direction
    rows: tuple[Row, ...]
    further: Mapping[str, Direction] = field(default_factory=dict)
    drivers: tuple[Driver, ...] = ()
    final: Final | None = None

    @property
    def best(self) -> Row | None:
        """The first row with a result that keeps to all constraints."""
        first = self.rows[0] if self.rows else None
        return first if first is not None and first.rank == 1 and not first.breaks else None

    @property
    def run_by(self) -> str | None:
        """Who runs the study at the moment, and of several what each runs; None if nobody does."""
        return "\n".join(self._runs(driver) for driver in self.drivers) or None

    def _runs(self, driver: Driver) -> str:
        running = [row.record for row in self.rows if row.status == TrialStatus.RUNNING]
        ids = {driver.id} | ({None} if len(self.drivers) == 1 else set())  # who does not share marks nothing
        own = [str(record.number) for record in running if record.driver in ids]
        return f"run by {driver.words}" + (f": trial{'s' * (len(own) > 1)} {', '.join(own)}" if own else "")

    @property
    def front(self) -> tuple[Row, ...]:
        """With several objectives the rows that no other beats in all of them; else the best."""
        if self.further:
            return tuple(row for row in self.rows if row.front == 1)
        return () if self.best is None else (self.best,)

    @property
    def metrics(self) -> list[str]:
        """Labels of all metrics, the objective first."""
        labels = [label for row in self.rows for label in row.metrics]
        return list(dict.fromkeys([self.objective, *labels]))


def load_leaderboard(folder: Path, *, sort: str | None = None, curves: bool = True) -> Leaderboard:
    """Read a study's folder and rank its trials.

    Parameters
    ----------
    folder
        Of the study.
    sort
        Another metric to rank by, best first as the objective's direction says.
    curves
        Whether the records are to have their evaluations, which no format shows.

    Raises
    ------
    StoreError
        If there is no study, or no such metric.
    """
    drivers = study_drivers(folder)
    return rank(read_records(folder, curves=curves), running=bool(drivers), drivers=drivers, sort=sort)


def rank(
    stored: StoredStudy, *, running: bool, drivers: Sequence[Driver] = (), sort: str | None = None
) -> Leaderboard:
    """Rank the trials of a study.

    Parameters
    ----------
    stored
        What the store holds.
    running
        Whether a process runs the study; if not, its unfinished trials were cut off.
    drivers
        Who runs it. Of those that share a study each has trials of its own; those of a dead one were cut off.
    sort
        See `load_leaderboard`.
    """
    objective = str(stored.facts["objective"])
    direction = stored.direction
    metric = sort or objective
    labels = sorted({label for r in stored.records if r.summary for label in r.summary.metrics})
    if sort is not None and labels and sort not in labels:
        rule = f"must be a metric of the study, but got {sort!r}"
        raise StoreError(stored.name, [Problem("--sort", rule, did_you_mean(sort, labels))])
    varying = varying_params([record for record in stored.records if record.status.is_trained])

    def value(record: TrialRecord) -> float:
        assert record.summary is not None, "only complete trials are ranked"
        return record.summary.metrics[metric]

    # A metric that the study got later is missing from its earlier trials.
    done = [
        record
        for record in stored.records
        if record.status == TrialStatus.COMPLETE and record.summary and metric in record.summary.metrics
    ]
    constraints = [Constraint.parse(text) for text in stored.facts.get("constraints", ())]
    breaks = {record.number: broken(constraints, record.summary) for record in done if record.summary}

    further = further_objectives(stored.facts)
    front = _fronts([record for record in done if not breaks[record.number]], objective, direction, further)

    def place_of(record: TrialRecord) -> tuple[bool, int, float]:
        at = 0 if sort else front.get(record.number, 0)
        return bool(breaks[record.number]), at, sort_key(value(record), direction)

    done.sort(key=lambda record: (place_of(record), record.number))
    living = {driver.id for driver in drivers} | ({None} if running else set())
    rows: list[Row] = []
    for place, record in enumerate(done, 1):
        tied = rows[-1].rank if rows and place_of(rows[-1].record) == place_of(record) else place
        row = _row(record, tied, varying, living=living)
        rows.append(replace(row, breaks=breaks[record.number], front=front.get(record.number)))
    ranked = {record.number for record in done}
    rest = sorted(
        (r for r in stored.records if r.number not in ranked and r.status.is_trained),
        key=lambda record: (_ORDER.index(record.status), record.number),
    )
    rows.extend(_row(record, None, varying, living=living) for record in rest)
    final = final_of(stored)
    if final is not None:
        rows = [replace(row, judged=final.row(row.record.number)) for row in rows]
    return Leaderboard(stored.name, objective, direction, tuple(rows), further, tuple(drivers), final)


#: Statuses in the order of their rows below the ranked ones.
_ORDER = (
    TrialStatus.COMPLETE,
    TrialStatus.RUNNING,
    TrialStatus.PAUSED,
    TrialStatus.QUEUED,
    TrialStatus.STOPPED,
    TrialStatus.FAILED,
)


def varying_params(records: Sequence[TrialRecord]) -> list[str]:
    """Return the params that do not have one value in all trials of the searched models, in order."""
    searched = [record for record in records if record.params and record.name is None]
    relevant = searched or [record for record in records if record.params]
    keys = dict.fromkeys(key for record in relevant for key in record.params)
    return [key for key in keys if key != "cls" and len({repr(r.params.get(key)) for r in relevant}) > 1]


def short_key(key: str) -> str:
    """Return a param's key as a person would say it."""
    return key.rsplit("_kwargs.", maxsplit=1)[-1].removesuffix("_type")


def _fronts(
    records: Sequence[TrialRecord], objective: str, direction: Direction, further: Mapping[str, Direction]
) -> dict[int, int]:
    """Return the Pareto front of each complete trial by its number; none where there is one objective."""
    if not further:
        return {}
    taken = [quantities(record.summary) for record in records if record.summary]
    points = [[one[name] for name in (objective, *further)] for one in taken]
    found = fronts(points, [direction, *further.values()])
    return dict(zip((record.number for record in records), found, strict=True))


def _row(
    record: TrialRecord, place: int | None, varying: Sequence[str], *, living: Collection[str | None]
) -> Row:
    differs = {key: record.params[key] for key in varying if key in record.params}
    status = record.status
    if status == TrialStatus.RUNNING and record.driver not in living:
        begun = record.attempts or record.evaluations
        status = TrialStatus.INTERRUPTED if begun else TrialStatus.QUEUED
    return Row(place, record, differs, status)


def what_distinguishes(row: Row) -> str:
    """Return the params that vary between trials, as this one has them, in few words."""
    modules = [short(value) for key, value in row.differs.items() if key.endswith("_type")]
    others = [
        f"{short_key(key)}={short(value)}" for key, value in row.differs.items() if not key.endswith("_type")
    ]
    return " ".join([*modules, *others])
