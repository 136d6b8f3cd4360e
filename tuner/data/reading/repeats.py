"""Finds rows that repeat a user, item and time, by the hash of each row that is in the fingerprint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .coded import ITEM, TIME, USER, Coded
from .threads import at_once

__all__ = ["event_hashes", "last_equal", "repeated", "row_hashes"]

Hashes = NDArray[np.uint64]
Places = NDArray[np.int32]

#: Rows that are hashed at once: the arrays of one step stay in the processor's cache.
_AT_ONCE = 1 << 15
#: pandas' constants for a table of four columns: the beginning, the factor after each column, the end.
_BEGIN, _END = np.uint64(0x345678), np.uint64(97531)
_FACTORS = np.array([1000003, 1082531, 1165057, 1247581], dtype=np.uint64)
#: The hash of a number is the highest bits of its product with an odd factor; after a step the factor is
#: another one. (Arrays, because a product of numpy's numbers would warn that its higher bits are lost.)
_HASH_FACTOR, _HASH_STEP = np.array([[0x9E3779B97F4A7C15], [0x3C6EF372FE94F82A]], dtype=np.uint64)
#: Bits of a hash at most: its table then takes 128 MB.
_MOST_BITS = 25


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
    last = last_equal(event_hashes(table) if events is None else events)
    earlier = _not_at_own_place(last)
    if len(earlier):
        mask[earlier] = mask[last[earlier]] = True
        rows = np.flatnonzero(mask)
        few = table.take(rows)
        frame: dict[str, Any] = {USER: few.users, ITEM: few.items, TIME: few.times}
        mask[rows] = pd.DataFrame(frame).duplicated().to_numpy()
    return mask


def last_equal(keys: NDArray[Any]) -> Places:
    """Return for each number the place of the last one that is equal, shape (n_keys,).

    A hash table holds the place of the last number with each hash. The few numbers that find another number
    there are looked for again in a table of their own, with another hash.

    Parameters
    ----------
    keys
        Numbers of 64 bits, shape (n_keys,).
    """
    keys, factor = keys.view(np.uint64), _HASH_FACTOR
    last = _last_with_hash(keys, factor)
    left = _others(keys, last)
    while len(left):
        factor = factor + _HASH_STEP
        mine = keys.take(left)
        found = _last_with_hash(mine, factor)
        last[left] = left.take(found)
        left = left.take(_others(mine, found))
    return last


def _last_with_hash(keys: Hashes, factor: Hashes) -> Places:
    """Return for each number the place of the last one that has the same hash."""
    bits = min(_MOST_BITS, (2 * len(keys)).bit_length())
    shift = np.uint64(64 - bits)
    table = np.empty(1 << bits, dtype=np.int32)
    places = np.arange(len(keys), dtype=np.int32)
    for part in _parts(len(keys)):
        table[_hashes(keys[part], factor, shift)] = places[part]  # what is written last stays
    for part in _parts(len(keys)):
        table.take(_hashes(keys[part], factor, shift), out=places[part], mode="clip")
    return places


def _hashes(keys: Hashes, factor: Hashes, shift: np.uint64) -> NDArray[np.intp]:
    hashes = keys * factor
    hashes >>= shift
    return hashes.view(np.intp)


def _others(keys: Hashes, places: Places) -> Places:
    """Return the places of the numbers that are not equal to the one at their place in `places`."""
    elsewhere = _not_at_own_place(places)
    left: Places = elsewhere[keys.take(places.take(elsewhere)) != keys.take(elsewhere)]
    return left


def _not_at_own_place(places: Places) -> Places:
    """Return the places that hold another place than their own."""
    found = [np.zeros(0, dtype=places.dtype)]
    for part in _parts(len(places)):
        mine = places[part]
        own = np.arange(part.start, part.start + len(mine), dtype=mine.dtype)
        found.append(own[mine != own])
    return np.concatenate(found)


def _parts(n_rows: int) -> Iterator[slice]:
    return (slice(start, start + _AT_ONCE) for start in range(0, n_rows, _AT_ONCE))
