"""Reads and checks the files with interactions and item features.

All problems of a file are found here, before anything else starts. Each message has a count and an example
row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
from numpy.typing import NDArray
from rectools.dataset import Dataset, IdMap
from rectools.dataset.features import DenseFeatures, SparseFeatures

from tuner.config import Data
from tuner.config.data import IN_MEMORY, InMemory
from tuner.data.feature_tables import give_again, load_features, matched, repeated_line, unmatched_line
from tuner.data.features import Features, scale_lines, scaled
from tuner.data.fingerprint import fingerprint_of, former_fingerprint
from tuner.data.items import items_line, load_items
from tuner.data.reading import (
    Coded,
    Format,
    Read,
    TableError,
    at_once,
    event_hashes,
    frequent,
    kept,
    read_columns,
    read_interactions,
    repeated,
)
from tuner.data.table import Table, appeared
from tuner.errors import DataError, Problem
from tuner.formatting import quantity

__all__ = ["Source", "counted", "load_source", "make_dataset", "make_table", "read_table"]


@dataclass(frozen=True)
class Source:
    """Checked interactions, after the study's duplicates policy was applied.

    Attributes
    ----------
    given
        The rows in the order of the file.
    item_features
        Features of items; None if the study has none.
    fingerprint
        Hash of the content of all tables.
    duplicates
        Number of rows that repeat the user, item and datetime of an earlier row, before the policy.
    dropped
        Number of rows that the policy dropped.
    raw
        The interactions before the policy, if the policy keeps one row of each user and item; else None. The
        row it keeps may be in the holdout. So the policy is applied again, separately before and in the
        holdout.
    warnings
        Lines about rows that are hardly meant so: their number, the first of them, and a cure.
    user_features
        Features of users; None if the study has none.
    items
        Ids of the items that may be recommended; None for all.
    notes
        Lines about the features and the items to recommend.
    former_fingerprint
        Fingerprint by which earlier versions knew the same data; None if it is the same one.
    """

    given: Coded | pd.DataFrame
    item_features: Features | None
    fingerprint: str
    duplicates: int
    dropped: int
    raw: Coded | pd.DataFrame | None = None
    warnings: tuple[str, ...] = ()
    user_features: Features | None = None
    items: NDArray[Any] | None = None
    notes: tuple[str, ...] = ()
    former_fingerprint: str | None = None

    @cached_property
    def coded(self) -> Coded:
        """The rows as numbers."""
        return Coded.of(self.given)

    @cached_property
    def interactions(self) -> pd.DataFrame:
        """The rows as a table: user_id, item_id, datetime and weight. It takes several times the memory."""
        return self.given.frame() if isinstance(self.given, Coded) else self.given

    def facts(self) -> dict[str, object]:
        """Return the numbers of rows, users and items, and the first and last day."""
        rows = self.coded
        first, last = (pd.Timestamp(time) for time in (rows.times.min(), rows.times.max()))
        return {
            "interactions": len(rows),
            "users": rows.n_users,
            "items": rows.n_items,
            "start": f"{first:%Y-%m-%d}",
            "end": f"{last:%Y-%m-%d}",
            "duplicates": self.duplicates,
            "dropped": self.dropped,
            **({"notes": list(self.notes)} if self.notes else {}),
        }

    def describe(self, policy: str) -> str:
        """Return the facts as one line for people. `policy` is the study's duplicates policy."""
        facts: Mapping[str, Any] = self.facts()
        text = (
            f"{quantity(facts['interactions'], 'interaction')} of {quantity(facts['users'], 'user')} with "
            f"{quantity(facts['items'], 'item')}, {facts['start']} to {facts['end']}"
        )
        if self.duplicates or self.dropped:
            text += f"; {self.duplicates:,} repeat a user, item and datetime"
            text += f", {self.dropped:,} dropped" if self.dropped else ", kept"
            text += f" (duplicates: {policy})"
        return text


def load_source(data: Data) -> Source:
    """Read and check the interactions and features of a study.

    Raises
    ------
    DataError
        If the files cannot be used. The error has all problems.
    """
    problems: list[Problem] = []
    rows, warnings = _interactions(data, problems)
    found = load_features(data, problems)
    if problems or rows is None:
        raise DataError(data.place, problems)
    features = {
        entity: None if one is None else matched(one, entity, rows, problems) for entity, one in found.items()
    }
    items = load_items(data, rows, features["item"], problems)
    if problems:
        raise DataError(data.place, problems)
    for entity, one in features.items():
        lines = repeated_line(one, entity), unmatched_line(one, entity, rows)
        warnings += tuple(line for line in lines if line is not None)
    used = {entity: None if one is None else scaled(one, data.scaling) for entity, one in features.items()}
    events = event_hashes(rows)
    again, whole = at_once(
        lambda: repeated(rows, events), lambda: fingerprint_of(rows, events, features, items)
    )
    remaining = ~again if data.duplicates == "drop_exact" and again.any() else kept(rows, data.duplicates)
    left, raw = rows, None
    fingerprint = whole
    if remaining is not None and not remaining.all():
        left, events = rows.take(remaining), events[remaining]
        raw = rows if data.duplicates in {"keep_first", "keep_last"} else None
        fingerprint = fingerprint_of(left, events, features, items)
    return Source(
        left,
        used["item"],
        fingerprint,
        int(again.sum()),
        len(rows) - len(left),
        raw,
        warnings,
        user_features=used["user"],
        items=items,
        notes=(*scale_lines(used), *([] if items is None else [items_line(items, rows)])),
        former_fingerprint=former_fingerprint(left, events, found, items),
    )


def counted(rows: Coded, data: Data) -> Coded:
    """Return the rows of users, and then of items, that have the minimal counts."""
    enough = frequent(rows.users, len(rows.user_ids), data.min_user_interactions)
    rows = rows if enough is None else rows.take(enough)
    enough = frequent(rows.items, len(rows.item_ids), data.min_item_interactions)
    return rows if enough is None else rows.take(enough)


def make_table(
    rows: Coded, item_features: Features | None, data: Data, user_features: Features | None = None
) -> Table:
    """Apply the minimal counts, and add the features of the remaining items and users.

    Raises
    ------
    DataError
        If no interactions remain.
    """
    remaining = counted(rows, data)
    if not len(remaining):
        rule = (
            f"must leave interactions to train on, but none of {len(rows):,} are left with "
            f"min_user_interactions={data.min_user_interactions} and "
            f"min_item_interactions={data.min_item_interactions}"
        )
        raise DataError(data.place, [Problem("data", rule)])
    if item_features is None and user_features is None:
        return Table(remaining)
    remaining = appeared(remaining)
    return Table(
        remaining,
        _built(user_features, remaining.user_ids),
        _built(item_features, remaining.item_ids),
    )


def _built(features: Features | None, ids: NDArray[Any]) -> DenseFeatures | SparseFeatures | None:
    return None if features is None else features.of(ids).built(IdMap(ids))


def make_dataset(
    interactions: Coded | pd.DataFrame,
    item_features: Features | None,
    data: Data,
    user_features: Features | None = None,
) -> Dataset:
    """Apply the minimal counts, and build the RecTools dataset; see `make_table`."""
    return make_table(Coded.of(interactions), item_features, data, user_features).dataset()


def read_table(path: str | Sequence[str], key: str, dialect: Format | None = None) -> Read:
    """Read all columns of a table from a path or any fsspec URL.

    Parameters
    ----------
    path
        Path or URL, or several of them.
    key
        Key of the study that names the file, for messages.
    dialect
        How text is written.

    Raises
    ------
    DataError
        If the file cannot be read or has no rows.
    """
    try:
        return read_columns(path, None, dialect)
    except TableError as error:
        place = path if isinstance(path, str) else ", ".join(path)
        raise DataError(place, [Problem(key, error.rule, error.hint)]) from error


def _interactions(data: Data, problems: list[Problem]) -> tuple[Coded | None, tuple[str, ...]]:
    given = data.interactions
    if isinstance(given, str) and given.startswith(IN_MEMORY):
        rule = f"must be given again from Python, since it was {given}"
        problems.append(Problem("data.interactions", rule, give_again("data.interactions")))
        return None, ()
    try:
        found = read_interactions(
            given.table if isinstance(given, InMemory) else given,
            data.columns.model_dump(),
            datetime=data.datetime,
            ids=data.ids,
            dialect=Format(**data.format.model_dump()),
            extra=data.extra_columns,
        )
    except TableError as error:
        problems.append(Problem("data.interactions", error.rule, error.hint))
        return None, ()
    problems.extend(
        Problem(
            f"data.{'' if trouble.where == 'extra_columns' else 'columns.'}{trouble.where}",
            trouble.rule,
            trouble.hint,
        )
        for trouble in found.troubles
    )
    return found.coded, tuple(found.warnings)
