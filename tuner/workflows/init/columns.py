"""Guesses which columns of a table are the user, the item and the time, from their names and their values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from tuner.data.reading.times import NUMBER, fitting_formats, likeliest_unit
from tuner.errors import DataError, Problem

__all__ = ["Guess", "Guesses", "describe_column", "guess_columns", "time_of_day"]

if TYPE_CHECKING:
    Column = pd.Series[Any]

_LOOKED_AT = 1000
_CLOCK = re.compile(r"\s*(?:[01]?[0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?(?: ?[AaPp][Mm])?\s*")
#: Names of columns in lower case without punctuation, the most certain first.
_NAMES: Mapping[str, Sequence[str]] = {
    "user": [
        "userid",
        "user",
        "uid",
        "customerid",
        "customer",
        "clientid",
        "client",
        "visitorid",
        "visitor",
        "reviewerid",
        "accountid",
        "account",
        "memberid",
        "profileid",
        "buyerid",
        "personid",
        "sessionid",
        "session",
    ],
    "item": [
        "itemid",
        "item",
        "iid",
        "productid",
        "product",
        "movieid",
        "movie",
        "articleid",
        "article",
        "sku",
        "asin",
        "trackid",
        "track",
        "songid",
        "videoid",
        "contentid",
        "bookid",
        "isbn",
        "stockcode",
        "offerid",
        "showid",
        "newsid",
        "gameid",
        "businessid",
    ],
    "datetime": [
        "datetime",
        "timestamp",
        "ts",
        "time",
        "eventtime",
        "unixtime",
        "createdat",
        "date",
        "reviewtime",
        "purchasedate",
        "orderdate",
        "invoicedate",
        "lastwatchdt",
        "tdat",
        "dt",
    ],
    "weight": [
        "weight",
        "rating",
        "score",
        "stars",
        "count",
        "quantity",
        "qty",
        "watchedpct",
        "totaldur",
        "playcount",
        "plays",
    ],
}
#: Patterns of words in a name.
_WORDS: Mapping[str, str] = {
    "user": "user|customer|client|visitor|reviewer|member|buyer",
    "item": "item|product|movie|article|track|song|video|content|book|sku",
    "datetime": "time|date|_at$|_dt$|_ts$",
    "weight": "rating|weight|score|quantity|count",
}
#: Number of rows that decide whether a column holds times.
_N_INSPECTED = 1000
#: Share of numbers that must be times in a unit for a column to hold times: of any column, and of one that is
#: named as a time.
_NEARLY_ALL, _MOST = 0.95, 0.5
#: Format of days that are written as numbers, such as 20240131; numbers from the other one on are none.
_DAY, _NO_DAY = "%Y%m%d", 10**8
#: Days of a spreadsheet from 1973 to 2096.
_SPREADSHEET = (26_700, 71_900)


@dataclass(frozen=True)
class Guess:
    """The column that is taken for a role.

    Attributes
    ----------
    column
        Name of the column.
    how
        Why this column was taken, for people.
    others
        Other columns that could have this role.
    """

    column: str
    how: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Guesses:
    """The roles of the columns of a table of interactions.

    Attributes
    ----------
    user, item, datetime
        Columns that every interaction has.
    weight
        A column that could be the weight. The user has to decide.
    kinds
        Formats that fit the time, as a study names them; the likeliest first.
    """

    user: Guess
    item: Guess
    datetime: Guess
    weight: Guess | None
    kinds: tuple[str, ...]

    @property
    def kind(self) -> str:
        """The likeliest format of the time."""
        return self.kinds[0]


def guess_columns(table: pd.DataFrame, source: str) -> Guesses:
    """Find user, item and time among the columns of a table.

    Raises
    ------
    DataError
        If one of them is not found. The message describes each column.
    """
    names = [str(name) for name in table.columns]
    table = table.set_axis(names, axis=1)
    found: dict[str, Guess] = {}
    for role in ("datetime", "user", "item", "weight"):
        taken = {guess.column for guess in found.values()}
        guess = _by_name(role, table, [name for name in names if name not in taken])
        if guess is not None:
            found[role] = guess
    if "datetime" not in found:
        taken = {guess.column for guess in found.values()}
        times = [name for name in names if name not in taken and time_formats(table[name])]
        if times:
            found["datetime"] = Guess(times[0], "it holds times", tuple(times[1:]))
    _by_content(table, found)
    missing = [role for role in ("user", "item", "datetime") if role not in found]
    if missing:
        rule = f"must have columns for the user, the item and the time, but has none for {', '.join(missing)}"
        hint = "it has the columns " + "; ".join(describe_column(table[name]) for name in names)
        hint += _cure(missing, table)
        raise DataError(source, [Problem("", rule, hint)])
    kinds = tuple(time_formats(table[found["datetime"].column], named=True))
    assert kinds, "checked above"
    return Guesses(found["user"], found["item"], found["datetime"], found.get("weight"), kinds)


def _cure(missing: Sequence[str], table: pd.DataFrame) -> str:
    """Say what to do where no column is found for a role."""
    if len(table.columns) == 1:
        return (
            ". Name the delimiter in a study that you write: `data.format: {delimiter: ...}` (docs/data.md)"
        )
    if list(missing) != ["datetime"]:
        return ""
    named = [name for name in table.columns if _is_named("datetime", name)]
    if not named:
        return ". If nothing says when, add a column with dates in the order of the rows (docs/data.md)"
    values = table[named[0]].dropna()
    low, high = _SPREADSHEET
    if len(values) and pd.api.types.is_numeric_dtype(values) and values.between(low, high).all():
        cure = "pandas.to_datetime(column, unit='D', origin='1899-12-30') makes dates of them"
        return f". The numbers of {named[0]} look like days of a spreadsheet: {cure}"
    how = 'write a study with its format, as `datetime: "%d.%m.%Y"` (docs/data.md)'
    return f". {named[0]} is named as a time, but is written in no way that is known: {how}"


def _is_named(role: str, name: str) -> bool:
    """Tell whether a column has a name that is usual for a role."""
    return _plain_name(name) in _NAMES[role] or re.search(_WORDS[role], name.lower()) is not None


def _plain_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _by_name(role: str, table: pd.DataFrame, names: Sequence[str]) -> Guess | None:
    """Return the column whose name is usual for the role. Its values must be possible for the role."""
    known = _NAMES[role]
    plain = {name: _plain_name(name) for name in names}
    exact = sorted((known.index(plain[name]), name) for name in names if plain[name] in known)
    near = [name for name in names if plain[name] not in known and _is_named(role, name)]
    candidates = [name for _, name in exact if _may_be(role, table[name], named=True)]
    candidates += [name for name in near if _may_be(role, table[name])]
    if not candidates:
        return None
    return Guess(candidates[0], "by its name", tuple(candidates[1:]))


def _may_be(role: str, column: Column, *, named: bool = False) -> bool:
    """Tell whether the values of a column are possible for a role.

    The reader says what is wrong with ids and times of a column that is named as such.
    """
    if role == "datetime":
        return bool(time_formats(column, named=named))
    if role == "weight":
        return pd.api.types.is_numeric_dtype(column) and column.nunique() > 1
    is_time = pd.api.types.is_datetime64_any_dtype(column)
    return not is_time and (named or not pd.api.types.is_float_dtype(column))


def _by_content(table: pd.DataFrame, found: dict[str, Guess]) -> None:
    """Take columns with repeated values as user and item, if their names were not enough."""
    wanted = [role for role in ("user", "item") if role not in found]
    taken = {guess.column for guess in found.values()}
    ids = [name for name in table.columns if name not in taken and _may_be("user", table[name])]
    ids = [name for name in ids if 1 < table[name].nunique() < len(table)]
    if len(ids) < len(wanted):
        return
    for role in wanted:
        column = ids.pop(0)
        rest = tuple(ids) if len(wanted) == 1 else (*found_columns(found, wanted), *ids)
        found[role] = Guess(column, "a guess: its values repeat, and no column has a usual name", rest)


def found_columns(found: Mapping[str, Guess], roles: Sequence[str]) -> Iterator[str]:
    """Yield the columns that have been found for roles."""
    yield from (found[role].column for role in roles if role in found)


def time_formats(column: Column, *, named: bool = False) -> list[str]:
    """Return the formats that fit the times in a column, as a study names them; none if it holds no times.

    Parameters
    ----------
    column
        The values.
    named
        Whether the column is named as a time. Then a unit that fits most values will do: the reader says
        which rows are written in another way.
    """
    if pd.api.types.is_datetime64_any_dtype(column):
        return ["iso"]
    values = column.dropna().iloc[:_N_INSPECTED]
    if values.empty or pd.api.types.is_bool_dtype(column):
        return []
    least = _MOST if named else _NEARLY_ALL
    if pd.api.types.is_numeric_dtype(column):
        return _formats_of_numbers(values.to_numpy(dtype="float64"), least)
    texts = [str(value) for value in values.tolist() if isinstance(value, (str, date))]
    numbers = [text for text in texts if re.fullmatch(NUMBER, text)]  # that a file stores as text
    if numbers and len(numbers) >= (_MOST if named else 1) * len(texts):
        return _formats_of_numbers(np.array(numbers, dtype=np.float64), least)
    return fitting_formats(pa.chunked_array([pa.array(texts, pa.string())]))


def _formats_of_numbers(numbers: NDArray[np.float64], least: float) -> list[str]:
    """Return the unit of numbers since 1970, or the format of days such as 20240131."""
    kind, share = likeliest_unit(numbers)
    if share >= least:
        return [kind]
    if not ((numbers == np.round(numbers)) & (numbers > 0) & (numbers < _NO_DAY)).all():
        return []
    days: pd.Series[Any] = pd.Series(numbers.astype(np.int64).astype(str))
    fits = pd.to_datetime(days, errors="coerce", format=_DAY).notna().mean() >= least
    return [_DAY] if fits else []


def describe_column(column: Column) -> str:
    """Return a short description of a column: its type, number of values, missing values and an example."""
    values = column.dropna()
    example = "".join(f", such as {value!r}" for value in values.head(1).tolist())
    missing = f", {int(column.isna().sum()):,} missing" if len(values) < len(column) else ""
    return f"{column.name} ({column.dtype}, {values.nunique():,} values{missing}{example})"


def time_of_day(table: pd.DataFrame) -> str | None:
    """Return the name of the first column whose first values are times without a date, such as ``10:20``."""
    for name, column in table.items():
        values = column.dropna().head(_LOOKED_AT)
        if len(values) and values.map(lambda value: bool(_CLOCK.fullmatch(str(value)))).all():
            return str(name)
    return None
