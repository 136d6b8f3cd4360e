"""What data and folds can hardly be meant: refused or told with the cause, before anything is spent."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tuner.config import Data, Folds, Metric
from tuner.data.reading import Coded, counts_of, present
from tuner.errors import DataError, Problem

__all__ = ["catalogue_warnings", "holdout_text", "holdout_warnings", "refuse_one_item", "refuse_short_data"]

#: Share of the users below which a holdout says little.
_FEW = 0.01
_NANOSECONDS = {"D": 86_400 * 10**9, "H": 3_600 * 10**9}


def holdout_text(folds: Folds) -> str:
    """Return the size of the holdout as text. It is recorded in the store, so its words must not change."""
    if folds.splitter is not None:
        last = f"{folds.holdout} folds" if folds.holdout > 1 else "fold"
        return f"the last {last} of {folds.splitter.use}"
    if folds.split == "time_range":
        size = str(folds.size)
        unit = "days" if size.endswith("D") else "hours"
        return f"the newest {int(size[:-1]) * folds.holdout} {unit}"
    if folds.split == "last_n":
        number = int(folds.size) * folds.holdout
        return f"the newest {f'{number} interactions' if number > 1 else 'interaction'} of each user"
    return f"{float(folds.size) * folds.holdout:.0%} of all interactions"


def refuse_one_item(rows: Coded, data: Data) -> None:
    """Refuse interactions that are all with one item.

    Raises
    ------
    DataError
        Saying which item it is.
    """
    if rows.n_items == 1:
        only = rows.item_ids[rows.items[0]]
        rule = f"must have two items or more, but all {len(rows):,} interactions are with {str(only)!r}"
        raise DataError(data.place, [Problem("data.columns.item", rule, "is another column the item?")])


def catalogue_warnings(rows: Coded, objective: Metric) -> Iterator[str]:
    """Yield what makes an objective of little use: there are so few items that a list has all of them."""
    n_items = rows.n_items
    if 0 < n_items <= objective.k:
        yield (
            f"{objective.label} looks at {objective.k} items, and the data have {n_items}: a list has all "
            "items, so models differ only in their order. Take a smaller number"
        )


def refuse_short_data(interactions: Coded | pd.DataFrame, data: Data, folds: Folds) -> None:
    """Refuse folds that leave no interaction to train on, before they are made.

    Raises
    ------
    DataError
        Saying whether the holdout or the folds take all, and what to do.
    """
    rows = Coded.of(interactions)
    if not len(rows) or folds.split == "random" or folds.splitter is not None:
        return
    if _takes_all(rows, folds, folds.holdout):
        rule = (
            f"must leave interactions to train on, but the holdout, {holdout_text(folds)}, has all "
            f"{len(rows):,} interactions ({_days(rows)})"
        )
        other = "last_n" if folds.split == "time_range" else "time_range"
        hint = f"take a smaller size, another split (`split: {other}`), or `holdout: 0`"
        raise DataError(data.place, [Problem("folds.holdout", rule, hint)])
    if _takes_all(rows, folds, folds.holdout + folds.n_folds):
        why = _short_time if folds.split == "time_range" else _short_histories
        rule = f"must leave interactions to train on in each fold, but {why(rows, folds)}"
        raise DataError(data.place, [Problem("folds.n_folds", rule, "take fewer folds, or a smaller size")])


def _takes_all(rows: Coded, folds: Folds, number: int) -> bool:
    """Tell whether the newest folds have all interactions."""
    if number == 0:
        return False
    if folds.split == "last_n":
        return _longest_history(rows) <= number * int(folds.size)
    return _oldest(rows).value >= _start(rows, folds, number)


def _longest_history(rows: Coded) -> int:
    return int(counts_of(rows.users, len(rows.user_ids)).max())


def _oldest(rows: Coded) -> pd.Timestamp:
    return pd.Timestamp(rows.times.min())


def _newest(rows: Coded) -> pd.Timestamp:
    return pd.Timestamp(rows.times.max())


def _start(rows: Coded, folds: Folds, number: int) -> int:
    """Return the beginning of the newest windows in nanoseconds since 1970; Python's integers have no end."""
    size = str(folds.size)
    unit = _NANOSECONDS[size[-1]]
    newest: int = _newest(rows).value
    return (newest // unit + 1 - number * int(size[:-1])) * unit


def _short_time(rows: Coded, folds: Folds) -> str:
    number = folds.n_folds + folds.holdout
    size = str(folds.size)
    days = int(size[:-1]) * number * _NANOSECONDS[size[-1]] / _NANOSECONDS["D"]
    span = (_newest(rows).value - _oldest(rows).value) / _NANOSECONDS["D"]
    return (
        f"{folds.n_folds:,} folds and {folds.holdout} for the holdout of {size} are {days:,.1f} days, and "
        f"the data have {span:,.1f} ({_days(rows)})"
    )


def _short_histories(rows: Coded, folds: Folds) -> str:
    number = (folds.n_folds + folds.holdout) * int(folds.size)
    return (
        f"{folds.n_folds:,} folds and {folds.holdout} for the holdout take the newest {number:,} "
        f"interactions of each user, and no user has more than {_longest_history(rows):,}"
    )


def _days(rows: Coded) -> str:
    return f"{_oldest(rows):%Y-%m-%d} to {_newest(rows):%Y-%m-%d}"


def holdout_warnings(interactions: Coded | pd.DataFrame, folds: Folds) -> Iterator[str]:
    """Yield what makes a holdout of little use: it has few users."""
    rows = Coded.of(interactions)
    if folds.holdout == 0 or folds.splitter is not None or not len(rows):
        return
    if folds.split != "random" and _takes_all(rows, folds, folds.holdout):
        return
    counts = counts_of(rows.users, len(rows.user_ids))
    counts = counts[counts > 0]
    text, n_users, cure = _holdout_users(rows, counts, folds)
    if n_users == 1 or n_users < _FEW * len(counts):
        yield f"{text} {n_users:,} of {len(counts):,} users: a judgement on it says little. {cure}"


def _holdout_users(rows: Coded, counts: NDArray[np.int64], folds: Folds) -> tuple[str, int, str]:
    """Return what a holdout is, the number of its users, and how to have more of them."""
    if folds.split == "time_range":
        start = pd.Timestamp(_start(rows, folds, folds.holdout))
        held = np.flatnonzero(rows.times >= start.to_datetime64())
        dates = f"{start:%Y-%m-%d} to {_newest(rows):%Y-%m-%d}"
        text = f"the holdout ({dates}) has {len(held):,} of {len(rows):,} interactions, and"
        cure = "Take a larger `folds.size`, or drop rows with wrong times"
        return text, int(present(rows.users[held], len(rows.user_ids)).sum()), cure
    if folds.split == "last_n":
        size = int(folds.size) * folds.holdout
        text = f"the holdout ({holdout_text(folds)}) leaves interactions to train on for"
        cure = "Take a smaller `folds.size`, or a `time_range` split"
        return text, int((counts > size).sum()), cure
    share = float(folds.size) * folds.holdout
    expected = round(float((1 - (1 - share) ** counts).sum()))
    text = f"the holdout ({round(share * len(rows)):,} of {len(rows):,} interactions) has about"
    return text, expected, "Take a larger `folds.size`"
