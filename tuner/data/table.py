"""Interactions ready to be split: the rows as numbers, from which any part becomes a RecTools Dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rectools import Columns
from rectools.dataset import Dataset, IdMap, Interactions
from rectools.dataset.features import DenseFeatures, SparseFeatures

from tuner.data.reading import Coded, by_appearance, numbered

__all__ = ["Table", "appeared", "internal", "with_ids"]

AnyIds = NDArray[Any]
Rows = NDArray[Any]
Features = DenseFeatures | SparseFeatures


@dataclass(frozen=True, eq=False)
class Table:
    """Interactions with the features of their users and items.

    Attributes
    ----------
    rows
        The interactions. Ids are numbered as in RecTools' Dataset: in the order in which they appear, then
        those that have features only.
    user_features, item_features
        Features by those numbers; None without features.
    """

    rows: Coded
    user_features: Features | None = None
    item_features: Features | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(cls, dataset: Dataset) -> Table:
        """Return a RecTools Dataset as numbers."""
        frame = dataset.interactions.df
        weights = frame[Columns.Weight].to_numpy()
        rows = Coded(
            frame[Columns.User].to_numpy().astype(np.int32),
            frame[Columns.Item].to_numpy().astype(np.int32),
            dataset.user_id_map.external_ids,
            dataset.item_id_map.external_ids,
            frame[Columns.Datetime].to_numpy(),
            None if (weights == 1).all() else weights,
            {name: frame[name].to_numpy() for name in frame.columns if name not in Columns.Interactions},
        )
        return cls(rows, dataset.user_features, dataset.item_features)

    def dataset(self) -> Dataset:
        """Return all rows as a RecTools Dataset, equal to `Dataset.construct`."""
        rows = self.rows
        return Dataset(
            IdMap(rows.user_ids),
            IdMap(rows.item_ids),
            internal(rows),
            self.user_features,
            self.item_features,
        )

    def part(self, rows: Rows) -> Dataset:
        """Return some rows, equal to `Dataset.filter_interactions` with the ids and all features kept.

        Parameters
        ----------
        rows
            A mask, or the numbers of the rows in the order wanted.
        """
        taken = self.rows.take(rows)
        users = by_appearance(taken.users, len(taken.user_ids))
        items = by_appearance(taken.items, len(taken.item_ids))
        columns = {
            Columns.User: numbered(users, len(taken.user_ids), np.int64)[taken.users],
            Columns.Item: numbered(items, len(taken.item_ids), np.int64)[taken.items],
            Columns.Weight: taken.all_weights(),
            Columns.Datetime: taken.times,
            **taken.extras,
        }
        user_features, users = _features(self.user_features, users)
        item_features, items = _features(self.item_features, items)
        return Dataset(
            IdMap(taken.user_ids.take(users)),
            IdMap(taken.item_ids.take(items)),
            _interactions(columns),
            user_features,
            item_features,
        )


def internal(rows: Coded) -> Interactions:
    """Return rows as RecTools' table of internal ids."""
    columns = {
        Columns.User: rows.users.astype(np.int64),
        Columns.Item: rows.items.astype(np.int64),
        Columns.Weight: rows.all_weights(),
        Columns.Datetime: rows.times,
        **rows.extras,
    }
    return _interactions(columns)


def _interactions(columns: dict[str, NDArray[Any]]) -> Interactions:
    """Return columns of RecTools' own types without a copy: its constructor would make one of each."""
    made = Interactions.__new__(Interactions)
    object.__setattr__(made, "df", pd.DataFrame(columns, copy=False))
    return made


def with_ids(rows: Coded, index: NDArray[np.int64] | None = None) -> pd.DataFrame:
    """Return rows with external ids, in the order of RecTools' columns.

    Parameters
    ----------
    rows
        The interactions.
    index
        Labels of the rows; by default their numbers.
    """
    columns = {
        Columns.User: rows.user_ids.take(rows.users),
        Columns.Item: rows.item_ids.take(rows.items),
        Columns.Weight: rows.all_weights(),
        Columns.Datetime: rows.times,
        **rows.extras,
    }
    return pd.DataFrame(columns, index=None if index is None else pd.Index(index), copy=False)


def appeared(rows: Coded) -> Coded:
    """Return rows whose ids are those that they have, in the order in which they appear."""
    users = by_appearance(rows.users, len(rows.user_ids))
    items = by_appearance(rows.items, len(rows.item_ids))
    return Coded(
        numbered(users, len(rows.user_ids), np.int32)[rows.users],
        numbered(items, len(rows.item_ids), np.int32)[rows.items],
        rows.user_ids.take(users),
        rows.item_ids.take(items),
        rows.times,
        rows.weights,
        rows.extras,
    )


def _features(
    features: Features | None, order: NDArray[np.int64]
) -> tuple[Features | None, NDArray[np.int64]]:
    """Return the features by new numbers: first of the ids in `order`, then of all others."""
    if features is None:
        return None, order
    others = np.ones(len(features), dtype=bool)
    others[order] = False
    order = np.concatenate([order, np.flatnonzero(others)])
    return features.take(order), order
