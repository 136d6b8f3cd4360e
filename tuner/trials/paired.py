"""The difference between two trials on the same users, computed here for race, report and comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.trials.objective import Direction, is_better

__all__ = ["Paired", "paired_difference", "standard_error"]

#: Quantile of the standard normal distribution for a two-sided interval of 95 %.
Z95 = 1.96

_FEWEST_USERS = 2  # a sample variance needs two values


@dataclass(frozen=True)
class Paired:
    """The difference in the objective between a trial and another one.

    Attributes
    ----------
    difference
        This trial's objective minus the other's: mean over folds of the mean over users.
    error
        Standard error of `difference` by the sample of users. It does not account for how the trials were
        chosen.
    n_users
        Pairs of values in all folds together.
    """

    difference: float
    error: float
    n_users: int

    def bounds(self, z: float = Z95) -> tuple[float, float]:
        """Return the interval of `z` standard errors to each side, by the normal approximation."""
        return self.difference - z * self.error, self.difference + z * self.error

    def better(self, direction: Direction, z: float = Z95) -> bool | None:
        """Whether this trial is the better one; None if the interval of `z` standard errors contains zero."""
        low, high = self.bounds(z)
        return None if low <= 0 <= high else is_better(self.difference, 0.0, direction)


def paired_difference(one: Mapping[int, NDArray[Any]], other: Mapping[int, NDArray[Any]]) -> Paired | None:
    r"""Compare two trials on the same users of the folds that both have.

    The objective is the mean over folds of the mean over users, so each fold has the same weight, whatever
    its number of users. With F folds, and :math:`n_f` users in fold f:

    .. math:: \bar d = \frac1F \sum_f \bar d_f, \qquad
              \mathrm{SE}^2 = \frac1{F^2} \sum_f \frac{s_f^2}{n_f}

    where :math:`\bar d_f` and :math:`s_f^2` are mean and sample variance of the differences of fold f. This
    is the estimator of a stratified sample (Cochran, Sampling Techniques, 3rd ed. 1977, section 5.3, without
    the finite population correction), with a weight of 1/F for each fold.

    Parameters
    ----------
    one, other
        Values of each fold, shape (n_users,), users in the fold's order.

    Returns
    -------
    Paired or None
        None if the trials have no fold in common, or if in one of their folds they have values of different
        users or of fewer than two.
    """
    folds = sorted(one.keys() & other.keys())
    if not folds or any(one[f].shape != other[f].shape or one[f].size < _FEWEST_USERS for f in folds):
        return None
    differences = [one[fold].astype(np.float64) - other[fold].astype(np.float64) for fold in folds]
    return Paired(
        difference=math.fsum(float(values.mean()) for values in differences) / len(folds),
        error=math.hypot(*(float(standard_error(values)) for values in differences)) / len(folds),
        n_users=sum(values.size for values in differences),
    )


def standard_error(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard error that the sample of users gives to a mean over them.

    Parameters
    ----------
    values
        Shape (..., n_users); at least two users.

    Returns
    -------
    NDArray
        Shape (...).
    """
    error: NDArray[np.float64] = values.std(axis=-1, ddof=1) / math.sqrt(values.shape[-1])
    return error
