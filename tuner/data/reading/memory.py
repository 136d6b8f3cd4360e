"""Interactions that are given as an object: tables of pandas, polars and Arrow, and RecTools' Dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from .files import Read
from .troubles import TableError, first_line

__all__ = ["read_object"]


def read_object(table: Any, wanted: Sequence[str]) -> Read:  # noqa: ANN401  # the object may be of any library
    """Return columns of a table in memory.

    Raises
    ------
    TableError
        If it is no table, or a column holds values of several types.
    """
    if hasattr(table, "get_raw_interactions"):
        table = table.get_raw_interactions()
    names = tuple(str(name) for name in getattr(table, "columns", ()))
    if isinstance(table, (pa.Table, pa.RecordBatch)):
        names = tuple(table.schema.names)
    asked = [name for name in dict.fromkeys(wanted) if name in names]
    for name in asked:
        if names.count(name) > 1:
            raise TableError(f"must name each column once, but {name!r} is named {names.count(name)} times")
    columns = {name: _column(table, name) for name in asked}
    if columns and not len(next(iter(columns.values()))):
        raise TableError("must have rows, but has none")
    return Read(columns, names, written=False)


def _column(table: Any, name: str) -> pa.ChunkedArray:  # noqa: ANN401  # as above
    if isinstance(table, (pa.Table, pa.RecordBatch)):
        column = table.column(name)
        return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    try:
        column = table[name]
        array = column.to_arrow() if hasattr(column, "to_arrow") else pa.array(column, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        rule = f"columns must hold one type each, but {name!r} does not: {first_line(error)}"
        raise TableError(rule, "make ids text, or integers") from error
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
