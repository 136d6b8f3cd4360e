"""Brings the ids of several files to one type, so that the same id is the same one in each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa

from .ids import WrongIdsError, is_missing, spelled_rows, whole

__all__ = ["alike"]

Columns = list[pa.ChunkedArray]


def alike(columns: Sequence[pa.ChunkedArray], places: Sequence[str]) -> Columns:
    """Return columns of ids with one type: numbers if all hold numbers, else text as one file would have it.

    Parameters
    ----------
    columns
        The same column of several files.
    places
        The files, for people.

    Raises
    ------
    WrongIdsError
        If values of one cannot be ids.
    """
    plain = [_without_categories(column) for column in columns]
    if not all(_is_number(column.type) for column in plain):
        return _each(spelled_rows, columns, places)
    numbers = _each(_without_floats, plain, places)
    try:
        return [column.cast(pa.int64()) for column in numbers]
    except pa.ArrowInvalid:  # fractions, or more than 64 bits
        scales = [column.type.scale for column in numbers if pa.types.is_decimal(column.type)]
        return [column.cast(pa.decimal256(76, max([0, *scales]))) for column in numbers]


def _each(
    bring: Callable[[pa.ChunkedArray], pa.ChunkedArray],
    columns: Sequence[pa.ChunkedArray],
    places: Sequence[str],
) -> Columns:
    found = []
    for column, place in zip(columns, places, strict=True):
        try:
            found.append(bring(column))
        except WrongIdsError as error:
            raise WrongIdsError(f"{error} in {place}", error.cure) from error
    return found


def _is_number(kind: pa.DataType) -> bool:
    """Tell whether all values are numbers; a column without values may have no type."""
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    return any(test(kind) for test in tests)


def _without_categories(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_dictionary(kind) and _is_number(kind.value_type):
        return column.cast(kind.value_type)
    return column


def _without_floats(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return floats as integers, and other columns as they are."""
    if not pa.types.is_floating(column.type):
        return column
    missing = is_missing(column)
    numbers = column.cast(pa.float64()).to_numpy()
    numbers = numbers.copy()
    numbers[missing] = 0
    return pa.chunked_array([pa.array(whole(numbers, column.type), mask=missing)])
