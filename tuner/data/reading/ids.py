"""Ids as they are written: text, and integers where every value is one.

RecTools takes numpy's types. So ids of every other type become text or 64-bit integers, by the spelling that
a person would type, or are refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .coded import Codes, Ids, present
from .troubles import Mask, cure_of_objects, type_name

__all__ = [
    "EXACT",
    "WrongIdsError",
    "is_missing",
    "like_known",
    "numbers_in",
    "spelled_rows",
    "to_codes",
    "whole",
]

#: An integer as Python writes it.
_INTEGER = r"^(?:0|-?[1-9][0-9]*)$"
#: Integers below which floats of a type hold each of them: this one may have been the next, rounded.
EXACT = {pa.float16(): 2**11, pa.float32(): 2**24, pa.float64(): 2**53}
#: Fields of an object that a message names.
_FIELDS = 5
#: Integers within such a range are numbered by a table of all of them.
_DENSE = 2**22


class WrongIdsError(ValueError):
    """A column cannot hold ids; the message says why, `cure` what to do."""

    def __init__(self, rule: str, cure: str) -> None:
        super().__init__(rule)
        self.cure = cure


def is_missing(column: pa.ChunkedArray) -> Mask:
    """Mark the rows without an id: null, or empty text."""
    if pa.types.is_dictionary(column.type):
        marks = [_missing_in_dictionary(chunk) for chunk in column.chunks]
        return np.concatenate([np.zeros(0, bool), *marks])
    return _missing_in(column) if len(column) else np.zeros(0, bool)


def _missing_in(column: pa.ChunkedArray | pa.Array) -> Mask:
    missing: Mask
    if column.null_count or pa.types.is_floating(column.type):
        missing = pc.is_null(column, nan_is_null=True).to_numpy(zero_copy_only=False)
    else:
        missing = np.zeros(len(column), dtype=bool)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        empty = pc.equal(pc.binary_length(column), 0)
        missing = missing | pc.fill_null(empty, False).to_numpy(zero_copy_only=False)
    return missing


def _missing_in_dictionary(chunk: pa.DictionaryArray) -> Mask:
    """Look at each value once instead of once a row."""
    missing = (
        chunk.indices.is_null().to_numpy(zero_copy_only=False)
        if chunk.null_count
        else np.zeros(len(chunk), dtype=bool)
    )
    values = _missing_in(chunk.dictionary) if len(chunk.dictionary) else np.zeros(0, bool)
    if values.any():
        missing = missing | values[chunk.indices.fill_null(0).to_numpy(zero_copy_only=False)]
    return missing


def to_codes(column: pa.ChunkedArray, *, written: bool, text: bool) -> tuple[Codes, Ids]:
    """Return the number of each row's id, and the ids as numpy has them: int64, or text as objects.

    Parameters
    ----------
    column
        Without missing values.
    written
        Whether the column comes from text, which declares no type: integers are then known by how every value
        is written. Text in a file with types stays text.
    text
        Whether ids are text in any case.

    Raises
    ------
    WrongIdsError
        If values of the column's type cannot be ids.
    """
    codes, values = _one_each(*_spelled(column))
    written = written or not pa.types.is_string(_plain(column.type))
    numbers = numbers_in(values) if written and not text else None
    return codes, values.to_numpy(zero_copy_only=False) if numbers is None else numbers


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values of a column, without how they are packed."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.string() if pa.types.is_large_string(kind) else kind


def spelled_rows(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the text of the id of each row; null where it is missing.

    Raises
    ------
    WrongIdsError
        If values of the column's type cannot be ids.
    """
    _refuse_nested(_plain(column.type))
    missing = is_missing(column)
    codes = np.zeros(len(column), dtype=np.int32)
    values = pa.nulls(1, pa.string())
    if not missing.all():
        codes[~missing], values = _one_each(*_spelled(column.filter(pa.array(~missing))))
    return pa.chunked_array([pa.DictionaryArray.from_arrays(pa.array(codes, mask=missing), values)])


def _refuse_nested(plain: pa.DataType) -> None:
    """Refuse a type whose values are made of others."""
    if pa.types.is_struct(plain):
        names = [plain.field(at).name for at in range(plain.num_fields)]
        fields = ", ".join(names[:_FIELDS]) + f" and {len(names) - _FIELDS:,} more" * (len(names) > _FIELDS)
        rule = f"ids must be text or integers, but the column holds objects with {fields or 'no fields'}"
        raise WrongIdsError(rule, cure_of_objects(plain))
    if pa.types.is_nested(plain):
        rule = f"a row must be one interaction with one id, but holds a {type_name(plain)}"
        raise WrongIdsError(rule, "write one interaction a row: unnest sessions and baskets first")


def _spelled(column: pa.ChunkedArray) -> tuple[Codes, pa.Array]:
    """Return the different values as text, and for each row the number of its value."""
    if isinstance(column.type, pa.BaseExtensionType):
        return _of_extension(column)
    plain = _plain(column.type)
    _refuse_nested(plain)
    if pa.types.is_large_string(column.type):
        column = column.cast(pa.string())
    if pa.types.is_float16(column.type):  # which pyarrow does not encode
        column = column.cast(pa.float32())
    if pa.types.is_integer(column.type):
        low, high = pc.min_max(column).values()
        if high.as_py() - low.as_py() < _DENSE:
            return _of_integers(column, low.as_py(), high.as_py())
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    column = column.unify_dictionaries()
    chunks = [chunk for chunk in column.chunks if len(chunk)]
    codes = np.concatenate([chunk.indices.to_numpy(zero_copy_only=False) for chunk in chunks])
    codes = codes.astype(np.int32, copy=False)
    values = chunks[0].dictionary
    used = present(codes, len(values))
    if not used.all():  # a category that no row has decides nothing
        values = values.filter(pa.array(used))
        codes = (np.cumsum(used, dtype=np.int32) - 1)[codes]
    return codes, _texts(values, plain)


def _one_each(codes: Codes, texts: pa.Array) -> tuple[Codes, pa.Array]:
    """Make one id of equal spellings: other values may be spelled alike, as 0.0 and -0.0 are."""
    encoded = texts.dictionary_encode()
    if len(encoded.dictionary) == len(texts):
        return codes, texts
    return encoded.indices.to_numpy(zero_copy_only=False)[codes], encoded.dictionary


def _of_integers(column: pa.ChunkedArray, low: int, high: int) -> tuple[Codes, pa.Array]:
    """Return integers that lie close together as `_spelled` does, by a table of all between them."""
    codes = np.empty(len(column), dtype=np.int32)
    start = 0
    for chunk in column.chunks:
        numbers = chunk.to_numpy(zero_copy_only=False)
        if numbers.itemsize < codes.itemsize:  # whose differences may need more bits
            numbers = numbers.astype(np.int32)
        np.subtract(numbers, numbers.dtype.type(low), out=codes[start : start + len(chunk)], casting="unsafe")
        start += len(chunk)
    used = present(codes, high - low + 1)
    if not used.all():
        codes = (np.cumsum(used, dtype=np.int32) - 1)[codes]
    values = np.array([low], dtype=object) + np.flatnonzero(used)
    return codes, pa.array(values, column.type).cast(pa.string())


def _of_extension(column: pa.ChunkedArray) -> tuple[Codes, pa.Array]:
    """Spell UUIDs as people write them, and others by what stores them."""
    uuid = getattr(column.type, "extension_name", "") == "arrow.uuid"
    storage = pa.chunked_array([chunk.storage for chunk in column.chunks])
    if not uuid:
        return _spelled(storage)
    encoded = storage.combine_chunks().dictionary_encode()
    texts = [_uuid(value) for value in encoded.dictionary.to_pylist()]
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int32, copy=False), pa.array(texts)


def _uuid(value: bytes) -> str:
    digits = value.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _texts(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return values of a type as text."""
    types = pa.types
    if types.is_string(kind):
        texts = values.cast(pa.string())
        if len(texts) and pc.any(pc.match_substring(texts, "\0")).as_py():  # pandas would cut them there
            rule = "ids must be text without zero bytes, but the column holds some"
            raise WrongIdsError(rule, "the file may be broken, or in another `data.format.encoding`")
        return texts
    if types.is_integer(kind) or types.is_boolean(kind) or types.is_date(kind):
        plain = values.cast(pa.date32()) if types.is_date64(kind) else values
        return plain.cast(pa.string())
    if types.is_decimal(kind):
        fraction = pc.any(pc.not_equal(pc.trunc(values), values)).as_py()
        return (values if fraction else values.cast(pa.decimal256(76, 0))).cast(pa.string())
    if types.is_floating(kind):
        numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return pa.array(whole(numbers, kind)).cast(pa.string())
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return _of_bytes(values.to_pylist())
    rule = f"ids must be text or integers, but the column holds {type_name(kind)}"
    raise WrongIdsError(rule, "write ids as text, or as integers")


def whole(numbers: NDArray[np.float64], kind: pa.DataType) -> NDArray[np.int64]:
    """Return floats as integers: pandas makes floats of integers where one was missing.

    Parameters
    ----------
    numbers
        Without missing values.
    kind
        The type that they had.

    Raises
    ------
    WrongIdsError
        If one has a fraction, or may have been rounded.
    """
    fits = np.isfinite(numbers)
    fits[fits] = numbers[fits] == np.floor(numbers[fits])
    if not fits.all():
        [one] = numbers[~fits][:1].tolist()
        rule = f"ids must be text or integers, but the column holds {kind} such as {one!r}"
        raise WrongIdsError(rule, "write ids as text, or as integers")
    rounded = np.abs(numbers) >= EXACT[kind]
    if rounded.any():
        rule = (
            f"ids must be text or integers, but the column holds {kind}, which may round integers from "
            f"{EXACT[kind]:,} on, such as {int(numbers[rounded][0])}"
        )
        raise WrongIdsError(rule, "take ids from before they became floats, as text or as integers")
    return numbers.astype(np.int64)


def _of_bytes(values: list[bytes]) -> pa.Array:
    """Read bytes as text where all of them are; other bytes cannot be typed by anybody."""
    texts = []
    for value in values:
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = ""
        if not text or not text.isprintable():
            rule = f"ids must be text or integers, but the column holds bytes such as {value[:20]!r}"
            raise WrongIdsError(rule, "write ids as text; for UUIDs, str(uuid)")
        texts.append(text)
    return pa.array(texts, pa.string())


def numbers_in(values: pa.Array) -> Ids | None:
    """Return texts as integers if every one is written as an integer that 64 bits hold, else None."""
    if not len(values) or not pc.all(pc.match_substring_regex(values, _INTEGER)).as_py():
        return None
    try:
        numbers: Ids = values.cast(pa.int64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:  # more than 64 bits
        return None
    return numbers


def like_known(ids: pd.Series[Any], known: Ids) -> pd.Series[Any]:
    """Return ids with the types of known ones, so that the same spelling is the same id.

    Parameters
    ----------
    ids
        int64, or text.
    known
        Ids that have been read before.
    """
    of_numbers = known.dtype.kind in "iu"
    if of_numbers == (ids.dtype.kind in "iu"):
        return ids
    if not of_numbers:
        by_text = {str(value): value for value in known.tolist()}
        return ids.map(lambda value: by_text.get(str(value), str(value)))
    by_text = {str(value): value for value in known.tolist()}
    return ids.map(lambda value: by_text.get(value, value))
