"""The random draws of BERT4Rec's masking, for a whole batch at a time.

RecTools draws from NumPy's global generator, session by session: first one number for each position, then the
random items of that session. So all earlier draws decide which words of the Mersenne Twister a session gets.
This module reads the words of a whole batch at once and distributes them as NumPy would: two words make a
number, and a random item takes words until one is small enough.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["draw_masks", "draw_masks_at_once", "replacements"]

Array = npt.NDArray[Any]

#: Limits for the share of a hidden position. Below the first limit MASK replaces the item (80 %), below the
#: second a random item does (10 %). See Devlin et al., "BERT", https://arxiv.org/abs/1810.04805, section 3.1.
_MASK_BELOW, _RANDOM_BELOW = 0.8, 0.9
_WORD = 2**32


def replacements(numbers: Array, mask_prob: float) -> tuple[Array, Array]:
    """Return which positions become MASK, and which become a random item, by their numbers.

    Returns
    -------
    (is_mask, is_random)
        Booleans in the shape of `numbers`.
    """
    with np.errstate(divide="ignore", invalid="ignore"):  # with mask_prob 0 no position is hidden
        shares = numbers / mask_prob
    is_mask = (numbers < mask_prob) & (shares < _MASK_BELOW)
    return is_mask, (numbers < mask_prob) & ~is_mask & (shares < _RANDOM_BELOW)


def draw_masks(lengths: Array, mask_prob: float, low: int, high: int) -> tuple[Array, Array]:
    """Draw RecTools' numbers for the sessions of a batch. NumPy's generator ends in the same state too.

    Parameters
    ----------
    lengths : shape (n_sessions,)
        Number of positions of each session, at least 1.
    mask_prob
        Share of positions to hide.
    low, high
        Bounds of random items: `low` is included, `high` is not.

    Returns
    -------
    (numbers, items)
        Numbers in [0, 1) for all positions, one session after the other, shape (sum of lengths,). Then one
        item for each position that a random item replaces, in the same order.
    """
    before = np.random.get_state(legacy=False)  # noqa: NPY002  # the generator that RecTools draws from
    if before["bit_generator"] != "MT19937" or high - low > _WORD:  # NumPy then draws in another way
        return _draw_one_by_one(lengths, mask_prob, low, high)
    n_numbers = int(lengths.sum())
    # A tenth of the hidden positions get random items. An item takes less than two words on average.
    n_words = 2 * n_numbers + int(mask_prob * n_numbers / 4) + 64
    while True:
        words = np.random.randint(_WORD, size=n_words, dtype=np.uint32)  # noqa: NPY002  # as above
        np.random.set_state(before)  # noqa: NPY002  # as above
        try:
            numbers, items, n_used = _deal(words, lengths, mask_prob, low, high)
        except IndexError:  # this batch needs more words than usual
            n_words *= 2
            continue
        np.random.randint(_WORD, size=n_used, dtype=np.uint32)  # noqa: NPY002  # as above
        return numbers, items


def draw_masks_at_once(lengths: Array, mask_prob: float, low: int, high: int) -> tuple[Array, Array]:
    """Draw other numbers with the same distribution; see `draw_masks`."""
    numbers = np.random.random(int(lengths.sum()))  # noqa: NPY002  # the generator that RecTools seeds
    n_items = np.count_nonzero(replacements(numbers, mask_prob)[1])
    return numbers, np.random.randint(low, high, size=n_items)  # noqa: NPY002  # as above


def _deal(words: Array, lengths: Array, mask_prob: float, low: int, high: int) -> tuple[Array, Array, int]:
    """Return numbers, items and how many words they used. Raise IndexError if there are too few words."""
    hits = _random_positions(words, mask_prob)  # for each word; the loop below selects the real ones
    hit_lists = [hits[hits % 2 == offset].tolist() for offset in (0, 1)]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    start_list = starts.tolist()
    taken = np.zeros(len(lengths) + 1, dtype=np.int64)  # words that the items of the preceding session used
    items: list[int] = []
    session, shift = 0, 0
    while True:  # once for each session with random items
        begin = 2 * start_list[session] + shift
        mine = hit_lists[begin % 2]
        first = bisect_left(mine, begin)
        if first == len(mine) or (mine[first] - shift) // 2 >= start_list[-1]:
            break
        session = bisect_right(start_list, (mine[first] - shift) // 2)
        end = 2 * start_list[session] + shift
        n_items = bisect_left(mine, end, first) - first
        drawn, n_taken = _items(words, end, n_items, low, high)
        items += drawn
        taken[session] = n_taken
        shift += n_taken
        if session == len(lengths):
            break
    positions = 2 * np.arange(starts[-1]) + np.repeat(np.cumsum(taken[:-1]), lengths)
    return _numbers(words, positions), np.array(items, dtype=np.int64), 2 * start_list[-1] + shift


def _random_positions(words: Array, mask_prob: float) -> Array:
    """Return, in order, the words at which a number would start that requires a random item.

    A number differs by at most 2^-27 from the share of its first word. So only few words need an exact check.
    """
    lowest, highest = (int(share * mask_prob * _WORD) for share in (_MASK_BELOW, _RANDOM_BELOW))
    near = np.flatnonzero((words[:-1] >= max(lowest - 64, 0)) & (words[:-1] <= min(highest + 64, _WORD - 1)))
    return near[replacements(_numbers(words, near), mask_prob)[1]]


def _numbers(words: Array, positions: Array) -> Array:
    """Return the numbers in [0, 1) that start at some words. Each has 53 bits of two words.

    The formula is `genrand_res53` of Matsumoto and Nishimura's mt19937ar.c.
    """
    numbers: Array = ((words[positions] >> 5) * 67108864.0 + (words[positions + 1] >> 6)) / 9007199254740992.0
    return numbers


def _items(words: Array, start: int, n_items: int, low: int, high: int) -> tuple[list[int], int]:
    """Draw integers by masked rejection, as NumPy's legacy `randint`. Also return the count of words."""
    largest = high - 1 - low
    if largest == 0:
        return [low] * n_items, 0
    mask = (1 << largest.bit_length()) - 1
    items: list[int] = []
    position = start
    while len(items) < n_items:
        value = int(words[position]) & mask
        position += 1
        if value <= largest:
            items.append(low + value)
    return items, position - start


def _draw_one_by_one(lengths: Array, mask_prob: float, low: int, high: int) -> tuple[Array, Array]:
    numbers: list[Array] = []
    items: list[Array] = [np.empty(0, dtype=np.int64)]
    for length in lengths.tolist():
        numbers.append(np.random.rand(length))  # noqa: NPY002  # the generator that RecTools draws from
        n_items = np.count_nonzero(replacements(numbers[-1], mask_prob)[1])
        if n_items:
            items.append(np.random.randint(low, high, size=n_items))  # noqa: NPY002  # as above
    return np.concatenate(numbers), np.concatenate(items)
