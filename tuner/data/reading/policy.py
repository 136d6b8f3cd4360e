"""Which rows count: the policy for duplicates, and the minimal counts."""

from __future__ import annotations

import pandas as pd

__all__ = ["deduplicated", "enough_interactions"]

#: RecTools' names of the columns.
USER, ITEM, TIME = "user_id", "item_id", "datetime"


def deduplicated(frame: pd.DataFrame, policy: str) -> pd.DataFrame:
    """Return interactions without the repeated rows that a policy drops; see `tuner.config.Data`."""
    if policy == "keep":
        return frame
    pair = [USER, ITEM]
    if policy == "drop_exact":
        return frame.drop_duplicates([*pair, TIME]).reset_index(drop=True)
    in_time = frame.sort_values(TIME, kind="stable")
    kept = in_time.drop_duplicates(pair, keep="first" if policy == "keep_first" else "last")
    return frame.loc[kept.index.sort_values()].reset_index(drop=True)


def enough_interactions(frame: pd.DataFrame, column: str, minimum: int) -> pd.DataFrame:
    """Return the rows of those users (or items) that have at least so many of them."""
    if minimum <= 1:
        return frame
    counts = frame[column].map(frame[column].value_counts())
    return frame[counts >= minimum]
