"""Reads and checks the files with interactions and item features.

All problems of a file are found here, before anything else starts. Each message has a count and an example
row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rectools.dataset import Dataset, IdMap
from rectools.dataset.features import SparseFeatures

from tuner.config import Data
from tuner.config.data import IN_MEMORY, InMemory
from tuner.data.reading import (
    Coded,
    Format,
    Read,
    TableError,
    Trouble,
    at_once,
    event_hashes,
    frequent,
    guessed,
    ids_of,
    is_missing,
    kept,
    like_known,
    present,
    read_columns,
    read_interactions,
    repeated,
    row_hashes,
)
from tuner.data.reading.troubles import example
from tuner.data.table import Table, items_by_appearance
from tuner.errors import DataError, Problem, did_you_mean

__all__ = ["Source", "counted", "load_source", "make_dataset", "make_table", "read_table"]

_FEATURE_COLUMNS = ("id", "feature", "value")


@dataclass(frozen=True)
class Source:
    """Checked interactions, after the study's duplicates policy was applied.

    Attributes
    ----------
    given
        The rows in the order of the file.
    item_features
        Columns id, feature and value; None if the study names no file.
    fingerprint
        Hash of the content of both tables.
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
    """

    given: Coded | pd.DataFrame
    item_features: pd.DataFrame | None
    fingerprint: str
    duplicates: int
    dropped: int
    raw: Coded | pd.DataFrame | None = None
    warnings: tuple[str, ...] = ()

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
            "users": int(present(rows.users, len(rows.user_ids)).sum()),
            "items": int(present(rows.items, len(rows.item_ids)).sum()),
            "start": f"{first:%Y-%m-%d}",
            "end": f"{last:%Y-%m-%d}",
            "duplicates": self.duplicates,
            "dropped": self.dropped,
        }

    def describe(self, policy: str) -> str:
        """Return the facts as one line for people. `policy` is the study's duplicates policy."""
        facts = self.facts()
        text = (
            f"{facts['interactions']:,} interactions of {facts['users']:,} users with "
            f"{facts['items']:,} items, {facts['start']} to {facts['end']}"
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
    features = None
    if data.item_features is not None:
        try:
            features = _read_features(data.item_features, data.numeric_features, problems)
        except DataError as error:
            problems.extend(error.problems)
    if problems or rows is None:
        raise DataError(data.place, problems)
    fingerprinted = features
    if features is not None:
        features = _features_of_items(features, rows, data)
    events = event_hashes(rows)
    again, whole = at_once(lambda: repeated(rows, events), lambda: _fingerprint(rows, events, fingerprinted))
    remaining = ~again if data.duplicates == "drop_exact" and again.any() else kept(rows, data.duplicates)
    if remaining is None or remaining.all():
        return Source(rows, features, whole, int(again.sum()), 0, None, warnings)
    left = rows.take(remaining)
    fingerprint = _fingerprint(left, events[remaining], fingerprinted)
    one_of_each = data.duplicates in {"keep_first", "keep_last"}
    dropped = len(rows) - len(left)
    return Source(
        left, features, fingerprint, int(again.sum()), dropped, rows if one_of_each else None, warnings
    )


def _features_of_items(features: pd.DataFrame, rows: Coded, data: Data) -> pd.DataFrame:
    """Return features with the ids of the interactions, of which at least one must match."""
    features = features.assign(id=like_known(features["id"], rows.item_ids))
    if not features["id"].isin(rows.item_ids).any():
        rule = (
            "must describe items of the interactions, but no id matches: ids here are like "
            f"{features['id'].iloc[0]!r}, those of the interactions like {rows.item_ids[rows.items[0]]!r}"
        )
        raise DataError(data.place, [Problem("data.item_features", rule)])
    return features


def counted(rows: Coded, data: Data) -> Coded:
    """Return the rows of users, and then of items, that have the minimal counts."""
    enough = frequent(rows.users, len(rows.user_ids), data.min_user_interactions)
    rows = rows if enough is None else rows.take(enough)
    enough = frequent(rows.items, len(rows.item_ids), data.min_item_interactions)
    return rows if enough is None else rows.take(enough)


def make_table(rows: Coded, item_features: pd.DataFrame | None, data: Data) -> Table:
    """Apply the minimal counts, and add the features of the remaining items.

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
    if item_features is None:
        return Table(remaining)
    remaining = items_by_appearance(remaining)
    numeric = set(data.numeric_features)
    categorical = [name for name in item_features["feature"].unique() if name not in numeric]
    known = item_features[item_features["id"].isin(remaining.item_ids)]
    items = IdMap(remaining.item_ids).add_ids(known["id"].to_numpy())
    features = SparseFeatures.from_flatten(known, items, categorical)
    return Table(replace(remaining, item_ids=items.external_ids), item_features=features)


def make_dataset(
    interactions: Coded | pd.DataFrame, item_features: pd.DataFrame | None, data: Data
) -> Dataset:
    """Apply the minimal counts, and build the RecTools dataset; see `make_table`."""
    return make_table(Coded.of(interactions), item_features, data).dataset()


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
        hint = "run(study) with the same object, or name a file with the same rows: --interactions FILE"
        problems.append(Problem("data.interactions", rule, hint))
        return None, ()
    try:
        found = read_interactions(
            given.table if isinstance(given, InMemory) else given,
            data.columns.model_dump(),
            datetime=data.datetime,
            ids=data.ids,
            dialect=Format(**data.format.model_dump()),
        )
    except TableError as error:
        problems.append(Problem("data.interactions", error.rule, error.hint))
        return None, ()
    problems.extend(
        Problem(f"data.columns.{trouble.where}", trouble.rule, trouble.hint) for trouble in found.troubles
    )
    return found.coded, tuple(found.warnings)


def _read_features(path: str, numeric: tuple[str, ...], problems: list[Problem]) -> pd.DataFrame:
    """Return item features: ids as in the interactions' file, names as text, values as they look."""
    read = read_table(path, "data.item_features")
    missing = [name for name in _FEATURE_COLUMNS if name not in read.columns]
    if missing:
        rule = f"must have the columns {', '.join(_FEATURE_COLUMNS)}, but {', '.join(missing)} is missing"
        hint = f"it has: {', '.join(read.names)}"
        raise DataError(path, [Problem("data.item_features", rule, hint)])
    troubles: list[Trouble] = []
    ids = ids_of(read, "id", "data.item_features", text=False, troubles=troubles)
    for name, what in (("feature", "names"), ("value", "values")):
        unknown = is_missing(read.columns[name])
        if unknown.any():
            rule = f"{what} must not be missing, but are in {example(read.columns, unknown)}"
            troubles.append(Trouble("data.item_features", rule, "leave such rows out"))
    if troubles:
        raise DataError(path, [Problem(one.where, one.rule, one.hint) for one in troubles])
    frame = pd.DataFrame(
        {
            "id": ids,
            "feature": guessed(read.columns["feature"], written=False).to_numpy(),
            "value": guessed(read.columns["value"], written=read.written).to_numpy(),
        }
    )
    _check_numeric(frame, read, numeric, problems)
    return frame


def _check_numeric(
    features: pd.DataFrame, read: Read, numeric: tuple[str, ...], problems: list[Problem]
) -> None:
    where = "data.numeric_features"
    for feature in numeric:
        rows = (features["feature"] == feature).to_numpy()
        numbers: pd.Series[Any] = pd.to_numeric(features["value"], errors="coerce")
        bad = rows & numbers.isna().to_numpy()
        if not rows.any():
            rule = f"must be features of the file, but {feature!r} is not"
            names = [str(name) for name in features["feature"].unique()]
            problems.append(Problem(where, rule, did_you_mean(feature, names)))
        elif bad.any():
            rule = f"must have numbers as values, but {feature!r} has none in {example(read.columns, bad)}"
            problems.append(Problem(where, rule))


def _fingerprint(rows: Coded, events: NDArray[np.uint64], features: pd.DataFrame | None) -> str:
    digest = hashlib.sha256(b"user_id,item_id,datetime,weight")
    for hashes in row_hashes(rows, events):
        digest.update(hashes.data)
    if features is not None:
        digest.update(",".join(features.columns).encode())
        digest.update(pd.util.hash_pandas_object(features, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:16]
