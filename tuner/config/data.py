"""The section `data`: where the interactions and features are, and how they are read."""

from __future__ import annotations

import codecs
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationInfo, field_validator, model_validator
from typing_extensions import Self

from tuner.config.problems import type_of
from tuner.config.section import Section
from tuner.config.time_format import fault_of
from tuner.config.urls import refuse_credentials

__all__ = ["IN_MEMORY", "Columns", "Data", "Format", "InMemory", "spelled"]

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
        return f"{IN_MEMORY}: {type_of(self.table)}"

    def __repr__(self) -> str:
        return f"<{self}>"


def spelled(value: object) -> str:
    """Return a value as a person types it: ``true``, and ``3`` for a whole number."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


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


#: Codecs of Python for names of hosts, for its own source code, and for none; no file of data is in them.
_NO_TEXT = (
    "idna",
    "punycode",
    "raw-unicode-escape",
    "raw_unicode_escape",
    "undefined",
    "unicode-escape",
    "unicode_escape",
)


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
            codec = codecs.lookup(encoding)
        except (LookupError, ValueError):  # also one that this system does not have, or no name
            msg = f"must be an encoding that Python knows, but got {encoding!r}"
            raise ValueError(msg) from None
        if codec.name in _NO_TEXT or not codec._is_text_encoding:  # noqa: SLF001  # Python has no public name for it
            msg = f"must be an encoding of text, as utf-8, latin-1 or cp1251, but got {encoding!r}"
            raise ValueError(msg)
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
    extra_columns
        Further columns of the interactions that a data preparator asks for (`extra_cols`). They keep their
        names.
    ids
        ``auto``: ids are text, and integers where every id of the column is written as one. ``text``: ids are
        text in any case.
    datetime
        Format of the time: ``iso`` (dates, or text that starts with a date), ``unix_s``, ``unix_ms``,
        ``unix_us``, ``unix_ns``, or a format of Python's `strptime` such as ``"%d.%m.%Y %H:%M"``.
    item_features
        Path or URL of a table with the columns id, feature and value (RecTools' flat format). From Python
        also a table in memory.
    numeric_features
        Features of items whose value is used as a number. All other features are categories.
    user_features
        Features of users, in the same form.
    numeric_user_features
        Features of users whose value is used as a number.
    scaling
        How numeric features are scaled, each by all of its values: ``none`` uses them as written,
        ``standard`` makes their mean 0 and their standard deviation 1, ``min_max`` makes them 0 to 1.
    items_to_recommend
        The only items that may be recommended, in evaluations, in the final judgement and by an export: the
        path of a file with their ids, or features of the items, as ``{in_stock: yes, genre: [drama, war]}``.
        Each named feature must have one of its values.
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
    extra_columns: tuple[ColumnName, ...] = Field(default=(), strict=False)
    ids: Literal["auto", "text"] = "auto"
    datetime: str = "iso"
    item_features: str | Annotated[InMemory, PlainSerializer(str)] | None = None
    numeric_features: tuple[str, ...] = Field(default=(), strict=False)
    user_features: str | Annotated[InMemory, PlainSerializer(str)] | None = None
    numeric_user_features: tuple[str, ...] = Field(default=(), strict=False)
    scaling: Literal["none", "standard", "min_max"] = "none"
    items_to_recommend: str | dict[str, tuple[str, ...]] | None = None
    min_user_interactions: int = Field(default=1, ge=1)
    min_item_interactions: int = Field(default=1, ge=1)
    duplicates: Literal["keep", "drop_exact", "keep_first", "keep_last"] = "keep"

    @field_validator("interactions", mode="plain")
    @classmethod
    def _check_interactions(cls, places: object) -> object:
        if isinstance(places, str):
            return _place(places)
        if isinstance(places, (list, tuple)) and places and all(isinstance(place, str) for place in places):
            return tuple(_place(place) for place in places)
        if (table := _in_memory(places)) is not None:
            return table
        msg = (
            "must be a path, a list of paths, or from Python a table of pandas, polars or pyarrow or "
            f"RecTools' Dataset, but got {_shown(places)}{_cure(places)}"
        )
        raise ValueError(msg)

    @field_validator("item_features", "user_features", mode="plain")
    @classmethod
    def _check_features(cls, place: object) -> object:
        if isinstance(place, str):
            return _place(place)
        table = _in_memory(place)
        if place is None or table is not None:
            return table
        msg = (
            "must be a path, or from Python a table of pandas, polars or pyarrow, but got "
            f"{_shown(place)}{_cure(place)}"
        )
        raise ValueError(msg)

    @field_validator("extra_columns", mode="after")
    @classmethod
    def _check_extra(cls, extra: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        columns: Columns = info.data.get("columns", Columns())
        roles = {name: role for role, name in columns.model_dump().items() if name is not None}
        for name in extra:
            if name in roles or extra.count(name) > 1:
                other = roles.get(name, "named twice")
                msg = f"each column must have one role, but {name!r} is also {other}"
                raise ValueError(msg)
            if name in _RECTOOLS:
                msg = f"must not have a name that RecTools gives to another column, but got {name!r}"
                raise ValueError(msg)
        return extra

    @field_validator("scaling", mode="after")
    @classmethod
    def _check_scaling(cls, scaling: str, info: ValidationInfo) -> str:
        in_memory = isinstance(info.data.get("interactions"), InMemory)  # a Dataset brings its own
        numeric = info.data.get("numeric_features", ()) + info.data.get("numeric_user_features", ())
        if scaling != "none" and not numeric and not in_memory:
            keys = "numeric_features or numeric_user_features"
            msg = f"needs numeric features, but got {scaling!r} without any: name them in {keys}"
            raise ValueError(msg)
        return scaling

    @field_validator("items_to_recommend", mode="plain")
    @classmethod
    def _check_items(cls, plain: object, info: ValidationInfo) -> object:
        if plain is None or isinstance(plain, str):
            return None if plain is None else _place(plain)
        if not isinstance(plain, Mapping) or not plain or not all(map(_is_wanted, plain.values())):
            msg = (
                "must be the path of a file with ids, or features with the values to recommend, as "
                f"{{genre: [drama, war]}}, but got {plain!r}"
            )
            raise ValueError(msg)
        in_memory = isinstance(info.data.get("interactions"), InMemory)
        if info.data.get("item_features") is None and not in_memory:
            msg = f"must be the path of a file where the study has no item_features, but got {plain!r}"
            raise ValueError(msg)
        return {str(name): tuple(map(spelled, _listed(values))) for name, values in plain.items()}

    @field_validator("datetime", mode="after")
    @classmethod
    def _check_datetime(cls, kind: str) -> str:
        known = ("iso", "unix_s", "unix_ms", "unix_us", "unix_ns")
        if kind not in known and "%" not in kind:
            msg = f'must be one of {", ".join(known)}, or a format such as "%d.%m.%Y", but got {kind!r}'
            raise ValueError(msg)
        fault = fault_of(kind) if kind not in known else None
        if fault is not None:
            msg = f"{fault}; got {kind!r}"
            raise ValueError(msg)
        return kind

    @property
    def side_files(self) -> dict[str, str]:
        """Path or URL of each file besides the interactions, by its key."""
        keys = ("item_features", "user_features", "items_to_recommend")
        places = {key: getattr(self, key) for key in keys}
        return {key: place for key, place in places.items() if isinstance(place, str)}

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


#: Library and class of the tables that may be given as objects.
_TABLES = frozenset(
    {
        ("pandas", "DataFrame"),
        ("polars", "DataFrame"),
        ("pyarrow", "Table"),
        ("pyarrow", "RecordBatch"),
        ("rectools", "Dataset"),
    }
)
#: Names that RecTools gives to the columns of interactions.
_RECTOOLS = frozenset({"user_id", "item_id", "weight", "datetime", "unix_ts"})


def _in_memory(table: object) -> InMemory | None:
    """Return a table in memory as such; None for anything else."""
    if isinstance(table, InMemory):
        return table
    kinds = ((cls.__module__.partition(".")[0], cls.__name__) for cls in type(table).__mro__)
    return InMemory(table) if any(kind in _TABLES for kind in kinds) else None


def _shown(value: object) -> str:
    """Return a value for a message, and the type of an object that is not written in YAML."""
    if value is None or isinstance(value, (bool, int, float, list, tuple, dict)):
        return reprlib.repr(value)
    return type_of(value)


def _cure(table: object) -> str:
    """Return how a table of another library, such as polars' lazy one or Spark's, becomes one in memory."""
    if not type(table).__name__.endswith(("Frame", "Table", "Relation")):
        return ""
    names = ("to_pandas", "toPandas", "to_df", "compute", "collect")
    return next((f": call its {name}() first" for name in names if hasattr(table, name)), "")


def _listed(values: object) -> list[Any]:
    return list(values) if isinstance(values, (list, tuple)) else [values]


def _is_wanted(values: object) -> bool:
    """Tell whether these can be values of a feature."""
    found = _listed(values)
    return bool(found) and all(isinstance(value, (str, int, float)) for value in found)


def _place(text: str) -> str:
    """Return a path or URL of data."""
    if not text.strip():
        msg = f"must be a path, but got {text!r}"
        raise ValueError(msg)
    return refuse_credentials(text)
