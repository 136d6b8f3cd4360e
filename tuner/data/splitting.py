"""Tells which fold tests each row, for all folds at once, and applies the filters of RecTools' splitters.

RecTools' splitters look at every row again for each fold. By time and by the last interactions of a user, a
row is tested in one fold at most and trained on in all later ones. So one number a row says everything:
rows are ordered and counted once, however many folds there are. Folds are equal to RecTools' own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rectools import Columns
from rectools.dataset import Interactions
from rectools.model_selection import TimeRangeSplitter
from scipy import sparse

from tuner.config import Folds
from tuner.data.reading import Coded, at_once, equal_later, present

__all__ = ["Split", "last_parts", "left_by_filters", "split_by_parts", "time_parts"]

Parts = NDArray[Any]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]

#: Part of the rows that are older than all folds.
BEFORE = -1
#: Folds that are few: see `time_parts`.
_FEW_FOLDS = 8
#: Rows that are worked on at once: their arrays stay in the processor's cache.
_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Split:
    """One fold of a split.

    Attributes
    ----------
    test
        Numbers of the test rows that the filters leave, in their order.
    facts
        Numbers of rows, users and items.
    unfiltered, cold_users, cold_items
        Numbers of test rows before the filters, of those whose user, and of those whose item has no train
        interactions.
    """

    test: Rows
    facts: dict[str, object]
    unfiltered: int
    cold_users: int
    cold_items: int


def time_parts(times: NDArray[np.datetime64], splitter: TimeRangeSplitter) -> tuple[Parts, list[Any]]:
    """Return the part of each row by time, and the borders of each fold."""
    last = {Columns.User: 0, Columns.Item: 0, Columns.Weight: 1.0, Columns.Datetime: times.max()}
    borders = splitter.get_test_fold_borders(Interactions(pd.DataFrame([last])))
    starts = np.array([start.to_datetime64() for start, _ in borders], dtype=times.dtype)
    parts = np.full(len(times), BEFORE, dtype=_small(len(borders)))
    if len(starts) <= _FEW_FOLDS:  # a look at all rows for each fold takes less than a search for each row
        numbers = times.view(np.int64)  # are compared twice as fast
        for first in range(0, len(times), _AT_ONCE):
            mine = slice(first, first + _AT_ONCE)
            for start in starts.view(np.int64):
                parts[mine] += numbers[mine] >= start
    else:
        late = np.flatnonzero(times >= starts[0])
        parts[late] = np.searchsorted(starts, times[late], side="right") - 1
    return parts, borders


def last_parts(rows: Coded, size: int, n_splits: int) -> Parts:
    """Return the part of each row by its place among the newest of its user.

    Of rows at one time, the last of the table counts as the newest.
    """
    order, starts = by_user_and_time(rows)
    ends = np.repeat(starts[1:], np.diff(starts))
    behind = ends - 1 - np.arange(len(order))  # newer rows of the same user
    parts = np.empty(len(order), dtype=_small(n_splits))
    parts[order] = np.maximum(n_splits - 1 - behind // size, BEFORE)
    return parts


def by_user_and_time(rows: Coded) -> tuple[Rows, Rows]:
    """Return the numbers of the rows by user and then by time, and where each user begins.

    Rows of a user at one time stay in the order of the table.
    """
    n_rows, times = len(rows), rows.times.view(np.int64)
    in_time = None if (times[1:] >= times[:-1]).all() else np.argsort(times, kind="stable")
    users = rows.users if in_time is None else rows.users[in_time]
    shape = (len(rows.user_ids), n_rows)
    grouped = sparse.coo_matrix((np.ones(n_rows, dtype=np.int8), (users, np.arange(n_rows))), shape).tocsr()
    order = grouped.indices if in_time is None else in_time[grouped.indices]
    return order.astype(np.int64, copy=False), grouped.indptr.astype(np.int64, copy=False)


def split_by_parts(rows: Coded, parts: Parts, folds: Folds) -> list[Split]:
    """Return all folds of a split, oldest first.

    Parameters
    ----------
    rows
        The interactions.
    parts
        The fold that tests each row, or `BEFORE`; shape (n_rows,).
    folds
        The number of folds, and the filters.
    """
    n_splits = folds.n_folds
    tested = np.flatnonzero(parts >= 0)
    tested = tested[np.argsort(parts[tested], kind="stable")]
    part = parts[tested]
    borders = np.searchsorted(part, np.arange(n_splits + 1))
    older = parts < 0
    (users, items), viewed = at_once(
        lambda: (
            _first_parts(rows.users, len(rows.user_ids), tested, part, older),
            _first_parts(rows.items, len(rows.item_ids), tested, part, older),
        ),
        lambda: _viewed(rows, tested, part, older) if folds.filter_viewed else None,
    )
    cold_user, cold_item = users[rows.users[tested]] >= part, items[rows.items[tested]] >= part
    keep = np.ones(len(tested), dtype=bool) if viewed is None else ~viewed
    if folds.filter_cold_users:
        keep &= ~cold_user
    if folds.filter_cold_items:
        keep &= ~cold_item
    n_older, users, items = int(older.sum()), np.sort(users), np.sort(items)
    made = []
    for number in range(n_splits):
        mine = slice(borders[number], borders[number + 1])
        test = tested[mine][keep[mine]]
        facts: dict[str, object] = {
            "train": n_older + int(borders[number]),
            "train_users": int(np.searchsorted(users, number)),
            "train_items": int(np.searchsorted(items, number)),
            **_test_facts(rows, test),
        }
        n_rows = int(borders[number + 1] - borders[number])
        made.append(Split(test, facts, n_rows, int(cold_user[mine].sum()), int(cold_item[mine].sum())))
    return made


def _test_facts(rows: Coded, test: Rows) -> dict[str, object]:
    """Return the numbers of test rows, and of their users and items."""
    return {
        "test": len(test),
        "test_users": int(present(rows.users[test], len(rows.user_ids)).sum()),
        "test_items": int(present(rows.items[test], len(rows.item_ids)).sum()),
    }


def _small(n_splits: int) -> type[np.signedinteger[Any]]:
    """Return the smallest type of a part."""
    return next(kind for kind in (np.int8, np.int16, np.int32) if n_splits < np.iinfo(kind).max)


def _first_parts(codes: NDArray[np.int32], n_ids: int, tested: Rows, part: Parts, older: Mask) -> Parts:
    """Return the part of the oldest row of each id, shape (n_ids,); the largest number without rows."""
    first: Parts = np.full(n_ids, np.iinfo(part.dtype).max, dtype=part.dtype)
    first[codes[tested][::-1]] = part[::-1]  # by part, so the oldest is written last
    for start in range(0, len(codes), _AT_ONCE):
        mine = slice(start, start + _AT_ONCE)
        first[codes[mine][older[mine]]] = BEFORE
    return first


def _viewed(rows: Coded, tested: Rows, part: Parts, older: Mask) -> Mask:
    """Mark the test rows whose user had the same item in an earlier part."""
    pairs = _pairs(rows, tested)
    before = _older_pairs(rows, pairs, older)
    parts = np.concatenate([part[::-1], np.full(len(before), BEFORE, dtype=part.dtype)])  # the newest first
    newer, oldest = equal_later(np.concatenate([pairs[::-1], before]))
    viewed = np.zeros(len(parts), dtype=bool)
    viewed[newer] = parts.take(newer) > parts.take(oldest)
    return viewed[: len(pairs)][::-1]


def _older_pairs(rows: Coded, pairs: Rows, older: Mask) -> Rows:
    """Return those pairs of the rows before all folds that test rows may have too.

    A table of flags by the lowest bits of a pair leaves out nearly all others.
    """
    size = max(1 << 16, min(1 << 26, 8 * len(pairs)))
    low = (1 << (size - 1).bit_length()) - 1
    flags = np.zeros(low + 1, dtype=bool)
    flags[pairs & low] = True
    n_items, lowest_bits = np.int32(len(rows.item_ids)), np.int32(low)

    def near(starts: range) -> list[Rows]:
        found = []
        for start in starts:
            mine = slice(start, start + _AT_ONCE)
            lowest = rows.users[mine] * n_items  # the highest bits are lost, the lowest are right
            lowest += rows.items[mine]
            lowest &= lowest_bits
            hit = flags.take(lowest)
            hit &= older[mine]
            found.append(_pairs(rows, start + np.flatnonzero(hit)))
        return found

    starts = range(0, len(rows), _AT_ONCE)
    found, others = at_once(lambda: near(starts[::2]), lambda: near(starts[1::2]))
    return np.concatenate([np.zeros(0, dtype=np.int64), *found, *others])


def _pairs(rows: Coded, which: Rows | slice) -> Rows:
    """Return user and item of rows as one number each."""
    return rows.users[which].astype(np.int64) * len(rows.item_ids) + rows.items[which]


def left_by_filters(rows: Coded, train: Coded, folds: Folds) -> Mask:
    """Mark the rows that the filters leave, for one fold whose train rows are another table.

    The tables have the same numbers of ids.
    """
    keep = np.ones(len(rows), dtype=bool)
    if folds.filter_cold_users:
        keep &= present(train.users, len(train.user_ids))[rows.users]
    if folds.filter_cold_items:
        keep &= present(train.items, len(train.item_ids))[rows.items]
    if folds.filter_viewed:
        pairs = _pairs(rows, slice(None))
        older = _older_pairs(train, pairs, np.ones(len(train), dtype=bool))
        keep &= ~np.isin(pairs, older)
    return keep
