"""Reads and checks the files with interactions and item features.

All problems of a file are found here, before anything else starts. Each message has a count and an example
row.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rectools import Columns
from rectools.dataset import Dataset

from tuner.config import Data
from tuner.errors import DataError, Problem, did_you_mean

__all__ = ["Source", "deduplicated", "load_source", "make_dataset", "read_table"]

if TYPE_CHECKING:
    Column = pd.Series[Any]

_ZONE = r"\d:\d\d.*(?:Z|[+-]\d\d(?::?\d\d)?)$"
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
    """

    interactions: pd.DataFrame
    item_features: pd.DataFrame | None
    fingerprint: str
    duplicates: int
    dropped: int
    raw: pd.DataFrame | None = None

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
    raw = read_table(data.interactions, "data.interactions")
    problems: list[Problem] = []
    frame = _interactions(raw, data, problems)
    features = None
    if data.item_features is not None:
        try:
            table = read_table(data.item_features, "data.item_features")
            features = _features(table, data.numeric_features, problems)
        except DataError as error:
            problems.extend(error.problems)
    if not problems and features is not None and not features["id"].isin(frame[Columns.Item]).any():
        rule = (
            "must describe items of the interactions, but no id matches: ids here are like "
            f"{features['id'].iloc[0]!r}, those of the interactions like {frame[Columns.Item].iloc[0]!r}"
        )
        problems.append(Problem("data.item_features", rule))
    if problems:
        raise DataError(data.interactions, problems)
    duplicates = int(frame.duplicated([Columns.User, Columns.Item, Columns.Datetime]).sum())
    remaining = deduplicated(frame, data.duplicates)
    dropped = len(frame) - len(remaining)
    one_of_each = data.duplicates in {"keep_first", "keep_last"}
    before_policy = frame if dropped and one_of_each else None
    fingerprint = _fingerprint(remaining, features)
    return Source(remaining, features, fingerprint, duplicates, dropped, before_policy)


def make_dataset(interactions: pd.DataFrame, item_features: pd.DataFrame | None, data: Data) -> Dataset:
    """Apply the minimal counts, and build the RecTools dataset.

    Raises
    ------
    DataError
        If no interactions remain.
    """
    remaining = interactions
    for column, minimum in (
        (Columns.User, data.min_user_interactions),
        (Columns.Item, data.min_item_interactions),
    ):
        if minimum > 1:
            counts = remaining[column].map(remaining[column].value_counts())
            remaining = remaining[counts >= minimum]
    if remaining.empty:
        rule = (
            f"must leave interactions to train on, but none of {len(interactions):,} are left with "
            f"min_user_interactions={data.min_user_interactions} and "
            f"min_item_interactions={data.min_item_interactions}"
        )
        raise DataError(data.interactions, [Problem("data", rule)])
    if item_features is None:
        return Dataset.construct(remaining)
    numeric = set(data.numeric_features)
    categorical = [name for name in item_features["feature"].unique() if name not in numeric]
    known = item_features[item_features["id"].isin(remaining[Columns.Item].unique())]
    return Dataset.construct(remaining, item_features_df=known, cat_item_features=categorical)


def read_table(path: str, key: str) -> pd.DataFrame:
    """Read a table from a path or any fsspec URL. The ending of its name says the format.

    Parameters
    ----------
    path
        Path or URL of the file.
    key
        Key of the study that names the file, for messages.

    Raises
    ------
    DataError
        If the file cannot be read or has no rows.
    """
    readers: dict[str, Callable[[str], pd.DataFrame]] = {
        ".parquet": pd.read_parquet,
        ".csv": pd.read_csv,
        ".csv.gz": pd.read_csv,
    }
    reader = next((reader for ending, reader in readers.items() if path.lower().endswith(ending)), None)
    if reader is None:
        rule = f"must end in {', '.join(readers)}, but got {path!r}"
        raise DataError(path, [Problem(key, rule)])
    try:
        table = reader(path)
    except FileNotFoundError as error:
        hint = f"a relative path is looked for in {Path.cwd()}, then in the folder of the study file"
        raise DataError(path, [Problem(key, "must be a file that exists, but it does not", hint)]) from error
    except (OSError, ValueError, ImportError, EOFError, zlib.error) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(path, [Problem(key, f"must be readable as a table, but {reason}")]) from error
    if table.empty:
        raise DataError(path, [Problem(key, "must have rows, but has none")])
    return table


def _interactions(raw: pd.DataFrame, data: Data, problems: list[Problem]) -> pd.DataFrame:
    columns = data.columns
    names = {
        "user": (columns.user, Columns.User),
        "item": (columns.item, Columns.Item),
        "datetime": (columns.datetime, Columns.Datetime),
        "weight": (columns.weight, Columns.Weight),
    }
    frame: dict[str, Column] = {}
    for role, (name, target) in names.items():
        if name is None:
            continue
        if name not in raw.columns:
            rule = f"must be a column of the file, but {name!r} is not"
            problems.append(
                Problem(f"data.columns.{role}", rule, did_you_mean(name, [str(c) for c in raw.columns]))
            )
        elif role == "datetime":
            frame[target] = _datetimes(raw, name, data.datetime, problems)
        elif role == "weight":
            frame[target] = _weights(raw, name, problems)
        else:
            _check_ids(raw, name, f"data.columns.{role}", problems)
            frame[target] = raw[name]
    if Columns.Weight not in frame and Columns.User in frame:
        frame[Columns.Weight] = pd.Series(1.0, index=raw.index)
    return pd.DataFrame(frame).reset_index(drop=True)


def _example(raw: pd.DataFrame, bad: Column) -> str:
    """Return the number of bad rows, and the first of them as it is in the file."""
    row = int(np.flatnonzero(bad.to_numpy())[0])
    values = {str(name): raw[name].iloc[row : row + 1].tolist()[0] for name in raw.columns}
    return f"{int(bad.sum()):,} of {len(raw):,} rows; the first is row {row + 1}: {values}"


def _check_ids(raw: pd.DataFrame, name: str, where: str, problems: list[Problem]) -> None:
    missing = raw[name].isna()
    if missing.any():
        problems.append(
            Problem(where, f"ids must not be missing, but {name!r} is in {_example(raw, missing)}")
        )


def _datetimes(raw: pd.DataFrame, name: str, kind: str, problems: list[Problem]) -> Column:
    column = raw[name]
    where = "data.columns.datetime"
    if kind == "iso":
        if pd.api.types.is_numeric_dtype(column):
            hint = "to read numbers, set `datetime: unix_s` or `datetime: unix_ms`"
            rule = f"must hold dates, but {name!r} holds numbers such as {column.iloc[0]!r}"
            problems.append(Problem(where, rule, hint))
            return pd.Series(pd.NaT, index=column.index)
        text = column.dtype.kind != "M" and not isinstance(column.dtype, pd.DatetimeTZDtype)
        if text:
            zoned = column.astype(str).str.contains(_ZONE)
            if zoned.any() and not zoned.all():
                rows = _example(raw, zoned)
                rule = f"must name a time zone in all rows or in none, but {name!r} does in {rows}"
                problems.append(Problem(where, rule))
        parsed = pd.to_datetime(column, errors="coerce", utc=True, format="ISO8601" if text else None)
    else:
        numbers: Column = pd.to_numeric(column, errors="coerce").replace([np.inf, -np.inf], np.nan)
        parsed = pd.to_datetime(numbers, unit="s" if kind == "unix_s" else "ms", errors="coerce")
    if parsed.dt.tz is not None:
        parsed = parsed.dt.tz_localize(None)
    bad = parsed.isna()
    if bad.any():
        problems.append(
            Problem(where, f"must be readable as {kind}, but {name!r} is not in {_example(raw, bad)}")
        )
    return parsed.astype("datetime64[ns]")


def _weights(raw: pd.DataFrame, name: str, problems: list[Problem]) -> Column:
    numbers = pd.to_numeric(raw[name], errors="coerce").astype("float64")
    bad = ~pd.Series(np.isfinite(numbers), index=numbers.index)
    if bad.any():
        rule = f"weights must be finite numbers, but {name!r} is not in {_example(raw, bad)}"
        problems.append(Problem("data.columns.weight", rule))
    return numbers


def _features(raw: pd.DataFrame, numeric: tuple[str, ...], problems: list[Problem]) -> pd.DataFrame:
    missing = [name for name in _FEATURE_COLUMNS if name not in raw.columns]
    if missing:
        rule = f"must have the columns {', '.join(_FEATURE_COLUMNS)}, but {', '.join(missing)} is missing"
        problems.append(Problem("data.item_features", rule, f"it has: {', '.join(map(str, raw.columns))}"))
        return raw
    _check_ids(raw, "id", "data.item_features", problems)
    unknown = raw["value"].isna()
    if unknown.any():
        rule = f"values must not be missing, but are in {_example(raw, unknown)}"
        problems.append(Problem("data.item_features", rule, "leave such rows out"))
    names = [str(name) for name in raw["feature"].unique()]
    for feature in numeric:
        rows = raw[raw["feature"] == feature]
        bad = pd.to_numeric(rows["value"], errors="coerce").isna()
        where = "data.numeric_features"
        if rows.empty:
            rule = f"must be features of the file, but {feature!r} is not"
            problems.append(Problem(where, rule, did_you_mean(feature, names)))
        elif bad.any():
            rule = f"must have numbers as values, but {feature!r} has none in {_example(rows, bad)}"
            problems.append(Problem(where, rule))
    return raw[list(_FEATURE_COLUMNS)]


def deduplicated(frame: pd.DataFrame, policy: str) -> pd.DataFrame:
    """Return interactions without the rows that a duplicates policy drops; see `tuner.config.Data`."""
    if policy == "keep":
        return frame
    pair = [Columns.User, Columns.Item]
    if policy == "drop_exact":
        return frame.drop_duplicates([*pair, Columns.Datetime]).reset_index(drop=True)
    in_time = frame.sort_values(Columns.Datetime, kind="stable")
    remaining = in_time.drop_duplicates(pair, keep="first" if policy == "keep_first" else "last")
    return frame.loc[remaining.index.sort_values()].reset_index(drop=True)


def _fingerprint(*tables: pd.DataFrame | None) -> str:
    digest = hashlib.sha256()
    for table in tables:
        if table is not None:
            digest.update(",".join(table.columns).encode())
            digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:16]
