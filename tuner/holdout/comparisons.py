"""Which trials differ: differences on the same users, corrected for how many are looked at, and groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from tuner.holdout.intervals import half_width, n_varying, p_value, seeds_of
from tuner.holdout.records import LEVEL, Comparison, Interval
from tuner.trials.paired import standard_error

__all__ = ["Comparisons", "compare_all", "groups", "holm", "pairwise_differences"]

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


def compare_all(numbers: Sequence[int], values: Sequence[NDArray[np.float32]]) -> Comparisons:
    """Compare each trial with each other one on the same users.

    All pairs are one family, corrected together: which rows stand first, next to each other or at the head of
    a group is seen only on the holdout, so every pair may come to be looked at.

    Parameters
    ----------
    numbers
        Of the trials.
    values
        Of each trial, shape (n_seeds, n_users), users in one order.
    """
    pairs = list(combinations(numbers, 2))
    if not pairs:
        return Comparisons({})
    seeds = seeds_of(values)
    n_users = values[0].shape[1]
    by_user = np.stack([fits.mean(axis=0, dtype=np.float64) for fits in values])
    errors = np.array([seeds.error(n_varying(fits)) for fits in values])
    means, by_users, by_seeds = pairwise_differences(by_user, errors)
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


def pairwise_differences(by_user: Array, errors: Array) -> tuple[Array, Array, Array]:
    """Return the mean difference of each pair of rows, and its standard errors by users and by seeds.

    Parameters
    ----------
    by_user
        Means over seeds, shape (..., n_rows, n_users).
    errors
        Their standard errors by seeds, shape (..., n_rows).

    Returns
    -------
    tuple
        Each of shape (..., n_pairs), in the order of `itertools.combinations`.
    """
    one, other = np.array(list(combinations(range(by_user.shape[-2]), 2))).T
    differences = by_user[..., one, :] - by_user[..., other, :]
    return (
        differences.mean(axis=-1),
        standard_error(differences),
        np.hypot(errors[..., one], errors[..., other]),
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
