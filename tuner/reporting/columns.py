"""Chooses the columns of a leaderboard: those that a person names, or those that fit a terminal."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tuner.errors import Problem, StoreError, did_you_mean
from tuner.errors.caller import argument
from tuner.formatting import cut, short
from tuner.reporting.distinguish import short_key
from tuner.reporting.leaderboard import Leaderboard
from tuner.space import Value

__all__ = ["DISTINGUISHES", "chosen", "fitting"]

Rows = list[list[str]]

#: Header of the last column.
DISTINGUISHES = "what distinguishes it"
#: Columns that stay however narrow the terminal is, besides the mean of the objective.
_KEPT = ("rank", "front", "trial", "model", "state", "holdout", DISTINGUISHES)
#: Columns that a narrow terminal drops after the metrics, the first one first.
_DROPPED = ("host", "fit", "params", "optimism", "epoch", "95 %", "fold", "std", "letters", "reached")
#: Columns of words, which may be cut; the others are numbers.
_TEXTS = ("model", "state", DISTINGUISHES)
#: Fewest characters to which names and states are cut.
_SHORTEST = 8
#: Least width of the last column, and the least share of the terminal that it gets.
_LEAST, _SHARE = 20, 5
#: Characters between columns, and most characters of a model's name.
_GAP, _MODEL = 2, 18


def chosen(
    board: Leaderboard, header: Sequence[str], rows: Rows, names: Sequence[str], whole: Leaderboard
) -> tuple[Rows, Rows]:
    """Return a table with the columns that a person named, in this order: [header], rows.

    Parameters
    ----------
    board
        The leaderboard.
    header, rows
        All columns.
    names
        Headers, in any case, and params. ``NDCG@10`` stands for ``NDCG@10 mean``, and ``differs`` for the
        last column.
    whole
        The leaderboard with all rows, whose params may be named.

    Raises
    ------
    StoreError
        If there is no such column or param.
    """
    known = {name.lower(): index for index, name in enumerate(header)}
    known |= {
        board.objective.lower(): list(header).index(f"{board.objective} mean"),
        "status": known["state"],
        "differs": len(header) - 1,
    }
    params = _params(whole)
    columns = []
    for name in names:
        if name.lower() in known:
            index = known[name.lower()]
            columns.append([header[index], *(row[index] for row in rows)])
        elif name in params:
            columns.append([name, *(_param(row.record.params, params[name]) for row in board.rows)])
        else:
            rule = f"must be columns or params, but got {name!r}"
            hint = did_you_mean(name, [*header, *params])
            raise StoreError(board.study, [Problem(argument("--columns"), rule, hint)])
    # A column that was named stays also without a value.
    columns = [column if any(column[1:]) else [column[0], *["-"] * len(rows)] for column in columns]
    first, *rest = (list(line) for line in zip(*columns, strict=True))
    return [first], rest


def _params(board: Leaderboard) -> dict[str, str]:
    """Return the key of each param, by its key and by its short key."""
    keys = dict.fromkeys(key for row in board.rows for key in row.record.params)
    return {short_key(key): key for key in keys} | {key: key for key in keys}


def _param(params: Mapping[str, Value], key: str) -> str:
    return short(params[key]) if key in params else ""


def fitting(header: Sequence[str], rows: Rows, width: int, objective: str) -> tuple[list[str], Rows]:
    """Return a table without the columns that a terminal has no room for.

    Metrics are dropped first. The columns that identify a trial, its state, its objective and what
    distinguishes it always stay. If they have no room either, names and states are shortened. In a terminal
    that is too narrow even for this, numbers stand before them, and the end of a line is cut.

    Parameters
    ----------
    header, rows
        All columns.
    width
        Width of the terminal, in characters.
    objective
        Header of the objective's mean.
    """
    rows = [
        [cut(cell, _MODEL) if name == "model" else cell for name, cell in zip(header, row, strict=True)]
        for row in rows
    ]
    shown, fits = _shown(header, rows, width, {*_KEPT, objective, "reached"})
    if not fits:
        rows = [[_compact(name, cell) for name, cell in zip(header, row, strict=True)] for row in rows]
        shown, fits = _shown(header, rows, width, {*_KEPT, objective})
    if not fits:
        rows, shown = _shortened(header, rows, width, shown)
    return [header[i] for i in shown], [[row[i] for i in shown] for row in rows]


def _shortened(header: Sequence[str], rows: Rows, width: int, shown: list[int]) -> tuple[Rows, list[int]]:
    """Return the rows with shortened texts, and the columns: numbers before texts if that is not enough."""
    texts = [i for i in shown if header[i] in _TEXTS]
    numbers = [i for i in shown if i not in texts]
    room = width - sum(max(len(line[i]) for line in [header, *rows]) + _GAP for i in numbers)
    most = max(_SHORTEST, room // len(texts) - _GAP)
    rows = [[cut(cell, most) if i in texts[:-1] else cell for i, cell in enumerate(row)] for row in rows]
    return rows, shown if most > _SHORTEST else numbers + texts


def _shown(header: Sequence[str], rows: Rows, width: int, kept: Collection[str]) -> tuple[list[int], bool]:
    """Return the columns that fit or have to be kept, and whether these fit."""
    widths = [max(len(line[i]) for line in [header, *rows]) for i in range(len(header))]
    shown = [i for i in range(len(header)) if any(row[i] for row in rows)] or list(range(len(header)))
    least = min(widths[-1], max(_LEAST, width // _SHARE))

    def fits() -> bool:
        return sum(widths[i] + _GAP for i in shown if i != len(header) - 1) + least <= width

    for index in sorted(
        (i for i in shown if header[i] not in kept), key=lambda i: (_when_dropped(header[i]), -i)
    ):
        if fits():
            break
        shown.remove(index)
    return shown, fits()


def _compact(name: str, cell: str) -> str:
    """Return a shorter form of a cell."""
    if name == "state":
        return cell.replace(" by halving", "").replace(" by race", "")
    if name == "reached":
        return cell.replace("fold ", "").replace(", epoch ", ":")
    return cell


def _when_dropped(name: str) -> int:
    kind = "fold" if name.startswith("fold ") else name
    return _DROPPED.index(kind) if kind in _DROPPED else -1
