"""Finds equal numbers among many, by hash tables small enough for the processor's cache.

One table of all numbers would be larger than the cache, so that each look into it would wait for the memory.
The numbers are dealt into groups by a hash first; equal numbers are in one group. Two threads work at the
groups.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .threads import at_once

__all__ = ["equal_later"]

Numbers = NDArray[np.uint64]
Places = NDArray[np.int32]

#: The hash of a number is the highest bits of its product with an odd factor; after a step the factor is
#: another one. (Arrays, because a product of numpy's numbers would warn that its higher bits are lost.)
_FACTOR, _STEP = np.array([[0x9E3779B97F4A7C15], [0x3C6EF372FE94F82A]], dtype=np.uint64)
#: Numbers that are dealt at once.
_AT_ONCE = 1 << 17
#: Numbers of a group, about, and the bits that tell most groups apart.
_GROUP, _GROUP_BITS = 1 << 18, 8
#: Bits of a number, and of a hash at most: its table then takes 128 MB.
_BITS, _MOST_BITS = 64, 25


@dataclass(frozen=True)
class _Groups:
    """Numbers dealt into groups. Within a group they keep their order.

    Attributes
    ----------
    keys, places
        Blocks of `_AT_ONCE` numbers, each ordered by group, and the place of each before; shape (n_keys,).
    borders
        Where each group begins in each block, and where the last one ends; shape (n_blocks, n_groups + 1).
    """

    keys: Numbers
    places: Places
    borders: NDArray[np.int64]

    @property
    def largest(self) -> int:
        return int(np.diff(self.borders).sum(axis=0).max(initial=0))

    def of(self, number: int) -> tuple[Numbers, list[slice]]:
        """Return the numbers of a group, and the parts of `places` that hold theirs."""
        parts = [slice(first, last) for first, last in self.borders[:, number : number + 2].tolist()]
        return np.concatenate([self.keys[:0], *(self.keys[part] for part in parts)]), parts


def equal_later(keys: NDArray[Any]) -> tuple[Places, Places]:
    """Return the places of the numbers that have an equal one later, and the place of the last one equal.

    Parameters
    ----------
    keys
        Numbers of 64 bits, shape (n_keys,).

    Returns
    -------
    Both of shape (n_found,). The first has each place once, in no order.
    """
    groups = _dealt(keys.view(np.uint64))
    bits = min(_MOST_BITS, (2 * groups.largest).bit_length())

    def look(numbers: Iterable[int]) -> list[tuple[Places, Places]]:
        table, found = np.empty(1 << bits, dtype=np.int32), []
        for number in numbers:
            mine, parts = groups.of(number)
            earlier, last = _with_table(mine, table)
            if len(earlier):
                places = np.concatenate([groups.places[part] for part in parts])
                found.append((places.take(earlier), places.take(last)))
        return found

    numbers = range(groups.borders.shape[1] - 1)
    some, others = at_once(lambda: look(numbers[::2]), lambda: look(numbers[1::2]))
    none = np.zeros(0, dtype=np.int32)
    earlier, last = zip((none, none), *some, *others, strict=True)
    return np.concatenate(earlier), np.concatenate(last)


def _dealt(keys: Numbers) -> _Groups:
    """Deal numbers into groups by their hash."""
    n_bits = min(_GROUP_BITS, (len(keys) // _GROUP).bit_length())
    n_groups, shift, starts = 1 << n_bits, np.uint8(8 - n_bits), range(0, len(keys), _AT_ONCE)
    borders = np.zeros((len(starts), n_groups + 1), dtype=np.int64)
    borders += np.array(starts, dtype=np.int64)[:, None]
    dealt, places = np.empty(len(keys), dtype=np.uint64), np.empty(len(keys), dtype=np.int32)

    def deal(blocks: Iterable[int]) -> None:
        for block in blocks:
            mine = slice(starts[block], starts[block] + _AT_ONCE)
            group = _hashes(keys[mine], _FACTOR, 8).astype(np.uint8)
            group >>= shift
            order = group.argsort(kind="stable")
            keys[mine].take(order, out=dealt[mine], mode="clip")
            np.add(order, mine.start, out=places[mine], casting="unsafe")
            borders[block, 1:] += np.bincount(group, minlength=n_groups).cumsum()

    blocks = range(len(starts))
    at_once(lambda: deal(blocks[::2]), lambda: deal(blocks[1::2]))
    return _Groups(dealt, places, borders)


def _with_table(keys: Numbers, table: Places) -> tuple[Places, Places]:
    """Return what `equal_later` does. What is in `table` before does not matter.

    The table holds the place of the last number with each hash. The few numbers that find another number
    there are looked for again, with another hash.
    """
    factor = _FACTOR + _STEP
    last = _last_with_hash(keys, factor, table)
    own = np.arange(len(keys), dtype=np.int32)
    elsewhere = own[last != own]
    left = elsewhere[keys.take(last.take(elsewhere)) != keys.take(elsewhere)]
    while len(left):
        factor = factor + _STEP
        mine = keys.take(left)
        found = _last_with_hash(mine, factor, table)
        last[left] = left.take(found)
        left = left[mine.take(found) != mine]
    earlier = elsewhere[last.take(elsewhere) != elsewhere]
    return earlier, last.take(earlier)


def _last_with_hash(keys: Numbers, factor: Numbers, table: Places) -> Places:
    """Return for each number the place of the last one that has the same hash."""
    hashes = _hashes(keys, factor, len(table).bit_length() - 1).view(np.intp)
    table[hashes] = np.arange(len(keys), dtype=np.int32)  # what is written last stays
    return table.take(hashes, mode="clip")


def _hashes(keys: Numbers, factor: Numbers, n_bits: int) -> Numbers:
    hashes: Numbers = keys * factor
    hashes >>= np.uint64(_BITS - n_bits)
    return hashes
