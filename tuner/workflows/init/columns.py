"""Guesses which columns of a table are the user, the item and the time, from their names and their values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from tuner.data.reading.times import fitting_formats, unit_of
from tuner.errors import DataError, Problem

__all__ = ["Guess", "Guesses", "describe_column", "guess_columns"]

if TYPE_CHECKING:
    Column = pd.Series[Any]

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
        raise DataError(source, [Problem("", rule, hint)])
    kinds = tuple(time_formats(table[found["datetime"].column]))
    assert kinds, "checked above"
    return Guesses(found["user"], found["item"], found["datetime"], found.get("weight"), kinds)


def _by_name(role: str, table: pd.DataFrame, names: Sequence[str]) -> Guess | None:
    """Return the column whose name is usual for the role. Its values must be possible for the role."""
    known = _NAMES[role]
    plain = {name: re.sub(r"[^a-z0-9]", "", name.lower()) for name in names}
    exact = sorted((known.index(plain[name]), name) for name in names if plain[name] in known)
    near = [name for name in names if plain[name] not in known and re.search(_WORDS[role], name.lower())]
    candidates = [name for name in [*(name for _, name in exact), *near] if _may_be(role, table[name])]
    if not candidates:
        return None
    return Guess(candidates[0], "by its name", tuple(candidates[1:]))


def _may_be(role: str, column: Column) -> bool:
    if role == "datetime":
        return bool(time_formats(column))
    if role == "weight":
        return pd.api.types.is_numeric_dtype(column) and column.nunique() > 1
    return not pd.api.types.is_float_dtype(column) and not pd.api.types.is_datetime64_any_dtype(column)


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


def time_formats(column: Column) -> list[str]:
    """Return the formats that fit the times in a column, as a study names them; none if it holds no times."""
    if pd.api.types.is_datetime64_any_dtype(column):
        return ["iso"]
    values = column.dropna().iloc[:_N_INSPECTED]
    if values.empty or pd.api.types.is_bool_dtype(column):
        return []
    if pd.api.types.is_numeric_dtype(column):
        unit = unit_of(values.to_numpy(dtype="float64"))
        return [] if unit is None else [unit]
    texts = [str(value) for value in values.tolist() if isinstance(value, (str, date))]
    return fitting_formats(pa.chunked_array([pa.array(texts, pa.string())]))


def describe_column(column: Column) -> str:
    """Return a short description of a column: its type, number of values, missing values and an example."""
    values = column.dropna()
    example = f", such as {values.iloc[0]!r}" if len(values) else ""
    missing = f", {int(column.isna().sum()):,} missing" if len(values) < len(column) else ""
    return f"{column.name} ({column.dtype}, {values.nunique():,} values{missing}{example})"
