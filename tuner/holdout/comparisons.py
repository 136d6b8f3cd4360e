"""Finds which trials differ on the same users, corrects for the number of comparisons, and groups trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from tuner.holdout.intervals import half_width, n_varying, p_value, seeds_of
from tuner.holdout.records import LEVEL, Comparison, Interval
from tuner.trials.paired import standard_error

__all__ = ["Comparisons", "compare_all", "groups"]

Array = NDArray[np.float64]


class Comparisons:
    """All pairs of trials, compared once."""

    def __init__(self, found: Mapping[tuple[int, int], Comparison]) -> None:
        self._found = found

    def of(self, number: int, other: int) -> Comparison:
        """Return the comparison of a trial with another one."""
        if (number, other) in self._found:
            return self._found[number, other]
        seen = self._found[other, number]
        turned = Interval(-seen.interval.high, -seen.interval.low)
        return Comparison(other, -seen.difference, turned, seen.p_value, seen.n_users, seen.n_compared)


def compare_all(numbers: Sequence[int], values: Sequence[NDArray[np.float32]]) -> Comparisons:
    """Compare each trial with each other one on the same users.

    All pairs are one family and are corrected together. Only the holdout shows which rows are first, next to
    each other or at the head of a group, so any pair may be the one that is read.

    Parameters
    ----------
    numbers
        Trial numbers.
    values
        Values of each trial, shape (n_seeds, n_users). All have the users in the same order.
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
    """Correct the p-values of a family of tests.

    If each test with a corrected p-value below a level counts as a difference, then at most that share of
    studies has a test that is wrong.

    Holm, A simple sequentially rejective multiple test procedure, 1979.

    Parameters
    ----------
    p
        p-values of the tests, shape (..., n_tests).
    """
    n_tests = p.shape[-1]
    order = np.argsort(p, axis=-1)
    stepwise = np.take_along_axis(p, order, -1) * np.arange(n_tests, 0, -1)
    ascending = np.minimum(1.0, np.maximum.accumulate(stepwise, axis=-1))
    corrected = np.empty_like(p)
    np.put_along_axis(corrected, order, ascending, -1)
    return corrected


def groups(numbers: Sequence[int], comparisons: Comparisons) -> dict[int, int]:
    """Return the group of each trial, from 1.

    The holdout cannot distinguish the trials of a group from the first trial of the group.

    Parameters
    ----------
    numbers
        Trial numbers, best first.
    comparisons
        Comparisons of all these trials.
    """
    found: dict[int, int] = {}
    group, first = 0, None
    for number in numbers:
        if first is None or comparisons.of(first, number).distinguishable:
            group, first = group + 1, number
        found[number] = group
    return found
