"""The leaderboard of the page: cells that sort by value, and rows that unfold to all facts of a trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tuner.formatting import count, duration, number
from tuner.reporting.columns import DISTINGUISHES
from tuner.reporting.distinguish import what_distinguishes
from tuner.reporting.leaderboard import Row
from tuner.reporting.report_data import ReportData, label_of, name_of
from tuner.trials.constraints import QUANTITIES, quantities

__all__ = ["Cell", "Column", "Line", "Table", "table"]


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes
    ----------
    text
        What it shows.
    value
        The number that it is sorted by, if it has one.
    soft
        Whether it is grey: the last value of a trial without a result.
    """

    text: str
    value: float | None = None
    soft: bool = False


@dataclass(frozen=True)
class Column:
    """A column: its header, and whether its cells are numbers."""

    name: str
    numeric: bool = True


@dataclass(frozen=True)
class Line:
    """A row of the leaderboard.

    Attributes
    ----------
    number, kind
        Trial number, and ``baseline`` or the trial's status.
    name, label, rank
        Name of the trial without and with its number, and its rank (None if it has no result).
    cells
        Cells of the columns after the label.
    facts, params
        Pairs (name, text) that are shown when the row is unfolded.
    note
        Why the trial failed or was stopped.
    """

    number: int
    kind: str
    name: str
    label: str
    rank: int | None
    cells: Sequence[Cell]
    facts: Sequence[tuple[str, str]]
    params: Sequence[tuple[str, str]]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """The leaderboard: columns after the label, and lines."""

    columns: Sequence[Column]
    lines: Sequence[Line]

    @property
    def kinds(self) -> set[str]:
        """The kinds that lines have."""
        return {line.kind for line in self.lines}


#: The columns with the function that makes their cells.
_Columns = Sequence[tuple[Column, Callable[[Row], Cell]]]


def table(report: ReportData) -> Table:
    """Return all rows of the leaderboard, best first.

    The state and what distinguishes a row come before the metrics, so that a small screen shows them.
    """
    columns = [*_first(report), *_folds(report), *_metrics(report), *_effort()]
    return Table([column for column, _ in columns], [_line(row, columns) for row in report.board.rows])


def _first(report: ReportData) -> _Columns:
    """Return the columns that say what a row is and how good it is."""
    objective, final = report.objective, report.final

    def judged(row: Row) -> Cell:
        found = None if final is None else final.row(row.record.number)
        return _number(found.metrics.get(objective) if found else None)

    def value(row: Row) -> Cell:
        if row.record.summary is None and row.reached is not None:
            return Cell(number(row.reached.value), soft=True)
        return _number(row.metrics.get(objective))

    def reached(row: Row) -> Cell:
        come = row.reached
        return Cell("") if come is None else Cell(f"{come.where}: {come.among}", soft=True)

    return [
        (Column("state", numeric=False), lambda row: Cell(_state(row))),
        *(
            [(Column("front"), lambda row: Cell(str(row.front or ""), row.front))]
            if report.board.further
            else []
        ),
        *([(Column(f"{objective} holdout"), judged)] if final is not None else []),
        (Column(objective), value),
        *([(Column("reached", numeric=False), reached)] if any(r.reached for r in report.board.rows) else []),
        (Column(DISTINGUISHES, numeric=False), lambda row: Cell(what_distinguishes(row))),
    ]


def _folds(report: ReportData) -> _Columns:
    """Return the deviation over folds, and the objective of each fold if there are several."""
    objective = report.objective
    n_folds = max((len(row.record.summary.folds) for row in report.done if row.record.summary), default=0)

    def of_fold(fold: int) -> Callable[[Row], Cell]:
        def cell(row: Row) -> Cell:
            folds = row.record.summary.folds if row.record.summary else ()
            return _number(folds[fold].get(objective) if fold < len(folds) else None)

        return cell

    def deviation(row: Row) -> Cell:
        return _number(row.record.summary.deviation if row.record.summary else None)

    folds = range(n_folds) if n_folds > 1 else range(0)
    return [
        *([(Column("± std"), deviation)] if n_folds > 1 else []),
        *((Column(f"fold {fold + 1}"), of_fold(fold)) for fold in folds),
    ]


def _metrics(report: ReportData) -> _Columns:
    """Return the other metrics, and the objectives that are no metrics."""
    board = report.board

    def metric(label: str) -> Callable[[Row], Cell]:
        return lambda row: _number(row.metrics.get(label))

    def quantity(name: str) -> Callable[[Row], Cell]:
        return lambda row: _number(quantities(row.record.summary)[name] if row.record.summary else None)

    others = [label for label in board.metrics if label != board.objective]
    unlisted = [name for name in board.further if name in QUANTITIES]
    return [
        *((Column(label), metric(label)) for label in others),
        *((Column(name), quantity(name)) for name in unlisted),
    ]


def _effort() -> _Columns:
    """Return the columns of epochs, size and time."""

    def epoch(row: Row) -> Cell:
        summary = row.record.summary
        if summary is None or not summary.epochs_run:
            return Cell("", summary.epoch if summary else None)
        return Cell(f"{summary.epoch}/{summary.epochs_run}", summary.epoch)

    def parameters(row: Row) -> Cell:
        n = row.record.summary.n_parameters if row.record.summary else None
        return Cell(count(n), n)

    def fit(row: Row) -> Cell:
        seconds = row.record.summary.fit_seconds if row.record.summary else None
        return Cell(duration(seconds), seconds)

    return [(Column("epoch"), epoch), (Column("parameters"), parameters), (Column("fit"), fit)]


def _line(row: Row, columns: _Columns) -> Line:
    record = row.record
    return Line(
        number=record.number,
        kind="baseline" if record.name else row.status.value,
        name=record.name or name_of(record),
        label=label_of(record),
        rank=row.rank,
        cells=[cell(row) for _, cell in columns],
        facts=_facts(row),
        params=[(key, _value(value)) for key, value in record.params.items()],
        note=_note(row),
    )


def _number(value: float | None) -> Cell:
    return Cell(number(value), value)


def _state(row: Row) -> str:
    state = f"{row.status} by {row.record.stop.rule}" if row.record.stop else row.status.value
    return f"{state}, violates {' and '.join(map(str, row.breaks))}" if row.breaks else state


def _note(row: Row) -> str:
    record = row.record
    if record.failure is not None:
        return f"Failed: {record.failure.cause}"
    if record.stop is not None:
        return f"Stopped after {record.stop.where} by {record.stop.rule}: {record.stop.why}"
    return ""


def _facts(row: Row) -> list[tuple[str, str]]:
    record, summary = row.record, row.record.summary
    found = [("trial", str(record.number)), ("took", duration(record.seconds))]
    if record.usage.cpu_seconds or record.usage.gpu_seconds:
        found += [
            ("CPU time", duration(record.usage.cpu_seconds)),
            ("GPU time", duration(record.usage.gpu_seconds)),
        ]
    if summary is not None:
        found += [("recommending", duration(summary.recommend_seconds)), ("precision", summary.precision)]
    found += [("seeds", ", ".join(map(str, record.seeds))), ("log", record.log or "")]
    if record.attempts:
        found.append(("ran on", "; ".join(attempt.worker for attempt in record.attempts)))
    return [(name, text) for name, text in found if text]


def _value(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else repr(value).strip("'")
