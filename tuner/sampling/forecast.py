"""Forecasts of trials: the final value of a trial that was stopped, paused or still runs.

A trial passes milestones: some epochs of the first fold, the end of each fold, and its end. Its value at a
milestone is the best objective so far, or the mean over the finished folds. A chain of regressions, each from
one milestone to the next, takes the last known value to the end. Each step adds the variance that the step
has among the trials that passed both milestones, so an early value says less than a late one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Forecast", "forecast", "milestones"]

Floats = NDArray[np.float64]

#: Number of the milestone at the end of the first fold. Smaller numbers are milestones within the first fold.
FOLD_ENDS = 32
#: Weight of the prior slope of a step, as a number of trials. It holds the slope near 1 while few are known.
_PRIOR_TRIALS = 3.0
#: Prior standard deviation of a step, as a share of the spread of the values before it.
_PRIOR_DEVIATION = 0.5


@dataclass(frozen=True)
class Forecast:
    """Forecast final values of trials.

    Attributes
    ----------
    means
        Forecast values, shape (n_trials,).
    variances
        Variances of the forecasts, shape (n_trials,). Zero for complete trials.
    """

    means: Floats
    variances: Floats


def milestones(curve: Mapping[tuple[int, int], float], *, sign: float, n_epochs: int) -> dict[int, float]:
    """Return the values of a trial at the milestones that it has passed.

    Parameters
    ----------
    curve
        Objective by fold and epoch.
    sign
        1 if the objective is maximized, -1 if it is minimized. The values are multiplied by it.
    n_epochs
        Number of epochs of a fold of the trial. A fold that ended earlier, by its patience, counts as ended
        if the next fold has begun.

    Returns
    -------
    dict
        Value by milestone, in the order in which they are passed. Milestone k is epoch 2**k of the first
        fold, milestone `FOLD_ENDS` + f is the end of fold f.
    """
    best: dict[int, float] = {}
    last: dict[int, int] = {}
    passed: dict[int, float] = {}
    for (fold, epoch), value in sorted(curve.items()):
        best[fold] = max(best.get(fold, -math.inf), sign * value)
        last[fold] = epoch
        if fold == 0 and epoch < n_epochs and epoch.bit_count() == 1:
            passed[epoch.bit_length() - 1] = best[fold]
    ended = [fold for fold in best if last[fold] >= n_epochs or fold < max(best)]
    so_far = np.cumsum([best[fold] for fold in ended])
    return passed | {FOLD_ENDS + fold: float(so_far[i]) / (i + 1) for i, fold in enumerate(ended)}


def forecast(passed: Sequence[Mapping[int, float]], finals: Sequence[float | None]) -> Forecast:
    """Forecast the final value of each trial.

    Parameters
    ----------
    passed
        Values of each trial by milestone; see `milestones`. A trial without a final value has passed at least
        one.
    finals
        Final value of each complete trial, None for the others.
    """
    names = sorted({name for values in passed for name in values})
    rows = [[values.get(name, math.nan) for name in names] for values in passed]
    ends = [math.nan if final is None else final for final in finals]
    return _chained(np.column_stack([np.array(rows).reshape(len(passed), len(names)), ends]))


def _chained(table: Floats) -> Forecast:
    """Take the last known value of each row to the last column, shape of `table` (n_trials, n_columns)."""
    known = ~np.isnan(table)
    at = table.shape[1] - 1 - known[:, ::-1].argmax(axis=1)
    means = table[np.arange(len(table)), at]
    variances = np.zeros(len(table))
    for column in range(table.shape[1] - 1):
        rows = at <= column
        step = _step(table[:, column], table[:, column + 1])
        means[rows] = step.intercept + step.slope * means[rows]
        variances[rows] = step.slope**2 * variances[rows] + step.variance
    return Forecast(means, variances)


@dataclass(frozen=True)
class _Step:
    """A linear regression of the values at a milestone on those at the one before."""

    intercept: float
    slope: float
    variance: float


def _step(before: Floats, after: Floats) -> _Step:
    """Fit the step between two milestones, with a slope that is shrunk towards 1."""
    both = ~np.isnan(before) & ~np.isnan(after)
    known = before[~np.isnan(before)]
    spread = float(known.var()) if len(known) else 0.0
    prior_variance = _PRIOR_DEVIATION**2 * spread
    n = int(both.sum())
    if not n:
        return _Step(0.0, 1.0, prior_variance)
    x, y = before[both] - before[both].mean(), after[both] - after[both].mean()
    prior = _PRIOR_TRIALS * spread
    scale = float(x @ x) + prior
    slope = max(0.0, (float(x @ y) + prior) / scale) if scale else 1.0
    residual = float(((y - slope * x) ** 2).sum())
    intercept = float(after[both].mean() - slope * before[both].mean())
    return _Step(intercept, slope, (residual + prior_variance) / (n + 1))
