"""The sections `data` and `folds`: the interactions, and how they are split."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationInfo, field_validator, model_validator
from typing_extensions import Self

from tuner.config.section import Section
from tuner.config.urls import refuse_credentials

__all__ = ["IN_MEMORY", "Columns", "Data", "Folds", "Format", "InMemory"]

#: A name, or the number of a column in a file without a header.
ColumnName = Annotated[str, BeforeValidator(lambda plain: str(plain) if type(plain) is int else plain)]


#: How the snapshot of a study begins to say that its data were given in memory.
IN_MEMORY = "in memory"


@dataclass(frozen=True, eq=False)
class InMemory:
    """Interactions that are given as an object of Python.

    Attributes
    ----------
    table
        A pandas or polars DataFrame, a pyarrow Table or a RecTools Dataset.
    """

    table: object

    def __str__(self) -> str:
        return f"{IN_MEMORY}: {type(self.table).__module__.partition('.')[0]} {type(self.table).__name__}"


class Columns(Section):
    """Names of the columns in your file. The defaults are RecTools' own names.

    Where a file has no header (`data.format`), they are numbers from 0.

    Attributes
    ----------
    user
        Column of user ids, of any type.
    item
        Column of item ids, of any type.
    datetime
        Column of the time of an interaction. `data.datetime` names its format.
    weight
        Column that says how much an interaction counts. Without it, each interaction weighs 1.
    """

    user: ColumnName = "user_id"
    item: ColumnName = "item_id"
    datetime: ColumnName = "datetime"
    weight: ColumnName | None = None

    @model_validator(mode="after")
    def _check_once(self) -> Self:
        roles: dict[str, str] = {}
        for role, name in self.model_dump().items():
            if name is not None and name in roles:
                msg = f"each column must have one role, but {name!r} is both {roles[name]} and {role}"
                raise ValueError(msg)
            roles[name] = role
        return self


class Format(Section):
    """How a file of text is written. Files of other kinds say it themselves.

    Attributes
    ----------
    delimiter
        Text between the fields, such as ``;`` or ``::``. null: a comma in .csv, a tab in .tsv and .inter; in
        .txt and .dat the one by which the header has the columns.
    header
        Whether the first row names the columns. If not, `data.columns` gives their numbers, from 0.
    encoding
        Encoding of the text, such as ``latin-1`` or ``utf-16``.
    decimal
        Character between a number and its fraction.
    """

    delimiter: str | None = Field(default=None, min_length=1)
    header: bool = True
    encoding: str = "utf-8"
    decimal: Literal[".", ","] = "."

    @field_validator("encoding", mode="after")
    @classmethod
    def _check_encoding(cls, encoding: str) -> str:
        try:
            codecs.lookup(encoding)
        except LookupError:
            msg = f"must be an encoding that Python knows, but got {encoding!r}"
            raise ValueError(msg) from None
        return encoding


class Data(Section):
    """Where the interactions are, and how they are filtered before the split into folds.

    Attributes
    ----------
    interactions
        Path or fsspec URL of a file, of a folder of part files, or a glob; or a list of them. Files are text
        (.csv, .tsv, .txt, .dat, .inter), .jsonl, .parquet or .feather, each also compressed. From Python also
        a pandas or polars DataFrame, a pyarrow Table or a RecTools Dataset.
    format
        How text is written. It is read as CSV by default.
    columns
        Names of the columns in that file.
    ids
        ``auto``: ids are text, and integers where every id of the column is written as one. ``text``: ids are
        text in any case.
    datetime
        Format of the time: ``iso`` (dates, or text that starts with a date), ``unix_s``, ``unix_ms``,
        ``unix_us``, ``unix_ns``, or a format of Python's `strptime` such as ``"%d.%m.%Y %H:%M"``.
    item_features
        Path or URL of a table with the columns id, feature and value (RecTools' flat format).
    numeric_features
        Features whose value is used as a number. All other features are categories.
    min_user_interactions
        Drop users with fewer interactions. This filter runs once, before the filter of items. Interactions
        of the holdout are not counted.
    min_item_interactions
        Drop items with fewer interactions. This filter runs once, after the filter of users. Interactions
        of the holdout are not counted.
    duplicates
        What to do with repeated rows. ``keep`` keeps them all. ``drop_exact`` keeps one row for each (user,
        item, datetime). ``keep_first`` and ``keep_last`` keep the oldest or the newest row for each (user,
        item). They treat the rows before the holdout and the rows of the holdout separately.
    """

    interactions: str | tuple[str, ...] | Annotated[InMemory, PlainSerializer(str)]
    format: Format = Format()
    columns: Columns = Columns()
    ids: Literal["auto", "text"] = "auto"
    datetime: str = "iso"
    item_features: str | None = None
    numeric_features: tuple[str, ...] = Field(default=(), strict=False)
    min_user_interactions: int = Field(default=1, ge=1)
    min_item_interactions: int = Field(default=1, ge=1)
    duplicates: Literal["keep", "drop_exact", "keep_first", "keep_last"] = "keep"

    @field_validator("interactions", mode="plain")
    @classmethod
    def _check_interactions(cls, places: object) -> object:
        if isinstance(places, str):
            return refuse_credentials(places)
        if isinstance(places, (list, tuple)) and places and all(isinstance(place, str) for place in places):
            return tuple(refuse_credentials(place) for place in places)
        if isinstance(places, InMemory):
            return places
        if type(places).__module__.partition(".")[0] in {"pandas", "polars", "pyarrow", "rectools"}:
            return InMemory(places)
        msg = f"must be text, or a list of texts, but got {places!r}"
        raise ValueError(msg)

    @field_validator("item_features")
    @classmethod
    def _check_item_features(cls, place: str | None) -> str | None:
        return None if place is None else refuse_credentials(place)

    @field_validator("datetime", mode="after")
    @classmethod
    def _check_datetime(cls, kind: str) -> str:
        known = ("iso", "unix_s", "unix_ms", "unix_us", "unix_ns")
        if kind not in known and "%" not in kind:
            msg = f'must be one of {", ".join(known)}, or a format such as "%d.%m.%Y", but got {kind!r}'
            raise ValueError(msg)
        return kind

    @property
    def place(self) -> str:
        """Where the interactions are, for messages."""
        return ", ".join(self.paths) if isinstance(self.interactions, tuple) else str(self.interactions)

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths and URLs of the interactions; none if they are in memory."""
        if isinstance(self.interactions, InMemory):
            return ()
        return (self.interactions,) if isinstance(self.interactions, str) else self.interactions


class Folds(Section):
    """How the interactions are split into folds. The oldest fold is the first.

    Attributes
    ----------
    split
        What the test part of a fold is. ``time_range``: a window of length `size` (such as 14D or 12H); the
        windows are at the end of the data. ``last_n``: the last `size` interactions of each user.
        ``random``: a share `size` of all interactions.
    n_folds
        Number of folds that the search uses.
    size
        Size of one fold's test part, in the unit of `split`.
    holdout
        Number of further folds, the newest. The search never sees them.
    filter_viewed
        Recommend only items that are new to the user. Drop pairs from test that are also in train.
    filter_cold_users
        Drop users from test that have no interactions in train.
    filter_cold_items
        Drop items from test that have no interactions in train.
    seed
        Seed of the ``random`` split.
    """

    split: Literal["time_range", "last_n", "random"]
    n_folds: int = Field(default=1, ge=1)
    holdout: int = Field(default=1, ge=0)
    size: str | int | float
    filter_viewed: bool = True
    filter_cold_users: bool = True
    filter_cold_items: bool = True
    seed: int = Field(default=60, ge=0, lt=2**32)

    @field_validator("size", mode="plain")
    @classmethod
    def _check_size(cls, size: object, info: ValidationInfo) -> object:
        split = info.data.get("split")
        number = isinstance(size, (int, float)) and not isinstance(size, bool)
        if split is None and not number and not isinstance(size, str):
            msg = f"must be text or a number, but got {size!r}"
            raise ValueError(msg)
        if split == "time_range" and not (isinstance(size, str) and re.fullmatch(r"[1-9]\d{0,8}[DH]", size)):
            msg = f"must be days or hours for a time_range split, as 14D or 12H, but got {size!r}"
            raise ValueError(msg)
        if split == "last_n" and not (number and isinstance(size, int) and size >= 1):
            msg = f"must be an integer of at least 1 for a last_n split, but got {size!r}"
            raise ValueError(msg)
        if split == "random":
            total = info.data.get("n_folds", 1) + info.data.get("holdout", 0)
            if not (number and 0 < float(size) * total < 1):  # type: ignore[arg-type]  # a number, as just checked
                msg = (
                    f"must be a share for a random split, with 0 < size x {total} folds < 1, but got {size!r}"
                )
                raise ValueError(msg)
        return size
