"""Says in lines which trials are best: of all, of the search, and of each family of models."""

from __future__ import annotations

from collections.abc import Iterator

from tuner.formatting import number
from tuner.reporting.leaderboard import Leaderboard, Row

__all__ = ["best_lines"]


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
    yield from _families(board, shown={id(best), id(searched)})


def _families(board: Leaderboard, shown: set[int]) -> Iterator[str]:
    """Yield a line for each class of searched models whose best trial is not shown."""
    classes = [
        str(row.record.params["cls"]).rsplit(".", 1)[-1]
        for row in board.rows
        if row.rank is not None and row.record.name is None and "cls" in row.record.params
    ]
    for name in dict.fromkeys(classes):
        row = board.best_of(name)
        if row is not None and id(row) not in shown:
            yield f"best {name}: {_named(board, row)}"


def _named(board: Leaderboard, row: Row) -> str:
    value = number(row.metrics[board.objective])
    return f"trial {row.record.number} {row.record.label}, {board.objective} {value}"
