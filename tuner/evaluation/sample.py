"""The sample of test users that all evaluations of a fold but the last are of."""

from __future__ import annotations

import numpy as np

from tuner.data.folds import Fold

__all__ = ["sample_of"]

#: Seed of the samples. It does not depend on the study, so that all trials are compared on the same users.
_SEED = 5


def sample_of(fold: Fold, n_users: int | None) -> Fold | None:
    """Return a fold with a fixed random sample of its test users; it shares the train interactions.

    Parameters
    ----------
    fold
        The fold.
    n_users
        Number of users.

    Returns
    -------
    None if `n_users` is None, or the fold has no more users.
    """
    if n_users is None or len(fold.users) <= n_users:
        return None
    chosen = np.random.default_rng([_SEED, fold.index]).choice(len(fold.users), n_users, replace=False)
    few = fold.of_users(fold.users[np.sort(chosen)])
    vars(few)["seen"] = fold.seen  # metrics read it, and it is the same for all users
    return few
