"""Proposes folds: windows of time if they have enough users, otherwise the last interaction of each user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from rectools import Columns
from rectools.dataset import Dataset

from tuner.config import Folds
from tuner.data.folds import make_splitter

__all__ = ["ProposedFolds", "propose_folds"]

#: Number of test users that is enough for each window, and the number below which windows are not used.
ENOUGH_USERS, FEWEST_USERS = 1000, 200
#: Windows to try, the shortest first.
SIZES = ("1D", "7D", "14D", "28D", "56D")
#: Number of folds for the search, and for the holdout.
N_FOLDS, HOLDOUT = 2, 1
#: Share of the time span that all windows together may take.
MOST_OF_SPAN = 0.5


@dataclass(frozen=True)
class ProposedFolds:
    """Proposed folds with the reasons.

    Attributes
    ----------
    split, size
        Settings of the study's section `folds`.
    reasons
        The reasons, for people.
    """

    split: str
    size: str | int
    reasons: tuple[str, ...]


def propose_folds(interactions: pd.DataFrame, *, filter_viewed: bool) -> ProposedFolds:
    """Choose folds for interactions.

    The choice is the shortest window of time in which every fold and the holdout have `ENOUGH_USERS` test
    users. If there is none, it is the window with most test users, if these are at least `FEWEST_USERS`.
    Otherwise it is the last interaction of each user.

    Parameters
    ----------
    interactions
        Table with the columns user_id, item_id, weight and datetime.
    filter_viewed
        See `tuner.config.Folds`.
    """
    times = interactions[Columns.Datetime].to_numpy("datetime64[ns]")
    span = (times.max() - times.min()) / np.timedelta64(1, "D")
    tried: dict[str, list[int]] = {}
    for size in SIZES:
        if _days(size) * (N_FOLDS + HOLDOUT) <= span * MOST_OF_SPAN:
            tried[size] = _test_users(interactions, size, filter_viewed=filter_viewed)
            if min(tried[size]) >= ENOUGH_USERS:
                break
    best = max(tried, key=lambda size: min(tried[size]), default=None)
    if best is not None and min(tried[best]) >= FEWEST_USERS:
        reasons = [f"windows of {best} have {_listed(tried[best])} test users, the oldest window first"]
        if min(tried[best]) < ENOUGH_USERS:
            reasons.append(
                f"they are fewer than {ENOUGH_USERS:,}, so small differences between models are not visible"
            )
        return ProposedFolds("time_range", best, tuple(reasons))
    return ProposedFolds("last_n", 1, tuple(_why_last(interactions, tried)))


def _why_last(interactions: pd.DataFrame, tried: dict[str, list[int]]) -> list[str]:
    counts = interactions[Columns.User].value_counts()
    enough = int((counts > N_FOLDS + HOLDOUT).sum())
    if tried:
        size = max(tried, key=lambda size: min(tried[size]))
        why = f"a split by time has few test users: windows of {size} have {_listed(tried[size])}"
    else:
        why = "the data cover too short a time for a split by time"
    return [
        f"{why}; so the last interactions of each user are the test part",
        f"{enough:,} of {len(counts):,} users have enough interactions",
        "a model may learn from later interactions of other users, so scores are somewhat too optimistic",
    ]


def _days(size: str) -> int:
    return int(size.removesuffix("D"))


def _test_users(interactions: pd.DataFrame, size: str, *, filter_viewed: bool) -> list[int]:
    """Return the test users of each window, oldest first."""
    section = Folds(split="time_range", n_folds=N_FOLDS, size=size, filter_viewed=filter_viewed)
    splitter = make_splitter(section, n_splits=N_FOLDS + HOLDOUT)
    rows = Dataset.construct(interactions).interactions
    users = rows.df[Columns.User].to_numpy()
    return [len(set(users[test])) for _, test, _ in splitter.split(rows)]


def _listed(numbers: Sequence[int]) -> str:
    *first, last = [f"{number:,}" for number in numbers]
    return f"{', '.join(first)} and {last}"
