"""Which folds suit some interactions: windows of time where enough users come back, else each user's last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from rectools import Columns
from rectools.dataset import Dataset

from tuner.config import Folds
from tuner.data.folds import make_splitter

__all__ = ["ENOUGH_USERS", "ProposedFolds", "propose_folds"]

#: Test users in each window with which a window is good, and below which it is of no use.
ENOUGH_USERS, FEWEST_USERS = 1000, 200
#: Windows that are tried, the shortest first.
SIZES = ("1D", "7D", "14D", "28D", "56D")
#: Folds that the search sees, and the holdout.
N_FOLDS, HOLDOUT = 2, 1
#: Share of the time that windows may take together.
MOST_OF_SPAN = 0.5


@dataclass(frozen=True)
class ProposedFolds:
    """Folds for a study, with the reasons.

    Attributes
    ----------
    split, size
        As the study's section has them.
    reasons
        Lines for people.
    """

    split: str
    size: str | int
    reasons: tuple[str, ...]


def propose_folds(interactions: pd.DataFrame, *, filter_viewed: bool) -> ProposedFolds:
    """Choose the folds for some interactions.

    The shortest window of time in which every fold and the holdout have `ENOUGH_USERS` users to test on; else
    that with most, if they are not too few; else the last interaction of each user.

    Parameters
    ----------
    interactions
        Columns user_id, item_id, weight, datetime.
    filter_viewed
        See `tuner.config.Folds`.
    """
    times = interactions[Columns.Datetime]
    span = times.max() - times.min()
    tried: dict[str, list[int]] = {}
    for size in SIZES:
        if pd.Timedelta(size) * (N_FOLDS + HOLDOUT) <= span * MOST_OF_SPAN:
            tried[size] = _test_users(interactions, size, filter_viewed=filter_viewed)
            if min(tried[size]) >= ENOUGH_USERS:
                break
    best = max(tried, key=lambda size: min(tried[size]), default=None)
    if best is not None and min(tried[best]) >= FEWEST_USERS:
        reasons = [f"windows of {best} have {_in_words(tried[best])} test users, the newest last"]
        if min(tried[best]) < ENOUGH_USERS:
            reasons.append(f"fewer than {ENOUGH_USERS:,}: small differences between models will not show")
        return ProposedFolds("time_range", best, tuple(reasons))
    return ProposedFolds("last_n", 1, tuple(_why_last(interactions, tried)))


def _why_last(interactions: pd.DataFrame, tried: dict[str, list[int]]) -> list[str]:
    counts = interactions[Columns.User].value_counts()
    enough = int((counts > N_FOLDS + HOLDOUT).sum())
    if tried:
        size = max(tried, key=lambda size: min(tried[size]))
        why = f"a split by time would leave few users: windows of {size} have {_in_words(tried[size])}"
    else:
        why = "the time is too short for a split by time"
    return [
        f"{why}; so the last interactions of each user are the test",
        f"{enough:,} of {len(counts):,} users have enough of them",
        "a model may then learn from what others did later: scores are somewhat too good",
    ]


def _test_users(interactions: pd.DataFrame, size: str, *, filter_viewed: bool) -> list[int]:
    """Return the test users of each window, oldest first."""
    section = Folds(split="time_range", n_folds=N_FOLDS, size=size, filter_viewed=filter_viewed)
    splitter = make_splitter(section, n_splits=N_FOLDS + HOLDOUT)
    rows = Dataset.construct(interactions).interactions
    users = rows.df[Columns.User].to_numpy()
    return [len(set(users[test])) for _, test, _ in splitter.split(rows)]


def _in_words(numbers: Sequence[int]) -> str:
    *first, last = [f"{number:,}" for number in numbers]
    return f"{', '.join(first)} and {last}"
