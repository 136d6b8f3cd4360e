"""Says in lines which trials are best: of all, of the search, and of each family of models."""

from __future__ import annotations

from collections.abc import Iterator

from tuner.formatting import number
from tuner.reporting.leaderboard import Leaderboard, Row
from tuner.space.class_names import short_name

__all__ = ["best_lines", "best_of_classes"]


def best_lines(board: Leaderboard) -> Iterator[str]:
    """Yield lines about the best trials; one line if no trial has a result."""
    best, searched = board.best, board.best_searched
    if best is None:
        complete = any(row.rank is not None for row in board.rows)
        yield f"best: {'no complete trial satisfies all constraints' if complete else 'no trial is complete'}"
        return
    yield f"best: {_named(board, best)}"
    if searched is None:
        yield "best of the search: no trial of the search is complete"
    elif searched is not best:
        behind = searched.metrics[board.objective] - best.metrics[board.objective]
        yield f"best of the search: {_named(board, searched)}, {behind:+.4f} against {best.record.label}"
    for name, row in best_of_classes(board).items():
        if row is not best and row is not searched:
            yield f"best {name}: {_named(board, row)}"
    yield from _sampled(board)


def _sampled(board: Leaderboard) -> Iterator[str]:
    """Say so if values of trials that have not ended, or were stopped, are of a sample of the users."""
    sizes = {row.record.summary.sampled_users for row in board.rows if row.record.summary is not None}
    for size in sizes - {None}:
        yield f"until the last evaluation of a fold, values are of {size:,} test users"


def best_of_classes(board: Leaderboard) -> dict[str, Row]:
    """Return the best trial of the search of each class of models, by the class's short name."""
    found: dict[str, Row] = {}
    for row in board.rows:
        if row.rank is not None and row.record.name is None and not row.breaks:
            found.setdefault(short_name(row.record.params.get("cls", "?")), row)
    return found


def _named(board: Leaderboard, row: Row) -> str:
    value = number(row.metrics[board.objective])
    return f"trial {row.record.number} {row.record.label}, {board.objective} {value}"
