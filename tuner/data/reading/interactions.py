"""From columns of a file to interactions with RecTools' names, and everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .coded import WEIGHT, Coded, Codes, Ids
from .files import Format, Read, read_columns
from .ids import WrongIdsError, is_missing, numbers_in, to_codes
from .memory import read_object
from .threads import at_once
from .times import NUMBER, OLDEST, WrongTimesError, odd_times, to_times
from .troubles import TableError, Trouble, example, first_line, type_name

__all__ = ["Interactions", "guessed", "ids_of", "read_interactions"]

_NO_IDS: tuple[Codes, Ids] = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=object)
#: Digits that are a name and no number: with a leading zero, or more of them than every float holds.
_NAMES = r"^\s*[-+]?(?:0[0-9]+|[0-9]{16,})\s*$"
#: How programs write that there is no value.
_NOTHING = (
    "\\N",
    "NA",
    "N/A",
    "#N/A",
    "<NA>",
    "null",
    "NULL",
    "Null",
    "(null)",
    "None",
    "nan",
    "NaN",
    "undefined",
)
#: Number of rows in which rounded times are looked for first.
_LOOKED_AT = 1000
#: A long number as spreadsheets write it: 1.23457E+12 may have been any of ten million numbers.
_SHORTENED = r"^\s*[-+]?[0-9](?:\.[0-9]+)?[eE]\+[0-9]+\s*$"
#: Where troubles with further columns are.
EXTRA = "extra_columns"


@dataclass(frozen=True)
class Interactions:
    """What was read.

    Attributes
    ----------
    coded
        The rows in the order of the file; None if there are troubles.
    troubles
        What is wrong.
    warnings
        What may be wrong.
    """

    coded: Coded | None
    troubles: list[Trouble] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def frame(self) -> pd.DataFrame:
        """Columns user_id, item_id, datetime, weight and further ones; empty if there are troubles."""
        return pd.DataFrame() if self.coded is None else self.coded.frame()


def read_interactions(
    places: object,
    columns: Mapping[str, str | None],
    *,
    datetime: str = "iso",
    ids: str = "auto",
    dialect: Format | None = None,
    extra: Sequence[str] = (),
) -> Interactions:
    """Read interactions.

    Parameters
    ----------
    places
        See `read_columns`; or a table in memory, see `read_object`.
    columns
        Role (user, item, datetime, weight) -> name of the column; None for no column.
    datetime
        How times are written; see `to_times`.
    ids
        ``auto``, or ``text`` for ids that are text in any case.
    dialect
        How text is written.
    extra
        Names of further columns to keep.

    Raises
    ------
    TableError
        If a file cannot be read.
    """
    roles = {role: name for role, name in columns.items() if name is not None}
    dialect = dialect or Format()
    packed = {name for role, name in roles.items() if role in {"user", "item"}}
    wanted = [*roles.values(), *extra]
    if isinstance(places, (str, tuple, list)):
        read = read_columns(places, wanted, dialect, packed)
    else:
        if hasattr(places, "get_raw_interactions"):  # a Dataset has weights
            roles.setdefault("weight", WEIGHT)
        read = read_object(places, [*roles.values(), *extra])
    found = interactions_of(read, roles, datetime=datetime, ids=ids, decimal=dialect.decimal, extra=extra)
    del read
    pa.default_memory_pool().release_unused()
    return found


def interactions_of(
    read: Read,
    roles: Mapping[str, str],
    *,
    datetime: str,
    ids: str,
    decimal: str,
    extra: Sequence[str] = (),
) -> Interactions:
    """Return the interactions of a table that has been read; see `read_interactions`."""
    if read.hint is not None:
        raise TableError(
            f"must have the columns {', '.join(roles.values())}, but has {read.names[0]!r}", read.hint
        )
    told: dict[str, list[Trouble]] = {role: [] for role in roles}
    for role, name in roles.items():
        if name not in read.columns:
            rule = f"must be a column of the {read.kind}, but {name!r} is not"
            told[role].append(Trouble(role, rule, _nearest(name, read.names)))

    def codes(role: str) -> tuple[Codes, Ids]:
        if told[role]:
            return _NO_IDS
        return _codes_of(read, roles[role], role, text=ids == "text", troubles=told[role])

    def times() -> NDArray[np.datetime64]:
        if told["datetime"]:
            return np.zeros(0, "datetime64[ns]")
        return _times(read, roles["datetime"], datetime, decimal, told["datetime"])

    def weights() -> NDArray[np.float64] | None:
        if told.get("weight", [""]):
            return None
        return _weights(read, roles["weight"], decimal, told["weight"])

    ((users, user_ids), weight), ((items, item_ids), time) = at_once(
        lambda: (codes("user"), weights()), lambda: (codes("item"), times())
    )
    troubles = [trouble for role in roles for trouble in told[role]]
    extras = {name: _values(read, name, decimal, troubles) for name in extra}
    if troubles:
        return Interactions(None, troubles)
    warnings = [
        *read.warnings,
        *_odd_ids(roles["user"], users, user_ids),
        *_odd_ids(roles["item"], items, item_ids),
        *_rounded_times(read, roles["datetime"]),
        *_doubtful_times(read, roles["datetime"], time),
    ]
    return Interactions(Coded(users, items, user_ids, item_ids, time, weight, extras), troubles, warnings)


def _nearest(name: str, names: Sequence[str]) -> str:
    folded = {one.lower(): one for one in names}
    near = get_close_matches(name.lower(), list(folded), n=1, cutoff=0.6)
    return f"did you mean {folded[near[0]]!r}?" if near else "valid: " + ", ".join(sorted(names))


def ids_of(read: Read, name: str, where: str, *, text: bool, troubles: list[Trouble]) -> Ids:
    """Return the ids of a column; add to `troubles` what is wrong with it."""
    codes, known = _codes_of(read, name, where, text=text, troubles=troubles)
    return known.take(codes)


def _codes_of(read: Read, name: str, where: str, *, text: bool, troubles: list[Trouble]) -> tuple[Codes, Ids]:
    column = read.columns[name]
    try:
        if not pa.types.is_nested(column.type):
            missing = is_missing(column)
            if missing.any():
                rule = f"ids must not be missing, but {name!r} is in {example(read.columns, missing)}"
                troubles.append(Trouble(where, rule, "leave such rows out"))
                return _NO_IDS
        return to_codes(column, written=read.written, text=text)
    except WrongIdsError as error:
        troubles.append(Trouble(where, f"{error} in {name!r}", error.cure))
    except pa.ArrowException as error:  # of a type that pyarrow cannot convert
        rule = (
            f"ids must be text or integers, but {name!r} holds {type_name(column.type)}: {first_line(error)}"
        )
        troubles.append(Trouble(where, rule, "write ids as text, or as integers"))
    return _NO_IDS


def _times(read: Read, name: str, kind: str, decimal: str, troubles: list[Trouble]) -> NDArray[Any]:
    try:
        return to_times(read.columns[name], kind, decimal)
    except WrongTimesError as error:
        rule = str(error).replace("{name}", repr(name))
        if error.bad is not None:
            rule = rule.replace("{rows}", example(read.columns, error.bad))
        troubles.append(Trouble("datetime", rule, error.cure))
    except pa.ArrowException as error:  # as for ids
        rule = f"must be readable as {kind}, but {name!r} holds {type_name(read.columns[name].type)}"
        troubles.append(Trouble("datetime", f"{rule}: {first_line(error)}"))
    return np.zeros(0)


def _odd_ids(name: str, codes: Codes, known: Ids) -> list[str]:
    """Tell of ids that a spreadsheet has rounded, and of words such as ``null`` that count as an id."""
    if known.dtype != object:
        return []
    texts, told = pa.array(known, pa.string()), []
    shortened = pc.match_substring_regex(texts, _SHORTENED).to_numpy(zero_copy_only=False)
    if shortened.any():
        told.append(
            f"{name!r} is rounded in {int(shortened[codes].sum()):,} of {len(codes):,} rows, such as "
            f"{known[shortened][0]}, as spreadsheets do: several ids may have become one; export them as text"
        )
    told.extend(_doubled(name, texts))
    nothing = np.flatnonzero(pc.is_in(texts, pa.array(_NOTHING)).to_numpy(zero_copy_only=False))
    told.extend(
        f"{name!r} is {known[at]} in {int((codes == at).sum()):,} of {len(codes):,} rows, which count as one "
        "id: leave such rows out if they have none"
        for at in nothing
    )
    return told


def _doubled(name: str, texts: pa.Array) -> Iterator[str]:
    """Tell of ids that differ in how they are written only: by blanks, zeros, or forms of one character."""
    plain = pc.utf8_trim_whitespace(pc.utf8_normalize(texts, "NFC"))
    plain = pc.replace_substring_regex(plain, r"^(-?)0*([0-9]+?)(?:\.0+)?$", r"\1\2").to_pandas()
    doubled = plain.duplicated(keep=False)
    if doubled.any():
        one, other = texts.filter(pa.array(plain == plain[doubled].iloc[0]))[:2].to_pylist()
        yield (
            f"{name!r} has {int(doubled.sum()):,} ids that differ in how they are written only, such as "
            f"{one!r} and {other!r}: they count as different ids; write each in one way"
        )


def _rounded_times(read: Read, name: str) -> list[str]:
    """Tell of times that are written with too few digits."""
    column = read.columns[name]
    if not pa.types.is_string(column.type) or not _rounded(column.slice(0, _LOOKED_AT)).any():
        return []
    shortened = _rounded(column)
    first, n_rows = column.filter(pa.array(shortened))[0].as_py(), int(shortened.sum())
    return [
        f"{name!r} is rounded in {n_rows:,} of {len(column):,} rows, such as {first}: the order of "
        "interactions is lost; write all digits"
    ]


def _rounded(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Mark numbers whose exponent is larger than their number of digits."""
    matches: NDArray[np.bool_] = pc.match_substring_regex(column, _SHORTENED).fill_null(False).to_numpy()
    if matches.any():
        parts = pd.Series(column.to_numpy(), dtype=object)[matches].str.strip().str.lower().str.split("e")
        digits = parts.str[0].str.partition(".")[2].str.len()
        matches = matches.copy()
        matches[matches] = (digits < parts.str[1].astype(int)).to_numpy()
    return matches


def _doubtful_times(read: Read, name: str, times: NDArray[np.datetime64]) -> list[str]:
    """Tell of times in which nobody can have interacted."""
    bad = odd_times(times)
    if not bad.any():
        return []
    found = example(read.columns, bad)
    text = f"{name!r} is before {OLDEST} or in the future in {found}"
    if bad.all():
        return [f"{text}: a wrong unit may have been read; see `data.datetime`"]
    return [f"{text}: drop such rows, they move the folds and the holdout"]


def _weights(read: Read, name: str, decimal: str, troubles: list[Trouble]) -> NDArray[np.float64] | None:
    numbers = numbers_of(read.columns[name], decimal)
    least, most = numbers.min(), numbers.max()  # nan if one is
    if least > 0 and np.isfinite(most):
        return None if least == most == 1 else numbers
    endless = ~np.isfinite(numbers)
    if endless.any():
        rule = f"weights must be finite numbers, but {name!r} is not in {example(read.columns, endless)}"
        hint = "write numbers alone, without separators of thousands, units or signs of currencies"
        troubles.append(Trouble("weight", rule, hint if read.written else "leave such rows out"))
    elif (numbers <= 0).any():
        rule = f"weights must be above 0, but {name!r} is not in {example(read.columns, numbers <= 0)}"
        hint = "drop such rows if they are no interactions, or leave `data.columns.weight` out"
        troubles.append(Trouble("weight", rule, hint))
    return None


def _values(read: Read, name: str, decimal: str, troubles: list[Trouble]) -> NDArray[Any]:
    """Return the values of a further column: numbers where every one is a number, else as they are."""
    if name not in read.columns:
        rule = f"must be columns of the {read.kind}, but {name!r} is not"
        troubles.append(Trouble(EXTRA, rule, _nearest(name, read.names)))
        return np.zeros(0)
    column = read.columns[name]
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_decimal(kind) or pa.types.is_null(kind):
        column = column.cast(pa.float64())
    elif pa.types.is_nested(kind) or pa.types.is_binary(kind) or isinstance(kind, pa.BaseExtensionType):
        rule = f"must hold numbers, text or times, but {name!r} holds {type_name(kind)}"
        troubles.append(Trouble(EXTRA, rule, "write one value a row, or leave the column out"))
        return np.zeros(0)
    return guessed(column, written=read.written, decimal=decimal).to_numpy()


def numbers_of(column: pa.ChunkedArray, decimal: str = ".") -> NDArray[np.float64]:
    """Return the values of a column as numbers; what is none becomes nan."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        column = column.cast(pa.float64(), safe=False)
    elif pa.types.is_boolean(kind):
        column = column.cast(pa.int8()).cast(pa.float64())
    elif not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return np.full(len(column), np.nan)
    if pa.types.is_floating(column.type):
        column = column.fill_null(np.nan) if column.null_count else column
        numbers: NDArray[np.float64] = column.to_numpy()
        return numbers
    text = pc.utf8_trim_whitespace(column)
    written = pc.match_substring_regex(text, NUMBER)
    if decimal != ".":  # then a dot may separate thousands
        dotted = pc.match_substring(text, ".")
        text = pc.replace_substring(text, decimal, ".")
        written = pc.and_(pc.match_substring_regex(text, NUMBER), pc.invert(dotted))
    found: NDArray[np.float64] = (
        pc.if_else(written, text, None).cast(pa.float64()).fill_null(np.nan).to_numpy()
    )
    return found


def guessed(column: pa.ChunkedArray, *, written: bool, decimal: str = ".") -> pd.Series[Any]:
    """Return a column for people, or as values of features: text becomes numbers where every value is one.

    With a leading zero, or with more digits than a number holds, the values are names, such as zip codes.
    """
    series: pd.Series[Any] = column.to_pandas()
    if not written or series.dtype != object or not len(series):
        return series
    numbers = numbers_in(column)
    if numbers is not None:
        return pd.Series(numbers)
    filled = series.replace("", None)
    if pc.any(pc.match_substring_regex(column.cast(pa.string()), _NAMES)).as_py():
        return filled
    floats = pd.Series(numbers_of(column, decimal))
    return floats if floats.notna().any() and floats.notna().equals(filled.notna()) else filled
