"""The interactions of the recorded tables: a file as it is, a dense sample of one, or walks that are made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["dense_sample", "stored", "walks"]

#: Chances of a step of a walk: a successor of the last item, one of the item before, or a popular item.
_AFTER_LAST, _AFTER_FORMER = 0.6, 0.2
N_SUCCESSORS = 2


def stored(folder: Path, name: str) -> str:
    """Return the path of a data set's interactions."""
    return str(folder / name / "interactions.parquet")


def dense_sample(
    folder: Path, name: str, *, user_events: int, item_events: int, n_users: int, seed: int
) -> pd.DataFrame:
    """Return the interactions of some users of the dense part of a data set.

    Parameters
    ----------
    folder, name
        Folder of the data sets, and name of the data set in it.
    user_events, item_events
        Each user and each item of the dense part has at least so many interactions in it.
    n_users
        Number of users, drawn at random.
    seed
        Seed of the draw.
    """
    frame = pd.read_parquet(stored(folder, name))
    before = -1
    while len(frame) != before:
        before = len(frame)
        frame = frame[frame.groupby("item_id")["user_id"].transform("size") >= item_events]
        frame = frame[frame.groupby("user_id")["item_id"].transform("size") >= user_events]
    users = np.sort(frame["user_id"].unique())
    drawn = np.random.default_rng(seed).choice(users, n_users, replace=False)
    return frame[frame["user_id"].isin(drawn)].reset_index(drop=True)


def walks(folder: Path, *, n_users: int, n_items: int, seed: int) -> pd.DataFrame:  # noqa: ARG001  # as the others
    """Return made interactions: short histories over many items, whose order says most.

    Each item has two successors, drawn by popularity. A step goes to a successor of the last item (chance
    .6) or of the item before (.2), or to any item by popularity (.2). The popularity of the item with rank
    r is proportional to ``1 / sqrt(r)``. A history has 6 to 14 steps.
    """
    rng = np.random.default_rng(seed)
    popularity = 1 / np.sqrt(np.arange(1, n_items + 1))
    popularity /= popularity.sum()
    successors = rng.choice(n_items, (n_items, N_SUCCESSORS), p=popularity)
    histories = [_walk(rng, successors, popularity) for _ in range(n_users)]
    lengths = [len(history) for history in histories]
    users = np.repeat(np.arange(n_users), lengths)
    steps = np.concatenate([np.arange(length) for length in lengths])
    begins = np.repeat(rng.integers(0, 90 * 24, n_users), lengths)
    return pd.DataFrame(
        {
            "user_id": users,
            "item_id": np.concatenate(histories),
            "datetime": pd.Timestamp("2025-01-01") + pd.to_timedelta(begins + 7 * steps, unit="h"),
        }
    )


def _walk(
    rng: np.random.Generator, successors: NDArray[np.int64], popularity: NDArray[np.float64]
) -> list[int]:
    history: list[int] = []
    for _ in range(int(rng.integers(6, 15))):
        chance = rng.random()
        if history and chance < _AFTER_LAST:
            item = rng.choice(successors[history[-1]])
        elif len(history) > 1 and chance < _AFTER_LAST + _AFTER_FORMER:
            item = rng.choice(successors[history[-2]])
        else:
            item = rng.choice(len(popularity), p=popularity)
        history.append(int(item))
    return history
