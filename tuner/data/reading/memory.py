"""Interactions that are given as an object: tables of pandas, polars and Arrow, and RecTools' Dataset."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from .files import Read
from .troubles import TableError, first_line
from .unpacked import unpacked

__all__ = ["read_object"]


def read_object(table: Any, wanted: Sequence[str]) -> Read:  # noqa: ANN401  # the object may be of any library
    """Return columns of a table in memory.

    Raises
    ------
    TableError
        If a column holds values of several types or is in the index, or there are no rows.
    """
    if hasattr(table, "get_raw_interactions"):
        table = table.get_raw_interactions()
    # In pandas a name may be a number, or anything else.
    named = table.schema.names if isinstance(table, (pa.Table, pa.RecordBatch)) else list(table.columns)
    names = tuple(map(str, named))
    known = dict(zip(names, named, strict=True))
    asked = [name for name in dict.fromkeys(wanted) if name in known]
    for name in asked:
        if names.count(name) > 1:
            raise TableError(f"must name each column once, but {name!r} is named {names.count(name)} times")
    _refuse_in_index(table, [name for name in wanted if name not in known])
    columns = {name: _unpacked(_column(table, name, known[name]), name) for name in asked}
    if columns and not len(next(iter(columns.values()))):
        raise TableError("must have rows, but has none")
    return Read(columns, names, written=False, kind="table")


def _unpacked(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    try:
        return unpacked({name: column})[name]
    except pa.ArrowException as error:
        rule = f"columns must hold text, numbers or times, but {name!r} holds {column.type}"
        raise TableError(f"{rule}: {first_line(error)}", "make it text, or numbers") from error


def _refuse_in_index(table: Any, missing: Sequence[str]) -> None:  # noqa: ANN401  # as above
    """Refuse a table of pandas that has a column as its index."""
    in_index = set(map(str, getattr(getattr(table, "index", None), "names", ())))
    found = [repr(name) for name in missing if name in in_index]
    if found:
        verb = "is" if len(found) == 1 else "are"
        rule = f"must have all as columns, but {', '.join(found)} {verb} in the index"
        raise TableError(rule, "reset_index() makes columns of them")


def _column(table: Any, name: str, known_as: Any) -> pa.ChunkedArray:  # noqa: ANN401  # as above
    if isinstance(table, (pa.Table, pa.RecordBatch)):
        column = table.column(name)
        return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    column = table[known_as]
    kind = str(column.dtype)
    if kind.startswith(("period", "interval")):  # Arrow would store the numbers behind them
        rule = f"columns must hold text, numbers or times, but {name!r} holds {kind}"
        raise TableError(rule, "dt.to_timestamp() makes times of periods, and astype(str) makes text")
    if kind == "Object":  # polars gives Arrow the addresses of such objects
        rule = f"columns must hold text, numbers or times, but {name!r} holds objects of Python"
        raise TableError(rule, "make it text, or numbers")
    try:
        if kind.startswith("Sparse"):
            column = column.sparse.to_dense()
        array = column.to_arrow() if hasattr(column, "to_arrow") else pa.array(column, from_pandas=True)
        if kind == "object" and (pa.types.is_date(array.type) or pa.types.is_timestamp(array.type)):
            _refuse_mixed_times(column, name)
    except TableError:
        raise
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise _mixed(column, name, error) from error
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _refuse_mixed_times(column: Any, name: str) -> None:  # noqa: ANN401  # as above
    """Refuse dates beside times, of which Arrow cuts the time of day, and times with and without a zone."""
    values = column.dropna()
    is_time = np.array([isinstance(value, (datetime, np.datetime64)) for value in values], dtype=bool)
    if is_time.any() and not is_time.all():
        raise _mixed(column, name, TypeError())
    zoned = np.array([getattr(value, "tzinfo", None) is not None for value in values], dtype=bool)
    if zoned.any() and not zoned.all():
        row = int(np.flatnonzero(column.notna().to_numpy())[np.flatnonzero(zoned)[0]])
        rule = (
            f"must name a time zone in all rows or in none, but {name!r} does in {int(zoned.sum()):,} of "
            f"{len(column):,} rows; the first is row {row + 1}: {column.iloc[row]}"
        )
        raise TableError(rule, "give all times a zone, or make all UTC without one")


def _mixed(column: Any, name: str, error: Exception) -> TableError:  # noqa: ANN401  # as above
    """Say which types a column mixes, or why Arrow cannot hold its values."""
    types = sorted({type(value).__name__ for value in column.dropna()} if column.dtype == object else ())
    if len(types) > 1:
        rule = f"columns must hold one type each, but {name!r} holds {', '.join(types)}"
        return TableError(rule, f"make it text in all rows: table[{name!r}].astype(str)")
    rule = (
        f"columns must hold text, numbers or times, but {name!r} holds {types[0] if types else column.dtype}"
    )
    return TableError(f"{rule}: {first_line(error)}", "make it text, or numbers")
