"""Corrects a family of comparisons together by a step-down max-T bootstrap.

The largest of many statistics is large by chance. How large depends on how alike the rows are: the
differences of rows that serve the same users well move together. So all rows are resampled on the same users,
and the largest statistic of each resample is noted. The pair with the largest statistic is tested first,
against the largest of all pairs. The next pair is tested against the largest of the remaining pairs, and so
on. The first pair that is not above its limit ends this (Romano and Wolf, Exact and Approximate Stepdown
Methods for Multiple Hypothesis Testing, JASA 2005).

People read the pairs with the winner first, and the winner is known before the holdout is looked at. So these
pairs get a share of the error of the family, even if they are few among all pairs: a statistic is measured in
units of the limit that its group would have alone (`relative_limits`). Whatever the units are, the family
errs as rarely, as long as the holdout does not choose them.

The resamples are a sample themselves, so a p-value that counts them is an estimate. What is reported is its
upper limit (`_p_values`): the family then errs in at most 5 % of the studies, not in 5 % give or take.

Seeds are a second level. They are too few to resample, so an effect is drawn for each row from the variance
between seeds. That variance is itself an estimate, so each resample draws another one that agrees with the
fits. See `tuner.holdout.intervals`.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from tuner.holdout.intervals import Seeds

__all__ = ["N_RESAMPLES", "null_statistics", "relative_limits", "step_down"]

Array = NDArray[np.float64]

#: Number of resamples. The correction reads a quantile far out, so it takes more than an interval does.
N_RESAMPLES = 4000
#: Share of the error of a family that the pairs with the winner have at least. With a quarter, a row that is
#: not the winner is still found as often as with Holm's method; see `benchmarks.verdicts`.
WINNER_SHARE = 0.25
#: A p-value is raised by so many of its standard errors: it is then too low in 1 of 20 draws of resamples.
MARGIN = 1.645


def relative_limits(with_winner: NDArray[np.bool_], level: float) -> Array:
    """Return the units in which the statistics of a family are compared with one another.

    Parameters
    ----------
    with_winner
        Which tests compare a row with the winner, shape (n_tests,).
    level
        Share of studies in which no test is wrong, such as 0.95.

    Returns
    -------
    NDArray
        For each test the limit by Bonferroni's method if its group had its share of the error, divided by the
        largest of these limits.
    """
    n_with = int(with_winner.sum())
    share = max(WINNER_SHARE, n_with / len(with_winner))
    errors = np.where(with_winner, share / max(n_with, 1), (1 - share) / max(len(with_winner) - n_with, 1))
    limits = ndtri(1 - (1 - level) * errors / 2)
    relative: Array = limits / limits.max()
    return relative


def null_statistics(
    resampled: Array, n_fits: NDArray[np.int64], errors: Array, seeds: Seeds, *, seed: int = 0
) -> Array:
    """Return the statistic of each pair of rows in each resample, if no two rows differ.

    Parameters
    ----------
    resampled
        Mean over the users of each row in each resample minus its mean over all users, shape (n_resamples,
        n_rows). All rows have the same resamples.
    n_fits
        Number of fits of each row that differ by their seed, shape (n_rows,); see `n_varying`.
    errors
        Standard error of the difference of each pair, shape (n_pairs,), in the order of
        `itertools.combinations`.
    seeds
        Variance between seeds.
    seed
        Seed of the effects of seeds.

    Returns
    -------
    NDArray
        Absolute differences, each divided by its standard error, shape (n_resamples, n_pairs). Pairs without
        any error have zeros.
    """
    deviations = resampled
    if seeds.df:
        deviations = resampled + _seed_effects(n_fits, seeds, len(resampled), seed)
    one, other = np.array(list(combinations(range(len(n_fits)), 2))).T
    found: Array = np.abs(deviations[:, one] - deviations[:, other])
    return np.divide(found, errors, out=np.zeros_like(found), where=errors > 0)


def _seed_effects(n_fits: NDArray[np.int64], seeds: Seeds, n: int, seed: int) -> Array:
    """Return what the seeds may add to the mean of each row, shape (n_resamples, n_rows)."""
    rng = np.random.default_rng([seed, 1])
    variances = seeds.drawn(rng.chisquare(seeds.df, n))
    share = np.divide(1.0, n_fits, out=np.zeros(len(n_fits)), where=n_fits > 0)
    effects: Array = rng.standard_normal((n, len(n_fits))) * np.sqrt(np.outer(variances, share))
    return effects


def step_down(statistics: Array, null: Array, level: float) -> tuple[Array, Array]:
    """Test a family of statistics, the largest first.

    Parameters
    ----------
    statistics
        Absolute statistics of the tests, shape (n_tests,).
    null
        The same statistics if no row differs from another, shape (n_resamples, n_tests).
    level
        Share of studies in which no test is wrong, such as 0.95.

    Returns
    -------
    tuple
        Corrected p-values and critical values, each of shape (n_tests,). A statistic is above its critical
        value if and only if its p-value is below ``1 - level``. The critical value is that of the step in
        which the test was decided; a test that finds nothing has the one of the first step.
    """
    order = np.argsort(-statistics, kind="stable")
    # Row k: the largest of test k and of all tests after it, in each resample.
    largest = np.maximum.accumulate(null.T[order[::-1]], axis=0)[::-1]
    beyond = (largest >= statistics[order, None]).sum(axis=1)
    p, critical = np.empty(len(order)), np.empty(len(order))
    p_of = _p_values(len(null))
    p[order] = np.maximum.accumulate(p_of[beyond])
    rank = max(1, int((p_of < 1 - level).sum()))
    critical[order] = _critical_values(statistics[order], largest, rank)
    return p, critical


def _p_values(n: int) -> Array:
    """Return the p-value by the number of resamples, of `n`, that reach a statistic; shape (n + 1,).

    It is the upper limit of the share of all possible resamples, by the normal distribution.
    """
    share = np.arange(1, n + 2) / (n + 1)
    limits: Array = np.minimum(share + MARGIN * np.sqrt(share * (1 - share) / n), 1)
    return limits


def _critical_values(statistics: Array, largest: Array, rank: int) -> Array:
    """Return the critical value of each statistic, the largest first; see `step_down`.

    Parameters
    ----------
    statistics
        Shape (n_tests,), descending.
    largest
        Largest remaining statistic of each resample, shape (n_tests, n_resamples).
    rank
        Place of the critical value among these, from the largest.
    """
    first = _from_largest(largest[0], rank)
    found = np.full(len(statistics), first)
    for step, statistic in enumerate(statistics):
        critical = first if step == 0 else _from_largest(largest[step], rank)
        if statistic <= critical:
            break
        found[step] = critical
    return found


def _from_largest(values: Array, rank: int) -> float:
    """Return a value by its place from the largest, which is at 1."""
    return float(-np.partition(-values, rank - 1)[rank - 1])
