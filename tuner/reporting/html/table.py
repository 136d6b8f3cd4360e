"""The leaderboard of the page: cells that sort by value, and rows that unfold to all facts of a trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tuner.formatting import count, duration, number
from tuner.reporting.html.report_data import ReportData, label_of, name_of
from tuner.reporting.leaderboard import Row, what_distinguishes
from tuner.trials.constraints import QUANTITIES, quantities

__all__ = ["Cell", "Line", "Table", "table"]


@dataclass(frozen=True)
class Cell:
    """One cell: its text, and the number that it is sorted by, if it has one."""

    text: str
    value: float | None = None


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
    differs
        Params that distinguish the trial, in one line.
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
    differs: str
    facts: Sequence[tuple[str, str]]
    params: Sequence[tuple[str, str]]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """The leaderboard: headers of the columns after the label, and lines."""

    header: Sequence[str]
    lines: Sequence[Line]


def table(report: ReportData) -> Table:
    """Return all rows of the leaderboard, best first."""
    board = report.board
    n_folds = max((len(row.record.summary.folds) for row in board.rows if row.record.summary), default=0)
    folds = range(n_folds) if n_folds > 1 else range(0)
    others = [label for label in board.metrics if label != board.objective]
    unlisted = [name for name in board.further if name in QUANTITIES]
    judged = [f"{board.objective} holdout"] if report.final is not None else []
    front = ["front"] if board.further else []
    header = [*front, *judged, board.objective, "± std", *(f"fold {fold + 1}" for fold in folds), *others]
    header += [*unlisted, "epoch", "parameters", "fit", "status"]
    lines = [_line(report, row, len(folds), others, unlisted) for row in board.rows]
    return Table(header, lines)


def _line(report: ReportData, row: Row, n_folds: int, others: Sequence[str], unlisted: Sequence[str]) -> Line:
    record, summary, objective = row.record, row.record.summary, report.objective
    judged = None if report.final is None else report.final.row(record.number)
    cells = [Cell(str(row.front or ""), row.front)] if report.board.further else []
    if report.final is not None:
        cells.append(_number(judged.metrics.get(objective) if judged else None))
    if summary is None:
        cells += [Cell("")] * (2 + n_folds + len(others) + len(unlisted) + 3)
    else:
        taken = quantities(summary)
        cells += [_number(row.metrics.get(objective)), _number(summary.std)]
        cells += [
            _number(summary.folds[fold].get(objective) if fold < len(summary.folds) else None)
            for fold in range(n_folds)
        ]
        cells += [_number(row.metrics.get(label)) for label in others]
        cells += [_number(taken[name]) for name in unlisted]
        epoch = f"{summary.epoch}/{summary.epochs_run}" if summary.epochs_run else ""
        cells += [
            Cell(epoch, summary.epoch),
            Cell(count(summary.n_parameters), summary.n_parameters),
            Cell(duration(summary.fit_seconds), summary.fit_seconds),
        ]
    cells.append(Cell(_status(row)))
    return Line(
        number=record.number,
        kind="baseline" if record.name else record.status.value,
        name=record.name or name_of(record),
        label=label_of(record),
        rank=row.rank,
        cells=cells,
        differs=what_distinguishes(row),
        facts=_facts(row),
        params=[(key, _value(value)) for key, value in record.params.items()],
        note=_note(row),
    )


def _number(value: float | None) -> Cell:
    return Cell(number(value), value)


def _status(row: Row) -> str:
    return f"{row.status}, violates {' and '.join(map(str, row.breaks))}" if row.breaks else row.status.value


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
