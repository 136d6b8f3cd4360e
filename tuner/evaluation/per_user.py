"""Per-user values of metrics."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from tuner.data.folds import Fold
from tuner.errors import TrialError

__all__ = ["ARGUMENTS", "called", "in_order", "series_by_user", "values_by_user"]

#: Arguments that a method of a metric may have, by RecTools' names for them.
ARGUMENTS = ("reco", "interactions", "prev_interactions", "catalog", "ref_reco")


def values_by_user(metric: object, recommended: pd.DataFrame, fold: Fold) -> NDArray[np.float32] | None:
    """Return a metric's value for each test user, shape (n_users,), in the order of the fold's users.

    Return None for a metric that is not a mean over users, such as one of the whole catalog.
    """
    values = series_by_user(metric, recommended, fold)
    return None if values is None else in_order(values, fold)


def series_by_user(metric: object, recommended: pd.DataFrame, fold: Fold) -> pd.Series[float] | None:
    """Return a metric's values with the users as index, or None as above."""
    measure: Any = getattr(metric, "calc_per_user", None)
    if measure is None or "ref_reco" in inspect.signature(measure).parameters:
        return None  # with a reference model, it has values for each such model
    values: pd.Series[float] = called(measure, recommended, fold)
    if not _has_numbers(values):
        got = "one of other values" if isinstance(values, pd.Series) else type(values).__name__
        msg = f"{_name(measure)} must return a series of numbers, but got {got}"
        raise TrialError(msg, hint="its index has the test users")
    return values


def _has_numbers(values: object) -> bool:
    if not isinstance(values, pd.Series):
        return False
    return is_numeric_dtype(values) or all(isinstance(value, Real) for value in values)


def in_order(values: pd.Series[float], fold: Fold) -> NDArray[np.float32] | None:
    """Return values of users in the order of the fold's users; None if one has no value."""
    found = values.reindex(fold.users).to_numpy(dtype=np.float32)
    return None if np.isnan(found).any() else found


def called(measure: Callable[..., Any], recommended: pd.DataFrame, fold: Fold) -> Any:  # noqa: ANN401  # a user's method may return anything
    """Call a method of a metric with the tables that it has as arguments, by RecTools' names for them.

    Raises
    ------
    TrialError
        If the method fails. The cause is chained.
    """
    tables: tuple[object, ...] = (recommended, fold.test, fold.seen, fold.catalog, fold.reference)
    given = dict(zip(ARGUMENTS, tables, strict=True))
    wanted = inspect.signature(measure).parameters
    try:
        return measure(**{name: value for name, value in given.items() if name in wanted})
    except Exception as error:  # a user's metric may raise anything
        msg = f"{_name(measure)} of a metric failed: {type(error).__name__}: {error}"
        raise TrialError(msg) from error


def _name(measure: Callable[..., Any]) -> str:
    return getattr(measure, "__qualname__", repr(measure))
