"""Finds which trials differ on the same users: one comparison that was fixed beforehand, and all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from tuner.holdout.intervals import (
    Seeds,
    half_width,
    is_bounded,
    n_varying,
    p_value,
    resampled_means,
    seeds_of,
)
from tuner.holdout.letters import letters
from tuner.holdout.max_t import N_RESAMPLES, null_statistics, relative_limits, step_down
from tuner.holdout.records import LEVEL, Comparison, Interval
from tuner.trials.paired import standard_error

__all__ = ["Comparisons", "compare_all", "compare_pair"]

Array = NDArray[np.float64]
Pair = tuple[int, int]

#: Share of studies in which a difference of `Comparison.detectable` is found.
POWER = 0.8


class Comparisons:
    """All pairs of trials, compared once."""

    def __init__(self, found: Mapping[Pair, Comparison]) -> None:
        self._found = found

    def of(self, number: int, other: int) -> Comparison:
        """Return the comparison of a trial with another one."""
        if (number, other) in self._found:
            return self._found[number, other]
        return self._found[other, number].turned(other)

    def letters(self, numbers: Sequence[int]) -> dict[int, str]:
        """Return the letters of each trial: two trials share one if and only if no test tells them apart.

        Parameters
        ----------
        numbers
            Trial numbers. The first one has the first letter.
        """
        pairs = combinations(range(len(numbers)), 2)
        parted = [
            (one, other) for one, other in pairs if self.of(numbers[one], numbers[other]).distinguishable
        ]
        return dict(zip(numbers, letters(len(numbers), parted), strict=True))


def compare_all(
    numbers: Sequence[int],
    values: Sequence[NDArray[np.float32]],
    *,
    primary: Pair | None = None,
    winner: int | None = None,
) -> Comparisons:
    """Compare each trial with each other one on the same users.

    The primary comparison was fixed before the holdout was looked at, so it is not corrected. All other pairs
    are one family and are corrected together, because any of them may be the one that is read.

    Parameters
    ----------
    numbers
        Trial numbers.
    values
        Values of each trial, shape (n_seeds, n_users). All have the users in the same order.
    primary
        Numbers of the two trials of the primary comparison.
    winner
        Number of the winner; see `tuner.holdout.max_t`.
    """
    pairs = list(combinations(numbers, 2))
    found: dict[Pair, Comparison] = {}
    if not pairs:
        return Comparisons(found)
    measured = _Differences(values)
    first = [at for at, pair in enumerate(pairs) if primary is not None and set(pair) == set(primary)]
    family = np.array([at for at in range(len(pairs)) if at not in first], dtype=np.int64)
    for at in first:
        found[pairs[at]] = measured.alone(at, pairs[at])
    p, half = measured.corrected(family, np.array([winner in pairs[at] for at in family], dtype=bool))
    for at, p_corrected, width in zip(family, p, half, strict=True):
        found[pairs[at]] = measured.comparison(
            at, pairs[at], width=float(width), p=float(p_corrected), n_compared=len(family)
        )
    return Comparisons(found)


def compare_pair(values: Mapping[int, NDArray[np.float32]], pair: Pair, *, n_compared: int) -> Comparison:
    """Compare two trials in one of several tests, which are corrected for their number (Bonferroni).

    Parameters
    ----------
    values
        Values of all trials, shape (n_seeds, n_users). The variance between seeds is estimated from all.
    pair
        Numbers of the two trials.
    n_compared
        Number of tests.
    """
    numbers = [*pair, *(number for number in values if number not in pair)]
    return _Differences([values[number] for number in numbers]).alone(0, pair, n_compared)


class _Differences:
    """Differences of all pairs of trials with their standard errors, and the tests of them."""

    def __init__(self, values: Sequence[NDArray[np.float32]]) -> None:
        self.seeds: Seeds = seeds_of(values)
        self.n_fits = np.array([n_varying(fits) for fits in values])
        self.by_user = np.stack([fits.mean(axis=0, dtype=np.float64) for fits in values])
        self.n_users = self.by_user.shape[1]
        self.bounded = is_bounded(values)
        by_seeds = np.array([self.seeds.error(int(n)) for n in self.n_fits])
        self.means, self.by_users, self.by_seeds = pairwise_differences(self.by_user, by_seeds)

    def comparison(self, at: int, pair: Pair, *, width: float, p: float, n_compared: int = 1) -> Comparison:
        """Return the comparison of a pair from the half width of its interval."""
        mean = float(self.means[at])
        low, high = mean - width, mean + width
        if self.bounded:
            low, high = max(-1.0, low), min(1.0, high)
        return Comparison(pair[1], mean, Interval(low, high), p, self.n_users, n_compared)

    def alone(self, at: int, pair: Pair, n_tests: int = 1) -> Comparison:
        """Return the comparison of a pair as one of some tests, and what it could have detected."""
        level = 1 - (1 - LEVEL) / n_tests
        by_users, by_seeds, n, df = self.by_users[[at]], self.by_seeds[[at]], self.n_users, self.seeds.df
        width = float(half_width(by_users, by_seeds, n_users=n, df=df, level=level)[0])
        beyond = float(half_width(by_users, by_seeds, n_users=n, df=df, level=2 * POWER - 1)[0])
        p = float(p_value(self.means[[at]], by_users, by_seeds, n_users=n, df=df)[0])
        found = self.comparison(at, pair, width=width, p=min(1.0, n_tests * p), n_compared=n_tests)
        return replace(found, detectable=width + beyond)

    def corrected(self, family: NDArray[np.int64], with_winner: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Return the corrected p-values of some pairs, and the half widths of their intervals."""
        if not len(family):
            return np.empty(0), np.empty(0)
        errors = np.hypot(self.by_users, self.by_seeds)
        certain = np.where(self.means == 0, 0.0, np.inf)  # where there is no error at all
        statistics = np.divide(np.abs(self.means), errors, out=certain, where=errors > 0)
        resampled = resampled_means(self.by_user.T, N_RESAMPLES) - self.by_user.mean(axis=1)
        null = null_statistics(resampled, self.n_fits, errors, self.seeds)
        units = relative_limits(with_winner, LEVEL)
        p, critical = step_down(statistics[family] / units, null[:, family] / units, LEVEL)
        return p, critical * units * errors[family]


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
