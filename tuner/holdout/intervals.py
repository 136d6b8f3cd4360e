"""How far a mean over users and seeds may lie from the truth: two sources of error, and their sum.

A fit has a value for each of the holdout's users; a trial is fitted with a few seeds. Another sample of users
would give another mean, and so would other seeds. The users are many, and resampled (`bootstrap_bounds`). The
seeds are few: resampling three of them gives two thirds of their variance, and a spread estimated from three
numbers is itself uncertain. So their variance is estimated as in a two-way layout without replication, from
what users and seeds change together, pooled over the trials; and its error is a t with as many degrees of
freedom as there are seeds beyond the first of each trial (Scheffé, The Analysis of Variance, 1959, ch. 7).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, stdtr, stdtrit

__all__ = ["Seeds", "bootstrap_bounds", "half_width", "n_varying", "p_value", "seeds_of"]

Array = NDArray[np.float64]

#: Resamples of the users.
N_RESAMPLES = 2000
#: Users times resamples that are drawn at once.
_AT_ONCE = 20_000_000


@dataclass(frozen=True)
class Seeds:
    """What seeds change.

    Attributes
    ----------
    variance
        Of a fit's mean over users, from seed to seed, beyond what the sample of users makes of it.
    df
        Degrees of freedom of this estimate; 0 where there is none.
    """

    variance: float
    df: int

    def error(self, n_seeds: int) -> float:
        """Return the standard error that seeds give to a mean over so many of them; none to one over none."""
        return float(np.sqrt(self.variance / n_seeds)) if n_seeds else 0.0


def seeds_of(fits: Sequence[NDArray[np.float32]]) -> Seeds:
    """Estimate what seeds change, pooled over trials.

    A trial that has the same values with every seed, as EASE, says nothing of the others.

    Parameters
    ----------
    fits
        For each trial its values, shape (n_seeds, n_users).
    """
    estimates: list[float] = []
    weights: list[int] = []
    for values in fits:
        n_seeds, n_users = values.shape
        if n_varying(values) < 2:  # noqa: PLR2004  # a variance needs two
            continue
        means = values.mean(axis=1, dtype=np.float64)
        together = values - values.mean(axis=0, dtype=np.float64) - means[:, None] + means.mean()
        interaction = (together**2).sum() / ((n_seeds - 1) * (n_users - 1))
        estimates.append(means.var(ddof=1) - interaction / n_users)
        weights.append(n_seeds - 1)
    if not weights:
        return Seeds(0.0, 0)
    return Seeds(max(0.0, float(np.average(estimates, weights=weights))), sum(weights))


def n_varying(values: NDArray[np.float32]) -> int:
    """Return the number of a trial's fits; 0 if they have the same values with every seed, as EASE.

    Parameters
    ----------
    values
        Shape (n_seeds, n_users).
    """
    same = len(values) > 1 and bool((values == values[0]).all())
    return 0 if same else len(values)


def bootstrap_bounds(values: Array, level: float, *, seed: int = 0) -> tuple[Array, Array]:
    """Return the bounds between which the mean over users lies in a share `level` of resamples of them.

    All columns are resampled together, always in the same way, so that the same values give the same bounds.

    Parameters
    ----------
    values
        Shape (n_users, n).
    level
        As 0.95.
    seed
        Of the resamples.

    Returns
    -------
    tuple
        Lower and upper bounds, each of shape (n,): percentiles (Efron 1979).
    """
    means = np.concatenate([counts @ values for counts in _resamples(len(values), seed)]) / len(values)
    low, high = np.percentile(means, [50 * (1 - level), 50 * (1 + level)], axis=0)
    return low, high


def _resamples(n_users: int, seed: int) -> Iterator[Array]:
    """Yield how often each user is in each resample, some resamples at once."""
    rng = np.random.default_rng(seed)
    rows = max(1, min(N_RESAMPLES, _AT_ONCE // n_users))
    for begin in range(0, N_RESAMPLES, rows):
        drawn = (rng.integers(n_users, size=n_users) for _ in range(min(rows, N_RESAMPLES - begin)))
        yield np.stack([np.bincount(one, minlength=n_users) for one in drawn]).astype(np.float64)


def p_value(
    difference: ArrayLike, by_users: ArrayLike, by_seeds: ArrayLike, *, n_users: int, df: int
) -> Array:
    """Return how probable so large a deviation from nought is, in either direction, if there is none.

    The deviation is the sum of two independent ones: a t with ``n_users - 1`` degrees of freedom and one with
    `df`, each times its standard error. It is integrated over the smaller one.

    Parameters
    ----------
    difference, by_users, by_seeds
        What was seen, and its two standard errors; of one shape.
    n_users
        Users that it is a mean over.
    df
        Of the standard error by seeds.
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
    """Return how probable a sum of two deviations as large as `seen` is."""
    points, weights = _grid(df_smaller)
    tail: Array = stdtr(df, (smaller[:, None] * points - seen[:, None]) / error[:, None]) @ weights
    return tail


@lru_cache(maxsize=16)
def _grid(df: int) -> tuple[Array, Array]:
    """Return points of a t with `df` degrees of freedom and their weights, close in both tails."""
    if df == 0:
        return np.zeros(1), np.ones(1)
    steps = np.linspace(-16.0, 16.0, 129)
    levels = expit(steps)
    weights = levels * (1 - levels)
    return stdtrit(df, levels), weights / weights.sum()


def half_width(by_users: ArrayLike, by_seeds: ArrayLike, *, n_users: int, df: int, level: float) -> Array:
    """Return within how much of nought a deviation stays in a share `level` of cases; see `p_value`."""
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
