"""Finds a trial on a leaderboard, as a person names it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuner.errors import Problem, StoreError, did_you_mean
from tuner.errors.caller import argument
from tuner.trials.families import is_of

if TYPE_CHECKING:
    from tuner.reporting.leaderboard import Leaderboard
    from tuner.reporting.row import Row

__all__ = ["BEST", "find_row"]

#: Asks for the best trial, or with a colon and a family for the best one of it.
BEST = "best"


def find_row(board: Leaderboard, which: str, asked: str | None = None) -> Row:
    """Return the row of a trial: by number, baseline name, ``best``, or ``best:`` and a family.

    See `Leaderboard.best_of` for families. `asked` is the name of the argument in messages.

    Raises
    ------
    StoreError
        If there is no such row.
    """
    asked = asked or argument("TRIAL", "trial")
    what, colon, family = which.partition(":")
    if what == BEST and bool(colon) == bool(family):
        return _best(board, family, asked)
    for row in board.rows:
        if which in {str(row.record.number), row.record.name}:
            return row
    names = [row.record.name for row in board.rows if row.record.name]
    rule = f"must be a trial's number, a baseline's name, best or best:FAMILY, but got {which!r}"
    hint = (
        did_you_mean(which, [*names, "best"])
        if not which.isdigit()
        else f"there are {len(board.rows)} trials, from 0"
    )
    raise StoreError(board.study, [Problem(asked, rule, hint)])


def _best(board: Leaderboard, family: str, asked: str) -> Row:
    """Return the best row, of a family if it is not empty."""
    row = board.best_of(family) if family else board.best
    if row is not None:
        return row
    complete = [one for one in board.rows if one.rank is not None]
    hint = None
    if not complete:
        none = "no trial is complete"
    elif family and not is_of(family, board.families):
        none = f"no complete trial is of the family {family!r}"
        hint = did_you_mean(family, board.families)
    else:
        none = f"no complete trial{f' of the family {family!r}' * bool(family)} satisfies all constraints"
    raise StoreError(board.study, [Problem(asked, f"must be a trial, but {none}", hint)])
