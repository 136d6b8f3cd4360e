"""Which rows count: the policy for duplicates, and the minimal counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .coded import Coded, Codes, counts_of
from .repeats import repeated

__all__ = ["deduplicated", "enough_interactions", "frequent", "kept"]

Mask = NDArray[np.bool_]


def kept(table: Coded, policy: str) -> Mask | None:
    """Mark the rows that a policy for duplicates keeps, or return None if it drops none.

    See `tuner.config.Data` for the policies.
    """
    if policy == "keep":
        return None
    if policy == "drop_exact":
        dropped = repeated(table)
        return ~dropped if dropped.any() else None
    return one_of_each(table, newest=policy == "keep_last")


def one_of_each(table: Coded, *, newest: bool) -> Mask:
    """Mark the oldest or the newest row of each user and item; of rows at one time, the first or the last."""
    in_time = np.argsort(table.times, kind="stable")
    pairs: pd.Series[Any] = pd.Series(table.users.astype(np.int64) * len(table.item_ids) + table.items)
    again = pairs.iloc[in_time].duplicated(keep="last" if newest else "first").to_numpy()
    mask = np.ones(len(table), dtype=bool)
    mask[in_time[again]] = False
    return mask


def deduplicated(frame: pd.DataFrame, policy: str) -> pd.DataFrame:
    """Return interactions without the repeated rows that a policy drops."""
    if policy == "keep":
        return frame
    rows = kept(Coded.of(frame), policy)
    return (frame if rows is None else frame[rows]).reset_index(drop=True)


def frequent(codes: Codes, n_ids: int, minimum: int) -> Mask | None:
    """Mark the rows whose id has at least so many of them, or return None if all have."""
    if minimum <= 1:
        return None
    return (counts_of(codes, n_ids) >= minimum)[codes]


def enough_interactions(frame: pd.DataFrame, column: str, minimum: int) -> pd.DataFrame:
    """Return the rows of those users (or items) that have at least so many of them."""
    codes, ids = pd.factorize(frame[column].to_numpy())
    rows = frequent(codes.astype(np.int32), len(ids), minimum)
    return frame if rows is None else frame[rows]
