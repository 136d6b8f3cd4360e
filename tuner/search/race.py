"""The race: whether a trial is worse than the incumbent on the same users."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tuner.config import Race
from tuner.trials.objective import Direction
from tuner.trials.paired import paired_difference

__all__ = ["PerUser", "race"]

#: Values of users, shape (n_users,).
PerUser = NDArray[np.float32]


def race(
    candidate: Mapping[int, PerUser], incumbent: Mapping[int, PerUser], rule: Race, direction: Direction
) -> dict[str, float] | None:
    """Decide whether to stop a trial that is worse than the incumbent on the users of the folds of both.

    The trial stops if its difference to the incumbent is worse than zero by more than z standard errors; see
    `tuner.trials.paired.paired_difference`.

    Parameters
    ----------
    candidate, incumbent
        Values of each fold, shape (n_users,).
    rule
        Settings of the race: z.
    direction
        Direction of the objective.

    Returns
    -------
    dict or None
        The evidence if the trial is to stop: the mean difference, and its interval of z standard errors.
    """
    found = paired_difference(candidate, incumbent)
    if found is None or found.better(direction, rule.z) is not False:
        return None
    low, high = found.bounds(rule.z)
    return {"difference": found.difference, "low": low, "high": high, "n_users": found.n_users}
