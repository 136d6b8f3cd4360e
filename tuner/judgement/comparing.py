"""Which trials differ: differences on the same users, corrected for how many are looked at, and groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from tuner.judgement.records import LEVEL, Comparison, Interval
from tuner.judgement.spread import Seeds, half_width, p_value, user_error

__all__ = ["Comparisons", "compare_all", "groups", "holm"]

Array = NDArray[np.float64]


class Comparisons:
    """All pairs of trials, compared once."""

    def __init__(self, found: Mapping[tuple[int, int], Comparison]) -> None:
        self._found = found

    def of(self, number: int, other: int) -> Comparison:
        """Return a trial against another one."""
        if (number, other) in self._found:
            return self._found[number, other]
        seen = self._found[other, number]
        turned = Interval(-seen.interval.high, -seen.interval.low)
        return Comparison(other, -seen.difference, turned, seen.p_value, seen.n_users, seen.n_compared)


def compare_all(by_user: Mapping[int, Array], n_seeds: Mapping[int, int], seeds: Seeds) -> Comparisons:
    """Compare each trial with each other one on the same users.

    All pairs are one family, corrected together: which rows stand first, next to each other or at the head of
    a group is seen only on the holdout, so every pair may come to be looked at.

    Parameters
    ----------
    by_user
        By number of the trial the mean over seeds of each user, shape (n_users,), users in one order.
    n_seeds
        By number of the trial; 0 for one that no seed changes.
    seeds
        What seeds change in the others.
    """
    pairs = list(combinations(by_user, 2))
    if not pairs:
        return Comparisons({})
    differences = np.stack([by_user[one] - by_user[other] for one, other in pairs])
    n_users = differences.shape[1]
    means, by_users = differences.mean(axis=1), user_error(differences)
    errors = {number: seeds.error(n) if n else 0.0 for number, n in n_seeds.items()}
    by_seeds = np.array([np.hypot(errors[one], errors[other]) for one, other in pairs])
    p = holm(p_value(means, by_users, by_seeds, n_users=n_users, df=seeds.df))
    half = half_width(by_users, by_seeds, n_users=n_users, df=seeds.df, level=LEVEL)
    return Comparisons(
        {
            (one, other): Comparison(
                other=other,
                difference=float(means[at]),
                interval=Interval(float(means[at] - half[at]), float(means[at] + half[at])),
                p_value=float(p[at]),
                n_users=n_users,
                n_compared=len(pairs),
            )
            for at, (one, other) in enumerate(pairs)
        }
    )


def holm(p: Array) -> Array:
    """Correct the p-values of a family of tests, so that one is wrong in at most its level of studies.

    Holm, A simple sequentially rejective multiple test procedure, 1979.

    Parameters
    ----------
    p
        Shape (..., n_tests).
    """
    n_tests = p.shape[-1]
    order = np.argsort(p, axis=-1)
    stepwise = np.take_along_axis(p, order, -1) * np.arange(n_tests, 0, -1)
    ascending = np.minimum(1.0, np.maximum.accumulate(stepwise, axis=-1))
    corrected = np.empty_like(p)
    np.put_along_axis(corrected, order, ascending, -1)
    return corrected


def groups(numbers: Sequence[int], comparisons: Comparisons) -> dict[int, int]:
    """Return the group of each trial, from 1: no row of a group can be told apart from its first.

    Parameters
    ----------
    numbers
        Of the trials, best first.
    comparisons
        Of all of them.
    """
    found: dict[int, int] = {}
    group, first = 0, None
    for number in numbers:
        if first is None or comparisons.of(first, number).told_apart:
            group, first = group + 1, number
        found[number] = group
    return found
