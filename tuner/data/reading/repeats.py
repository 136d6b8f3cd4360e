"""Finds rows that repeat a user, item and time, by the hash of each row that is in the fingerprint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .coded import ITEM, TIME, USER, Coded
from .equal import equal_later
from .threads import at_once

__all__ = ["event_hashes", "repeated", "row_hashes"]

Hashes = NDArray[np.uint64]

#: Rows that are hashed at once: the arrays of one step stay in the processor's cache.
_AT_ONCE = 1 << 15
#: pandas' constants for a table of four columns: the beginning, the factor after each column, the end.
_BEGIN, _END = np.uint64(0x345678), np.uint64(97531)
_FACTORS = np.array([1000003, 1082531, 1165057, 1247581], dtype=np.uint64)


def event_hashes(table: Coded) -> Hashes:
    """Return a hash of the user, item and time of each row, shape (n_rows,); equal rows have equal ones."""
    users = pd.util.hash_array(table.user_ids, categorize=False)
    items = pd.util.hash_array(table.item_ids, categorize=False)
    users ^= _BEGIN
    users *= _FACTORS[0]
    hashes = np.empty(len(table), dtype=np.uint64)

    def fill(parts: Iterable[slice]) -> None:
        for part in parts:
            made = users.take(table.users[part])
            made ^= items.take(table.items[part])
            made *= _FACTORS[1]
            made ^= pd.util.hash_array(table.times[part])
            np.multiply(made, _FACTORS[2], out=hashes[part])

    parts = list(_parts(len(table)))
    at_once(lambda: fill(parts[::2]), lambda: fill(parts[1::2]))
    return hashes


def row_hashes(table: Coded, events: Hashes) -> Iterator[Hashes]:
    """Yield the hashes of some rows after the other, as `pandas.util.hash_pandas_object` makes them.

    The columns are user, item, datetime and weight.

    Parameters
    ----------
    table
        The rows.
    events
        Their `event_hashes`.
    """
    one = pd.util.hash_array(np.ones(1))
    for part in _parts(len(table)):
        weights = one if table.weights is None else pd.util.hash_array(table.weights[part])
        made = events[part] ^ weights
        made *= _FACTORS[3]
        made += _END
        yield made


def repeated(table: Coded, events: Hashes | None = None) -> NDArray[np.bool_]:
    """Mark the rows that have the user, item and time of an earlier row, shape (n_rows,).

    Parameters
    ----------
    table
        The rows.
    events
        Their `event_hashes`, if they are known.
    """
    mask = np.zeros(len(table), dtype=bool)
    earlier, last = equal_later(event_hashes(table) if events is None else events)
    if len(earlier):
        mask[earlier] = mask[last] = True
        rows = np.flatnonzero(mask)
        few = table.take(rows)
        frame: dict[str, Any] = {USER: few.users, ITEM: few.items, TIME: few.times}
        mask[rows] = pd.DataFrame(frame).duplicated().to_numpy()
    return mask


def _parts(n_rows: int) -> Iterator[slice]:
    return (slice(start, start + _AT_ONCE) for start in range(0, n_rows, _AT_ONCE))
