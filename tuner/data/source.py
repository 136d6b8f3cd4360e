"""Reads and checks the files with interactions and item features.

All problems of a file are found here, before anything else starts. Each message has a count and an example
row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from numpy.typing import NDArray
from rectools import Columns
from rectools.dataset import Dataset

from tuner.config import Data
from tuner.config.data import IN_MEMORY, InMemory
from tuner.data.feature_tables import ENTITIES, load_features, matched
from tuner.data.features import Features, scale_lines, scaled
from tuner.data.fingerprint import fingerprint_of, former_fingerprint
from tuner.data.items import items_line, load_items
from tuner.data.reading import (
    Format,
    Read,
    TableError,
    deduplicated,
    enough_interactions,
    read_columns,
    read_interactions,
)
from tuner.errors import DataError, Problem

__all__ = ["Source", "deduplicated", "load_source", "make_dataset", "read_table", "with_minimal_counts"]


@dataclass(frozen=True)
class Source:
    """Checked interactions, after the study's duplicates policy was applied.

    Attributes
    ----------
    interactions
        Columns user_id, item_id, weight, datetime and the study's extra columns. Rows are in the order of
        the file.
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

    interactions: pd.DataFrame
    item_features: Features | None
    fingerprint: str
    duplicates: int
    dropped: int
    raw: pd.DataFrame | None = None
    warnings: tuple[str, ...] = ()
    user_features: Features | None = None
    items: NDArray[Any] | None = None
    notes: tuple[str, ...] = ()
    former_fingerprint: str | None = None

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
            **({"notes": list(self.notes)} if self.notes else {}),
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
    found = load_features(data, problems)
    if problems:
        raise DataError(data.place, problems)
    features = {
        entity: None if one is None else matched(one, entity, frame[ENTITIES[entity]], problems)
        for entity, one in found.items()
    }
    items = load_items(data, frame, features["item"], problems)
    if problems:
        raise DataError(data.place, problems)
    duplicates = int(frame.duplicated([Columns.User, Columns.Item, Columns.Datetime]).sum())
    remaining = deduplicated(frame, data.duplicates)
    dropped = len(frame) - len(remaining)
    one_of_each = data.duplicates in {"keep_first", "keep_last"}
    used = {entity: None if one is None else scaled(one, data.scaling) for entity, one in features.items()}
    return Source(
        remaining,
        used["item"],
        fingerprint_of(remaining, features, items),
        duplicates,
        dropped,
        frame if dropped and one_of_each else None,
        warnings,
        user_features=used["user"],
        items=items,
        notes=(*scale_lines(used), *([] if items is None else [items_line(items, frame)])),
        former_fingerprint=former_fingerprint(remaining, found, items),
    )


def make_dataset(
    interactions: pd.DataFrame,
    item_features: Features | None,
    data: Data,
    user_features: Features | None = None,
) -> Dataset:
    """Apply the minimal counts, and build the RecTools dataset.

    Raises
    ------
    DataError
        If no interactions remain.
    """
    remaining = with_minimal_counts(interactions, data)
    features: dict[str, Any] = {}
    if item_features is not None:
        features |= item_features.of(remaining[Columns.Item].unique()).arguments("item")
    if user_features is not None:
        features |= user_features.of(remaining[Columns.User].unique()).arguments("user")
    return Dataset.construct(
        remaining[[*Columns.Interactions, *data.extra_columns]],
        **features,
        keep_extra_cols=bool(data.extra_columns),
    )


def with_minimal_counts(interactions: pd.DataFrame, data: Data) -> pd.DataFrame:
    """Return the rows of users and items that have enough interactions.

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
    return remaining


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
            extra=data.extra_columns,
        )
    except TableError as error:
        problems.append(Problem("data.interactions", error.rule, error.hint))
        return pd.DataFrame(), ()
    problems.extend(
        Problem(
            f"data.{'' if trouble.where == 'extra_columns' else 'columns.'}{trouble.where}",
            trouble.rule,
            trouble.hint,
        )
        for trouble in found.troubles
    )
    return found.frame, tuple(found.warnings)
