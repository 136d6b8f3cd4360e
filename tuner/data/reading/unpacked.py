"""Columns without the ways of packing that pyarrow cannot work on: views, and runs of equal values."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["unpacked"]


def unpacked(columns: dict[str, pa.ChunkedArray]) -> dict[str, pa.ChunkedArray]:
    """Return columns with text and bytes as such where they are views, and runs of values as values."""
    return {name: _column(column) for name, column in columns.items()}


def _column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = _kind(column.type)
    if kind == column.type:
        return column
    return pa.chunked_array([_array(chunk) for chunk in column.chunks], kind)


def _kind(kind: pa.DataType) -> pa.DataType:
    """Return the type that a column gets."""
    if pa.types.is_run_end_encoded(kind):
        kind = kind.value_type
        return _kind(kind.value_type if pa.types.is_dictionary(kind) else kind)
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _kind(kind.value_type), kind.ordered)
    if pa.types.is_string_view(kind):
        return pa.string()
    return pa.binary() if pa.types.is_binary_view(kind) else kind


def _array(array: pa.Array) -> pa.Array:
    kind = array.type
    if pa.types.is_run_end_encoded(kind):
        values = _array(array.values)
        values = values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
        runs = pa.RunEndEncodedArray.from_arrays(array.run_ends, values)
        return pc.run_end_decode(runs.slice(array.offset, len(array)))
    if pa.types.is_dictionary(kind):
        categories = _array(array.dictionary)
        return pa.DictionaryArray.from_arrays(array.indices, categories, ordered=kind.ordered)
    return array.cast(_kind(kind))
