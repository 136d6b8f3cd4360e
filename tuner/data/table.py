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

from tuner.data.reading import Coded, Codes, at_once, by_appearance, numbered

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
        The interactions. If there are features, the ids that have some are numbered as in RecTools' Dataset:
        in the order in which they appear, then those without interactions.
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
        return self.part(slice(None))

    def part(self, rows: Rows | slice) -> Dataset:
        """Return some rows, equal to `Dataset.filter_interactions` with the ids and all features kept.

        Parameters
        ----------
        rows
            A mask, a slice, or the numbers of the rows in the order wanted.
        """
        taken = self.rows.take(rows)
        (users, user_order), (items, item_order) = at_once(
            lambda: _internal(taken.users, len(taken.user_ids)),
            lambda: _internal(taken.items, len(taken.item_ids)),
        )
        user_features, user_order = _features(self.user_features, user_order)
        item_features, item_order = _features(self.item_features, item_order)
        return Dataset(
            IdMap(taken.user_ids.take(user_order)),
            IdMap(taken.item_ids.take(item_order)),
            _interactions(users, items, taken),
            user_features,
            item_features,
        )


def _internal(codes: Codes, n_ids: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return RecTools' internal ids of rows, and the old number of each."""
    order = by_appearance(codes, n_ids)
    return numbered(order, n_ids, np.int64)[codes], order


def internal(rows: Coded) -> Interactions:
    """Return rows as RecTools' interactions, with the numbers of the ids as they are."""
    return _interactions(rows.users.astype(np.int64), rows.items.astype(np.int64), rows)


def _interactions(users: NDArray[np.int64], items: NDArray[np.int64], rows: Coded) -> Interactions:
    """Return columns of RecTools' own types without a copy: its constructor would make one of each."""
    columns = {
        Columns.User: users,
        Columns.Item: items,
        Columns.Weight: rows.all_weights(),
        Columns.Datetime: rows.times,
        **rows.extras,
    }
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
