"""Per-user values of metrics."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rectools.metrics.base import MetricAtK

from tuner.data.folds import Fold

__all__ = ["values_by_user"]


def values_by_user(metric: MetricAtK, recommended: pd.DataFrame, fold: Fold) -> NDArray[np.float32] | None:
    """Return a metric's value for each test user, shape (n_users,), in the order of the fold's users.

    Return None for a metric that is not a mean over users, such as one of the whole catalog.
    """
    measure: Any = getattr(metric, "calc_per_user", None)
    if measure is None:
        return None
    given = {
        "reco": recommended,
        "interactions": fold.test,
        "prev_interactions": fold.seen,
        "catalog": fold.catalog,
    }
    wanted = [name for name in inspect.signature(measure).parameters if name in given]
    if len(wanted) < len(
        inspect.signature(measure).parameters
    ):  # the metric needs the reference model's recommendations
        return None
    values: pd.Series[float] = measure(**{name: given[name] for name in wanted})
    found = values.reindex(fold.users).to_numpy(dtype=np.float32)
    return None if np.isnan(found).any() else found
