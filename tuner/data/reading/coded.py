"""Interactions as numbers: each id is kept once, and a row holds 4 bytes for its user and 4 for its item."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .threads import at_once

__all__ = [
    "ITEM",
    "TIME",
    "USER",
    "WEIGHT",
    "Coded",
    "Codes",
    "Ids",
    "by_appearance",
    "counts_of",
    "numbered",
    "present",
]

#: RecTools' names of the columns.
USER, ITEM, TIME, WEIGHT = "user_id", "item_id", "datetime", "weight"

Codes = NDArray[np.int32]
Ids = NDArray[Any]
Rows = NDArray[Any]

#: Rows that are worked on at once: their arrays stay in the processor's cache.
_AT_ONCE = 1 << 16


@dataclass(frozen=True, eq=False)
class Coded:
    """Interactions of which each row has the number of its user and of its item.

    Attributes
    ----------
    users, items
        Numbers of the ids, shape (n_rows,).
    user_ids, item_ids
        The ids by number, each once: int64, or text as objects. No row may have some of them.
    times
        In UTC, in nanoseconds, shape (n_rows,).
    weights
        Shape (n_rows,); None if all are 1.
    extras
        Further columns by name, each of shape (n_rows,).
    """

    users: Codes
    items: Codes
    user_ids: Ids
    item_ids: Ids
    times: NDArray[np.datetime64]
    weights: NDArray[np.float64] | None = None
    extras: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.users)

    @property
    def n_users(self) -> int:
        """Number of users who have rows."""
        return int(present(self.users, len(self.user_ids)).sum())

    @property
    def n_items(self) -> int:
        """Number of items that have rows."""
        return int(present(self.items, len(self.item_ids)).sum())

    @classmethod
    def of(cls, table: pd.DataFrame | Coded) -> Coded:
        """Return a table with RecTools' columns as numbers."""
        if isinstance(table, Coded):
            return table
        users, user_ids = pd.factorize(table[USER].to_numpy())
        items, item_ids = pd.factorize(table[ITEM].to_numpy())
        times = table[TIME].to_numpy("datetime64[ns]")
        weights = table[WEIGHT].to_numpy(np.float64)
        return cls(
            users.astype(np.int32),
            items.astype(np.int32),
            user_ids,
            item_ids,
            times,
            None if (weights == 1).all() else weights,
            {
                name: table[name].to_numpy()
                for name in table.columns
                if name not in {USER, ITEM, TIME, WEIGHT}
            },
        )

    def take(self, rows: Rows | slice) -> Coded:
        """Return some rows, by a mask, a slice or their numbers. The numbers of the ids stay the same."""
        columns = [self.users, self.items, self.times, *self.extras.values()]
        columns += [] if self.weights is None else [self.weights]
        if isinstance(rows, slice):
            taken = [column[rows] for column in columns]
        elif rows.dtype == bool:
            taken = _marked(columns, rows)
        else:
            taken = [column.take(rows) for column in columns]
        users, items, times, *others = taken
        return replace(
            self,
            users=users,
            items=items,
            times=times,
            extras=dict(zip(self.extras, others, strict=False)),
            weights=None if self.weights is None else others[-1],
        )

    def all_weights(self) -> NDArray[np.float64]:
        """Return the weight of each row."""
        return np.ones(len(self)) if self.weights is None else self.weights

    def frame(self) -> pd.DataFrame:
        """Return the rows with their ids, as a table with RecTools' columns."""
        columns = {
            USER: self.user_ids.take(self.users),
            ITEM: self.item_ids.take(self.items),
            TIME: self.times,
            WEIGHT: self.all_weights(),
            **self.extras,
        }
        return pd.DataFrame(columns, copy=False)


def _marked(columns: Sequence[NDArray[Any]], mask: NDArray[np.bool_]) -> list[NDArray[Any]]:
    """Return the marked rows of columns. Two threads copy blocks of rows."""
    starts = range(0, len(mask), _AT_ONCE)
    counts = [np.count_nonzero(mask[start : start + _AT_ONCE]) for start in starts]
    ends = list(accumulate(counts, initial=0))
    made = [np.empty(ends[-1], dtype=column.dtype) for column in columns]

    def copy(blocks: Iterable[int]) -> None:
        for block in blocks:
            mine = slice(starts[block], starts[block] + _AT_ONCE)
            there = slice(ends[block], ends[block + 1])
            rows = np.flatnonzero(mask[mine])
            for column, target in zip(columns, made, strict=True):
                column[mine].take(rows, out=target[there], mode="clip")

    blocks = range(len(starts))
    at_once(lambda: copy(blocks[::2]), lambda: copy(blocks[1::2]))
    return made


def present(codes: Codes, n_ids: int) -> NDArray[np.bool_]:
    """Mark the ids that rows have, shape (n_ids,)."""
    found = np.zeros(n_ids, dtype=bool)
    found[codes] = True
    return found


def counts_of(codes: Codes, n_ids: int) -> NDArray[np.int64]:
    """Count the rows of each id, shape (n_ids,)."""
    counts = np.zeros(n_ids, dtype=np.int64)
    at_once = max(_AT_ONCE, n_ids)
    for start in range(0, len(codes), at_once):  # `bincount` makes 8 bytes of each number
        counts += np.bincount(codes[start : start + at_once], minlength=n_ids)
    return counts


def by_appearance(codes: Codes, n_ids: int) -> NDArray[np.int64]:
    """Return the numbers of the ids that rows have, in the order in which they first appear."""
    n_rows = len(codes)
    first = np.full(n_ids, n_rows, dtype=np.int32)
    for stop in (_AT_ONCE, n_rows):  # often all ids are in the first rows
        head = codes[:stop]
        first[head[::-1]] = np.arange(len(head) - 1, -1, -1, dtype=np.int32)  # what is written last stays
        n_found = int(np.count_nonzero(first < n_rows))
        if n_found == n_ids:
            break
    return np.argsort(first)[:n_found]


def numbered(order: NDArray[np.int64], n_ids: int, kind: type[np.signedinteger[Any]]) -> NDArray[Any]:
    """Return the new number of each old one, shape (n_ids,), for numbers in a new order."""
    numbers = np.zeros(n_ids, dtype=kind)
    numbers[order] = np.arange(len(order), dtype=kind)
    return numbers
