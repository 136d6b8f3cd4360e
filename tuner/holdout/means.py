"""Computes the mean of each metric of each row over users and seeds, with its interval."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tuner.holdout.intervals import bootstrap_bounds, half_width, is_bounded, n_varying, seeds_of
from tuner.holdout.records import LEVEL, Interval
from tuner.trials.paired import standard_error

__all__ = ["intervals_of"]

Array = NDArray[np.float64]


def intervals_of(rows: Mapping[int, Mapping[str, NDArray[np.float32]]]) -> dict[int, dict[str, Interval]]:
    """Return the interval of each metric of each row. Those of metrics within [0, 1] are within it.

    Parameters
    ----------
    rows
        Per-user values of each row by metric, shape (n_seeds, n_users), with at least two users.
    """
    found: dict[int, dict[str, Interval]] = {number: {} for number in rows}
    for label in dict.fromkeys(label for values in rows.values() for label in values):
        having = {number: values[label] for number, values in rows.items() if label in values}
        fits = list(having.values())
        seeds = seeds_of(fits)
        low, high = intervals(
            np.stack([one.mean(axis=0, dtype=np.float64) for one in fits]),
            np.array([seeds.error(n_varying(one)) for one in fits]),
            df=seeds.df,
        )
        if is_bounded(fits):
            low, high = np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0)
        for at, number in enumerate(having):
            found[number][label] = Interval(float(low[at]), float(high[at]))
    return found


def intervals(by_user: Array, by_seeds: Array, *, df: int) -> tuple[Array, Array]:
    """Return bounds that contain the true mean over users and seeds in 95 % of studies.

    The users' part has the shape of the bootstrap over users. The seeds widen it by the same factor as a t
    interval.

    Parameters
    ----------
    by_user
        Means over seeds, shape (n, n_users).
    by_seeds
        Their standard errors by seeds, shape (n,).
    df
        Degrees of freedom of `by_seeds`.

    Returns
    -------
    tuple
        Lower and upper bounds, each of shape (n,).
    """
    n_users = by_user.shape[1]
    means, by_users = by_user.mean(axis=1), standard_error(by_user)
    both = half_width(by_users, by_seeds, n_users=n_users, df=df, level=LEVEL)
    users_only = half_width(by_users, np.zeros_like(by_seeds), n_users=n_users, df=0, level=LEVEL)
    low, high = bootstrap_bounds(by_user.T, LEVEL)
    wider = np.where(users_only > 0, both / np.where(users_only > 0, users_only, 1.0), 1.0)
    same = np.where(users_only > 0, 0.0, both)  # all users have the same value
    return means - (means - low) * wider - same, means + (high - means) * wider + same
