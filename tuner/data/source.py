"""Reads and checks the files with interactions and item features.

All problems of a file are found here, before anything else starts. Each message has a count and an example
row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from rectools import Columns
from rectools.dataset import Dataset

from tuner.config import Data
from tuner.config.data import IN_MEMORY, InMemory
from tuner.data.reading import (
    Format,
    Read,
    TableError,
    Trouble,
    deduplicated,
    enough_interactions,
    guessed,
    ids_of,
    is_missing,
    like_known,
    read_columns,
    read_interactions,
)
from tuner.data.reading.troubles import example
from tuner.errors import DataError, Problem, did_you_mean

__all__ = ["Source", "deduplicated", "load_source", "make_dataset", "read_table"]

_FEATURE_COLUMNS = ("id", "feature", "value")


@dataclass(frozen=True)
class Source:
    """Checked interactions, after the study's duplicates policy was applied.

    Attributes
    ----------
    interactions
        Columns user_id, item_id, weight and datetime, with rows in the order of the file.
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

    interactions: pd.DataFrame
    item_features: pd.DataFrame | None
    fingerprint: str
    duplicates: int
    dropped: int
    raw: pd.DataFrame | None = None
    warnings: tuple[str, ...] = ()

    def facts(self) -> dict[str, object]:
        """Return the numbers of rows, users and items, and the first and last day."""
        frame = self.interactions
        days = frame[Columns.Datetime]
        return {
            "interactions": len(frame),
            "users": int(frame[Columns.User].nunique()),
            "items": int(frame[Columns.Item].nunique()),
            "start": f"{days.min():%Y-%m-%d}",
            "end": f"{days.max():%Y-%m-%d}",
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
    frame, warnings = _interactions(data, problems)
    features = None
    if data.item_features is not None:
        try:
            features = _read_features(data.item_features, data.numeric_features, problems)
        except DataError as error:
            problems.extend(error.problems)
    if problems:
        raise DataError(data.place, problems)
    fingerprinted = features
    if features is not None:
        items = frame[Columns.Item]
        features = features.assign(id=like_known(features["id"], items.to_numpy()))
        if not features["id"].isin(items).any():
            rule = (
                "must describe items of the interactions, but no id matches: ids here are like "
                f"{features['id'].iloc[0]!r}, those of the interactions like {items.iloc[0]!r}"
            )
            raise DataError(data.place, [Problem("data.item_features", rule)])
    duplicates = int(frame.duplicated([Columns.User, Columns.Item, Columns.Datetime]).sum())
    remaining = deduplicated(frame, data.duplicates)
    dropped = len(frame) - len(remaining)
    one_of_each = data.duplicates in {"keep_first", "keep_last"}
    before_policy = frame if dropped and one_of_each else None
    fingerprint = _fingerprint(remaining, fingerprinted)
    return Source(remaining, features, fingerprint, duplicates, dropped, before_policy, warnings)


def make_dataset(interactions: pd.DataFrame, item_features: pd.DataFrame | None, data: Data) -> Dataset:
    """Apply the minimal counts, and build the RecTools dataset.

    Raises
    ------
    DataError
        If no interactions remain.
    """
    remaining = enough_interactions(interactions, Columns.User, data.min_user_interactions)
    remaining = enough_interactions(remaining, Columns.Item, data.min_item_interactions)
    if remaining.empty:
        rule = (
            f"must leave interactions to train on, but none of {len(interactions):,} are left with "
            f"min_user_interactions={data.min_user_interactions} and "
            f"min_item_interactions={data.min_item_interactions}"
        )
        raise DataError(data.place, [Problem("data", rule)])
    if item_features is None:
        return Dataset.construct(remaining)
    numeric = set(data.numeric_features)
    categorical = [name for name in item_features["feature"].unique() if name not in numeric]
    known = item_features[item_features["id"].isin(remaining[Columns.Item].unique())]
    return Dataset.construct(remaining, item_features_df=known, cat_item_features=categorical)


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


def _interactions(data: Data, problems: list[Problem]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    given = data.interactions
    if isinstance(given, str) and given.startswith(IN_MEMORY):
        rule = f"must be given again from Python, since it was {given}"
        hint = "run(study) with the same object, or name a file with the same rows: --interactions FILE"
        problems.append(Problem("data.interactions", rule, hint))
        return pd.DataFrame(), ()
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
        return pd.DataFrame(), ()
    problems.extend(
        Problem(f"data.columns.{trouble.where}", trouble.rule, trouble.hint) for trouble in found.troubles
    )
    return found.frame, tuple(found.warnings)


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


def _fingerprint(*tables: pd.DataFrame | None) -> str:
    digest = hashlib.sha256()
    for table in tables:
        if table is not None:
            digest.update(",".join(table.columns).encode())
            digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:16]
