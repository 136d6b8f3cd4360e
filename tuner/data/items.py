"""The items that may be recommended: those of a file, or those with some features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rectools import Columns

from tuner.config import Data
from tuner.config.data import spelled
from tuner.data.feature_tables import read_side_table
from tuner.data.features import Features
from tuner.data.reading import Coded, Read, TableError, Trouble, ids_of, like_known, text_lines
from tuner.errors import DataError, Problem, did_you_mean

if TYPE_CHECKING:
    from tuner.data.fold import Fold

__all__ = ["items_line", "load_items", "with_items"]

AnyIds = NDArray[Any]
_KEY = "data.items_to_recommend"


def load_items(data: Data, rows: Coded, features: Features | None, problems: list[Problem]) -> AnyIds | None:
    """Return the ids of the items that may be recommended, each once; None for all items.

    What is wrong is added to `problems`.
    """
    wanted, known = data.items_to_recommend, rows.item_ids
    if wanted is None:
        return None
    if not isinstance(wanted, str):
        return _with_features(wanted, features, problems)
    try:
        ids = _listed(wanted, data)
    except TableError as error:
        problems.append(Problem(_KEY, error.rule, error.hint))
        return None
    found = like_known(pd.Series(ids), known)
    if not found.isin(known).any():
        [mine], [other] = found.head(1).tolist(), known[rows.items[:1]].tolist()
        rule = (
            f"must have items of the interactions, but no id matches: ids here are like "
            f"{mine!r}, those of the interactions like {other!r}"
        )
        hint = "write them as `item` of the interactions has them, leading zeros too"
        problems.append(Problem(_KEY, rule, hint))
    return found.drop_duplicates().to_numpy()


def _listed(place: str, data: Data) -> AnyIds:
    """Read ids: a column of a table, or the lines of a text file."""
    names = tuple(dict.fromkeys((data.columns.item, Columns.Item, "id")))
    read = read_side_table(place, _KEY, names, data, ids=names)
    name = next((name for name in names if name in read.columns), None)
    if name is None and place.lower().endswith(".txt"):
        read, name = Read({"id": text_lines(place)}, ("id",), written=True), "id"
    if name is None:
        rule = f"must have a column {' or '.join(map(repr, names))}, but has none"
        raise TableError(rule, f"it has: {', '.join(read.names)}; a .txt file may have one id a line instead")
    troubles: list[Trouble] = []
    ids = ids_of(read, name, _KEY, text=data.ids == "text", troubles=troubles)
    if troubles:
        raise TableError(troubles[0].rule, troubles[0].hint)
    return ids


def _with_features(
    wanted: Mapping[str, Sequence[str]], features: Features | None, problems: list[Problem]
) -> AnyIds | None:
    """Return the items that have one of the wanted values of each feature."""
    if features is None:
        rule = "must be the path of a file where items have no features, but got features"
        problems.append(Problem(_KEY, rule, "name a table: `data.item_features`"))
        return None
    problems.extend(_unknown(wanted, features))
    table = features.table
    texts = table["value"].map(spelled)
    remaining: AnyIds = table["id"].unique()
    for name, values in wanted.items():
        has = (table["feature"] == name) & texts.isin(values)
        remaining = remaining[_are_in(remaining, table.loc[has, "id"])]
    if not len(remaining) and not problems:
        problems.append(Problem(_KEY, f"must leave items to recommend, but none has {_said(wanted)}"))
    return remaining


def _unknown(wanted: Mapping[str, Sequence[str]], features: Features) -> Iterator[Problem]:
    table = features.table
    for name, values in wanted.items():
        if name in features.numeric:
            rule = f"must name categories, but {name!r} is a number"
            yield Problem(_KEY, rule, "write the ids of the items to a file instead")
            continue
        known = [str(one) for one in table["feature"].unique()]
        if name not in known:
            rule = f"must name features of items, but {name!r} is none"
            yield Problem(_KEY, rule, did_you_mean(name, known))
            continue
        there = set(table.loc[table["feature"] == name, "value"].map(spelled))
        for value in values:
            if value not in there:
                rule = f"must be values of {name!r}, but no item has {value!r}"
                is_word = value in {"true", "false"}
                cure = "YAML reads yes, no, on and off as true or false: write such words in quotes"
                yield Problem(_KEY, rule, cure if is_word else did_you_mean(value, sorted(there)))


def _are_in(ids: AnyIds, others: AnyIds | pd.Series[Any]) -> NDArray[np.bool_]:
    """Mark the ids that are among others; they may be of several types."""
    return pd.Series(ids).isin(others).to_numpy()


def _said(wanted: Mapping[str, Sequence[str]]) -> str:
    return " and ".join(f"{name}: {' or '.join(values)}" for name, values in wanted.items())


def items_line(items: AnyIds, rows: Coded) -> str:
    """Return how many items may be recommended, and how much of the data is with others."""
    known = _are_in(rows.item_ids, items)
    n_known, n_all = int(known.sum()), len(known)
    others = 1 - float(known[rows.items].mean())
    text = (
        f"items to recommend: {n_known:,} of {n_all:,}; {others:.1%} of the interactions are with other "
        "items, which no model may recommend"
    )
    strange = items[~_are_in(items, rows.item_ids)]
    if len(strange):
        text += f"; not in the interactions: {len(strange):,}, such as {strange[0]}"
    return text


def with_items(folds: Sequence[Fold], items: AnyIds | None) -> list[Fold]:
    """Return folds in which only these items are recommended.

    Raises
    ------
    DataError
        If a fold has none of them before its test part.
    """
    if items is None:
        return list(folds)
    made = [replace(fold, items=items[_are_in(items, fold.table.rows.item_ids)]) for fold in folds]
    for fold in made:
        assert fold.items is not None, "as just set"
        if not _are_in(fold.items, fold.catalog).any():
            rule = f"must have items that fold {fold.index + 1} was trained on, but has none of them"
            hint = "take more items, or a later first fold (fewer folds)"
            raise DataError("folds", [Problem(_KEY, rule, hint)])
    return made
