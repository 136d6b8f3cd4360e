"""Compares the best trial with the best baseline on the same users of the validation folds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tuner.artifacts.user_values import read_users
from tuner.trials.stored import TrialRecord

__all__ = ["Paired", "pair"]

#: Standard errors to each side of a 95 % interval.
Z = 1.96


@dataclass(frozen=True)
class Paired:
    """A difference between two trials, user by user.

    Attributes
    ----------
    difference
        Difference in the objective: mean over folds of the mean over users.
    low, high
        Bounds of its 95 % interval, by the normal approximation, not corrected for choosing the best trial.
    n_users
        Number of pairs of values, over all folds.
    """

    difference: float
    low: float
    high: float
    n_users: int


def pair(folder: Path, one: TrialRecord, other: TrialRecord) -> Paired | None:
    """Compare two complete trials by their per-user values; None if the study has none."""
    if one.summary is None or other.summary is None:
        return None
    values, others = (
        {users.fold: users.at(record.summary.epoch) for users in read_users(folder, record.number)}
        for record in (one, other)
        if record.summary is not None
    )
    means, variances, n_users = [], [], 0
    for fold in sorted(set(values) & set(others)):
        if values[fold].shape != others[fold].shape or values[fold].size < 2:  # noqa: PLR2004  # a standard deviation needs two
            continue
        differences = values[fold].astype(np.float64) - others[fold]
        means.append(float(differences.mean()))
        variances.append(float(differences.var(ddof=1)) / differences.size)
        n_users += differences.size
    if not means:
        return None
    difference = float(np.mean(means))
    error = float(np.sqrt(np.sum(variances))) / len(means)
    return Paired(difference, difference - Z * error, difference + Z * error, n_users)
