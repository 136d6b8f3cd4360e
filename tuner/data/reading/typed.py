"""Reads files whose values have types: Parquet, Feather and JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from math import isnan
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
from pyarrow import feather, parquet

from .ids import EXACT, WrongIdsError, whole
from .troubles import TableError, shown

__all__ = ["read_feather", "read_json_lines", "read_parquet"]

#: Integers below which floats hold each of them.
_EXACT = EXACT[pa.float64()]

Columns = dict[str, pa.ChunkedArray]


def read_parquet(
    stream: pa.NativeFile, wanted: Sequence[str] | None, packed: Collection[str] = ()
) -> tuple[Columns, tuple[str, ...]]:
    """Read columns of a Parquet file, and the names of all.

    Parameters
    ----------
    stream
        The file.
    wanted
        Names of columns; None for all.
    packed
        Columns whose values repeat: of text, each value is then held once.
    """
    schema = parquet.read_schema(stream)
    names = tuple(schema.names)
    asked = _asked(names, wanted)
    stream.seek(0)
    texts = [name for name in asked if name in packed and _is_text(schema.field(name).type)]
    file = parquet.ParquetFile(stream, read_dictionary=texts)
    table = file.read(columns=[name for name in asked if not pa.types.is_nested(schema.field(name).type)])
    nested = [name for name in asked if pa.types.is_nested(schema.field(name).type)]
    columns = {name: table.column(name) for name in asked if name not in nested}
    table.validate(full=True)  # a broken file may crash whoever reads its values
    n_rows = file.metadata.num_rows
    for name in nested:  # they are refused by their type, so they are not read
        columns[name] = pa.chunked_array([pa.nulls(n_rows, schema.field(name).type)])
    return {name: columns[name] for name in asked}, names


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def read_feather(stream: pa.NativeFile, wanted: Sequence[str] | None) -> tuple[Columns, tuple[str, ...]]:
    """Read columns of a Feather file, and the names of all."""
    table = feather.read_table(stream)
    table.validate(full=True)  # as above
    names = tuple(table.column_names)
    return {name: _without_nested(table.column(name)) for name in _asked(names, wanted)}, names


def _without_nested(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column, or nulls of its type if its values are nested: they are refused by their type."""
    if not pa.types.is_nested(column.type):
        return column
    return pa.chunked_array([pa.nulls(len(column), column.type)])


def _asked(names: tuple[str, ...], wanted: Sequence[str] | None) -> list[str]:
    asked = list(names) if wanted is None else [name for name in dict.fromkeys(wanted) if name in names]
    for name in asked:
        if names.count(name) > 1:
            raise TableError(f"must name each column once, but {name!r} is named {names.count(name)} times")
    return asked


def read_json_lines(
    stream: pa.NativeFile, wanted: Sequence[str] | None, packed: Collection[str] = ()
) -> tuple[Columns, tuple[str, ...]]:
    """Read keys of the objects that a file has one a line, or of a list of objects.

    Those in `packed` are ids: a whole number beside text is spelled as an integer.
    """
    rows = _objects(stream.read().decode("utf-8-sig"))
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    asked = names if wanted is None else tuple(name for name in wanted if name in names)
    columns = {}
    for name in asked:
        try:
            columns[name] = _column([row.get(name) for row in rows], ids=name in packed)
        except WrongIdsError as error:
            raise TableError(f"{error} in {name!r}", error.cure) from error
    return columns, names


def _objects(text: str) -> list[dict[str, Any]]:
    if text.lstrip().startswith("["):
        lines = [(0, row) for row in _listed(text)]
    else:
        lines = []
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                lines.append((number, _parsed(number, line)))
    for number, row in lines:
        if not isinstance(row, dict):
            raise TableError(f"each line must hold an object, but line {number} holds {shown(str(row))}")
    return [row for _, row in lines]


def _listed(text: str) -> list[Any]:
    try:
        rows: list[Any] = json.loads(text)
    except RecursionError as error:
        rule = f"must be a list of objects, but lists in it are nested too deeply: {shown(text.strip())}"
        raise TableError(rule, "write one object a row, with one value a key") from error
    return rows


def _parsed(number: int, line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        rule = f"each line must be JSON, but line {number} is not: {shown(line.strip())}"
        raise TableError(rule) from error


def _column(values: list[Any], *, ids: bool) -> pa.ChunkedArray:
    """Return values with their type; those of several types as text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {dict}:
        names = dict.fromkeys(str(name) for value in values if value is not None for name in value)
        fields = pa.struct([(name, pa.string()) for name in names])
        return pa.chunked_array([pa.nulls(len(values), fields)])
    if kinds & {list, dict}:
        return pa.chunked_array([pa.nulls(len(values), pa.list_(pa.string()))])
    readers: list[tuple[set[type], Callable[[], pa.Array]]] = [
        ({int}, lambda: pa.array(values, pa.int64())),
        ({int}, lambda: pa.array([None if v is None else str(v) for v in values], pa.string())),
        ({int, float}, lambda: pa.array([None if v is None else float(v) for v in values], pa.float64())),
        ({bool}, lambda: pa.array(values, pa.bool_())),
    ]
    if kinds == {int, float}:
        values = _exact(values)
        kinds = {type(value) for value in values if value is not None}
    for known, read in readers:
        if kinds <= known:
            try:
                return pa.chunked_array([read()])
            except (OverflowError, pa.ArrowInvalid):
                continue
    if ids:
        values = _without_floats(values)
    texts = [None if v is None else v if isinstance(v, str) else json.dumps(v) for v in values]
    return pa.chunked_array([pa.array(texts, pa.string())])


def _without_floats(values: list[Any]) -> list[Any]:
    """Return ids of several types with integers for floats, and nothing for nan."""
    floats = [value for value in values if isinstance(value, float) and not isnan(value)]
    integers = iter(whole(np.array(floats, dtype=np.float64), pa.float64()).tolist())
    return [
        value if not isinstance(value, float) else None if isnan(value) else next(integers)
        for value in values
    ]


def _exact(values: list[Any]) -> list[Any]:
    """Return numbers as integers if floats would change some, and each float is an integer for certain."""
    changed = any(isinstance(value, int) and abs(value) >= _EXACT for value in values)
    floats = [value for value in values if isinstance(value, float)]
    if not changed or not all(value.is_integer() and abs(value) < _EXACT for value in floats):
        return values
    return [int(value) if isinstance(value, float) else value for value in values]
