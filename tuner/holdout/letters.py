"""Writes which rows the holdout tells apart as letters: rows share a letter where no test tells them apart.

Piepho, An Algorithm for a Letter-Based Representation of All-Pairwise Comparisons, 2004: it begins with one
letter for all rows. For each pair that a test parts, a letter that both have becomes two, each without one of
the pair. A letter whose rows all have another letter in common is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from string import ascii_letters

__all__ = ["letters"]

Rows = frozenset[int]


def letters_of_rows(n_rows: int, parted: Iterable[tuple[int, int]]) -> list[Rows]:
    """Return the rows of each letter. Two rows are together in one if and only if no test tells them apart.

    Parameters
    ----------
    n_rows
        Number of rows. They are numbered from 0.
    parted
        Pairs of rows that a test parts.
    """
    found: list[Rows] = [frozenset(range(n_rows))]
    for one, other in parted:
        both = [rows for rows in found if one in rows and other in rows]
        kept = [rows for rows in found if not (one in rows and other in rows)]
        split = [rows - {out} for rows in both for out in (one, other)]
        found = kept + [
            rows
            for at, rows in enumerate(split)
            if not any(rows <= wider for wider in kept) and not _is_within(rows, at, split)
        ]
    return sorted(found, key=sorted)


def _is_within(rows: Rows, at: int, others: list[Rows]) -> bool:
    """Return whether another set has all of these rows; of equal sets, the first one stays."""
    return any(rows < other or (rows == other and place < at) for place, other in enumerate(others))


def letters(n_rows: int, parted: Iterable[tuple[int, int]]) -> list[str]:
    """Return the letters of each row, such as ``ab``; see `letters_of_rows`."""
    names: list[list[str]] = [[] for _ in range(n_rows)]
    for place, rows in enumerate(letters_of_rows(n_rows, parted)):
        name = ascii_letters[place] if place < len(ascii_letters) else f"({place + 1})"
        for row in rows:
            names[row].append(name)
    return ["".join(found) for found in names]
