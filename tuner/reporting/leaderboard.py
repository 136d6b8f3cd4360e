"""Ranks the trials of a study: a pure function from the records of a store to the rows of the leaderboard.

`tuner.reporting.formats` writes the rows. This module needs neither Ray nor torch, and can read a study while
another process runs it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.errors import Problem, StoreError, did_you_mean
from tuner.errors.caller import argument
from tuner.holdout import Final
from tuner.holdout.read import final_of
from tuner.reporting.distinguish import varying_params
from tuner.reporting.find import find_row
from tuner.reporting.place import Place
from tuner.reporting.reached import Reached, reached_by
from tuner.reporting.row import Row, actions_of
from tuner.store import check_exists, read_records, study_drivers
from tuner.store.locking.drivers import Driver
from tuner.trials.constraints import Constraint, broken, quantities
from tuner.trials.families import SEARCHED, families_of, is_of
from tuner.trials.objective import Direction, sort_key
from tuner.trials.pareto import fronts
from tuner.trials.status import TrialStatus
from tuner.trials.stored import StoredStudy, TrialRecord, further_objectives

if TYPE_CHECKING:
    import pandas as pd

    from tuner.reporting.frames import Level
    from tuner.reporting.plot import Plots

__all__ = [
    "Leaderboard",
    "Row",
    "at_place",
    "load_leaderboard",
    "rank",
]


@dataclass(frozen=True)
class Leaderboard:
    """All trials of a study, best first. Trials without a result are at the end, by how far they came.

    Attributes
    ----------
    study
        Name of the study.
    objective, direction
        The objective that ranks trials, and its direction. With further objectives, it ranks within a front.
    rows
        The rows, best first.
    further
        Further objectives with their directions.
    drivers
        Drivers that run the study at the time of reading.
    final
        The final judgement, None if there is none.
    place
        Where it was read; None if it was made from records.
    """

    study: str
    objective: str
    direction: Direction
    rows: tuple[Row, ...]
    further: Mapping[str, Direction] = field(default_factory=dict)
    drivers: tuple[Driver, ...] = ()
    final: Final | None = None
    place: Place | None = field(default=None, compare=False)

    @property
    def best(self) -> Row | None:
        """The best row, None if no complete trial satisfies all constraints."""
        first = self.rows[0] if self.rows else None
        return first if first is not None and first.rank == 1 and not first.breaks else None

    @property
    def best_searched(self) -> Row | None:
        """The best row of the search, which is no baseline; None if no such row satisfies all constraints."""
        return self.best_of(SEARCHED)

    @property
    def best_baseline(self) -> Row | None:
        """The best baseline, None if no baseline is complete."""
        return next((row for row in self.rows if row.rank is not None and row.record.name is not None), None)

    def best_of(self, family: str) -> Row | None:
        """Return the best row of a family, None if none satisfies all constraints.

        Parameters
        ----------
        family
            One of `families`, in any case. ``SASRec`` stands for ``SASRecModel``.
        """
        rows = (row for row in self.rows if row.rank is not None and not row.breaks)
        return next((row for row in rows if is_of(family, families_of(row.record))), None)

    @property
    def families(self) -> list[str]:
        """The families of the complete trials; see `tuner.trials.families.families_of`."""
        found = [name for row in self.rows if row.rank is not None for name in families_of(row.record)]
        return list(dict.fromkeys(found))

    @property
    def run_by(self) -> str | None:
        """A line for each driver that runs the study, with its trials; None if no driver does."""
        return "\n".join(self._runs(driver) for driver in self.drivers) or None

    def _runs(self, driver: Driver) -> str:
        running = [row.record for row in self.rows if row.status == TrialStatus.RUNNING]
        ids = {driver.id} | ({None} if len(self.drivers) == 1 else set())  # a single driver marks no trials
        own = [str(record.number) for record in running if record.driver in ids]
        return f"run by {driver.words}" + (f": trial{'s' * (len(own) > 1)} {', '.join(own)}" if own else "")

    @property
    def front(self) -> tuple[Row, ...]:
        """With several objectives, the rows of the first Pareto front; otherwise the best row."""
        if self.further:
            return tuple(row for row in self.rows if row.front == 1)
        return () if self.best is None else (self.best,)

    @property
    def metrics(self) -> list[str]:
        """Labels of all metrics, the objective first."""
        labels = [label for row in self.rows for label in row.metrics]
        return list(dict.fromkeys([self.objective, *labels]))

    def trial(self, which: int | str) -> Row:
        """Return a trial by its number, a baseline's name, ``best``, or ``best:`` and a family.

        Raises
        ------
        StoreError
            If there is no such trial.
        """
        return find_row(self, str(which))

    def to_pandas(self, level: Level = "trial") -> pd.DataFrame:
        """Return the trials as a table of pandas.

        Parameters
        ----------
        level
            What a row is. ``trial``: a trial with its params and the means of its metrics. ``fold``: a fold
            of a trial. ``epoch``: an evaluation. ``user``: a test user of a fold, with the objective.

        Examples
        --------
        >>> board.to_pandas("epoch").query("trial == 3")  # doctest: +SKIP
        """
        from tuner.reporting.frames import frame_of  # noqa: PLC0415  # pandas

        return frame_of(self, level)

    def judge(self, **asked: Any) -> Final:  # as `tuner.judge` takes them
        """Judge the best trials on the holdout; see `tuner.judge` for the arguments."""
        return actions_of(self.place, self.study)[1].judge(self, **asked)

    @property
    def plot(self) -> Plots:
        """The figures of the stored study, as charts of Altair: ``board.plot.curves()``."""
        from tuner.reporting.plot import Plots  # noqa: PLC0415  # it builds on this module

        if self.place is None:
            raise StoreError(self.study, [Problem("plot", "needs a leaderboard that was read from a folder")])
        return Plots(self.place.folder)

    def __repr__(self) -> str:
        from tuner.reporting.cells.text import board_text  # noqa: PLC0415  # it builds on this module

        return board_text(self)

    def _repr_html_(self) -> str:
        from tuner.reporting.cells.board import board_html  # noqa: PLC0415  # as above

        return board_html(self)


def load_leaderboard(folder: Path, *, sort: str | None = None, curves: bool = True) -> Leaderboard:
    """Read a study's folder and rank its trials.

    Parameters
    ----------
    folder
        Folder of the study.
    sort
        Another metric to rank by, in the direction of the objective.
    curves
        Whether to read the evaluations of the trials completely. Formats show only the objective of the last.

    Raises
    ------
    StoreError
        If there is no study, or no such metric.
    """
    check_exists(folder)
    drivers, stored = study_drivers(folder), read_records(folder, curves=curves)
    return rank(stored, running=bool(drivers), drivers=drivers, sort=sort, place=Place(folder))


def rank(
    stored: StoredStudy,
    *,
    running: bool,
    drivers: Sequence[Driver] = (),
    sort: str | None = None,
    place: Place | None = None,
) -> Leaderboard:
    """Rank the trials of a study.

    Parameters
    ----------
    stored
        Records of the study.
    running
        Whether a driver runs the study. If not, its running trials were interrupted.
    drivers
        Drivers that run the study. With several, each has its own trials. Running trials of a driver that is
        not among them were interrupted.
    sort
        See `load_leaderboard`.
    place
        Where the records were read.
    """
    _check_metric(stored, sort)
    varying = varying_params([record for record in stored.records if record.status.is_trained])
    living = {driver.id for driver in drivers} | ({None} if running else set())
    placed = _placed(stored, sort)
    rows = list(_ranked_rows(placed, varying, living))
    ranked = {one.record.number for one in placed}
    rest = [record for record in stored.records if record.number not in ranked and record.status.is_trained]
    reached = _reached(stored, {record.number for record in rest})
    for record in sorted(rest, key=lambda record: _below(record, reached.get(record.number))):
        row = _row(record, None, varying, living=living)
        rows.append(replace(row, reached=reached.get(record.number)))
    final = final_of(stored)
    if final is not None:
        rows = [replace(row, judged=final.row(row.record.number)) for row in rows]
    objective, further = str(stored.facts["objective"]), further_objectives(stored.facts)
    board = Leaderboard(stored.name, objective, stored.direction, tuple(rows), further, tuple(drivers), final)
    return board if place is None else at_place(board, place)


def at_place(board: Leaderboard, place: Place) -> Leaderboard:
    """Return a leaderboard whose rows know where it was read."""
    return replace(board, rows=tuple(replace(row, place=place) for row in board.rows), place=place)


def _below(record: TrialRecord, reached: Reached | None) -> tuple[int, ...]:
    """Return the key that orders trials without a result: by status, then how far they came and how well."""
    if reached is None or record.status not in _BY_PROGRESS:
        return _ORDER.index(record.status), 0, 0, 0, record.number
    return _ORDER.index(record.status), -reached.fold, -reached.epoch, reached.place, record.number


def _reached(stored: StoredStudy, numbers: set[int]) -> dict[int, Reached]:
    """Return how far trials without a result came."""
    if not numbers:
        return {}
    searched = {record.number for record in stored.records if record.name is None}
    without = {record.number for record in stored.records if record.number in numbers and not record.summary}
    return reached_by(without, stored.curves, searched, stored.direction)


def _check_metric(stored: StoredStudy, sort: str | None) -> None:
    labels = sorted({label for r in stored.records if r.summary for label in r.summary.metrics})
    if sort is not None and labels and sort not in labels:
        rule = f"must be a metric of the study, but got {sort!r}"
        raise StoreError(stored.name, [Problem(argument("--sort"), rule, did_you_mean(sort, labels))])


@dataclass(frozen=True)
class _Placed:
    """A complete trial, and what decides its place."""

    record: TrialRecord
    breaks: tuple[Constraint, ...]
    front: int | None
    key: tuple[bool, int, float]  # the lowest is the best; trials with equal keys share a rank


def _placed(stored: StoredStudy, sort: str | None) -> list[_Placed]:
    """Return the trials that can be ranked, best first."""
    objective = str(stored.facts["objective"])
    metric = sort or objective
    # A metric that the study got later is missing from its earlier trials.
    values = {
        record.number: sort_key(record.summary.metrics[metric], stored.direction)
        for record in stored.records
        if record.status == TrialStatus.COMPLETE and record.excluded is None
        if record.summary and metric in record.summary.metrics
    }
    done = [record for record in stored.records if record.number in values]
    constraints = [Constraint.parse(text) for text in stored.facts.get("constraints", ())]
    breaks = {record.number: broken(constraints, record.summary) for record in done if record.summary}
    feasible = [record for record in done if not breaks[record.number]]
    front = _fronts(feasible, objective, stored.direction, further_objectives(stored.facts))

    def place(record: TrialRecord) -> _Placed:
        number = record.number
        at = 0 if sort else front.get(number, 0)
        return _Placed(record, breaks[number], front.get(number), (bool(breaks[number]), at, values[number]))

    return sorted(map(place, done), key=lambda one: (one.key, one.record.number))


def _ranked_rows(
    placed: Sequence[_Placed], varying: Sequence[str], living: Collection[str | None]
) -> Iterator[Row]:
    """Yield the rows of ranked trials."""
    rank_of: dict[tuple[bool, int, float], int] = {}
    for place, one in enumerate(placed, 1):
        row = _row(one.record, rank_of.setdefault(one.key, place), varying, living=living)
        yield replace(row, breaks=one.breaks, front=one.front)


#: Order of the rows below the ranked ones, by status.
_ORDER = (
    TrialStatus.COMPLETE,
    TrialStatus.RUNNING,
    TrialStatus.PAUSED,
    TrialStatus.QUEUED,
    TrialStatus.STOPPED,
    TrialStatus.FAILED,
)


#: Statuses whose rows are ordered by how far the trials came.
_BY_PROGRESS = (TrialStatus.PAUSED, TrialStatus.STOPPED)


def _fronts(
    records: Sequence[TrialRecord], objective: str, direction: Direction, further: Mapping[str, Direction]
) -> dict[int, int]:
    """Return the number of each trial's Pareto front by trial number; empty if there is one objective."""
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
