"""The sequences of all users in a few flat arrays, instead of one Python list for each user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from rectools import Columns
from torch.utils.data import Dataset as TorchDataset

__all__ = ["BatchElement", "Sequences"]

#: Items, weights and extra columns of one user, as RecTools' own data set yields them.
BatchElement = tuple[list[int], list[float], dict[str, list[Any]]]


@dataclass(frozen=True, eq=False)
class Sequences(TorchDataset[BatchElement]):
    """Sequences in compressed rows. User i has the entries from `starts[i]` to `starts[i + 1] - 1`.

    With an integer index it returns the same as RecTools' `SequenceDataset`. A `DataLoader` asks for whole
    batches, which are `Sequences` too.

    Attributes
    ----------
    items : np.ndarray, shape (n_entries,)
        Internal item ids. Those of each user are in order of time.
    weights : np.ndarray, shape (n_entries,)
        Weights of the interactions.
    extras : mapping of str to np.ndarray, shape (n_entries,)
        Columns beyond RecTools' four, such as unix_ts.
    starts : np.ndarray, shape (n_users + 1,)
        Index of each user's first entry. The last value is `n_entries`.
    """

    items: npt.NDArray[Any]
    weights: npt.NDArray[Any]
    extras: Mapping[str, npt.NDArray[Any]]
    starts: npt.NDArray[np.int64]

    @staticmethod
    def can_hold(interactions: pd.DataFrame) -> bool:
        """Whether all columns except the time are plain numbers, so that arrays keep their values."""
        types = interactions.drop(columns=Columns.Datetime).dtypes
        return all(isinstance(dtype, np.dtype) and dtype.kind in "biuf" for dtype in types)

    @classmethod
    def of(cls, interactions: pd.DataFrame, *, sort_users: bool = False) -> Sequences:
        """Group interactions by user.

        Parameters
        ----------
        interactions
            User, item, weight and datetime, and perhaps more columns. All except the datetime are numbers.
        sort_users
            Whether to order users by id, instead of by the time of their first interaction.

        Returns
        -------
        Sequences
            Users in the order of RecTools' `SequenceDataset.from_interactions`. Entries with equal times
            stay in the order of the table.
        """
        by_time = np.argsort(interactions[Columns.Datetime].to_numpy(), kind="stable")
        codes, users = pd.factorize(interactions[Columns.User].to_numpy()[by_time], sort=sort_users)
        order = by_time[np.argsort(codes, kind="stable")]
        extras = [column for column in interactions.columns if column not in Columns.Interactions]
        return cls(
            items=interactions[Columns.Item].to_numpy()[order],
            weights=interactions[Columns.Weight].to_numpy()[order],
            extras={column: interactions[column].to_numpy()[order] for column in extras},
            starts=_starts(np.bincount(codes, minlength=len(users))),
        )

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Number of entries of each user, shape (n_users,)."""
        return np.diff(self.starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, index: int) -> BatchElement:
        """Return one user's items, weights and extra columns as lists."""
        (element,) = self.__getitems__([index])
        return element

    def __getitems__(self, indices: Sequence[int]) -> Sequences:
        """Return the sequences of some users, in the order asked for."""
        users = np.asarray(indices, dtype=np.int64)
        begins = self.starts[users]
        lengths = self.starts[users + 1] - begins
        starts = _starts(lengths)
        entries = np.repeat(begins - starts[:-1], lengths) + np.arange(starts[-1])
        extras = {name: values[entries] for name, values in self.extras.items()}
        return Sequences(self.items[entries], self.weights[entries], extras, starts)

    def __iter__(self) -> Iterator[BatchElement]:
        """Yield the lists of each user in turn."""
        items, weights, starts = self.items.tolist(), self.weights.tolist(), self.starts.tolist()
        extras = {name: values.tolist() for name, values in self.extras.items()}
        for start, end in pairwise(starts):
            of_user = {name: values[start:end] for name, values in extras.items()}
            yield items[start:end], weights[start:end], of_user


def _starts(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
