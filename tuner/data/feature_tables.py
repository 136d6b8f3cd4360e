"""Reads tables of features, and checks them against the study and the interactions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from rectools.dataset import Dataset

from tuner.config import Data
from tuner.config.data import IN_MEMORY, InMemory
from tuner.data.features import Entity, Features, features_in
from tuner.data.reading import (
    Coded,
    Format,
    Read,
    TableError,
    Trouble,
    guessed,
    ids_of,
    is_missing,
    like_known,
    read_columns,
    read_object,
)
from tuner.data.reading.troubles import example, type_name
from tuner.errors import Problem, did_you_mean
from tuner.errors.caller import hint as hint_for

__all__ = ["give_again", "load_features", "matched", "read_side_table", "repeated_line", "unmatched_line"]

ENTITIES: tuple[Entity, ...] = ("item", "user")
_COLUMNS = ("id", "feature", "value")
#: Delimiters besides the comma.
_DELIMITERS = (";", "\t", "|")
#: Share of the ids with features from which on nobody asks why the others have none.
_ENOUGH = 0.5

Found = dict[Entity, Features | None]


def load_features(data: Data, problems: list[Problem]) -> Found:
    """Read the features of items and users that a study names or that its Dataset brings.

    What is wrong is added to `problems`.
    """
    found: Found = {}
    for entity in ENTITIES:
        key, given = f"{entity}_features", data.interactions
        table = given.table if isinstance(given, InMemory) else None
        own = features_in(table, entity) if isinstance(table, Dataset) else None
        place = getattr(data, key)
        if place is None:
            found[entity] = own
        elif own is not None:
            rule = f"must be left out for a Dataset with features of {entity}s, but got {place}"
            problems.append(Problem(f"data.{key}", rule, "build the Dataset without them, or leave this out"))
        else:
            found[entity] = _read(place, entity, data, problems)
        if not problems:
            problems.extend(_unknown_numbers(found[entity], entity, data))
    return found


def give_again(key: str) -> str:
    """Return how data in memory are given again to a study that is known by its name or folder only."""
    command = "go on from Python, with the object itself"
    python = "give the study with the same object in place of its name, as judge(study)"
    as_file = f"or save the same rows as a file, and name it in the study under {key}"
    return hint_for(command=f"{command}; {as_file}", python=f"{python}; {as_file}")


def read_side_table(
    place: str | InMemory, key: str, wanted: tuple[str, ...], data: Data, *, ids: tuple[str, ...]
) -> Read:
    """Read columns of a table that describes items or users; those in `ids` may hold their ids.

    Text may have the format of the interactions, that of a usual CSV file, or another usual delimiter.

    Raises
    ------
    TableError
        If it cannot be read.
    """
    if isinstance(place, InMemory):
        return read_object(place.table, wanted)
    if place.startswith(IN_MEMORY):
        raise TableError(f"must be given again from Python, since it was {place}", give_again(key))
    own = Format(delimiter=data.format.delimiter, encoding=data.format.encoding)
    read = error = None
    for dialect in dict.fromkeys((Format(), own, *(Format(delimiter=one) for one in _DELIMITERS))):
        try:
            found = read_columns(place, wanted, dialect, packed=ids)
        except TableError as one:
            error = error or one
            continue
        if found.hint is None and any(name in found.columns for name in wanted):
            return found
        read = read or found
    if read is not None and error is None:
        return read
    assert error is not None, "nothing was read"
    if "encoding" in (error.hint or ""):  # that is the key of the interactions
        raise TableError(error.rule, "save it as UTF-8, or in the encoding of the interactions") from error
    raise error


def _numeric(entity: Entity) -> str:
    """Return the key of the study that names numeric features."""
    return "numeric_features" if entity == "item" else "numeric_user_features"


def _read(place: str | InMemory, entity: Entity, data: Data, problems: list[Problem]) -> Features | None:
    """Return features: ids as in the interactions' file, names as text, values as they look."""
    key = f"data.{entity}_features"
    try:
        read = read_side_table(place, key, _COLUMNS, data, ids=_COLUMNS[:1])
    except TableError as error:
        problems.append(Problem(key, error.rule, error.hint))
        return None
    missing = [name for name in _COLUMNS if name not in read.columns]
    if missing:
        rule = f"must have the columns {', '.join(_COLUMNS)}, but {', '.join(missing)} is missing"
        wide = "; a column for each feature becomes a row for each value by `pandas.melt`"
        hint = f"it has: {', '.join(read.names)}{wide * (len(missing) == len(_COLUMNS))}"
        problems.append(Problem(key, rule, read.hint or hint))
        return None
    troubles: list[Trouble] = []
    ids = ids_of(read, "id", key, text=False, troubles=troubles)
    for name, what in (("feature", "names"), ("value", "values")):
        kind = read.columns[name].type
        if pa.types.is_nested(kind):
            rule = f"{what} must be text or numbers, but {name!r} holds a {type_name(kind)} in each row"
            troubles.append(Trouble(key, rule, "write one value a row, as pandas.explode does for lists"))
            continue
        unknown = is_missing(read.columns[name])
        if unknown.any():
            rule = f"{what} must not be missing, but are in {example(read.columns, unknown)}"
            troubles.append(Trouble(key, rule, "leave such rows out"))
    if troubles:
        problems.extend(Problem(one.where, one.rule, one.hint) for one in troubles)
        return None
    table = pd.DataFrame(
        {
            "id": ids,
            "feature": guessed(read.columns["feature"], written=False).to_numpy(),
            "value": _values(read),
        }
    )
    names = set(table["feature"].unique())
    numeric: tuple[str, ...] = getattr(data, _numeric(entity))
    if read.written and data.format.decimal != ".":
        rows = table["feature"].isin(numeric)
        table.loc[rows, "value"] = table["value"][rows].astype(str).str.replace(data.format.decimal, ".")
    features = Features(table, tuple(name for name in numeric if name in names))
    problems.extend(_numeric_problems(features, entity, read))
    return features


def _values(read: Read) -> NDArray[Any]:
    """Return values as they look. They stay text if two of them, such as 1.1 and 1.10, are one number."""
    column = read.columns["value"]
    looks = guessed(column, written=read.written)
    if read.written and looks.dtype.kind == "f":
        texts: pd.Series[Any] = column.to_pandas()
        looks = looks if looks.nunique() == texts.nunique() else texts
    return looks.to_numpy()


def _numeric_problems(features: Features, entity: Entity, read: Read) -> Iterator[Problem]:
    table, kind = features.table, read.columns["value"].type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if features.numeric and (pa.types.is_temporal(kind) or isinstance(kind, pa.BaseExtensionType)):
        rule = f"must have numbers as values, but 'value' holds {kind}, so {features.numeric[0]!r} has none"
        hint = f"mend the values in data.{entity}_features, or leave the name out"
        yield Problem(f"data.{_numeric(entity)}", rule, hint)
        return
    for feature in features.numeric:
        rows = (table["feature"] == feature).to_numpy()
        numbers: pd.Series[Any] = pd.to_numeric(table["value"], errors="coerce")
        bad = rows & ~np.isfinite(numbers.to_numpy(dtype=np.float64))
        again = rows & table.duplicated(["id", "feature"]).to_numpy()
        if bad.any():
            rule = f"must have numbers as values, but {feature!r} has none in {example(read.columns, bad)}"
            hint = f"mend the values in data.{entity}_features, or leave the name out"
            yield Problem(f"data.{_numeric(entity)}", rule, hint)
        elif again.any():
            rule = f"must have one number for each id, but {feature!r} has another one in "
            yield Problem(f"data.{_numeric(entity)}", rule + example(read.columns, again), "keep one row")


def _unknown_numbers(features: Features | None, entity: Entity, data: Data) -> Iterator[Problem]:
    """Tell of names that a study takes for numeric features, and that are none."""
    if features is None:
        return
    names = [str(name) for name in features.table["feature"].unique()]
    for feature in getattr(data, _numeric(entity)):
        if feature not in names:
            rule = f"must be features of the file, but {feature!r} is not"
            yield Problem(f"data.{_numeric(entity)}", rule, did_you_mean(feature, names))
        elif feature not in features.numeric:
            rule = f"must be numbers in the Dataset, but {feature!r} is a category"
            hint = f"leave it out of cat_{entity}_features there"
            yield Problem(f"data.{_numeric(entity)}", rule, hint)


def repeated_line(features: Features | None, entity: Entity) -> str | None:
    """Return how many rows repeat a category of an id; None if there are none, or no features."""
    if features is None or features.dense:
        return None
    table = features.table
    again = table.duplicated(["id", "feature", "value"]) & ~table["feature"].isin(features.numeric)
    if not again.any():
        return None
    first = table[again].iloc[0].tolist()
    return (
        f"data.{entity}_features repeats {int(again.sum()):,} of {len(table):,} rows, such as {first}: "
        "models that weigh features count such a value twice; keep one row"
    )


def unmatched_line(features: Features | None, entity: Entity, rows: Coded) -> str | None:
    """Return that few ids of the interactions have features while others are unknown there; None if not."""
    if features is None:
        return None
    known = rows.item_ids if entity == "item" else rows.user_ids
    described = pd.Series(features.table["id"].unique())
    strange = described[~described.isin(known)]
    n_described = len(described) - len(strange)
    if strange.empty or n_described >= _ENOUGH * len(known):
        return None
    [first] = strange.head(1).tolist()
    return (
        f"data.{entity}_features describes {n_described:,} of {len(known):,} {entity}s of the interactions, "
        f"and {len(strange):,} ids that have none, such as {first!r}: "
        "are ids written alike, with leading zeros?"
    )


def matched(features: Features, entity: Entity, rows: Coded, problems: list[Problem]) -> Features:
    """Return features whose ids have the types of those in the interactions; tell if none is there."""
    known, first = (rows.item_ids, rows.items[0]) if entity == "item" else (rows.user_ids, rows.users[0])
    ids = like_known(features.table["id"], known)
    if not ids.isin(known).any():
        [mine], [other] = features.table["id"].head(1).tolist(), known[[first]].tolist()
        rule = (
            f"must describe {entity}s of the interactions, but no id matches: ids here are like "
            f"{mine!r}, those of the interactions like {other!r}"
        )
        hint = f"write them as `{entity}` of the interactions has them, leading zeros too"
        problems.append(Problem(f"data.{entity}_features", rule, hint))
    return Features(features.table.assign(id=ids), features.numeric, features.dense)
