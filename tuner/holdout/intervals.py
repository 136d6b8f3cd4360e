"""Computes how far a mean over users and seeds may be from the truth: two sources of error, and their sum.

A fit has a value for each user of the holdout. A trial is fitted with a few seeds. Another sample of users
would give another mean, and so would other seeds.

There are many users, so they are resampled (`bootstrap_bounds`). There are few seeds: resampling three of
them gives two thirds of their variance, and a spread estimated from three numbers is itself uncertain. So the
variance between seeds is estimated as in a two-way layout without replication, from the interaction of users
and seeds, pooled over the trials. Its error has a t distribution. The degrees of freedom are the number of
seeds beyond the first of each trial (Scheffé, The Analysis of Variance, 1959, ch. 7).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, stdtr, stdtrit

__all__ = [
    "Seeds",
    "bootstrap_bounds",
    "half_width",
    "is_bounded",
    "n_varying",
    "p_value",
    "resampled_means",
    "resamples",
    "seeds_of",
]

Array = NDArray[np.float64]

#: Number of resamples of the users.
N_RESAMPLES = 2000
#: Users times resamples that are drawn in one batch.
_AT_ONCE = 20_000_000


@dataclass(frozen=True)
class Seeds:
    """Variance between the fits of a trial that differ only in their seed.

    Attributes
    ----------
    between
        Variance of the means over users of a trial's fits, mean over trials.
    noise
        The part of `between` that the sample of users causes.
    df
        Degrees of freedom of `between`; 0 if there is no estimate.
    """

    between: float
    noise: float
    df: int

    @property
    def variance(self) -> float:
        """Variance of a fit's mean over users from seed to seed, without the part of the users."""
        return max(0.0, self.between - self.noise)

    def drawn(self, chi_squared: Array) -> Array:
        """Return variances that agree with the fits, from chi-squared numbers with `df` degrees of freedom.

        `between` times `df`, divided by the true variance of the means, has this distribution. If the
        estimated variance is 0, so are all.
        """
        if self.variance == 0:
            return np.zeros_like(chi_squared)
        return np.maximum(0.0, self.between * self.df / chi_squared - self.noise)

    def error(self, n_seeds: int) -> float:
        """Return the standard error by seeds of a mean over `n_seeds` fits; 0 if `n_seeds` is 0."""
        return float(np.sqrt(self.variance / n_seeds)) if n_seeds else 0.0


def seeds_of(fits: Sequence[NDArray[np.float32]]) -> Seeds:
    """Estimate the variance between seeds, pooled over trials.

    Trials that have the same values with every seed, as EASE has, are left out.

    Parameters
    ----------
    fits
        Values of each trial, shape (n_seeds, n_users).
    """
    between: list[float] = []
    noise: list[float] = []
    weights: list[int] = []
    for values in fits:
        n_seeds, n_users = values.shape
        if n_varying(values) < 2:  # noqa: PLR2004  # a variance needs two
            continue
        means = values.mean(axis=1, dtype=np.float64)
        together = values - values.mean(axis=0, dtype=np.float64) - means[:, None] + means.mean()
        interaction = (together**2).sum() / ((n_seeds - 1) * (n_users - 1))
        between.append(float(means.var(ddof=1)))
        noise.append(float(interaction) / n_users)
        weights.append(n_seeds - 1)
    if not weights:
        return Seeds(0.0, 0.0, 0)
    return Seeds(
        float(np.average(between, weights=weights)), float(np.average(noise, weights=weights)), sum(weights)
    )


def n_varying(values: NDArray[np.float32]) -> int:
    """Return the number of a trial's fits; 0 if all seeds give the same values, as with EASE.

    Parameters
    ----------
    values
        Values of the trial, shape (n_seeds, n_users).
    """
    same = len(values) > 1 and bool((values == values[0]).all())
    return 0 if same else len(values)


def is_bounded(values: Sequence[NDArray[np.float32]]) -> bool:
    """Return whether all values are within [0, 1], as those of NDCG, HitRate and MAP are."""
    return all(bool((fits >= 0).all() and (fits <= 1).all()) for fits in values)


def bootstrap_bounds(values: Array, level: float, *, seed: int = 0) -> tuple[Array, Array]:
    """Return bounds that contain the mean over users in a share `level` of resamples of the users.

    All columns use the same resamples, and a seed always gives the same resamples. So the same values always
    give the same bounds.

    Parameters
    ----------
    values
        Values, shape (n_users, n).
    level
        Share of the resamples, such as 0.95.
    seed
        Seed of the resamples.

    Returns
    -------
    tuple
        Lower and upper bounds, each of shape (n,). They are percentiles (Efron 1979).
    """
    low, high = np.percentile(
        resampled_means(values, N_RESAMPLES, seed=seed), [50 * (1 - level), 50 * (1 + level)], axis=0
    )
    return low, high


def resampled_means(values: Array, n: int, *, seed: int = 0) -> Array:
    """Return the mean over users of each column in each of `n` resamples; see `bootstrap_bounds`."""
    batches = [counts @ values for counts in resamples(len(values), n, seed)]
    means: Array = np.concatenate(batches) / len(values)
    return means


def resamples(n_users: int, n: int, seed: int) -> Iterator[Array]:
    """Yield batches of resamples, shape (n_resamples, n_users): how often each user is in each of them."""
    rng = np.random.default_rng(seed)
    rows = max(1, min(n, _AT_ONCE // n_users))
    for begin in range(0, n, rows):
        drawn = (rng.integers(n_users, size=n_users) for _ in range(min(rows, n - begin)))
        yield np.stack([np.bincount(one, minlength=n_users) for one in drawn]).astype(np.float64)


def p_value(
    difference: ArrayLike, by_users: ArrayLike, by_seeds: ArrayLike, *, n_users: int, df: int
) -> Array:
    """Return the two-sided p-value of a difference: the probability of one this large if the truth is zero.

    The deviation is the sum of two independent ones: a t with ``n_users - 1`` degrees of freedom and a t with
    `df` degrees, each times its standard error. The sum is integrated over the smaller one.

    Parameters
    ----------
    difference, by_users, by_seeds
        Observed difference and its two standard errors. All have the same shape.
    n_users
        Number of users in the mean.
    df
        Degrees of freedom of the standard error by seeds.
    """
    seen, users, seeds = np.broadcast_arrays(
        *(np.asarray(x, np.float64) for x in (np.abs(difference), by_users, by_seeds))
    )
    result = np.where(seen > 0, 0.0, 1.0)  # where there is no error at all
    mainly_users = (users >= seeds) & (users > 0)
    mainly_seeds = seeds > users
    at = mainly_users
    result[at] = 2 * _tail(seen[at], users[at], seeds[at], df=n_users - 1, df_smaller=df)
    at = mainly_seeds
    result[at] = 2 * _tail(seen[at], seeds[at], users[at], df=df, df_smaller=n_users - 1)
    return result


def _tail(seen: Array, error: Array, smaller: Array, *, df: int, df_smaller: int) -> Array:
    """Return the probability that the sum of the two deviations is at least `seen`."""
    points, weights = _grid(df_smaller)
    tail: Array = stdtr(df, (smaller[:, None] * points - seen[:, None]) / error[:, None]) @ weights
    return tail


@lru_cache(maxsize=16)
def _grid(df: int) -> tuple[Array, Array]:
    """Return points of a t with `df` degrees of freedom and their weights, dense in both tails."""
    if df == 0:
        return np.zeros(1), np.ones(1)
    steps = np.linspace(-16.0, 16.0, 129)
    levels = expit(steps)
    weights = levels * (1 - levels)
    return stdtrit(df, levels), weights / weights.sum()


def half_width(by_users: ArrayLike, by_seeds: ArrayLike, *, n_users: int, df: int, level: float) -> Array:
    """Return the half width of the interval around zero with a share `level` of deviations; see `p_value`."""
    users, seeds = np.asarray(by_users, np.float64), np.asarray(by_seeds, np.float64)
    tail = (1 + level) / 2
    if not seeds.any():
        exact: Array = users * stdtrit(n_users - 1, tail)
        return exact
    low = np.zeros(users.shape)
    high = 2 * (users * stdtrit(n_users - 1, tail) + seeds * stdtrit(df, tail))
    for _ in range(24):  # each halves what is left
        middle = (low + high) / 2
        beyond = p_value(middle, users, seeds, n_users=n_users, df=df) > 1 - level
        low, high = np.where(beyond, middle, low), np.where(beyond, high, middle)
    width: Array = high
    return width
